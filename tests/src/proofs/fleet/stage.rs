//! What the proof stands on: one cluster with very many emulated services, a Prometheus, and the real operator,
//! whose writes the audit log tells from all others.

use std::{ops::Range, time::Duration};

use kube::{Api, api::ListParams};
use loadline_chaos::world::{Shape, service::ServiceModel};
use loadline_crds::ElasticPolicy;
use serde_json::json;
use tokio::time::sleep;

use super::page::Page;
use crate::{
    cluster::{self, Audit, Cluster},
    emulator::{self, Emulator, Workload},
    operator::{self, NAMESPACE, Operator},
    process::Usage,
    prometheus::Prometheus,
    proofs::{
        Failure,
        stage::{BAND, Ground},
    },
    trail::{self, Write},
    wait::{NotInTime, until},
};

/// What one replica is declared to bear, requests/s.
const CAPACITY: f64 = 120.0;
/// What it bears: so much that no latency is long even before the second replica is there, and nothing but the
/// load decides.
const BEARS: f64 = 1_000.0;
/// Requests/s of each workload: one replica is enough.
pub(super) const RATE: f64 = 50.0;
/// What a load is multiplied by in a step: two replicas are needed then, neither more nor fewer.
pub(super) const STEP: f64 = 4.0;
/// Above this load, requests/s, a second replica is needed.
pub(super) const NEED: f64 = CAPACITY / BAND.0;
/// The share of further policies whose loads step alone: so many change in an ordinary sync of a large fleet.
const SOME: u32 = 100;
/// For ten thousand pods to be there: the control plane makes some 30 a second on two cores.
const PATIENCE: Duration = Duration::from_mins(30);
/// Between two looks at the operator's metrics, which cost it some milliseconds.
const LOOK: Duration = Duration::from_millis(500);
/// Between two lists of all policies, which keep the API server busy for seconds.
const BETWEEN_LISTS: Duration = Duration::from_mins(1);
/// The operator's name, as a pod and as a ServiceAccount.
const NAME: &str = "loadline-0";
/// Ticks in which queries are counted.
const TICKS: u32 = 3;

/// How large a fleet is, and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Policies whose loads step together.
    pub(super) policies: u32,
    /// Between two scrapes, and between two ticks of the operator.
    pub(super) pace: Duration,
    /// Between two looks at Prometheus, each of which costs it a query over all workloads.
    pub(super) look: Duration,
    /// The most that a common step may take from its visibility until all of it is written.
    pub(super) limit: Option<Duration>,
}

impl Size {
    /// Further policies, whose loads step alone.
    pub(super) fn some(self) -> u32 {
        self.policies.div_ceil(SOME)
    }

    /// All policies.
    pub(super) fn all(self) -> u32 {
        self.policies + self.some()
    }

    /// The name of a figure of this fleet.
    pub(super) fn named(self, what: &str) -> String {
        format!("{} policies: {what}", self.policies)
    }
}

/// Everything, running; ends when dropped.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) size: Size,
    pub(super) cluster: Cluster,
    pub(super) namespace: String,
    pub(super) emulator: Emulator,
    pub(super) prometheus: Prometheus,
    pub(super) operator: Operator,
    /// The operator's configuration.
    pub(super) config: String,
    /// The workloads, in the order in which they were made.
    workloads: Vec<Workload>,
    /// Who the operator is for the API server.
    user: String,
}

impl Fleet {
    /// Starts everything, without a workload.
    pub(super) async fn start(size: Size) -> Result<Self, Failure> {
        let options = cluster::Options {
            // Two pods of each workload in the end.
            nodes: 2 * size.all() / 100 + 1,
            no_qps_limits: true,
            audit: Audit::Operators,
            ..cluster::Options::default()
        };
        let emulator = emulator::Options { tick: Duration::from_secs(1) };
        let ground = Ground::start("fleet", &options, &emulator, size.pace).await?;
        let Ground { cluster, namespace, emulator, prometheus } = ground;
        let user = cluster.administrator(NAMESPACE, NAME).await?;
        let config = config(&prometheus.url(), size.pace);
        let options = operator::Options {
            pod: NAME.to_owned(),
            config: config.clone(),
            kubeconfig: Some(cluster.kubeconfig_of(NAMESPACE, NAME).await?),
            arguments: Vec::new(),
        };
        let operator = Operator::start(&cluster, options).await?;
        operator.wait_ready().await?;
        let workloads = Vec::new();
        Ok(Self { size, cluster, namespace, emulator, prometheus, operator, config, workloads, user })
    }

    /// Makes workloads of one replica under [`RATE`], waits until they are ready, and makes their policies.
    pub(super) async fn grow(&mut self, numbers: Range<u32>) -> Result<(), Failure> {
        let names = self.cluster.deploy_many(&self.namespace, "web", numbers).await?;
        let model: ServiceModel = serde_yaml::from_str(&format!("{{capacity: {BEARS}}}"))?;
        let workload = |name: &String| Workload::new(self.cluster.name(), &self.namespace, name);
        let new: Vec<Workload> = names.iter().map(workload).collect();
        for workload in &new {
            self.emulator.serve(workload, model.clone(), Shape::Constant { rate: RATE });
        }
        until("every pod to be ready", PATIENCE, || async {
            sleep(LOOK).await;
            let ready = new.iter().filter(|w| self.emulator.seen(w).is_some_and(|s| s.ready == 1)).count();
            if ready == new.len() { Ok(()) } else { Err(format!("{ready} of {} ready", new.len())) }
        })
        .await?;
        let policies: Vec<ElasticPolicy> = names.iter().map(|n| policy(n)).collect::<Result<_, _>>()?;
        let api = Api::namespaced(self.cluster.client().await?, &self.namespace);
        self.cluster.create_many(&api, policies).await?;
        self.workloads.extend(new);
        Ok(())
    }

