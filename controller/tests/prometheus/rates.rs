//! What is put in comes out: rates, times, coverage, for every proven profile.

use std::time::{Duration, SystemTime};

use loadline_controller::{
    observe::prometheus::{PrometheusTelemetry, SharedPodOwners, pod_owners::Owner},
    ports::{LoadAsk, Readings, SeriesSelector, Telemetry},
};
use loadline_policies::{
    fleet::LoadSample,
    ids::ClusterId,
    reading::{Coverage, Doubt},
};

use crate::{
    ask, configuration,
    exporters::{Behaviour, Exporters},
    load, near, now,
    server::{Prometheus, Target},
    telemetry, until,
};

const OTEL: &str = include_str!("recorded/otel-http.prom");

/// Exporters and a Prometheus for all kinds of telemetry.
async fn everything() -> (Exporters, Prometheus) {
    let exporters = Exporters::serve().await;
    for pod in ["checkout-a", "checkout-b"] {
        exporters.add(pod, OTEL.replace("POD", pod));
    }
    exporters.add("search", include_str!("recorded/otel-http-pods.prom").to_owned());
    exporters.add("envoy", include_str!("recorded/envoy.prom").to_owned());
    exporters.add("istio", include_str!("recorded/istio.prom").to_owned());
    exporters.add("kafka", include_str!("recorded/kafka.prom").to_owned());
    exporters.add("rabbitmq", include_str!("recorded/rabbitmq.prom").to_owned());
    exporters.add("redis", include_str!("recorded/redis.prom").to_owned());
    let target = |exporter, labels| Target { exporter, labels };
    let targets = [
        target("checkout-a", &[("instance", "otel-a")]),
        target("checkout-b", &[("instance", "otel-b")]),
        target("search", &[("instance", "s1"), ("namespace", "shop"), ("pod", "search-1-a")]),
        target("search", &[("instance", "s2"), ("namespace", "shop"), ("pod", "search-1-b")]),
        target("search", &[("instance", "s3"), ("namespace", "shop"), ("pod", "stranger")]),
        target("envoy", &[("instance", "envoy-1")]),
        target("envoy", &[("instance", "envoy-2")]),
        target("istio", &[("instance", "reviews-1")]),
        target("istio", &[("instance", "reviews-2")]),
        target("kafka", &[("instance", "kafka")]),
        target("rabbitmq", &[("instance", "rabbitmq")]),
        target("redis", &[("instance", "redis")]),
    ];
    let prometheus = Prometheus::start(exporters.port, &targets).await;
    (exporters, prometheus)
}

fn owners() -> SharedPodOwners {
    let owners = SharedPodOwners::default();
    owners.update(&ClusterId::local(), |o| {
        for pod in ["search-1-a", "search-1-b"] {
            o.pod_seen("shop", pod, Some(Owner::new("ReplicaSet", "search-1")));
        }
        let deployment = Owner::new("Deployment", "search");
        o.owner_seen("shop", Owner::new("ReplicaSet", "search-1"), Some(deployment));
    });
    owners
}

/// One ask for each kind of telemetry.
fn all_asks() -> Vec<LoadAsk> {
    let mut checkout = ask("shop/checkout", "otel-http", 2);
    checkout.detail.endpoints = true;
    let mut returns = ask("shop/returns", "queue-kafka", 1);
    returns.selector = SeriesSelector::Labels(
        [("consumergroup", "worker"), ("topic", "returns")].map(|(k, v)| (k.into(), v.into())).into(),
    );
    // tells everybody's rows apart by route: two for each pod of checkout
    let mut carts = ask("shop/carts", "otel-http", 1);
    carts.selector = SeriesSelector::Labels([("http_route".to_owned(), "/cart".to_owned())].into());
    let mut by_route = ask("shop/backend", "envoy", 3);
    by_route.selector = SeriesSelector::Route("checkout".into());
    vec![
        checkout,
        carts,
        ask("shop/search", "otel-http-pods", 2),
        by_route,
        ask("shop/cart", "envoy", 0),
        ask("shop/reviews", "istio", 2),
        ask("shop/worker", "queue-kafka", 4),
        returns,
        ask("shop/mailer", "queue-rabbitmq", 1),
        ask("shop/quiet", "queue-rabbitmq", 1),
        ask("shop/resizer", "queue-redis-streams", 2),
    ]
}

