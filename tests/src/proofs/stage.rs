//! What the proofs of the loop stand on: one cluster, emulated services, a Prometheus, and the real operator.

use std::time::Duration;

use kube::{Api, api::Patch, api::PatchParams};
use loadline_chaos::world::{Shape, service::ServiceModel};
use loadline_crds::ElasticPolicy;
use serde_json::{Value, json};

use super::Failure;
use crate::{
    cluster::{self, Cluster},
    emulator::{self, Emulator, Workload},
    operator::{self, Operator},
    prometheus::{self, Prometheus},
    wait::until,
};

/// What one replica bears, requests/s: of the emulated services, and declared in their policies.
pub(super) const CAPACITY: u32 = 100;
/// The band that the redundancy is to keep: the default of a policy.
pub(super) const BAND: (f64, f64) = (1.1, 1.6);
/// For anything to come up on a machine that is busy with other tests; pods may take three minutes by themselves.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often things happen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Between two scrapes.
    pub(super) scrape: Duration,
    /// Between two ticks of the operator.
    pub(super) sync: Duration,
    /// The windows of load, steady and burst; those that the scrape interval gives when absent.
    pub(super) windows: Option<(Duration, Duration)>,
}

/// What the operator works on and reads.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) cluster: Cluster,
    /// A namespace for the workloads.
    pub(super) namespace: String,
    pub(super) emulator: Emulator,
    /// Scrapes the emulator.
    pub(super) prometheus: Prometheus,
}

impl Ground {
    /// Starts everything; the namespace has the cluster's name.
    pub(super) async fn start(
        name: &str,
        cluster: &cluster::Options,
        emulator: &emulator::Options,
        scrape: Duration,
    ) -> Result<Self, Failure> {
        let cluster = Cluster::start(name, cluster).await?;
        let namespace = cluster.namespace(name).await?;
        let emulator = Emulator::start([&cluster], emulator).await?;
        let scraping = prometheus::Options::scraping(scrape, [emulator.target()]);
        let prometheus = Prometheus::start(&scraping).await?;
        Ok(Self { cluster, namespace, emulator, prometheus })
    }
}

/// Everything, running; ends when dropped.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) cluster: Cluster,
    pub(super) namespace: String,
    pub(super) emulator: Emulator,
    pub(super) prometheus: Prometheus,
    pub(super) operator: Operator,
    /// The operator's configuration.
    pub(super) config: String,
}

impl Stage {
    /// Starts everything; the operator finds no policies yet.
    pub(super) async fn start(
        name: &str,
        options: &cluster::Options,
        timing: Timing,
    ) -> Result<Self, Failure> {
        let ground = Ground::start(name, options, &emulator::Options::default(), timing.scrape).await?;
        Self::on(ground, timing).await
    }

    /// Starts the operator on what is there; it finds no policies yet.
    pub(super) async fn on(ground: Ground, timing: Timing) -> Result<Self, Failure> {
        let Ground { cluster, namespace, emulator, prometheus } = ground;
        let config = timing.config(&prometheus.url());
        let reading = operator::Options::reading(&prometheus, timing.scrape, timing.sync);
        let options = operator::Options { config: config.clone(), ..reading };
        let operator = Operator::start(&cluster, options).await?;
        operator.wait_ready().await?;
        Ok(Self { cluster, namespace, emulator, prometheus, operator, config })
    }

    /// A service of so many replicas under so much load, all of them ready.
    pub(super) async fn service(&self, name: &str, replicas: u32, rate: f64) -> Result<Workload, Failure> {
        service(&self.cluster, &self.namespace, &self.emulator, (name, replicas, rate)).await
    }

    /// A policy for a service, with the usual target, load, capacity and band; `more` is put into its spec.
    pub(super) async fn policy(&self, name: &str, more: Value) -> Result<(), Failure> {
        let (min, max) = BAND;
        let mut spec = json!({
            "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
            "bounds": { "min": 1, "max": 100 },
            "load": { "profile": "otel-http" },
            "capacity": { "perReplica": CAPACITY, "redundancy": { "min": min, "max": max } },
        });
        if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
            spec.extend(more);
        }
        let policy = ElasticPolicy::new(name, serde_json::from_value(spec)?);
        self.cluster.apply(&self.policies().await?, &policy).await?;
        Ok(())
    }

    /// Writes an annotation that means nothing: the operator sees a change by somebody else, and ticks at once.
    pub(super) async fn touch(&self, name: &str, value: &str) -> Result<(), Failure> {
        let patch = json!({ "metadata": { "annotations": { "rig.loadline.dev/touched": value } } });
        let policies = self.policies().await?;
        policies.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Waits until the operator has read fresh load for a policy and decides on it.
    pub(super) async fn decided(&self, name: &str) -> Result<(), Failure> {
        let policies = self.policies().await?;
        until(&format!("the operator to decide on {name}"), PATIENCE, || async {
            let policy = policies.get(name).await.map_err(|e| e.to_string())?;
            let conditions = policy.status.map(|s| s.conditions).unwrap_or_default();
            let holds = |kind: &str| conditions.iter().any(|c| c.type_ == kind && c.status == "True");
            if holds("DataFresh") && holds("ScalingActive") { Ok(()) } else { Err(format!("{conditions:?}")) }
        })
        .await?;
        Ok(())
    }

    /// The policies of the namespace.
    pub(super) async fn policies(&self) -> Result<Api<ElasticPolicy>, Failure> {
        Ok(Api::namespaced(self.cluster.client().await?, &self.namespace))
    }
}

/// A service by its name, of so many replicas under so much load, all of them ready.
pub(super) async fn service(
    cluster: &Cluster,
    namespace: &str,
    emulator: &Emulator,
    (name, replicas, rate): (&str, u32, f64),
) -> Result<Workload, Failure> {
    let workload = Workload::new(cluster.name(), namespace, name);
    let model: ServiceModel = serde_yaml::from_str(&format!("{{capacity: {CAPACITY}}}"))?;
    emulator.serve(&workload, model, Shape::Constant { rate });
    cluster.deploy(namespace, name, replicas, "100m").await?;
    until(&format!("{replicas} ready pods of {name}"), PATIENCE, || async {
        match emulator.seen(&workload) {
            Some(seen) if seen.ready == replicas => Ok(()),
            seen => Err(format!("{seen:?}")),
        }
    })
    .await?;
    Ok(workload)
}

impl Timing {
    /// The operator's configuration for a Prometheus at `url`.
    pub(super) fn config(&self, url: &str) -> String {
        let ms = |d: Duration| format!("{}ms", d.as_millis());
        let mut source = json!({ "name": "rig", "url": url, "scrapeInterval": ms(self.scrape) });
        if let (Some((steady, burst)), Value::Object(source)) = (self.windows, &mut source) {
            source.insert("windows".to_owned(), json!({ "steady": ms(steady), "burst": ms(burst) }));
        }
        // JSON is YAML.
        json!({ "sync": ms(self.sync), "sources": [source] }).to_string()
    }
}