    /// The workloads whose loads step together, and those whose loads step alone.
    pub(super) fn parts(&self) -> (&[Workload], &[Workload]) {
        let common = usize::try_from(self.size.policies).unwrap_or(usize::MAX);
        self.workloads.split_at(common.min(self.workloads.len()))
    }

    /// Changes the load of some workloads, in the same moment as good as.
    pub(super) fn offer(&self, workloads: &[Workload], rate: f64) {
        for workload in workloads {
            self.emulator.offer(workload, Shape::Constant { rate });
        }
    }

    /// The operator's metrics and what its process used so far.
    pub(super) async fn page(&self) -> Result<Page, Failure> {
        Ok(Page::new(self.operator.get("/metrics").await?))
    }

    /// What the operator's process used so far.
    pub(super) fn usage(&self) -> Result<Usage, Failure> {
        Ok(self.operator.process().usage().ok_or("the operator has ended")?)
    }

    /// Every write of the operator, in the order in which they were done.
    pub(super) fn writes(&self) -> Result<Vec<Write>, Failure> {
        let all = trail::writes(&self.cluster.audit_log())?;
        Ok(all.into_iter().filter(|w| w.user == self.user).collect())
    }

    /// Waits until the operator's metrics are as wanted; an `Err` says what they are instead.
    pub(super) async fn metrics<T>(
        &self,
        what: &str,
        mut wanted: impl FnMut(&Page) -> Result<T, String>,
    ) -> Result<T, NotInTime> {
        let mut look = |text: String| wanted(&Page::new(text));
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let text = until(what, PATIENCE, || self.operator.get("/metrics")).await?;
            match look(text) {
                Ok(value) => return Ok(value),
                Err(seen) if tokio::time::Instant::now() > deadline => {
                    return Err(NotInTime { what: what.to_owned(), seen, within: PATIENCE });
                }
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// Waits until the operator has fresh load for every policy and decides on it.
    pub(super) async fn decided(&self) -> Result<(), Failure> {
        let wanted = self.workloads.len();
        self.metrics("the operator to decide on every policy", |page| {
            let (fresh, active) = (page.policies_with("DataFresh"), page.policies_with("ScalingActive"));
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            let all = fresh.min(active) >= wanted as f64;
            if all { Ok(()) } else { Err(format!("{fresh} have fresh data, {active} are active")) }
        })
        .await?;
        Ok(())
    }

    /// Waits until a forecast has begun for every policy, minutes after its load was first seen: that is written once.
    pub(super) async fn foreseen(&self) -> Result<(), Failure> {
        let api = Api::<ElasticPolicy>::namespaced(self.cluster.client().await?, &self.namespace);
        until("a forecast of every load", PATIENCE, || async {
            sleep(BETWEEN_LISTS).await;
            let all = api.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
            let begun = |p: &&ElasticPolicy| p.status.as_ref().is_some_and(|s| s.forecast.is_some());
            let (begun, all) = (all.iter().filter(begun).count(), all.len());
            if begun == all { Ok(()) } else { Err(format!("{begun} of {all}")) }
        })
        .await?;
        Ok(())
    }

    /// The most queries of one tick, of the next few.
    pub(super) async fn queries(&self) -> Result<f64, Failure> {
        let mut most: f64 = 0.0;
        for _ in 0..TICKS {
            let before = self.page().await?.ticks();
            let queries = self.metrics("the next tick", |page| {
                if page.ticks() > before { Ok(page.queries_of_a_tick()) } else { Err("none".to_owned()) }
            });
            most = most.max(queries.await?);
        }
        Ok(most)
    }
}

/// A policy whose default behaviour has no limit in the way of a second replica. Its objective makes the operator
/// read all latency buckets of the fleet: without any, it would only count requests.
fn policy(name: &str) -> Result<ElasticPolicy, serde_json::Error> {
    let (min, max) = BAND;
    let spec = json!({
        "target": { "apiVersion": "apps/v1", "kind": "Deployment", "name": name },
        "bounds": { "min": 1, "max": 100 },
        "load": { "profile": "otel-http" },
        "objective": { "latency": { "quantile": 0.99, "target": "1s" } },
        "capacity": { "perReplica": CAPACITY.to_string(), "redundancy": { "min": min, "max": max } },
    });
    Ok(ElasticPolicy::new(name, serde_json::from_value(spec)?))
}

/// The operator's configuration: an answer may take as long as the next one is away.
fn config(url: &str, pace: Duration) -> String {
    let pace = format!("{}s", pace.as_secs());
    let source = json!({ "name": "rig", "url": url, "scrapeInterval": pace, "timeout": pace });
    // JSON is YAML.
    json!({ "sync": pace, "sources": [source] }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_needs_exactly_one_replica_more() {
        let needed = |rate: f64| (rate * BAND.0 / CAPACITY).ceil();
        let cases = [(RATE, 1.0), (NEED - 0.1, 1.0), (NEED + 0.1, 2.0), (RATE * STEP, 2.0)];
        assert!(cases.iter().all(|(rate, replicas)| (needed(*rate) - replicas).abs() < 1e-9));
    }

    #[test]
    fn one_in_a_hundred_steps_alone() {
        let size = |policies| Size { policies, pace: LOOK, look: LOOK, limit: None };
        assert_eq!((size(10_000).some(), size(10_000).all()), (100, 10_100));
        assert_eq!(size(20).some(), 1);
    }
}
