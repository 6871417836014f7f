//! Whose a row is: clusters, pods, routes, labels, and the policies of the library.

use std::sync::Arc;

use loadline_crds::ElasticPolicy;

use super::*;
use crate::{observe::prometheus::pod_owners::Owner, ports::Objects, translate::Translator};

#[test]
fn a_global_source_keeps_clusters_apart() {
    let mut case =
        Case::new(&[ask("shop/checkout", "otel-http", &[("private", 1), ("public", 1), ("dark", 1)])]);
    case.source = "clusterLabel: site";
    let row = |site: &str, rest: &str| format!("site={site},{CHECKOUT}{rest}");
    let case = case
        .answer(Part::Histogram, &[&row("private", ",le=+Inf 10"), &row("public", ",le=+Inf 20")])
        .answer(Part::Newest, &[&row("private", " 999"), &row("public", " 999")])
        .replicas(Part::Reporting, &[(&row("private", ""), "a"), (&row("public", ""), "a")]);
    let requests: BTreeMap<String, Result<f64, Doubt>> =
        case.read().into_iter().map(|(k, r)| (k, r.steady.map(|s| s.value.requests))).collect();
    assert_eq!(
        requests.into_iter().collect::<Vec<_>>(),
        [
            ("shop/checkout in dark".to_owned(), Err(Doubt::AbsentSeries)),
            ("shop/checkout in private".to_owned(), Ok(10.0)),
            ("shop/checkout in public".to_owned(), Ok(20.0)),
        ]
    );
}

#[test]
fn the_operators_own_cluster_is_found_by_the_name_that_telemetry_gives_it() {
    // given an operator in prod-eu, and another cluster whose name is Loadline's word for one's own
    let config = "cluster: prod-eu\nsources: [{name: a, url: 'http://a', clusterLabel: site}]";
    let mut case = Case::new(&[ask("shop/checkout", "otel-http", &[("local", 1), ("far", 1)])]);
    case.config = Some(config);
    let sites = ["prod-eu", "far", "local"];
    let rows = |rest: [&str; 3]| [0, 1, 2].map(|i: usize| format!("site={},{CHECKOUT}{}", sites[i], rest[i]));
    let case = case
        .answer(
            Part::Histogram,
            &rows([",le=+Inf 10", ",le=+Inf 20", ",le=+Inf 50"]).each_ref().map(String::as_str),
        )
        .answer(Part::Newest, &rows([" 999", " 999", " 999"]).each_ref().map(String::as_str));
    let requests: Vec<_> = case.read().into_values().map(|r| r.steady.map(|s| s.value.requests)).collect();
    assert_eq!(requests, [Ok(20.0), Ok(10.0)]);
}

#[test]
fn pods_are_mapped_to_their_owners_and_unknown_ones_are_nobodys() {
    let case = Case::new(&[ask("shop/checkout", "otel-http-pods", &[("local", 2)])])
        .answer(
            Part::Histogram,
            &[
                "namespace=shop,pod=a,le=+Inf 3",
                "namespace=shop,pod=b,le=+Inf 4",
                "namespace=shop,pod=c,le=+Inf 50",
            ],
        )
        .answer(Part::Newest, &["namespace=shop,pod=a 998", "namespace=shop,pod=b 999"])
        .answer(Part::Reporting, &["namespace=shop,pod=a 1", "namespace=shop,pod=b 1"]);
    case.owners.update(&ClusterId::local(), |owners| {
        for pod in ["a", "b"] {
            owners.pod_seen("shop", pod, Some(Owner::new("ReplicaSet", "checkout-1")));
        }
        let set = Owner::new("ReplicaSet", "checkout-1");
        owners.owner_seen("shop", set, Some(Owner::new("Deployment", "checkout")));
    });
    let steady = case.one().steady.unwrap();
    assert!((steady.value.requests - 7.0).abs() < 1e-9);
    assert_eq!(steady.observed_at.as_second(), 999);
    assert_eq!(steady.coverage, Coverage { reporting: 2, expected: 2 });
}

/// What Envoy showed when a route had 17 requests of which 3 timed out, and another 5 and no host at all.
fn envoy(route: &str, expected: u32) -> Case {
    let (checkout, cart) = (
        "envoy_cluster_name=httproute/shop/checkout/rule/0",
        "envoy_cluster_name=httproute/shop/cart/rule/0",
    );
    let row = |labels: &str, rest: &str| format!("{labels}{rest}");
    Case::new(&[ask(&format!("shop/{route}"), "envoy", &[("local", expected)])])
        .answer(Part::Histogram, &[&row(checkout, ",le=25 14"), &row(checkout, ",le=+Inf 14")])
        .answer(Part::Requests, &[&row(checkout, " 17"), &row(cart, " 5")])
        .answer(Part::BurstRequests, &[&row(checkout, " 17"), &row(cart, " 5")])
        .answer(Part::Newest, &[&row(checkout, " 999"), &row(cart, " 999")])
        .replicas(Part::Reporting, &[(checkout, "1 2"), (cart, "1 2")])
        .replicas(Part::Expected, &[(checkout, "1 2"), (cart, "1 2")])
}

