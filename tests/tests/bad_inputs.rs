//! Wrong policies against a real API server: what it says, and that lint and it judge alike, rule by rule; and what
//! the real operator says of those that it accepts, while it serves everybody else.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by panicking")]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use http::Request;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{Api, Client, Error};
use loadline_chaos::world::Shape;
use loadline_controller::{
    config::Config,
    lint::{Environment, Severity, Source, lint},
};
use loadline_crds::ElasticPolicy;
use loadline_tests::{
    cluster::{Cluster, Options},
    emulator::{self, Emulator, Workload},
    operator::{self, Operator},
    prometheus::{self, Prometheus},
    wait::until,
};
use serde_json::{Value, json};

/// The namespace that all these policies name.
const NAMESPACE: &str = "shop";

fn files(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect()
}

async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::start("bad-inputs", &Options { nodes: 1, ..Options::default() }).await.unwrap();
    let client = cluster.client().await.unwrap();
    let namespace: Namespace =
        serde_json::from_value(serde_json::json!({"metadata": {"name": NAMESPACE}})).unwrap();
    cluster.apply(&Api::all(client.clone()), &namespace).await.unwrap();
    (cluster, client)
}

/// Sends a file as `kubectl create --dry-run=server` does, with kubectl's strict validation. Gives what the
/// API server answers to the first of our objects that it refuses.
async fn refusal(client: &Client, text: &str) -> Option<String> {
    for document in text.split("\n---\n").filter(|d| d.contains("loadline.dev/")) {
        let path = if document.contains("kind: SafetyLever") {
            "safetylevers".to_owned()
        } else {
            format!("namespaces/{NAMESPACE}/elasticpolicies")
        };
        let request = Request::post(format!(
            "/apis/loadline.dev/v1alpha1/{path}?dryRun=All&fieldValidation=Strict&fieldManager=lint"
        ))
        .header("content-type", "application/yaml")
        .body(document.as_bytes().to_vec())
        .unwrap();
        match client.request_text(request).await {
            Ok(_) => {}
            Err(Error::Api(status)) => return Some(status.message),
            Err(e) => panic!("the API server was asked: {e}\n{document}"),
        }
    }
    None
}

/// The answer to text that cannot be decoded ends with its first bytes in hexadecimal, which nobody reads.
fn without_bytes(answer: String) -> String {
    match answer.rsplit_once(" (") {
        Some((said, bytes)) if bytes.ends_with("...)") => said.to_owned(),
        _ => answer,
    }
}

fn lint_refuses(name: &str, text: &str) -> bool {
    let environment = Environment::of(&Config::default());
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    lint(&[source], &environment).unwrap().count(Severity::Error) > 0
}

