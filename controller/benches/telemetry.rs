//! What it costs to read a grouped answer of 90,000 bucket series, as a ratio to parsing it with
//! `serde_json::Value`, measured in the same run.
//!
//! `parse` is the parser alone, beside the one of `prometheus-http-query`; `read` is everything from the
//! asks of 6,000 policies to their readings, over HTTP to a canned source on this machine.
//!
//! Run it with `cargo bench -p loadline --bench telemetry`.

#![expect(clippy::expect_used, reason = "a benchmark says what it needs by panicking")]

use std::{
    cell::Cell,
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use loadline_controller::{
    config::Config,
    observe::prometheus::{PrometheusTelemetry, SharedPodOwners, answer},
    ports::{Detail, LoadAsk, SeriesSelector, Telemetry},
};
use loadline_policies::{
    ids::{ClusterId, PolicyKey, Target},
    now::Now,
};
use prometheus_http_query::response::PromqlResult;
use tokio::runtime::Runtime;
use warp::Filter;

/// Workloads of one profile; times 15 buckets these are the 90,000 series of elasticity.md §9.
const WORKLOADS: u32 = 6_000;

/// Bounds of OpenTelemetry's HTTP semantic conventions.
const BOUNDS: [&str; 15] = [
    "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10",
    "+Inf",
];

/// An answer with the series `(labels, value)` of every workload.
fn answer_of(mut series: impl FnMut(u32, &mut dyn FnMut(&str, f64))) -> String {
    let mut body = r#"{"status":"success","data":{"resultType":"vector","result":["#.to_owned();
    for i in 0..WORKLOADS {
        series(i, &mut |labels, value| {
            if !body.ends_with('[') {
                body.push(',');
            }
            write!(
                body,
                r#"{{"metric":{{"k8s_deployment_name":"service-{i}","k8s_namespace_name":"team-{}"{labels}}},"value":[1700000000.781,"{value}"]}}"#,
                i % 100
            )
            .expect("a string takes everything");
        });
    }
    body.push_str("]}}");
    body
}

fn buckets() -> String {
    answer_of(|i, push| {
        for (n, bound) in (1_u32..).zip(BOUNDS) {
            push(&format!(r#","le":"{bound}""#), f64::from(i % 1_000 * n) * 1.066_666_666_666_7);
        }
    })
}

fn one_each(value: f64) -> String {
    answer_of(|_, push| push("", value))
}

/// The replicas that report: three of each workload.
fn replicas() -> String {
    answer_of(|i, push| {
        for n in 0..3 {
            push(&format!(r#","k8s_pod_name":"service-{i}-7d9f5b6c8-{n}""#), 1_699_999_999.0);
        }
    })
}

/// Serves the answers; says on which port.
fn serve(runtime: &Runtime) -> u16 {
    let (buckets, rates, times, replicas) =
        (buckets(), one_each(100.0), one_each(1_699_999_999.0), replicas());
    let route = warp::path!("api" / "v1" / "query").and(warp::body::form()).and_then(
        move |form: BTreeMap<String, String>| {
            let query = form.get("query").map_or("", String::as_str);
            let body = match query {
                q if q.contains("_bucket") => buckets.clone(),
                q if q.contains("k8s_pod_name") => replicas.clone(),
                q if q.starts_with("max") => times.clone(),
                _ => rates.clone(),
            };
            async move { Ok::<_, Infallible>(body) }
        },
    );
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(warp::serve(route).incoming(listener).run());
        port
    })
}

fn asks() -> Vec<LoadAsk> {
    let ask = |i: u32| {
        let (namespace, name) = (format!("team-{}", i % 100), format!("service-{i}"));
        LoadAsk {
            policy: PolicyKey::new(&namespace, &name),
            target: Target::new("apps/v1", "Deployment", &namespace, &name),
            profile: "otel-http".to_owned(),
            selector: SeriesSelector::Profile,
            detail: Detail { latency: true, endpoints: false, cpu: false },
            expected: [(ClusterId::local(), 3)].into(),
            triggers: BTreeMap::new(),
        }
    };
    (0..WORKLOADS).map(ask).collect()
}

/// Runs `body` so many times and keeps the mean of one run.
fn timed(iterations: u64, mean: &Cell<f64>, mut body: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..iterations {
        body();
    }
    let elapsed = start.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "iterations are few")]
    mean.set(elapsed.as_secs_f64() / iterations as f64);
    elapsed
}

fn telemetry(c: &mut Criterion) {
    let body = buckets();
    let columns = ["k8s_namespace_name", "k8s_deployment_name", "le"].map(ToOwned::to_owned);
    let data: String = body
        .strip_prefix(r#"{"status":"success","data":"#)
        .and_then(|b| b.strip_suffix('}'))
        .expect("the envelope that was just written")
        .to_owned();
    let (value, package, parse, read) = (Cell::new(0.0), Cell::new(0.0), Cell::new(0.0), Cell::new(0.0));

    let mut group = c.benchmark_group("90,000 series");
    group.sample_size(10);
    group.bench_function("serde_json::Value", |b| {
        b.iter_custom(|n| {
            timed(n, &value, || {
                black_box(serde_json::from_str::<serde_json::Value>(&body).expect("JSON"));
            })
        });
    });
    group.bench_function("prometheus-http-query", |b| {
        b.iter_custom(|n| {
            timed(n, &package, || {
                black_box(serde_json::from_str::<PromqlResult>(&data).expect("a result"));
            })
        });
    });
    group.bench_function("parse", |b| {
        b.iter_custom(|n| {
            timed(n, &parse, || drop(black_box(answer::parse(body.as_bytes(), &columns).expect("an answer"))))
        });
    });

    let runtime = Runtime::new().expect("a runtime");
    let port = serve(&runtime);
    let config =
        Config::parse(&format!("sources: [{{name: a, url: 'http://127.0.0.1:{port}', timeout: 60s}}]"))
            .expect("a configuration");
    let source = PrometheusTelemetry::new(&config, SharedPodOwners::default());
    let asks = asks();
    let now = Now::new(jiff::Timestamp::now(), Duration::ZERO);
    group.bench_function("read", |b| {
        b.iter_custom(|n| {
            timed(n, &read, || {
                let readings = runtime.block_on(source.read(&asks, now));
                assert!(readings.loads.values().all(|l| l.steady.is_ok()), "a doubt in a canned answer");
            })
        });
    });
    group.finish();

    let ratio = |cell: &Cell<f64>| cell.get() / value.get();
    println!("ratio to serde_json::Value of {} MB: {:.2} s = 1", body.len() / 1_000_000, value.get());
    println!("  prometheus-http-query  {:.2}", ratio(&package));
    println!("  parse                  {:.2}", ratio(&parse));
    println!("  read, 6,000 policies   {:.2}", ratio(&read));
}

criterion_group!(benches, telemetry);
criterion_main!(benches);