#[test]
fn envoys_own_answers_are_offered_load_and_its_milliseconds_become_seconds() {
    let steady = envoy("checkout", 4).one().steady.unwrap();
    assert!((steady.value.requests - 17.0).abs() < 1e-9);
    assert_eq!(steady.value.histogram.unwrap().buckets, [(0.025, 14.0), (f64::INFINITY, 14.0)]);
    assert_eq!(steady.coverage, Coverage { reporting: 4, expected: 4 });
}

#[test]
fn requests_to_a_workload_at_zero_are_seen_at_the_gateway() {
    let steady = envoy("cart", 0).one().steady.unwrap();
    assert!((steady.value.requests - 5.0).abs() < 1e-9);
    // none of them was timed: that is known, not guessed
    assert_eq!(steady.value.histogram.unwrap().buckets, [(f64::INFINITY, 0.0)]);
    assert_eq!(steady.coverage, Coverage { reporting: 2, expected: 2 });
}

#[test]
fn half_of_a_gateway_silent_counts_as_half_of_the_replicas_silent() {
    let checkout = "envoy_cluster_name=httproute/shop/checkout/rule/0";
    let steady = envoy("checkout", 5).replicas(Part::Reporting, &[(checkout, "1")]).one().steady.unwrap();
    assert_eq!(steady.coverage, Coverage { reporting: 2, expected: 5 });
}

#[test]
fn all_rules_of_a_route_are_one_load_and_other_namespaces_are_not() {
    let names =
        ["shop/checkout/rule/0", "shop/checkout/rule/1", "bank/checkout/rule/0", "shop/checkout2/rule/0"];
    let row = |value: &'static str| names.map(|n| format!("envoy_cluster_name=httproute/{n} {value}"));
    let case = Case::new(&[ask("shop/checkout", "envoy", &[("local", 1)])])
        .answer(Part::Requests, &row("3").each_ref().map(String::as_str))
        .answer(Part::Newest, &row("999").each_ref().map(String::as_str));
    assert!((case.one().steady.unwrap().value.requests - 6.0).abs() < 1e-9);
}

#[test]
fn labels_choose_among_the_series_of_the_own_namespace() {
    let mut get = ask("shop/checkout", "otel-http", &[("local", 1)]);
    get.selector = SeriesSelector::Labels([("service_name".to_owned(), "checkout".to_owned())].into());
    let rows = |value: &str| {
        ["shop,service_name=checkout", "bank,service_name=checkout", "shop,service_name=cart"]
            .map(|l| format!("k8s_namespace_name={l}{value}"))
    };
    let case = Case::new(&[get])
        .answer(Part::Histogram, &rows(",le=+Inf 8").each_ref().map(String::as_str))
        .answer(Part::Newest, &rows(" 999").each_ref().map(String::as_str));
    assert!((case.one().steady.unwrap().value.requests - 8.0).abs() < 1e-9);
}

#[test]
fn policies_that_find_their_series_in_different_ways_share_the_queries() {
    let plain = ask("shop/checkout", "otel-http", &[("local", 1)]);
    let mut labelled = ask("shop/special", "otel-http", &[("local", 1)]);
    labelled.selector = SeriesSelector::Labels([("http_route".to_owned(), "/pay".to_owned())].into());
    let row = |route: &str, rest: &str| format!("{CHECKOUT},http_route={route}{rest}");
    let case = Case::new(&[plain, labelled])
        .answer(Part::Histogram, &[&row("/pay", ",le=+Inf 2"), &row("/cart", ",le=+Inf 3")])
        .answer(Part::Newest, &[&row("/pay", " 999"), &row("/cart", " 999")])
        // both pods serve both routes, but the second has served no payment yet
        .replicas(Part::Reporting, &[(&row("/pay", ""), "a"), (&row("/cart", ""), "a b")]);
    let read: Vec<(f64, u32)> = case
        .read()
        .into_values()
        .map(|r| r.steady.unwrap())
        .map(|r| (r.value.requests, r.coverage.reporting))
        .collect();
    assert_eq!(read, [(5.0, 2), (2.0, 1)]);
}

#[test]
fn a_match_by_label_hides_no_silent_pod_of_another_policy() {
    // given a policy that splits the rows of everybody by route
    let plain = ask("shop/checkout", "otel-http", &[("local", 10)]);
    let mut labelled = ask("bank/teller", "otel-http", &[("local", 1)]);
    labelled.selector = SeriesSelector::Labels([("http_route".to_owned(), "/pay".to_owned())].into());
    // when five of the ten pods of another are silent, and the other five serve three routes each
    let row = |route: &str, rest: &str| format!("{CHECKOUT},http_route={route}{rest}");
    let routes = ["/pay", "/cart", "/"];
    let rows = |rest: &str| routes.map(|route| row(route, rest));
    let pods = routes.map(|route| row(route, ""));
    let case = Case::new(&[plain, labelled])
        .answer(Part::Histogram, &rows(",le=+Inf 1").each_ref().map(String::as_str))
        .answer(Part::Newest, &rows(" 999").each_ref().map(String::as_str))
        .replicas(Part::Reporting, &pods.each_ref().map(|labels| (labels.as_str(), "a b c d e")));
    // then they are five, not fifteen
    let steady = case.read().remove("shop/checkout in local").unwrap().steady.unwrap();
    assert_eq!(steady.coverage, Coverage { reporting: 5, expected: 10 });
}

