//! The stage of the rows: cluster, emulator, Prometheus, fault proxy and operator, and workloads under load.
//!
//! ```text
//! emulator <──scrape 1 s── Prometheus <── proxy <──sync 1 s── operator ──> API server ──> pods ──> emulator
//! ```

use std::{cell::Cell, sync::LazyLock, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, events::v1::Event};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use loadline_chaos::world::{Shape, service::ServiceModel};
use loadline_controller::ports::LoadAsk;
use loadline_crds::ElasticPolicy;
use loadline_tests::{
    audit::{ReplicaWrite, conflicts, replica_writes},
    cluster::{Cluster, Component, Options},
    emulator::{self, Emulator, Exposition, Workload},
    operator::{self, Operator},
    prometheus::{self, Prometheus},
    proxy::{Mode, Proxy},
    wait::until,
};
use serde_json::{Value, json};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, OnceCell},
    time::timeout,
};

use crate::witness::{self, Witness};

/// For what a busy machine may need; never what is measured.
pub(super) const SOON: Duration = Duration::from_mins(1);
/// What one replica bears, requests/s.
const CAPACITY: f64 = 100.0;
/// A load of which four replicas are well inside the band of 1.1 to 1.6, and one that needs eight. Where a row
/// begins, what sampling adds or takes away leaves neither the band.
pub(super) const LOW: f64 = 270.0;
pub(super) const HIGH: f64 = 680.0;
/// Replicas that are well inside the band of [`LOW`].
pub(super) const AT_LOW: u32 = 4;
/// The fewest replicas that bear [`LOW`] and [`HIGH`] at the band's lower end.
pub(super) const FOR_LOW: u32 = 3;
pub(super) const FOR_HIGH: u32 = 8;
/// The most that the band allows for them.
pub(super) const MOST_FOR_LOW: u32 = 4;
pub(super) const MOST_FOR_HIGH: u32 = 10;
/// Syncs from the moment when Prometheus itself answers with fresh and complete numbers to the plan that rests on
/// them: two, and the one that was under way.
const SYNCS_TO_RECOVER: f64 = 2.0 + 1.0;

/// One runtime for all tests of the binary: clients and connections outlive the row that made them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A stage that is set up by the first row that plays on it.
pub(super) struct Place {
    name: &'static str,
    stage: OnceCell<Stage>,
    turn: Mutex<()>,
}

impl Place {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, stage: OnceCell::const_new(), turn: Mutex::const_new(()) }
    }

    /// Plays one row: alone on the stage, after everything on it was mended.
    pub(super) fn play(&self, row: impl AsyncFnOnce(&Stage)) {
        RUNTIME.block_on(async {
            let _turn = self.turn.lock().await;
            let stage = self.stage.get_or_init(|| Stage::set(self.name)).await;
            stage.mend().await;
            row(stage).await;
        });
    }
}

pub(super) struct Stage {
    pub(super) cluster: Cluster,
    pub(super) emulator: Emulator,
    pub(super) prometheus: Prometheus,
    pub(super) proxy: Proxy,
    pub(super) operator: Operator,
    witness: Witness,
    client: Client,
    namespace: String,
}

/// The operator's configuration, with a source at this address.
fn config(url: &str) -> String {
    json!({
        "sync": "1s",
        "sources": [{
            "name": "rig",
            "url": url,
            "scrapeInterval": "1s",
            "timeout": "2s",
            "concurrency": 8,
            "windows": {"steady": "4s", "burst": "3s"},
        }],
    })
    .to_string()
}

/// A workload with its policy, both of this name.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) name: String,
    load: Workload,
}

