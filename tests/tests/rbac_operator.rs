//! The real operator with nothing but what the chart gives it: its ServiceAccount, its configuration, its arguments.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    apps::v1::Deployment, coordination::v1::Lease, core::v1::ConfigMap, events::v1::Event,
};
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use loadline_chaos::world::Shape;
use loadline_crds::{ElasticPolicy, SafetyLever};
use loadline_tests::{
    cluster::{Cluster, Options},
    emulator::{self, Emulator, Workload},
    helm::{Helm, NEEDED},
    operator::{self, NAMESPACE, Operator},
    prometheus::{self, Prometheus},
    wait::until,
};
use serde_json::{Value, json};

/// How often Prometheus scrapes, and how often the operator looks.
const SECOND: Duration = Duration::from_secs(1);
/// For a decision of the whole loop: windows of a few scrapes, then a sync.
const SOON: Duration = Duration::from_mins(1);

#[tokio::test]
async fn the_operator_does_all_its_work_with_nothing_but_what_the_chart_gives_it() {
    let start = Instant::now();
    let cluster = Cluster::start("chartonly", &Options { crds: false, ..Options::default() }).await.unwrap();
    let emulator = Emulator::start([&cluster], &emulator::Options::default()).await.unwrap();
    let scraping = prometheus::Options::scraping(SECOND, [emulator.target()]);
    let prometheus = Prometheus::start(&scraping).await.unwrap();
    let client = cluster.client().await.unwrap();

    // Given a release, and an operator that runs as it says
    let url = format!("config.sources[0].url={}", prometheus.url());
    let mut sets = NEEDED.to_vec();
    sets.extend([
        "config.sync=1s",
        "config.sources[0].name=main",
        &url,
        "config.sources[0].scrapeInterval=1s",
    ]);
    Helm::on(&cluster).unwrap().install(NAMESPACE, &sets).await.unwrap();
    let operator = Operator::start(&cluster, as_the_chart_says(&cluster, &client).await).await.unwrap();
    operator.wait_ready().await.unwrap();

    // And a workload of two replicas that bear 100 requests/s each, with a policy
    let shop = cluster.namespace("shop").await.unwrap();
    cluster.deploy(&shop, "checkout", 2, "100m").await.unwrap();
    let workload = Workload::new(cluster.name(), &shop, "checkout");
    let model = serde_yaml::from_str("{capacity: 100}").unwrap();
    emulator.serve(&workload, model, Shape::Constant { rate: 120.0 });
    let policies: Api<ElasticPolicy> = Api::namespaced(client.clone(), &shop);
    policies.create(&PostParams::default(), &policy(&shop)).await.unwrap();

    // When the load steps fourfold, then it scales
    emulator.offer(&workload, Shape::Constant { rate: 480.0 });
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &shop);
    let scaled = until("six replicas", SOON, || async {
        let now = deployments.get("checkout").await.map_err(text)?.spec.and_then(|s| s.replicas);
        if now >= Some(6) { Ok(()) } else { Err(format!("{now:?} replicas")) }
    })
    .await;
    assert!(scaled.is_ok(), "{scaled:?}\n{:?}\n{}", operator.plan().await, operator.process().output());
    println!("scaled after {:.1} s", start.elapsed().as_secs_f64());

    // And says so in status and Events, and holds the chart's lease
    until("a status and an Event", SOON, || told(&client, &shop)).await.unwrap();
    let lease = Api::<Lease>::namespaced(client.clone(), NAMESPACE).get("loadline").await.unwrap();
    assert!(lease.spec.and_then(|s| s.holder_identity).is_some());

    // When a person pulls the lever, then it holds
    freeze(&client).await;
    until("the freeze to be seen", SOON, || held(&policies)).await.unwrap();

    // And the lever says that it is honoured, and by whom
    until("the lever to be answered", SOON, || answered(&client)).await.unwrap();

    // And in all of that the API server has refused it nothing
    let refused = operator.metric("loadline_api_calls_total", &["code=\"403\""]).await.unwrap();
    let made = operator.metric("loadline_api_calls_total", &["code=\"200\""]).await.unwrap();
    assert_eq!(refused, None, "{}", operator.get("/metrics").await.unwrap());
    assert!(made > Some(0.0));
    println!("the whole test: {:.1} s", start.elapsed().as_secs_f64());
}

