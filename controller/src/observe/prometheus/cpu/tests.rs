//! Answers to the question for CPU, and the reading or doubt that each makes.

use std::collections::BTreeMap;

use loadline_policies::ids::Target;

use super::*;
use crate::{
    config::Config,
    observe::prometheus::{client::Traffic, pod_owners::Owner},
    ports::Detail,
};

/// When the answers were evaluated, in seconds.
const EVALUATED: f64 = 1_000.0;

fn ask(policy: &str, expected: u32) -> LoadAsk {
    let (namespace, name) = policy.split_once('/').unwrap();
    LoadAsk {
        policy: PolicyKey::new(namespace, name),
        target: Target::new("apps/v1", "Deployment", namespace, name),
        profile: "otel-http".into(),
        // However its load is found.
        selector: SeriesSelector::Service(name.into()),
        detail: Detail { cpu: true, ..Detail::default() },
        expected: [(ClusterId::local(), expected)].into(),
        triggers: BTreeMap::new(),
    }
}

fn owners() -> SharedPodOwners {
    let owners = SharedPodOwners::default();
    owners.update(&ClusterId::local(), |o| {
        for pod in ["cart-1-a", "cart-1-b", "cart-1-c"] {
            o.pod_seen("shop", pod, Some(Owner::new("Deployment", "cart")));
        }
        o.pod_seen("shop", "order-1-a", Some(Owner::new("Deployment", "order")));
    });
    owners
}

/// What `shop/cart` of three replicas reads from rows of (pod, part, value).
fn read(body: Result<&[u8], &Doubt>) -> Observed<CpuSample> {
    let config = Config::parse("sources: [{name: a, url: 'http://a', scrapeInterval: 15s}]").unwrap();
    let profile = config.profiles.get("otel-http").unwrap();
    let ask = ask("shop/cart", 3);
    let mut members = CpuMembers::new(profile, &config.sources[0]).unwrap();
    for (cluster, expected) in &ask.expected {
        members.join(&ask, cluster, *expected);
    }
    let query = members.query();
    let mut readings = owners().read(|owners| members.readings(&query, body, owners));
    assert_eq!(readings.len(), 1);
    readings.remove(0).2
}

