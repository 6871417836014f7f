//! The past of the load on a real API server and a real Prometheus: a new operator knows it, a restarted one forgets
//! nothing, and a person can test a policy on it.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::{fs, process::Command, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use loadline_chaos::world::Shape;
use loadline_crds::{
    ElasticPolicy,
    elastic_policy::{ElasticPolicyStatus, ForecastTrust},
};
use loadline_tests::{
    cluster::{Cluster, Options},
    emulator::{self, Emulator, Workload},
    operator::{self, Operator},
    prometheus::{self, Prometheus},
    recording::Recording,
    trail,
    wait::until,
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);
/// The bar: trust within a minute of the start. The start of the operator itself, its first readings, and a machine
/// that does other things are in it.
const SOON: Duration = Duration::from_mins(1);
/// Days that were recorded.
const DAYS: i64 = 5;
const DAY: i64 = 86_400;
/// One replica bears so many requests per second.
const CAPACITY: f64 = 100.0;

/// 2,000 requests/s at night, 4,000 at noon, and the noise of a few percent that any load has.
#[expect(clippy::cast_precision_loss, reason = "seconds of a day")]
fn rate(second: i64) -> f64 {
    let time = std::f64::consts::TAU * second.rem_euclid(DAY) as f64 / DAY as f64;
    let noise = 1.0 + 0.02 * ((second / 60) as f64 * 12.9898).sin();
    (3_000.0 - 1_000.0 * time.cos()) * noise
}

fn recorded(workload: &Workload) -> Recording {
    let now = Timestamp::now();
    let start = now.checked_sub(SignedDuration::from_hours(24 * DAYS)).unwrap();
    Recording::default().requests(workload, start, now, rate)
}

/// A cluster with a workload whose past Prometheus knows.
struct Stage {
    cluster: Cluster,
    client: Client,
    namespace: String,
    prometheus: Prometheus,
    _emulator: Emulator,
    replicas: i32,
}

impl Stage {
    async fn set() -> Self {
        let cluster = Cluster::start("history", &Options::default().audited()).await.unwrap();
        let namespace = cluster.namespace("past").await.unwrap();
        let workload = Workload::new(cluster.name(), &namespace, "web");
        let emulator = Emulator::start([&cluster], &emulator::Options::default()).await.unwrap();
        let mut scraping = prometheus::Options::scraping(SECOND, [emulator.target()]);
        scraping.recording = recorded(&workload);
        let prometheus = Prometheus::start(&scraping).await.unwrap();
        let client = cluster.client().await.unwrap();
        // More than is forecast for the next half hour, and less than the band of the policy: only a forecast that is
        // trusted in full leaves it there.
        let now = rate(Timestamp::now().as_second());
        #[expect(clippy::cast_possible_truncation, reason = "some dozens")]
        let replicas = (now * 1.25 / CAPACITY).ceil() as i32;
        cluster.deploy(&namespace, "web", u32::try_from(replicas).unwrap(), "10m").await.unwrap();
        let model = serde_json::from_value(json!({ "capacity": 10.0 * CAPACITY })).unwrap();
        emulator.serve(&workload, model, Shape::Constant { rate: now });
        Self { cluster, client, namespace, prometheus, _emulator: emulator, replicas }
    }

    fn policies(&self) -> Api<ElasticPolicy> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Writes the policy. With less than 1.4 of what the load needs it scales out, unless the forecast knows better.
    async fn policy(&self, mode: &str) {
        let spec = json!({
            "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "mode": mode,
            "bounds": { "min": 2, "max": 200 },
            "load": { "profile": "otel-http" },
            "capacity": { "perReplica": 100, "redundancy": { "min": 1.4, "max": 2 } },
            // What is removed is another matter.
            "behaviour": { "scaleDown": { "stabilizationWindow": "30m" } },
        });
        let policy = ElasticPolicy::new("web", serde_json::from_value(spec).unwrap());
        self.cluster.apply(&self.policies(), &policy).await.unwrap();
    }

    async fn status(&self) -> ElasticPolicyStatus {
        self.policies().get("web").await.unwrap().status.unwrap_or_default()
    }

    async fn until_trusted(&self) {
        until("full trust", SOON, || async {
            let status = self.status().await;
            let condition = status.conditions.iter().find(|c| c.type_ == "ForecastTrusted").cloned();
            let trusted = condition.as_ref().is_some_and(|c| c.status == "True" && c.reason == "Trusted");
            let full = status.forecast.as_ref().is_some_and(|f| f.trust == ForecastTrust::Full);
            if trusted && full { Ok(()) } else { Err(format!("{:?} {condition:?}", status.forecast)) }
        })
        .await
        .unwrap();
    }

    async fn replicas(&self) -> i32 {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        deployments.get("web").await.unwrap().spec.unwrap().replicas.unwrap()
    }

    fn scale_writes(&self) -> usize {
        let log = trail::writes(&self.cluster.audit_log()).unwrap();
        log.iter().filter(|w| w.what.contains("/scale ") && w.what.contains(&self.namespace)).count()
    }
}