#[test]
fn a_gateway_counts_once_however_many_rules_a_route_has() {
    let rule = |n: u32, rest: &str| format!("envoy_cluster_name=httproute/shop/checkout/rule/{n}{rest}");
    let (first, second) = (rule(0, ""), rule(1, ""));
    let case = envoy("checkout", 4)
        .answer(Part::Newest, &[&rule(0, " 999"), &rule(1, " 999")])
        // one of two gateways is silent; the other has both rules, the silent one had the first
        .replicas(Part::Reporting, &[(&first, "1"), (&second, "1")])
        .replicas(Part::Expected, &[(&first, "1 2"), (&second, "1")]);
    assert_eq!(case.one().steady.unwrap().coverage, Coverage { reporting: 2, expected: 4 });
}

/// Each ready policy, with the labels that its exporters give the series of its workload, and with those of
/// a neighbour.
#[rstest]
#[case::cautious(
    "cautious-first-policy",
    "k8s_namespace_name=shop,k8s_deployment_name={}",
    "catalogue",
    "menu"
)]
#[case::http(
    "http-service",
    "k8s_namespace_name=shop,k8s_deployment_name={},http_route=/",
    "checkout",
    "menu"
)]
#[case::grpc(
    "grpc-service",
    "k8s_namespace_name=shop,k8s_deployment_name={},rpc_method=X",
    "inventory",
    "menu"
)]
#[case::gateway("gateway", "envoy_cluster_name=httproute/shop/{}/rule/0", "reports", "menu")]
#[case::queue("queue-consumer", "consumergroup={},topic=mails", "mailer", "menu")]
#[case::cron("cron-peaks", "k8s_namespace_name=shop,k8s_deployment_name={}", "menu", "mailer")]
fn every_policy_of_the_library_finds_its_series_and_no_others(
    #[case] file: &str,
    #[case] labels: &str,
    #[case] own: &str,
    #[case] neighbour: &str,
) {
    // given a ready policy, as it lies there
    let path = format!("{}/../policies/library/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
    let object: ElasticPolicy = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let objects = Objects { policies: vec![Arc::new(object)], ..Objects::default() };
    let mut ask = Translator::of(&objects).asks(&objects).remove(0);
    ask.expected = [(ClusterId::local(), 1)].into();
    // when both workloads have load
    let row = |name: &str, rest: &str| format!("{}{rest}", labels.replace("{}", name));
    let rows = |mine: &str, other: &str| [row(own, mine), row(neighbour, other)];
    let (buckets, rates, times) =
        (rows(",le=+Inf 3", ",le=+Inf 50"), rows(" 3", " 50"), rows(" 999", " 990"));
    let mut case = Case::new(&[ask]);
    for part in [Part::Requests, Part::Endpoints, Part::Backlog] {
        case = case.answer(part, &rates.each_ref().map(String::as_str));
    }
    let case = case
        .answer(Part::Histogram, &buckets.each_ref().map(String::as_str))
        .answer(Part::Newest, &times.each_ref().map(String::as_str));
    // then it reads its own
    let steady = case.one().steady.unwrap();
    assert!((steady.value.requests - 3.0).abs() < 1e-9, "{steady:?}");
}

#[rstest]
#[case::by_service("otel-http", SeriesSelector::Service("x".into()), "cannot find series by service")]
#[case::by_unknown_label(
    "otel-http",
    SeriesSelector::Labels([("password".to_owned(), "x".to_owned())].into()),
    "does not group by the label password"
)]
#[case::by_a_label_that_holds_the_namespace_inside(
    "envoy",
    SeriesSelector::Labels([("envoy_cluster_name".to_owned(), "httproute/bank/pay/rule/0".to_owned())].into()),
    "has no label with the namespace"
)]
fn a_match_that_the_profile_does_not_know_says_what_to_mend(
    #[case] profile: &str,
    #[case] selector: SeriesSelector,
    #[case] said: &str,
) {
    let config = Config::parse("sources: [{name: a, url: 'http://a'}]").unwrap();
    let mut group = Group::new(config.profiles.get(profile).unwrap(), &config.sources[0]);
    let ask = LoadAsk { selector, ..ask("shop/checkout", profile, &[]) };
    let error = group.join(&ask, &ClusterId::local(), 1).unwrap_err();
    assert!(error.contains(said), "{error}");
}