fn rows(rows: &[(&str, &str, &str)]) -> Vec<u8> {
    let row = |(pod, part, value): &(&str, &str, &str)| {
        serde_json::json!({
            "metric": {"namespace": "shop", "pod": pod, "loadline_part": part},
            "value": [EVALUATED, value],
        })
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    let answer = serde_json::json!({"status": "success", "data": {"resultType": "vector", "result": rows}});
    answer.to_string().into_bytes()
}

#[test]
fn the_cpu_of_a_workload_is_that_of_its_pods() {
    let read = read(Ok(&rows(&[
        ("cart-1-a", "rate", "0.5"),
        ("cart-1-b", "rate", "0.25"),
        ("cart-1-c", "rate", "0"),
        ("order-1-a", "rate", "7"),
        ("cart-1-a", "newest", "980"),
        ("cart-1-b", "newest", "985.5"),
        ("cart-1-c", "newest", "970"),
        ("order-1-a", "newest", "999"),
    ])))
    .unwrap();
    assert!((read.value.cores - 0.75).abs() < 1e-12, "{read:?}");
    assert_eq!(read.coverage, Coverage { reporting: 3, expected: 3 });
    assert_eq!(read.observed_at.as_millisecond(), 985_500);
    assert_eq!(read.value.window, Duration::from_mins(2), "four scrapes of the nodes");
}

#[test]
fn replicas_without_a_fresh_sample_or_a_rate_do_not_report() {
    let read = read(Ok(&rows(&[
        ("cart-1-a", "rate", "0.5"),
        ("cart-1-b", "rate", "0.25"),
        ("cart-1-a", "newest", "990"),
        ("cart-1-b", "newest", "900"),
        ("cart-1-c", "newest", "990"),
    ])))
    .unwrap();
    assert!((read.value.cores - 0.5).abs() < 1e-12, "{read:?}");
    assert_eq!(read.coverage, Coverage { reporting: 1, expected: 3 });
}

#[test]
fn each_absence_is_its_own_doubt_and_none_is_zero() {
    let failed = |body: Result<&[u8], &Doubt>| read(body).unwrap_err();
    let doubt = |body: Vec<u8>| failed(Ok(&body));
    let fresh = ("cart-1-a", "newest", "990");
    assert_eq!(doubt(rows(&[])), Doubt::EmptyVector);
    assert_eq!(
        doubt(rows(&[("order-1-a", "rate", "1"), ("order-1-a", "newest", "990")])),
        Doubt::AbsentSeries
    );
    assert_eq!(doubt(rows(&[fresh])), Doubt::AbsentSeries, "a counter without a rate yet");
    let old = doubt(rows(&[("cart-1-a", "rate", "1"), ("cart-1-a", "newest", "900")]));
    assert_eq!(old, Doubt::Stale { age: Duration::from_secs(100) });
    assert_eq!(doubt(rows(&[("cart-1-a", "rate", "NaN"), fresh])), Doubt::NotANumber);
    assert_eq!(doubt(rows(&[("cart-1-a", "rate", "+Inf"), fresh])), Doubt::Infinite);
    assert_eq!(doubt(rows(&[("cart-1-a", "rate", "-1"), fresh])), Doubt::Negative);
    assert_eq!(failed(Err(&Doubt::TimedOut)), Doubt::TimedOut);
    assert!(matches!(doubt(b"{}".to_vec()), Doubt::WrongShape(_)));
}

#[test]
fn one_question_is_asked_of_the_namespaces_of_those_who_learn() {
    let config = Config::parse("sources: [{name: a, url: 'http://a', clusterLabel: cluster}]").unwrap();
    let profile = config.profiles.get("otel-http").unwrap();
    let asks = [ask("shop/cart", 3), ask("shop/order", 1), ask("bank/ledger", 2)];
    let mut members = CpuMembers::new(profile, &config.sources[0]).unwrap();
    for ask in &asks {
        for (cluster, expected) in &ask.expected {
            members.join(ask, cluster, *expected);
        }
    }
    let query = members.query();
    promql_parser::parser::parse(&query.promql).unwrap();
    insta::assert_snapshot!(query.promql.replace(" or ", "\nor "), @r#"
    label_replace(sum by (cluster, namespace, pod) (rate(container_cpu_usage_seconds_total{container!="",container!="POD",namespace=~"bank|shop"}[120s])), "loadline_part", "rate", "", "")
    or label_replace(max by (cluster, namespace, pod) (timestamp(container_cpu_usage_seconds_total{container!="",container!="POD",namespace=~"bank|shop"})), "loadline_part", "newest", "", "")
    "#);
}

#[tokio::test]
async fn no_tick_waits_for_it_and_it_is_asked_once_a_minute() {
    // Given a source that refuses every connection,
    let config = Config::parse("sources: [{name: a, url: 'http://127.0.0.1:1'}]").unwrap();
    let traffic = Arc::new(Traffic::default());
    let client = Arc::new(Client::new(config.sources[0].clone(), Arc::clone(&traffic)));
    let (profile, ask) = (config.profiles.get("otel-http").unwrap(), ask("shop/cart", 3));
    let mut members = CpuMembers::new(profile, &config.sources[0]).unwrap();
    let here = ClusterId::local();
    members.join(&ask, &here, 3);
    let (desk, owners) = (Desk::default(), owners());
    let look = |second: u64| {
        desk.read((0, &client), profile, &members, &owners, Mono(Duration::from_secs(1_000 + second)))
    };
    let due = |second: u64| desk.is_due((0, &profile.name), Mono(Duration::from_secs(1_000 + second)));
    // when it is looked at, then there is nothing yet, and soon the doubt, once.
    assert!(due(0));
    assert!(look(0).is_empty());
    let read = loop {
        let read = look(5);
        if !read.is_empty() {
            break read;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(read[0].2, Err(Doubt::Unreachable));
    assert!(look(10).is_empty());
    assert!(!due(15) && due(60));
    assert_eq!(traffic.queries(), 1);
    // After a minute it is asked again.
    assert!(look(60).is_empty());
    while traffic.queries() < 2 {
        tokio::task::yield_now().await;
    }
}
