//! The shell of the operator on a real API server: what it watches, what it leaves alone, what it does not write.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::time::Duration;

use k8s_openapi::{
    api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use loadline_chaos::world::Shape;
use loadline_crds::ElasticPolicy;
use loadline_tests::{
    cluster::{Cluster, Options},
    emulator::{self, Emulator, Workload},
    operator::{self, Operator},
    prometheus::{self, Prometheus},
    trail,
    wait::until,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// How often Prometheus scrapes, and how often the operator looks.
const SECOND: Duration = Duration::from_secs(1);
/// For a tick, and for the windows of the telemetry.
const SOON: Duration = Duration::from_mins(1);

/// A cluster with an operator.
struct Stage {
    cluster: Cluster,
    emulator: Emulator,
    operator: Operator,
    _prometheus: Prometheus,
}

impl Stage {
    async fn set(name: &str) -> Self {
        let cluster = Cluster::start(name, &Options::default().audited()).await.unwrap();
        let emulator = Emulator::start([&cluster], &emulator::Options::default()).await.unwrap();
        let scraping = prometheus::Options::scraping(SECOND, [emulator.target()]);
        let prometheus = Prometheus::start(&scraping).await.unwrap();
        let mut options = operator::Options::reading(&prometheus, SECOND, SECOND);
        options.config = with_rollers_and_cpu(&options.config);
        let operator = Operator::start(&cluster, options).await.unwrap();
        operator.wait_ready().await.unwrap();
        Self { cluster, emulator, operator, _prometheus: prometheus }
    }

    /// The one that the tests of this binary share; each works in a namespace of its own.
    async fn shared() -> &'static Self {
        static STAGE: OnceCell<Stage> = OnceCell::const_new();
        STAGE.get_or_init(|| Self::set("shell")).await
    }
}

/// The same configuration with a kind among the scale targets that the operator knows nothing else of, and CPU that is
/// scraped as often as everything else.
fn with_rollers_and_cpu(config: &str) -> String {
    let mut config: Value = serde_json::from_str(config).unwrap();
    let kinds = json!([
        { "apiVersion": "apps/v1", "kind": "Deployment" },
        { "apiVersion": "rig.loadline.dev/v1", "kind": "Roller" },
    ]);
    let profiles = json!([{ "name": "otel-http", "cpu": { "scrapeInterval": "1s" } }]);
    let config_of = config.as_object_mut().unwrap();
    config_of.insert("scaleTargets".to_owned(), kinds);
    config_of.insert("profiles".to_owned(), profiles);
    config.to_string()
}

/// A namespace of one test.
struct Place<'a> {
    stage: &'a Stage,
    client: Client,
    namespace: String,
}

impl<'a> Place<'a> {
    async fn new(stage: &'a Stage, name: &str) -> Self {
        let namespace = stage.cluster.namespace(name).await.unwrap();
        Self { stage, client: stage.cluster.client().await.unwrap(), namespace }
    }

    fn policies(&self) -> Api<ElasticPolicy> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A policy that keeps exactly so many replicas, whatever the load.
    async fn policy(&self, api_version: &str, kind: &str, name: &str, replicas: u32) {
        // The profile's own way of finding series knows the kinds of Kubernetes only.
        let labels = json!({ "labels": { "service_name": name } });
        let known = kind == "Deployment";
        let load = json!({ "profile": "otel-http", "match": if known { Value::Null } else { labels } });
        let spec = json!({
            "target": { "apiVersion": api_version, "kind": kind, "name": name },
            "bounds": { "min": replicas, "max": replicas },
            "load": load,
            "capacity": { "perReplica": 100 },
        });
        let policy = ElasticPolicy::new(name, serde_json::from_value(spec).unwrap());
        self.stage.cluster.apply(&self.policies(), &policy).await.unwrap();
    }