impl Stage {
    async fn set(name: &str) -> Self {
        let cluster = Cluster::start(name, &Options::default().nodes(4, 32).audited()).await.unwrap();
        let namespace = cluster.namespace("shop").await.unwrap();
        let options = emulator::Options { tick: Duration::from_millis(100) };
        let emulator = Emulator::start([&cluster], &options).await.unwrap();
        let options = prometheus::Options::scraping(Duration::from_secs(1), [emulator.target()]);
        let prometheus = Prometheus::start(&options).await.unwrap();
        let proxy = Proxy::start(prometheus.port()).await.unwrap();
        let mut options = operator::Options::reading_at("", Duration::ZERO, Duration::ZERO);
        options.config = config(&proxy.url());
        let witness = Witness::new(&config(&prometheus.url()));
        let operator = Operator::start(&cluster, options).await.unwrap();
        operator.wait_ready().await.unwrap();
        let client = cluster.client().await.unwrap();
        Self { cluster, emulator, prometheus, proxy, operator, witness, client, namespace }
    }

    /// Undoes what a row that failed may have left broken.
    async fn mend(&self) {
        let running = {
            let process = self.prometheus.process();
            process.is_running() && process.resume().is_ok()
        };
        if !running {
            self.prometheus.restart().await.unwrap();
        }
        let api = self.cluster.component(Component::ApiServer).await.unwrap();
        let running = api.is_running() && api.resume().is_ok();
        drop(api);
        if !running {
            self.cluster.restart(Component::ApiServer).await.unwrap();
        }
        self.revive().await;
        self.emulator.expose(Exposition::Live);
        self.proxy.set(Mode::Pass).await;
    }

    /// Starts again what ends by itself when it cannot renew its lease, as the kubelet would.
    pub(super) async fn revive(&self) {
        for component in [Component::ControllerManager, Component::Scheduler] {
            let running = self.cluster.component(component).await.unwrap().is_running();
            if !running {
                self.cluster.restart(component).await.unwrap();
            }
        }
    }

    /// Makes a workload of so many replicas under a load, and a policy for it; returns once it is judged on fresh
    /// data. Its scale-in looks back 8 s: two of the windows that the load is measured over.
    pub(super) async fn subject(&self, name: &str, replicas: u32, rate: f64) -> Subject {
        self.cluster.deploy(&self.namespace, name, replicas, "100m").await.unwrap();
        let load = Workload::new(self.cluster.name(), &self.namespace, name);
        let subject = Subject { name: name.to_owned(), load };
        let model: ServiceModel = serde_json::from_value(json!({ "capacity": CAPACITY })).unwrap();
        self.emulator.serve(&subject.load, model, Shape::Constant { rate });
        self.apply_policy(&subject).await;
        self.until_condition(&subject, "DataFresh", "Fresh").await;
        subject
    }