fn steady<'a>(readings: &'a Readings, policy: &str) -> Option<&'a LoadSample> {
    load(readings, policy).steady.as_ref().ok().map(|r| &r.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_proven_profile_reads_what_was_put_in() {
    // given a Prometheus that scrapes every kind of telemetry
    let (_exporters, prometheus) = everything().await;
    let telemetry = PrometheusTelemetry::new(&configuration(prometheus.port, ""), owners());
    let asks = all_asks();
    // when the windows are full, then each workload has the load that its exporters show
    let expected = [
        ("shop/checkout", 100.0, None),
        ("shop/carts", 80.0, None),
        ("shop/search", 24.0, None),
        ("shop/backend", 34.0, None),
        ("shop/cart", 10.0, None),
        ("shop/reviews", 50.0, None),
        ("shop/worker", 53.0, Some(205.0)),
        ("shop/returns", 3.0, Some(5.0)),
        ("shop/mailer", 15.0, Some(42.0)),
        ("shop/quiet", 0.0, Some(0.0)),
        ("shop/resizer", 25.0, Some(60.0)),
    ];
    let readings = until(&telemetry, &asks, "all rates", |readings| {
        let right = |(policy, requests, backlog): &(&str, f64, Option<f64>)| {
            steady(readings, policy).is_some_and(|s| near(s.requests, *requests) && s.backlog == *backlog)
                && load(readings, policy)
                    .burst
                    .as_ref()
                    .is_some_and(|b| b.as_ref().is_ok_and(|b| near(b.value.requests, *requests)))
        };
        expected.iter().all(right).then(|| readings.clone())
    })
    .await;

    // latency: in seconds, whatever the exporter's unit, summed over replicas
    let buckets = |policy| steady(&readings, policy).unwrap().histogram.clone().unwrap().buckets;
    let at = |policy, bound: f64| {
        buckets(policy).iter().find(|(b, _)| (b - bound).abs() < 1e-9).map_or(f64::NAN, |(_, rate)| *rate)
    };
    assert!(near(at("shop/checkout", 0.1), 60.0), "{:?}", buckets("shop/checkout"));
    assert!(near(at("shop/checkout", 1.0), 96.0));
    assert!(near(at("shop/reviews", 0.025), 46.0), "{:?}", buckets("shop/reviews"));
    // Envoy timed 14 of the 17: the other three ran into its time-out
    assert!(near(at("shop/backend", 0.025), 28.0), "{:?}", buckets("shop/backend"));
    assert_eq!(buckets("shop/cart"), [(f64::INFINITY, 0.0)]);

    // endpoints
    let endpoints = &steady(&readings, "shop/checkout").unwrap().endpoints;
    assert!(near(endpoints["/cart"], 80.0) && near(endpoints["/order"], 20.0), "{endpoints:?}");

    // coverage: by replica where the pods report, by the sources where others do
    let coverage = |policy| load(&readings, policy).steady.as_ref().unwrap().coverage;
    assert_eq!(coverage("shop/checkout"), Coverage { reporting: 2, expected: 2 });
    assert_eq!(coverage("shop/search"), Coverage { reporting: 2, expected: 2 });
    assert_eq!(coverage("shop/reviews"), Coverage { reporting: 2, expected: 2 });
    assert_eq!(coverage("shop/backend"), Coverage { reporting: 3, expected: 3 });
    assert_eq!(coverage("shop/cart"), Coverage { reporting: 2, expected: 2 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_policies_cost_as_many_queries_as_one() {
    let (_exporters, prometheus) = everything().await;
    let telemetry = telemetry(prometheus.port, "");
    let mut costs = Vec::new();
    for policies in [1, 100] {
        let asks: Vec<LoadAsk> = (0..policies).map(|i| ask(&format!("shop/w{i}"), "otel-http", 1)).collect();
        let before = telemetry.traffic().queries();
        let readings = telemetry.read(&asks, now()).await;
        assert_eq!(readings.loads.len(), policies);
        costs.push(telemetry.traffic().queries() - before);
    }
    // histogram, burst, newest, reporting
    assert_eq!(costs, [4, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_starts_again_makes_no_false_load() {
    let exporters = Exporters::serve().await;
    exporters.add("a", OTEL.replace("POD", "a"));
    exporters.behave("a", Behaviour::Restarting(Duration::from_secs(5)));
    let target = Target { exporter: "a", labels: &[("instance", "a")] };
    let prometheus = Prometheus::start(exporters.port, &[target]).await;
    let telemetry = telemetry(prometheus.port, "");
    let asks = [ask("shop/checkout", "otel-http", 1)];
    until(&telemetry, &asks, "a full window", |r| {
        steady(r, "shop/checkout").filter(|s| s.requests > 30.0).map(drop)
    })
    .await;
    // when the counter goes back to zero again and again
    let end = std::time::Instant::now() + Duration::from_secs(8);
    while std::time::Instant::now() < end {
        let readings = telemetry.read(&asks, now()).await;
        let requests = steady(&readings, "shop/checkout").unwrap().requests;
        // then what was counted between the last scrape and the restart is lost, and nothing is invented
        assert!((25.0..=60.0).contains(&requests), "{requests} of 50 requests/s");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_absent_and_silent_are_told_apart() {
    // given three workloads with two pods each
    let exporters = Exporters::serve().await;
    let name = |workload: &str, pod: &str| format!("{workload}-{pod}");
    let mut names = Vec::new();
    for workload in ["stale", "gone", "half"] {
        for pod in ["a", "b"] {
            let page = OTEL.replace("POD", pod).replace("checkout", workload);
            exporters.add(&name(workload, pod), page);
            names.push(name(workload, pod));
        }
    }
    for pod in ["stale-a", "stale-b"] {
        exporters.behave(pod, Behaviour::Stamped { until: None });
    }
    let labels: Vec<[(&str, &str); 1]> = names.iter().map(|n| [("instance", n.as_str())]).collect();
    let targets: Vec<Target<'_>> =
        names.iter().zip(&labels).map(|(exporter, labels)| Target { exporter, labels }).collect();
    let prometheus = Prometheus::start(exporters.port, &targets).await;
    let telemetry = telemetry(prometheus.port, "");
    let asks = ["stale", "gone", "half"].map(|w| ask(&format!("shop/{w}"), "otel-http", 2));
    until(&telemetry, &asks, "six pods that report", |r| {
        let all = |w: &str| load(r, &format!("shop/{w}")).steady.as_ref().is_ok_and(|s| s.coverage.is_full());
        ["stale", "gone", "half"].into_iter().all(all).then_some(())
    })
    .await;

    // when the samples of one stop moving, the pods of another stop answering, and one pod of the third
    let stop = Behaviour::Stamped { until: Some(SystemTime::now()) };
    exporters.behave("stale-a", stop);
    exporters.behave("stale-b", stop);
    for pod in ["gone-a", "gone-b", "half-b"] {
        exporters.behave(pod, Behaviour::Down);
    }

    // then each is its own doubt, and none becomes zero
    until(&telemetry, &asks, "stale, absent and silent", |r| {
        let steady = |w: &str| load(r, &format!("shop/{w}")).steady.clone();
        let half = steady("half").is_ok_and(|s| s.coverage == Coverage { reporting: 1, expected: 2 });
        let stale = matches!(steady("stale"), Err(Doubt::Stale { age }) if age > Duration::from_secs(2));
        (stale && steady("gone") == Err(Doubt::AbsentSeries) && half).then_some(())
    })
    .await;

    // and the age of a sample is the sample's, not the query's
    let readings = telemetry.read(&asks, now()).await;
    let observed = load(&readings, "shop/half").steady.as_ref().unwrap().observed_at;
    let age = jiff::Timestamp::now().duration_since(observed);
    assert!(!age.is_negative() && age.as_secs() < 60, "{age:?}");

    // when they come back, the doubts go
    exporters.behave("stale-a", Behaviour::Live);
    exporters.behave("stale-b", Behaviour::Live);
    for pod in ["gone-a", "gone-b", "half-b"] {
        exporters.behave(pod, Behaviour::Live);
    }
    until(&telemetry, &asks, "everybody again", |r| {
        let all = |w: &str| load(r, &format!("shop/{w}")).steady.as_ref().is_ok_and(|s| s.coverage.is_full());
        ["stale", "gone", "half"].into_iter().all(all).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_give_numbers_of_their_own_namespace_only() {
    // given two namespaces with series of the same names
    let exporters = Exporters::serve().await;
    let page = "# TYPE depth gauge\ndepth{namespace=\"shop\",q=\"a\"} 7\ndepth{namespace=\"shop\",q=\"b\"} 5\n\
                depth{namespace=\"bank\",q=\"a\"} 1000\n";
    exporters.add("q", page.to_owned());
    let target = Target { exporter: "q", labels: &[("instance", "q")] };
    let prometheus = Prometheus::start(exporters.port, &[target]).await;
    let mut ask = ask("shop/worker", "otel-http", 1);
    let queries = [
        ("sum", "sum(depth)"),
        ("one", r#"depth{q="a"}"#),
        ("both", "depth"),
        ("absent", "sum(nothing)"),
        ("nan", "sum(depth) / 0 - sum(depth) / 0"),
        ("infinite", "sum(depth) / 0"),
        ("scalar", "scalar(sum(depth)) * 2"),
        ("calm", "sum(nothing) or vector(0)"),
        ("either", "sum(nothing) or sum(depth)"),
        ("foreign", r#"sum(depth{namespace="bank"})"#),
        ("constant", "vector(3)"),
    ];
    ask.triggers = queries.map(|(name, query)| (name.to_owned(), query.to_owned())).into();
    let mut config = configuration(prometheus.port, "");
    config.triggers.max_per_policy = queries.len();
    let telemetry = PrometheusTelemetry::new(&config, SharedPodOwners::default());
    let asks = [ask];
    let key = |name: &str| (asks[0].policy.clone(), name.to_owned());
    let readings = until(&telemetry, &asks, "the sum of the own namespace", |r| {
        let asked = queries.iter().all(|(name, _)| r.triggers[&key(name)] != Err(Doubt::NotYetRead));
        let right = r.triggers[&key("sum")].as_ref().is_ok_and(|v| near(v.value, 12.0));
        (asked && right).then(|| r.clone())
    })
    .await;
    let value = |name: &str| readings.triggers[&key(name)].clone().map(|r| r.value);
    assert_eq!(value("one"), Ok(7.0));
    assert_eq!(value("scalar"), Ok(24.0));
    assert_eq!(value("constant"), Ok(3.0));
    assert_eq!(value("absent"), Err(Doubt::EmptyVector));
    // what a query gives without the series that it reads is no number, however calm it looks
    assert_eq!(value("calm"), Err(Doubt::AbsentSeries));
    assert_eq!(value("either"), Err(Doubt::AbsentSeries));
    assert_eq!(value("nan"), Err(Doubt::NotANumber));
    assert_eq!(value("infinite"), Err(Doubt::Infinite));
    assert!(matches!(value("both"), Err(Doubt::WrongShape(_))), "{:?}", value("both"));
    assert!(matches!(value("foreign"), Err(Doubt::QueryRefused(_))), "{:?}", value("foreign"));
    // the number is as old as the sample, at most a scrape and a bit
    let observed = readings.triggers[&key("sum")].as_ref().unwrap().observed_at;
    assert!(observed <= jiff::Timestamp::now());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_whose_exporter_dies_is_a_doubt_at_once_and_no_falling_number() {
    // given a trigger over a window that outlives its exporter by far, and one that falls back to zero
    let exporters = Exporters::serve().await;
    let page = "# TYPE jobs_total counter\njobs_total{namespace=\"shop\"} 10\n# TYPE depth gauge\n\
                depth{namespace=\"shop\"} 7\n";
    exporters.add("jobs", page.to_owned());
    let target = Target { exporter: "jobs", labels: &[("instance", "jobs")] };
    let prometheus = Prometheus::start(exporters.port, &[target]).await;
    let telemetry = telemetry(prometheus.port, "");
    let mut ask = ask("shop/worker", "otel-http", 1);
    let queries = [("rate", "sum(rate(jobs_total[15m]))"), ("calm", "sum(depth) or vector(0)")];
    ask.triggers = queries.map(|(name, query)| (name.to_owned(), query.to_owned())).into();
    let key = |name: &str| (ask.policy.clone(), name.to_owned());
    let asks = [ask.clone()];
    until(&telemetry, &asks, "both numbers", |r| {
        queries.iter().all(|(name, _)| r.triggers[&key(name)].is_ok()).then_some(())
    })
    .await;
    // when the exporter dies
    exporters.behave("jobs", Behaviour::Down);
    // then both become doubts, and on the way there neither is a smaller number
    until(&telemetry, &asks, "two doubts", |r| {
        let value = |name: &str| r.triggers[&key(name)].as_ref().map(|v| v.value);
        assert!(value("calm").is_err() || value("calm") == Ok(7.0), "{:?}", value("calm"));
        let gone = |name: &str| value(name) == Err(&Doubt::AbsentSeries);
        (gone("rate") && gone("calm")).then_some(())
    })
    .await;
}