    /// Three replicas of `web`, each asking for so much CPU, under so many requests per second.
    async fn served(&self, cpu: &str, rate: f64) {
        self.stage.cluster.deploy(&self.namespace, "web", 3, cpu).await.unwrap();
        let workload = Workload::new(self.stage.cluster.name(), &self.namespace, "web");
        let model = serde_yaml::from_str("{capacity: 100}").unwrap();
        self.stage.emulator.serve(&workload, model, Shape::Constant { rate });
    }

    async fn replicas(&self, name: &str) -> i32 {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        deployments.get(name).await.unwrap().spec.unwrap().replicas.unwrap()
    }

    async fn until_replicas(&self, name: &str, wanted: i32) {
        until(&format!("{wanted} replicas of {name}"), SOON, || async {
            let now = self.replicas(name).await;
            if now == wanted { Ok(()) } else { Err(now.to_string()) }
        })
        .await
        .unwrap();
    }

    async fn until_condition(&self, policy: &str, kind: &str, reason: &str) {
        until(&format!("{kind} with reason {reason}"), SOON, || async {
            let conditions = self.policies().get(policy).await.unwrap().status.unwrap_or_default().conditions;
            let found = conditions.iter().find(|c| c.type_ == kind).map(|c| c.reason.clone());
            if found.as_deref() == Some(reason) { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await
        .unwrap();
    }

    /// Lets the operator look so many times.
    async fn ticks(&self, ticks: f64) {
        let now =
            || async { self.stage.operator.metric("loadline_ticks_total", &[]).await.unwrap().unwrap() };
        let start = now().await;
        until("more ticks", SOON, || async {
            let more = now().await - start;
            if more >= ticks { Ok(()) } else { Err(more.to_string()) }
        })
        .await
        .unwrap();
    }

    /// What the operator has written in this namespace so far.
    fn written(&self) -> Vec<String> {
        let ours = ["deployments/scale", "elasticpolicies/status", "events"];
        let log = trail::writes(&self.stage.cluster.audit_log()).unwrap();
        log.into_iter()
            .map(|write| write.what)
            .filter(|what| what.contains(&self.namespace) && ours.iter().any(|kind| what.contains(kind)))
            .collect()
    }
}

#[tokio::test]
async fn an_unchanged_world_causes_no_write() {
    // Given a service under a steady load that its policy is content with.
    let place = Place::new(Stage::shared().await, "idle").await;
    place.served("10m", 220.0).await;
    place.policy("apps/v1", "Deployment", "web", 3).await;
    place.until_condition("web", "DataFresh", "Fresh").await;
    let status = place.policies().get("web").await.unwrap().status.unwrap();
    assert_eq!((status.desired_replicas, status.current_replicas), (Some(3), Some(3)));

    // When it looks ten times more, then it writes nothing.
    let before = place.written();
    assert!(before.iter().any(|w| w.contains("elasticpolicies/status")), "{before:?}");
    place.ticks(10.0).await;
    assert_eq!(place.written(), before);
}

#[tokio::test]
async fn the_cpu_of_a_workload_that_learns_is_read_of_its_pods() {
    // Given a service under a steady load whose capacity is to be learned, in a cluster whose nodes count CPU by pod.
    let place = Place::new(Stage::shared().await, "cpu").await;
    place.served("250m", 150.0).await;
    let spec = json!({
        "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
        "bounds": { "min": 3, "max": 9 },
        "load": { "profile": "otel-http" },
        "objective": { "latency": { "quantile": 0.5, "target": "1s" } },
        "capacity": { "perReplica": "Learned" },
    });
    let policy = ElasticPolicy::new("web", serde_json::from_value(spec).unwrap());
    place.stage.cluster.apply(&place.policies(), &policy).await.unwrap();

    // Then it is asked for once a minute, and windows of it are learned from, with what the template asks for.
    let key = format!("{}/web", place.namespace);
    let patience = 5 * SOON;
    let cpu = until("a window of CPU", patience, || async {
        let plan = place.stage.operator.plan().await.map_err(|e| e.to_string())?;
        let cpu = plan["decisions"][&key]["capacity"]["cpu"].clone();
        if cpu["windows"].as_f64().is_some_and(|windows| windows > 0.0) {
            Ok(cpu)
        } else {
            Err(cpu.to_string())
        }
    });
    let cpu = cpu.await.unwrap();
    assert_eq!((cpu["request"].as_u64(), &cpu["doubt"]), (Some(250), &Value::Null), "{cpu}");
    assert_eq!(cpu["estimate"], Value::Null, "one load tells nothing");
    // A minute of one load is no reason to write replicas.
    assert_eq!(place.replicas("web").await, 3);
}

#[tokio::test]
async fn another_scaler_on_the_target_is_found_and_never_fought() {
    let place = Place::new(Stage::shared().await, "contested").await;
    place.stage.cluster.deploy(&place.namespace, "web", 2, "10m").await.unwrap();
    let scalers: Api<HorizontalPodAutoscaler> = Api::namespaced(place.client.clone(), &place.namespace);
    let hpa = serde_json::from_value(json!({
        "metadata": { "name": "web" },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" },
            "minReplicas": 2, "maxReplicas": 2,
        },
    }));
    scalers.create(&PostParams::default(), &hpa.unwrap()).await.unwrap();
    place.policy("apps/v1", "Deployment", "web", 4).await;
    place.until_condition("web", "Contested", "OtherScaler").await;
    place.ticks(3.0).await;
    assert_eq!(place.replicas("web").await, 2);

    // When it is gone, then the policy takes over by itself.
    scalers.delete("web", &DeleteParams::default()).await.unwrap();
    place.until_replicas("web", 4).await;
}

#[tokio::test]
async fn an_object_that_is_not_of_the_schema_stalls_nobody() {
    // The schema is everybody's: this needs a cluster of its own.
    let stage = Stage::set("malformed").await;
    let place = Place::new(&stage, "malformed").await;
    for name in ["first", "second"] {
        place.stage.cluster.deploy(&place.namespace, name, 1, "10m").await.unwrap();
    }
    // Given an object from before the schema was what it is: the API server checks nothing for a moment.
    let definitions: Api<CustomResourceDefinition> = Api::all(place.client.clone());
    let name = "elasticpolicies.loadline.dev";
    let proper = definitions.get(name).await.unwrap();
    let mut loose = serde_json::to_value(&proper).unwrap();
    loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    replace(&definitions, name, loose).await;
    let gvk = GroupVersionKind::gvk("loadline.dev", "v1alpha1", "ElasticPolicy");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "elasticpolicies");
    let objects: Api<DynamicObject> = Api::namespaced_with(place.client.clone(), &place.namespace, &resource);
    let mut broken = DynamicObject::new("broken", &resource);
    broken.data = json!({ "spec": { "target": "the shop", "bounds": [1, 2] } });
    until("the loose schema to be served", SOON, || async {
        objects.create(&PostParams::default(), &broken).await.map(drop)
    })
    .await
    .unwrap();
    replace(&definitions, name, serde_json::to_value(&proper).unwrap()).await;

    // When a policy is made beside it, then that one is followed, now and after a new list.
    place.policy("apps/v1", "Deployment", "first", 3).await;
    place.until_replicas("first", 3).await;
    place.stage.operator.restart().await.unwrap();
    place.policy("apps/v1", "Deployment", "second", 2).await;
    place.until_replicas("second", 2).await;
    let plan = place.stage.operator.plan().await.unwrap();
    let decision = &plan["decisions"][format!("{}/broken", place.namespace)];
    assert!(decision.to_string().contains("not of the schema"), "{decision}");
    objects.delete("broken", &DeleteParams::default()).await.unwrap();
}

async fn replace(definitions: &Api<CustomResourceDefinition>, name: &str, spec: Value) {
    let patch = json!({ "spec": { "versions": spec.pointer("/spec/versions") } });
    definitions.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[tokio::test]
async fn a_kind_that_nobody_knew_is_scaled_by_its_scale_subresource() {
    let place = Place::new(Stage::shared().await, "kinds").await;
    let definitions: Api<CustomResourceDefinition> = Api::all(place.client.clone());
    let definition = serde_json::from_value(json!({
        "metadata": { "name": "rollers.rig.loadline.dev" },
        "spec": {
            "group": "rig.loadline.dev", "scope": "Namespaced",
            "names": { "kind": "Roller", "plural": "rollers", "singular": "roller" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema":
                    { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
                "subresources": { "status": {}, "scale":
                    { "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size" } },
            }],
        },
    }));
    let definition: CustomResourceDefinition = definition.unwrap();
    place.stage.cluster.apply(&definitions, &definition).await.unwrap();
    let gvk = GroupVersionKind::gvk("rig.loadline.dev", "v1", "Roller");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "rollers");
    let rollers: Api<DynamicObject> = Api::namespaced_with(place.client.clone(), &place.namespace, &resource);
    let mut roller = DynamicObject::new("press", &resource);
    roller.data = json!({ "spec": { "size": 1 }, "status": { "size": 1 } });
    until("the kind to be served", SOON, || async {
        rollers.create(&PostParams::default(), &roller).await.map(drop)
    })
    .await
    .unwrap();

    place.policy("rig.loadline.dev/v1", "Roller", "press", 5).await;
    until("five of them", SOON, || async {
        let now = rollers.get("press").await.unwrap().data["spec"]["size"].clone();
        if now == 5 { Ok(()) } else { Err(now.to_string()) }
    })
    .await
    .unwrap();
    assert_eq!(rollers.get("press").await.unwrap().name_any(), "press");
}

#[tokio::test]
async fn a_target_of_an_unknown_kind_is_a_condition_and_not_a_stop() {
    let place = Place::new(Stage::shared().await, "unknown").await;
    place.stage.cluster.deploy(&place.namespace, "web", 1, "10m").await.unwrap();
    place.policy("nowhere.example/v1", "Nothing", "ghost", 2).await;
    place.policy("v1", "ConfigMap", "settings", 2).await;
    place.policy("apps/v1", "Deployment", "missing", 2).await;
    // The operator's identity may scale it here, and its configuration does not list it.
    place.policy("apps/v1", "ReplicaSet", "unlisted", 2).await;
    place.policy("apps/v1", "Deployment", "web", 2).await;
    place.until_replicas("web", 2).await;
    place.until_condition("ghost", "Ready", "TargetKindUnknown").await;
    place.until_condition("settings", "Ready", "TargetNotScalable").await;
    place.until_condition("missing", "Ready", "TargetMissing").await;
    place.until_condition("unlisted", "Ready", "TargetForbidden").await;
}

#[tokio::test]
async fn pods_are_watched_once_a_policy_needs_their_owners_and_not_before() {
    // The watches of a process are for all policies: this needs an operator of its own.
    let stage = Stage::set("owners").await;
    let place = Place::new(&stage, "owners").await;
    stage.cluster.deploy(&place.namespace, "web", 1, "10m").await.unwrap();
    place.policy("apps/v1", "Deployment", "web", 2).await;
    place.until_replicas("web", 2).await;
    let watched =
        || async { stage.operator.metric("loadline_api_calls_total", &["resource=\"pods\""]).await };
    assert_eq!(watched().await.unwrap(), None, "otel-http names workloads");

    // When one comes whose telemetry names nothing but pods, then they are.
    stage.cluster.deploy(&place.namespace, "bare", 1, "10m").await.unwrap();
    let spec = json!({
        "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "bare" },
        "bounds": { "min": 1, "max": 2 },
        "load": { "profile": "otel-http-pods" },
    });
    let policy = ElasticPolicy::new("bare", serde_json::from_value(spec).unwrap());
    stage.cluster.apply(&place.policies(), &policy).await.unwrap();
    until("the watch of pods", SOON, || async {
        let calls = watched().await.unwrap();
        if calls > Some(0.0) { Ok(()) } else { Err(format!("{calls:?}")) }
    })
    .await
    .unwrap();
}
