//! The real operator on the rig: it starts, follows the load of a real workload, and can be killed.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt as _, api::ListParams};
use loadline_chaos::world::Shape;
use loadline_crds::ElasticPolicy;
use loadline_tests::{
    cluster::{Cluster, Options},
    emulator::{self, Emulator, Workload},
    operator::{self, Operator},
    prometheus::{self, Prometheus},
    wait::until,
};
use serde_json::json;

/// How often Prometheus scrapes, and how often the operator looks.
const SECOND: Duration = Duration::from_secs(1);
/// For a decision of the whole loop: windows of a few scrapes, then a sync.
const SOON: Duration = Duration::from_mins(1);

#[tokio::test]
async fn the_operator_follows_a_step_of_a_real_load_and_survives_a_kill() {
    let start = Instant::now();
    let cluster = Cluster::start("hub", &Options::default()).await.unwrap();
    let emulator = Emulator::start([&cluster], &emulator::Options::default()).await.unwrap();
    let options = prometheus::Options::scraping(SECOND, [emulator.target()]);
    let prometheus = Prometheus::start(&options).await.unwrap();

    // Given a workload of two replicas that bear 100 requests/s each, and 120 requests/s.
    let namespace = cluster.namespace("shop").await.unwrap();
    cluster.deploy(&namespace, "checkout", 2, "100m").await.unwrap();
    let workload = Workload::new(cluster.name(), &namespace, "checkout");
    let model = serde_yaml::from_str("{capacity: 100}").unwrap();
    emulator.serve(&workload, model, Shape::Constant { rate: 120.0 });
    let client = cluster.client().await.unwrap();
    let policy: ElasticPolicy = serde_json::from_value(json!({
        "apiVersion": "loadline.dev/v1alpha1",
        "kind": "ElasticPolicy",
        "metadata": { "name": "checkout", "namespace": namespace },
        "spec": {
            "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout" },
            "bounds": { "min": 2, "max": 50 },
            // Plain requests/s: the capacity above is in requests.
            "load": { "profile": "otel-http", "weights": { "latency": { "cuts": ["1s"], "factors": [1, 1] } } },
            "capacity": { "perReplica": 100, "redundancy": { "min": 1.1, "max": 2.0 } },
        },
    }))
    .unwrap();
    cluster.apply(&Api::namespaced(client.clone(), &namespace), &policy).await.unwrap();
    let operator =
        Operator::start(&cluster, operator::Options::reading(&prometheus, SECOND, SECOND)).await.unwrap();
    operator.wait_ready().await.unwrap();
    println!("the loop stands: {:.1} s", start.elapsed().as_secs_f64());

    // When the load steps fourfold, then the replicas follow: 480 × 1.1 / 100 and up.
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let replicas = || async {
        let seen = deployments.get("checkout").await.map_err(|e| e.to_string())?;
        Ok::<_, String>(seen.spec.and_then(|s| s.replicas).unwrap_or(1))
    };
    let step = Instant::now();
    emulator.offer(&workload, Shape::Constant { rate: 480.0 });
    let enough = |wanted: i32| {
        let replicas = &replicas;
        move || async move {
            let now = replicas().await?;
            if now >= wanted { Ok(()) } else { Err(format!("{now} replicas")) }
        }
    };
    let followed = until("six replicas", SOON, enough(6)).await;
    assert!(followed.is_ok(), "{followed:?}\n{:?}\n{}", operator.plan().await, operator.process().output());
    println!("the step is followed: {:.1} s", step.elapsed().as_secs_f64());

    // When it is killed and started again, then it follows the next step.
    operator.process().kill().unwrap();
    operator.restart().await.unwrap();
    emulator.offer(&workload, Shape::Constant { rate: 960.0 });
    let followed = until("eleven replicas", SOON, enough(11)).await;
    assert!(followed.is_ok(), "{followed:?}\n{:?}\n{}", operator.plan().await, operator.process().output());
    let policies: Api<ElasticPolicy> = Api::namespaced(client, &namespace);
    let listed = policies.list(&ListParams::default()).await.unwrap();
    assert!(
        listed.items.iter().any(|p| p.name_any() == "checkout" && p.status.is_some()),
        "a status is written"
    );
    println!("the whole test: {:.1} s", start.elapsed().as_secs_f64());
}