/// How the chart's Deployment runs the operator: with a token of its ServiceAccount, its ConfigMap, its arguments.
async fn as_the_chart_says(cluster: &Cluster, client: &Client) -> operator::Options {
    let deployment = Api::<Deployment>::namespaced(client.clone(), NAMESPACE).get("loadline").await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    let account = pod.service_account_name.unwrap();
    let arguments = pod.containers.into_iter().next().unwrap().args.unwrap();
    assert_eq!(arguments.first().map(String::as_str), Some("run"));
    let map = Api::<ConfigMap>::namespaced(client.clone(), NAMESPACE).get("loadline").await.unwrap();
    operator::Options {
        pod: "loadline-0".to_owned(),
        config: map.data.unwrap().remove("config.yaml").unwrap(),
        kubeconfig: Some(cluster.kubeconfig_of(NAMESPACE, &account).await.unwrap()),
        // The file of the configuration lies elsewhere here.
        arguments: arguments.into_iter().skip(1).filter(|a| !a.starts_with("--config=")).collect(),
    }
}

/// Whether the status and an Event tell of the scale-out.
async fn told(client: &Client, namespace: &str) -> Result<(), String> {
    let policies: Api<ElasticPolicy> = Api::namespaced(client.clone(), namespace);
    let desired = policies.get("checkout").await.map_err(text)?.status.and_then(|s| s.desired_replicas);
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let events = events.list(&ListParams::default()).await.map_err(text)?;
    let reasons: Vec<_> = events.items.iter().filter_map(|e| e.reason.as_deref()).collect();
    if desired >= Some(6) && reasons.contains(&"ScaledOut") {
        Ok(())
    } else {
        Err(format!("desired {desired:?}, Events {reasons:?}"))
    }
}

async fn freeze(client: &Client) {
    let lever: SafetyLever = serde_json::from_value(json!({
        "apiVersion": "loadline.dev/v1alpha1", "kind": "SafetyLever", "metadata": {"name": "default"},
        "spec": {"freeze": true, "reason": "we look into it"},
    }))
    .unwrap();
    let levers: Api<SafetyLever> = Api::all(client.clone());
    levers.create(&PostParams::default(), &lever).await.unwrap();
}

/// Whether the policy says that the lever holds it.
async fn held(policies: &Api<ElasticPolicy>) -> Result<(), String> {
    let status = policies.get("checkout").await.map_err(text)?.status.unwrap_or_default();
    let frozen = status.conditions.iter().any(|c| c.type_ == "ScalingActive" && c.reason == "Frozen");
    if frozen { Ok(()) } else { Err(format!("{:?}", status.conditions)) }
}

/// Whether the status of the lever says that this operator holds.
async fn answered(client: &Client) -> Result<(), String> {
    let lever = Api::<SafetyLever>::all(client.clone()).get("default").await.map_err(text)?;
    let status = lever.status.unwrap_or_default();
    let held = status.conditions.iter().any(|c| {
        c.type_ == "Frozen" && c.status == "True" && c.reason == "Held" && c.message.contains("loadline-0")
    });
    let current = status.observed_generation == lever.metadata.generation;
    if held && current { Ok(()) } else { Err(format!("{status:?}")) }
}

fn policy(namespace: &str) -> ElasticPolicy {
    let value: Value = json!({
        "apiVersion": "loadline.dev/v1alpha1",
        "kind": "ElasticPolicy",
        "metadata": {"name": "checkout", "namespace": namespace},
        "spec": {
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "bounds": {"min": 2, "max": 50},
            // Plain requests/s: the capacity of the emulated replicas is in requests.
            "load": {"profile": "otel-http", "weights": {"latency": {"cuts": ["1s"], "factors": [1, 1]}}},
            "capacity": {"perReplica": 100, "redundancy": {"min": 1.1, "max": 2.0}},
        },
    });
    serde_json::from_value(value).unwrap()
}

fn text(error: impl Display) -> String {
    error.to_string()
}