    /// Creates the policy of a subject.
    pub(super) async fn apply_policy(&self, subject: &Subject) {
        let policy: ElasticPolicy = serde_json::from_value(json!({
            "apiVersion": "loadline.dev/v1alpha1",
            "kind": "ElasticPolicy",
            "metadata": {"name": subject.name},
            "spec": {
                "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": subject.name},
                "bounds": {"min": 1, "max": 30},
                "load": {"profile": "otel-http"},
                "capacity": {"perReplica": 100},
                "behaviour": {"scaleDown": {"stabilizationWindow": "8s"}},
            },
        }))
        .unwrap();
        self.policies().create(&PostParams::default(), &policy).await.unwrap();
    }

    pub(super) fn offer(&self, subject: &Subject, rate: f64) {
        assert!(self.emulator.offer(&subject.load, Shape::Constant { rate }));
    }

    /// A share of a subject's pods stops reporting.
    pub(super) fn silence(&self, subject: &Subject, share: f64) {
        assert!(self.emulator.silence(&subject.load, share));
    }

    pub(super) fn policies(&self) -> Api<ElasticPolicy> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// `spec.replicas` as the API server has it.
    pub(super) async fn replicas(&self, subject: &Subject) -> u32 {
        let object = self.deployments().get(&subject.name).await.unwrap();
        u32::try_from(object.spec.unwrap().replicas.unwrap()).unwrap()
    }

    /// Sets the replicas as a person would.
    pub(super) async fn scale_by_hand(&self, subject: &Subject, replicas: u32) {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.deployments().patch_scale(&subject.name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Applies the Deployment of a subject again.
    pub(super) async fn redeploy(&self, subject: &Subject, replicas: u32) {
        self.cluster.deploy(&self.namespace, &subject.name, replicas, "100m").await.unwrap();
    }

    pub(super) async fn until_replicas(&self, subject: &Subject, what: &str, fits: impl Fn(u32) -> bool) {
        until(&format!("{}: {what}", subject.name), SOON, || async {
            let replicas = self.replicas(subject).await;
            if fits(replicas) { Ok(()) } else { Err(format!("{replicas} replicas")) }
        })
        .await
        .unwrap();
    }

    /// Waits until a condition in the policy's status has this reason.
    pub(super) async fn until_condition(&self, subject: &Subject, kind: &str, reason: &str) {
        self.until_one_of(subject, kind, &[reason]).await;
    }

    /// The same, of one of several reasons.
    pub(super) async fn until_one_of(&self, subject: &Subject, kind: &str, reasons: &[&str]) {
        until(&format!("{}: {kind} to be {reasons:?}", subject.name), SOON, || async {
            let status = self.policies().get(&subject.name).await.map_err(|e| e.to_string())?.status;
            let conditions = status.map(|s| s.conditions).unwrap_or_default();
            match conditions.into_iter().find(|c| c.type_ == kind) {
                Some(c) if reasons.contains(&c.reason.as_str()) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .unwrap();
    }

    /// Waits until the API server gives the operator's lease to whoever asks.
    pub(super) async fn until_api_server_answers(&self) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), operator::NAMESPACE);
        until("the API server to answer", SOON, || async {
            match timeout(Duration::from_secs(1), leases.list(&ListParams::default())).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(late) => Err(late.to_string()),
            }
        })
        .await
        .unwrap();
    }

    /// Waits for an Event about a policy; gives its note.
    pub(super) async fn until_event(&self, subject: &Subject, reason: &str) -> String {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let about = ListParams::default().fields(&format!("regarding.name={},reason={reason}", subject.name));
        until(&format!("an Event {reason} about {}", subject.name), SOON, || async {
            let found = events.list(&about).await.map_err(|e| e.to_string())?;
            found.items.into_iter().find_map(|event| event.note).ok_or("none".to_owned())
        })
        .await
        .unwrap()
    }

    /// The operator's ticks so far.
    pub(super) async fn ticks(&self) -> f64 {
        self.operator.metric("loadline_ticks_total", &[]).await.unwrap().unwrap()
    }

    /// Checks again and again while the operator ticks so many times.
    pub(super) async fn for_ticks(&self, ticks: f64, check: impl AsyncFn()) {
        let end = self.ticks().await + ticks;
        until(&format!("{ticks} more ticks"), SOON, || async {
            check().await;
            let seen = self.ticks().await;
            if seen >= end { Ok(()) } else { Err(format!("{seen} of {end}")) }
        })
        .await
        .unwrap();
    }

    /// The decision about a subject in the operator's last plan, and the outcome of the action on it.
    pub(super) async fn planned(&self, subject: &Subject) -> (Value, Value) {
        let plan = self.operator.plan().await.unwrap();
        let key = json!(format!("{}/{}", self.namespace, subject.name));
        let decision = plan.get("decisions").and_then(|all| all.get(key.as_str()?)).cloned();
        let actions = plan.get("actions").and_then(Value::as_array).unwrap();
        let ours = actions.iter().find(|a| a.pointer("/action/Scale/policy") == Some(&key));
        let outcome = ours.and_then(|action| action.get("outcome")).cloned();
        (decision.unwrap_or_default(), outcome.unwrap_or_default())
    }

    /// What the audit log says of a subject since a moment.
    pub(super) fn writes(&self, subject: &Subject, since: Timestamp) -> Vec<ReplicaWrite> {
        let all = replica_writes(&self.cluster, &self.namespace, &subject.name).unwrap();
        all.into_iter().filter(|w| w.at >= since).collect()
    }

    /// The writes of the operator to a subject that the API server refused with 409 since a moment.
    pub(super) fn conflicts(&self, subject: &Subject, since: Timestamp) -> usize {
        let all = conflicts(&self.cluster, &self.namespace, &subject.name).unwrap();
        all.into_iter().filter(|at| *at >= since).count()
    }

    /// No write between the two moments left fewer replicas than the one before it.
    pub(super) fn assert_only_rose(
        &self,
        subject: &Subject,
        before: u32,
        since: Timestamp,
        until: Timestamp,
    ) {
        let writes = self.writes(subject, since);
        let mut last = before;
        for write in writes.iter().filter(|w| w.at <= until) {
            assert!(write.replicas >= last, "{} fell from {last}: {writes:?}", subject.name);
            last = write.replicas;
        }
    }

    /// No write since a moment left fewer replicas than there were then.
    pub(super) fn assert_never_below(&self, subject: &Subject, before: u32, since: Timestamp) {
        let writes = self.writes(subject, since);
        assert!(writes.iter().all(|w| w.replicas >= before), "{} fell: {writes:?}", subject.name);
    }

    /// Waits until Prometheus itself answers the operator's own queries about every subject with fresh and complete
    /// numbers, and until the operator's plan rests on such: within two syncs of each other.
    pub(super) async fn until_recovered(&self, subjects: &[&Subject]) {
        // The operator's ticks when Prometheus' answers became good, and stayed so.
        let good_since = Cell::new(None);
        let took = until("the operator to take fresh numbers", SOON, || async {
            let doubts = self.witness.doubts(&self.asks(subjects).await).await;
            let seen = self.ticks().await;
            if !doubts.is_empty() {
                good_since.set(None);
                return Err(format!("in Prometheus: {doubts:?}"));
            }
            let since = good_since.get().unwrap_or(seen);
            good_since.set(Some(since));
            let unsure = self.unsure(subjects).await;
            // The plan that was looked at must be the one that was counted.
            if unsure.is_empty() && seen.total_cmp(&self.ticks().await).is_eq() {
                return Ok(seen - since);
            }
            Err(format!("{} syncs later in the plan: {unsure:?}", seen - since))
        })
        .await
        .unwrap();
        println!("fresh {took} syncs after Prometheus was");
        assert!(took <= SYNCS_TO_RECOVER, "{took} syncs");
        for subject in subjects {
            self.until_condition(subject, "DataFresh", "Fresh").await;
        }
    }

    /// Waits until Prometheus shows a load of nearly this rate of each subject, whatever the operator sees.
    pub(super) async fn until_prometheus_shows(&self, subjects: &[&Subject], rate: f64) {
        for subject in subjects {
            let name = &subject.name;
            let series =
                format!("http_server_request_duration_seconds_count{{k8s_deployment_name=\"{name}\"}}");
            until(&format!("Prometheus to show {rate}/s of {name}"), SOON, || async {
                match self.prometheus.value(&format!("sum(rate({series}[4s]))")).await {
                    Ok(shown) if shown > 0.95 * rate => Ok(()),
                    Ok(shown) => Err(shown.to_string()),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await
            .unwrap();
        }
    }

    /// What the operator asks of these subjects now.
    async fn asks(&self, subjects: &[&Subject]) -> Vec<LoadAsk> {
        let mut asks = Vec::new();
        for subject in subjects {
            let status = self.deployments().get(&subject.name).await.unwrap().status.unwrap_or_default();
            let ready = u32::try_from(status.ready_replicas.unwrap_or_default()).unwrap();
            asks.push(witness::ask(&self.namespace, &subject.name, ready));
        }
        asks
    }

    /// The subjects whose data are not fresh in the operator's last plan, and why.
    async fn unsure(&self, subjects: &[&Subject]) -> Vec<String> {
        let mut unsure = Vec::new();
        for subject in subjects {
            let (decision, _) = self.planned(subject).await;
            let fresh = condition(&decision, "DataFresh");
            if fresh.get("reason").and_then(Value::as_str) != Some("Fresh") {
                unsure.push(format!("{}: {fresh}", subject.name));
            }
        }
        unsure
    }
}

/// A condition of a decision in the plan; null where there is none.
pub(super) fn condition<'a>(decision: &'a Value, kind: &str) -> &'a Value {
    static NONE: Value = Value::Null;
    let all = decision.get("conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|c| c.get("kind").and_then(Value::as_str) == Some(kind)).unwrap_or(&NONE)
}