/// The messages of all rules of the CRDs.
fn rules() -> Vec<String> {
    fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                let rules = map.get("x-kubernetes-validations").and_then(|rules| rules.as_array());
                found.extend(rules.into_iter().flatten().map(|r| r["message"].as_str().unwrap().to_owned()));
                map.values().for_each(|inner| collect(inner, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|inner| collect(inner, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for crd in loadline_crds::definitions() {
        collect(&serde_json::to_value(crd).unwrap(), &mut found);
    }
    found.sort();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_and_lint_judge_alike() {
    let (_cluster, client) = cluster().await;
    let mut judged_apart = Vec::new();
    let mut said = String::new();

    // Given every wrong policy …
    for (name, text) in files("bad") {
        let answer = refusal(&client, &text).await;
        let by_lint = lint_refuses(&name, &text);
        let as_promised = match text.lines().next().and_then(|line| line.strip_prefix("# caught-by: ")) {
            Some("api-server") => answer.is_some() && by_lint,
            Some("lint") => answer.is_none() && by_lint,
            Some("condition" | "warning") => answer.is_none() && !by_lint,
            other => panic!("{name} says in its first line where it is caught: {other:?}"),
        };
        if !as_promised {
            judged_apart.push(format!("{name}: API server {answer:?}, lint refuses: {by_lint}"));
        }
        let answer = answer.map_or_else(|| "accepted".to_owned(), without_bytes);
        insta::assert_snapshot!(name, answer);
        said.push_str(&answer);
    }
    // … and every ready one,
    for (name, text) in files("../policies/library") {
        let answer = refusal(&client, &text).await;
        if answer.is_some() || lint_refuses(&name, &text) {
            judged_apart.push(format!("{name} is refused: {answer:?}"));
        }
    }

    // Then both judge as the first line of the file promises, and every rule was broken once.
    assert!(judged_apart.is_empty(), "{judged_apart:#?}");
    let untried: Vec<String> = rules().into_iter().filter(|rule| !said.contains(rule)).collect();
    assert!(untried.is_empty(), "no file in tests/bad breaks these rules: {untried:#?}");
}

/// For a tick, and for the windows of the telemetry.
const SOON: Duration = Duration::from_mins(1);
/// How often Prometheus scrapes, and how often the operator looks.
const SECOND: Duration = Duration::from_secs(1);
/// Three replicas of 100 requests/s each bear the one inside the band of 1.1 to 1.6; the other needs six.
const LOW: f64 = 220.0;
const HIGH: f64 = 540.0;

/// What a file's last line says that the operator makes of it: a condition and its reason; `None` when it does no
/// harm.
fn at_run_time(name: &str, text: &str) -> Option<(String, String)> {
    let line = text.lines().last().and_then(|line| line.strip_prefix("# at-run-time: "));
    let promise = line.unwrap_or_else(|| panic!("{name} says in its last line what it is at run time"));
    let (condition, reason) = promise.split_once(' ')?;
    Some((condition.to_owned(), reason.to_owned()))
}

/// The stage: an operator, and under load one workload with a good policy, and one for each wrong policy that the API
/// server accepts, which all name a Deployment `checkout` in a namespace of their own.
struct Stage {
    cluster: Cluster,
    client: Client,
    emulator: Emulator,
    operator: Operator,
    _prometheus: Prometheus,
}

impl Stage {
    async fn set() -> Self {
        let cluster = Cluster::start("bad-at-run-time", &Options::default()).await.unwrap();
        let client = cluster.client().await.unwrap();
        let emulator = Emulator::start([&cluster], &emulator::Options::default()).await.unwrap();
        let scraping = prometheus::Options::scraping(SECOND, [emulator.target()]);
        let prometheus = Prometheus::start(&scraping).await.unwrap();
        let options = operator::Options::reading(&prometheus, SECOND, SECOND);
        let operator = Operator::start(&cluster, options).await.unwrap();
        Self { cluster, client, emulator, operator, _prometheus: prometheus }
    }

    fn load(&self, namespace: &str) -> Workload {
        Workload::new(self.cluster.name(), namespace, "checkout")
    }

    /// A namespace with `checkout` under load.
    async fn shop(&self, namespace: &str) {
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        self.cluster.apply(&Api::<Namespace>::all(self.client.clone()), &object).await.unwrap();
        self.cluster.deploy(namespace, "checkout", 3, "10m").await.unwrap();
        let model = serde_json::from_value(json!({"capacity": 100})).unwrap();
        self.emulator.serve(&self.load(namespace), model, Shape::Constant { rate: LOW });
    }

    /// Creates the objects of a file in a namespace.
    async fn create(&self, namespace: &str, text: &str) {
        for document in text.split("\n---\n") {
            let object: Value = serde_yaml::from_str(document).unwrap();
            let path = match object.get("kind").and_then(Value::as_str) {
                Some("HorizontalPodAutoscaler") => {
                    format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers")
                }
                _ => format!("/apis/loadline.dev/v1alpha1/namespaces/{namespace}/elasticpolicies"),
            };
            let body =
                document.replace(&format!("namespace: {NAMESPACE}"), &format!("namespace: {namespace}"));
            let request = Request::post(path).header("content-type", "application/yaml");
            let request = request.body(body.into_bytes()).unwrap();
            self.client.request_text(request).await.unwrap_or_else(|e| panic!("{namespace}: {e}"));
        }
    }

    /// Waits until a condition of `checkout` has this reason; gives its message.
    async fn message(&self, namespace: &str, kind: &str, reason: &str) -> String {
        let policies: Api<ElasticPolicy> = Api::namespaced(self.client.clone(), namespace);
        until(&format!("{namespace}: {kind} to be {reason}"), SOON, || async {
            let status =
                policies.get("checkout").await.map_err(|e| e.to_string())?.status.unwrap_or_default();
            let found = status.conditions.into_iter().find(|c| c.type_ == kind);
            let found = found.ok_or("none yet")?;
            if found.reason == reason { Ok(found.message) } else { Err(format!("{found:?}")) }
        })
        .await
        .unwrap()
    }

    async fn replicas(&self, namespace: &str) -> i32 {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        deployments.get("checkout").await.unwrap().spec.unwrap().replicas.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_accepts_becomes_a_condition_and_delays_nobody() {
    // Given a policy that is right,
    let stage = Stage::set().await;
    stage.shop("good").await;
    let good = json!({
        "apiVersion": "loadline.dev/v1alpha1", "kind": "ElasticPolicy", "metadata": {"name": "checkout"},
        "spec": {
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "bounds": {"min": 1, "max": 30}, "load": {"profile": "otel-http"}, "capacity": {"perReplica": 100},
        },
    });
    stage.create("good", &good.to_string()).await;
    // and all of the wrong ones that the API server lets pass.
    let accepted: BTreeMap<String, String> =
        files("bad").into_iter().filter(|(_, text)| !text.starts_with("# caught-by: api-server")).collect();
    for (name, text) in &accepted {
        stage.shop(name).await;
        stage.create(name, text).await;
    }
    stage.operator.wait_ready().await.unwrap();

    // Then the operator says of each what is wrong, and of one that does no harm nothing,
    for (name, text) in &accepted {
        let said = match at_run_time(name, text) {
            Some((kind, reason)) => {
                format!("{kind}, {reason}: {}", stage.message(name, &kind, &reason).await)
            }
            None => stage.message(name, "Ready", "CapacityUnknown").await,
        };
        insta::assert_snapshot!(format!("{name}-at-run-time"), said);
    }
    // and in the same tick it decides about the one that is right,
    stage.message("good", "Ready", "LoopClosed").await;
    let plan = stage.operator.plan().await.unwrap();
    let decided = plan["decisions"].as_object().unwrap();
    for name in accepted.keys().map(String::as_str).chain(["good"]) {
        assert!(decided.contains_key(&format!("{name}/checkout")), "{name}: {:?}", decided.keys());
    }
    // and follows its load.
    assert!(stage.emulator.offer(&stage.load("good"), Shape::Constant { rate: HIGH }));
    until("six replicas", SOON, || async {
        let now = stage.replicas("good").await;
        if now >= 6 { Ok(()) } else { Err(now.to_string()) }
    })
    .await
    .unwrap();
    // Of the others nobody was scaled.
    for name in accepted.keys() {
        assert_eq!(stage.replicas(name).await, 3, "{name}");
    }
}