#[tokio::test]
async fn a_new_operator_knows_the_past_and_a_restart_changes_nothing() {
    // Given a workload whose past Prometheus knows, and a policy that only recommends for now.
    let stage = Stage::set().await;
    let options = operator::Options::reading(&stage.prometheus, SECOND, SECOND);
    let operator = Operator::start(&stage.cluster, options).await.unwrap();
    operator.wait_ready().await.unwrap();
    stage.policy("Recommend").await;

    // Then within a minute the forecast has the trust that the past deserves.
    let began = std::time::Instant::now();
    stage.until_trusted().await;
    println!("trusted {:.1} s after the policy was made", began.elapsed().as_secs_f64());
    let count = |name| operator.metric(name, &[]);
    assert!(count("loadline_history_points_total").await.unwrap().unwrap() > 3_000.0);
    assert_eq!(count("loadline_history_failures_total").await.unwrap(), Some(0.0));
    // The newest days were enough for that; the rest comes behind them.
    let outcome = async |label| operator.metric("loadline_history_policies_total", &[label]).await;
    assert_eq!(outcome("outcome=\"newest\"").await.unwrap(), Some(1.0));
    until("all of the past", SOON, || async {
        let loaded = outcome("outcome=\"loaded\"").await.map_err(|e| e.to_string())?;
        if loaded == Some(1.0) { Ok(()) } else { Err(format!("{loaded:?}")) }
    })
    .await
    .unwrap();

    // When it may act, then it leaves what the band alone would add to.
    stage.policy("Active").await;
    stage.watch(&operator, 15.0).await;

    // When it is restarted, then neither replicas nor trust move: not before the past was read again, and not after.
    operator.restart().await.unwrap();
    operator.wait_ready().await.unwrap();
    stage.watch(&operator, 15.0).await;
    stage.until_trusted().await;
    stage.watch(&operator, 15.0).await;
}

impl Stage {
    /// Lets the operator look so many times; no look changes the replicas or the trust.
    async fn watch(&self, operator: &Operator, ticks: f64) {
        let now = || async { operator.metric("loadline_ticks_total", &[]).await.unwrap().unwrap_or(0.0) };
        let start = now().await;
        until("more ticks", SOON, || async {
            assert_eq!(self.replicas().await, self.replicas, "{:?}", self.status().await.reason);
            let status = self.status().await;
            assert_eq!(
                status.forecast.map(|f| f.trust),
                Some(ForecastTrust::Full),
                "{:?}",
                status.conditions
            );
            let more = now().await - start;
            if more >= ticks { Ok(()) } else { Err(more.to_string()) }
        })
        .await
        .unwrap();
        assert_eq!(self.scale_writes(), 0);
    }
}

/// What `loadline simulate` answers: its result, or what it says on stderr.
fn simulate(arguments: &[&str]) -> Result<Value, String> {
    let output = Command::new(operator::binary().unwrap()).arg("simulate").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(serde_json::from_slice(&output.stdout).unwrap()) } else { Err(said) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_can_be_tested_on_the_past_of_its_own_workload() {
    // Given a Prometheus that knows the past of one workload.
    let workload = Workload::new("home", "shop", "web");
    let mut options = prometheus::Options::scraping(SECOND, []);
    options.recording = recorded(&workload);
    let prometheus = Prometheus::start(&options).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, more: &str, profile: &str| {
        let path = folder.path().join(format!("{name}.yaml"));
        let text = format!(
            "apiVersion: loadline.dev/v1alpha1\nkind: ElasticPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec:\n  target: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}\n  bounds: {{min: 2, max: \
             600}}\n  load: {{profile: {profile}}}\n{more}"
        );
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (web, url) = (file("web", "", "otel-http"), prometheus.url());
    let of = |url: &str, policy: &str, more: &[&str]| {
        let arguments = ["--from-prometheus", url, "--policy", policy, "-o", "json", "--strategies"];
        let all: Vec<&str> =
            arguments.into_iter().chain(["loadline,hpa:0.7"]).chain(more.iter().copied()).collect();
        simulate(&all)
    };

    // When a policy is tested on it, then there is a result as of a file.
    let result = of(&url, &web, &["--since", "5d", "--warmup", "3d"]).unwrap();
    assert_eq!(result["trace"], "shop/web");
    let costs: Vec<f64> =
        result["results"].as_array().unwrap().iter().map(|r| r["cost"].as_f64().unwrap()).collect();
    assert!((1.3..1.6).contains(&costs[1]), "HPA at 0.7: {costs:?}");
    assert!((1.0..1.2).contains(&costs[0]), "less head-room than that: {costs:?}");

    // What cannot be tested is said, with what to do.
    let refused = |url: &str, policy: &str, more: &[&str]| of(url, policy, more).unwrap_err();
    let said = refused(&url, &file("cart", "", "otel-http"), &[]);
    assert!(said.contains("has no load of shop/cart by the profile otel-http"), "{said}");
    let said = refused(&url, &file("web2", "", "nonsense"), &[]);
    assert!(said.contains("there is no profile nonsense; known are"), "{said}");
    let said = refused("http://127.0.0.1:1", &web, &[]);
    assert!(said.contains("does not tell the load of shop/web"), "{said}");
    let said = refused("prometheus", &web, &[]);
    assert!(said.contains("not an address"), "{said}");
    let said = refused(&url, &web, &["--since", "30m"]);
    assert!(said.contains("too short"), "{said}");
    let said = refused(&url, &web, &["--since", "120d"]);
    assert!(said.contains("too long"), "{said}");
    let said = refused(&url, &web, &["--since", "2d"]);
    assert!(said.contains("all of it warm-up"), "{said}");
    let said = refused(&url, &web, &["--trace", "load.csv"]);
    assert!(said.contains("cannot be used with"), "{said}");
}
