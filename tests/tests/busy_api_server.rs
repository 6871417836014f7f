//! An API server that answers everything with 503 for a while: what happens meanwhile is seen soon after, not after as
//! long again.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::time::Duration;

use kube::{Api, Client, api::PostParams};
use loadline_crds::{ElasticPolicy, SafetyLever};
use loadline_tests::{
    cluster::{Cluster, Options},
    operator::{self, Operator},
    proxy::{Answer, Mode, Proxy},
    wait::until,
};
use serde_json::json;

/// For what a busy machine may need; never what is measured.
const SOON: Duration = Duration::from_mins(1);
/// Ticks, one a second, for which the API server is busy.
const BUSY: f64 = 10.0;
/// Seconds after which it asks to be asked again: a client that does as it is told by itself sleeps through all of this.
const COME_BACK: &str = "60";
/// Ticks from its end until everything is as it should be: the longest pause of a watch is 5 s, the lease is looked at
/// every 2 s, then a tick and a write; and as much again for a machine on which everything runs late.
const RECOVERED: f64 = 12.0;

#[tokio::test]
async fn a_lever_that_is_pulled_while_the_api_server_is_busy_is_seen_soon_after() {
    // Given an operator that reaches the API server through a proxy, and a policy that it has judged.
    let cluster = Cluster::start("busy", &Options::default()).await.unwrap();
    let proxy = Proxy::before_api_server(&cluster).await.unwrap();
    let client = cluster.client().await.unwrap();
    let options = operator::Options {
        pod: "loadline-0".to_owned(),
        config: json!({"sync": "1s"}).to_string(),
        kubeconfig: Some(cluster.kubeconfig_via(proxy.port()).unwrap()),
        arguments: Vec::new(),
    };
    let operator = Operator::start(&cluster, options).await.unwrap();
    let shop = cluster.namespace("shop").await.unwrap();
    cluster.deploy(&shop, "checkout", 2, "100m").await.unwrap();
    let policies: Api<ElasticPolicy> = Api::namespaced(client.clone(), &shop);
    policies.create(&PostParams::default(), &policy()).await.unwrap();
    until("the policy to be judged", SOON, || async {
        if is_frozen(&policies).await?.is_some() { Ok(()) } else { Err("no status".to_owned()) }
    })
    .await
    .unwrap();

    // When everything is answered with 503 for a while, and a person pulls the lever meanwhile.
    let mut busy = Answer::kubernetes(503, "ServiceUnavailable");
    busy.headers.push(("retry-after".to_owned(), COME_BACK.to_owned()));
    proxy.set(Mode::Answer(busy)).await;
    let struck = ticks(&operator).await;
    freeze(&client).await;
    until("the API server to be busy for long enough", SOON, || async {
        let passed = ticks(&operator).await - struck;
        if passed >= BUSY { Ok(()) } else { Err(format!("{passed} ticks")) }
    })
    .await
    .unwrap();
    assert_eq!(is_frozen(&policies).await, Ok(Some(false)), "nothing could be written");
    proxy.set(Mode::Pass).await;

    // Then the same process sees it, and says so in status.
    let healed = ticks(&operator).await;
    until("the freeze to stand in status", SOON, || async {
        if is_frozen(&policies).await? == Some(true) { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await
    .unwrap();
    let took = ticks(&operator).await - healed;
    println!("frozen {took} ticks after the API server answered again");
    assert!(took <= RECOVERED, "{took} ticks");
}

async fn ticks(operator: &Operator) -> f64 {
    operator.metric("loadline_ticks_total", &[]).await.unwrap().unwrap()
}

/// Whether status says that the lever holds the policy; `None` without a status.
async fn is_frozen(policies: &Api<ElasticPolicy>) -> Result<Option<bool>, String> {
    let status = policies.get("checkout").await.map_err(|e| e.to_string())?.status;
    Ok(status.map(|s| s.conditions.iter().any(|c| c.type_ == "ScalingActive" && c.reason == "Frozen")))
}

async fn freeze(client: &Client) {
    let lever: SafetyLever = serde_json::from_value(json!({
        "apiVersion": "loadline.dev/v1alpha1", "kind": "SafetyLever", "metadata": {"name": "default"},
        "spec": {"freeze": true, "reason": "we look into it"},
    }))
    .unwrap();
    Api::<SafetyLever>::all(client.clone()).create(&PostParams::default(), &lever).await.unwrap();
}

fn policy() -> ElasticPolicy {
    serde_json::from_value(json!({
        "apiVersion": "loadline.dev/v1alpha1",
        "kind": "ElasticPolicy",
        "metadata": {"name": "checkout"},
        "spec": {
            "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
            "bounds": {"min": 1, "max": 9},
            "load": {"profile": "otel-http"},
            "capacity": {"perReplica": 100},
        },
    }))
    .unwrap()
}
