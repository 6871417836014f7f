//! What a world is made of, as an SRE writes it down in YAML.
//!
//! Every field but a workload's name and traffic has a default, so that a scenario says only what matters to it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use loadline_policies::ids::{ClusterId, Target};
use serde::{Deserialize, Serialize};

use super::{service::ServiceModel, traffic::Traffic};

/// A whole world.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorldConfig {
    /// Wall time at which it begins; a Monday at midnight UTC by default.
    #[serde(default = "monday")]
    pub start: Timestamp,
    /// Length of one step: everything that happens, happens at a multiple of it.
    #[serde(default = "second", with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub resolution: Duration,
    /// Clusters by name; one named `local` by default.
    #[serde(default = "one_cluster")]
    pub clusters: BTreeMap<String, ClusterConfig>,
    /// What runs in them.
    pub workloads: Vec<WorkloadConfig>,
    /// How load is measured.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// What a policy's own queries answer, by the text of the query.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signals: BTreeMap<String, Signal>,
}

fn monday() -> Timestamp {
    // 2026-03-02T00:00:00Z.
    Timestamp::constant(1_772_409_600, 0)
}

const fn second() -> Duration {
    Duration::from_secs(1)
}

fn one_cluster() -> BTreeMap<String, ClusterConfig> {
    BTreeMap::from([(ClusterId::local().as_str().to_owned(), ClusterConfig::default())])
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// How many nodes it has.
    pub nodes: u32,
    /// CPU cores of a node that pods can ask for.
    pub node_cpu: f64,
}

impl Default for ClusterConfig {
    /// Room for 3,200 one-core pods: enough not to matter unless a scenario wants it to.
    fn default() -> Self {
        Self { nodes: 100, node_cpu: 32.0 }
    }
}

/// One workload, possibly in several clusters; its traffic is spread over all its ready replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadConfig {
    /// API version of the object.
    #[serde(default = "apps_v1")]
    pub api_version: String,
    /// Kind of the object.
    #[serde(default = "deployment")]
    pub kind: String,
    /// Its namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Its name, unique in namespace and kind.
    pub name: String,
    /// Replicas at the start, by cluster; one in `local` by default.
    #[serde(default = "one_replica")]
    pub replicas: BTreeMap<String, u32>,
    /// CPU cores that a pod asks the scheduler for.
    #[serde(default = "one_core")]
    pub pod_cpu: f64,
    /// Time from a pod's placement to Ready.
    #[serde(default)]
    pub start_up: StartUp,
    /// How its replicas answer.
    pub service: ServiceModel,
    /// What is asked of it.
    pub traffic: Traffic,
    /// Where its telemetry comes from.
    #[serde(default)]
    pub measured_at: MeasuredAt,
    /// What its users were promised; violations are counted against it.
    #[serde(default)]
    pub objective: Objective,
}

fn apps_v1() -> String {
    "apps/v1".to_owned()
}

fn deployment() -> String {
    "Deployment".to_owned()
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn one_replica() -> BTreeMap<String, u32> {
    BTreeMap::from([(ClusterId::local().as_str().to_owned(), 1)])
}

const fn one_core() -> f64 {
    1.0
}

impl WorkloadConfig {
    /// The scale target that this workload is.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new(&self.api_version, &self.kind, &self.namespace, &self.name)
    }
}

/// Time from a pod's placement on a node to Ready; log-logistic through these two quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartUp {
    /// Half of the pods are quicker.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub median: Duration,
    /// 95 of 100 are quicker.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub p95: Duration,
}

impl Default for StartUp {
    /// A pulled image and a quick readiness probe.
    fn default() -> Self {
        Self { median: Duration::from_secs(20), p95: Duration::from_secs(45) }
    }
}

/// Where telemetry of a workload comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MeasuredAt {
    /// Its own pods: without pods there are no series.
    #[default]
    Pods,
    /// A gateway or a queue's exporter: the series exist without the workload.
    Entry,
}

/// "This quantile of latency stays at or under this", and nothing is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Objective {
    /// In (0, 1).
    pub quantile: f64,
    /// The bound.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub target: Duration,
}

impl Default for Objective {
    fn default() -> Self {
        Self { quantile: 0.99, target: Duration::from_millis(250) }
    }
}

/// How load is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Time between two scrapes.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub scrape: Duration,
    /// Time from a scrape until its samples can be read.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub delay: Duration,
    /// The long window that steady rates are over.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub window: Duration,
    /// The short window that bursts are seen in; at least two scrapes.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub burst_window: Duration,
    /// Upper bounds of the latency histogram, seconds, ascending; `+Inf` is added.
    pub bounds: Vec<f64>,
    /// Whether the CPU of the pods is measured too.
    pub cpu: bool,
}

impl Default for TelemetryConfig {
    /// A five-second scrape; the bounds that OpenTelemetry's HTTP semantic conventions advise.
    fn default() -> Self {
        Self {
            scrape: Duration::from_secs(5),
            delay: Duration::from_secs(1),
            window: Duration::from_mins(1),
            burst_window: Duration::from_secs(15),
            bounds: vec![0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0],
            cpu: false,
        }
    }
}

/// What a policy's own query measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Signal {
    /// Messages or requests that wait for a workload.
    Backlog {
        /// `namespace/name` of the workload.
        workload: String,
    },
    /// Requests per second offered to a workload.
    Offered {
        /// `namespace/name` of the workload.
        workload: String,
    },
    /// Always the same number.
    Constant {
        /// The number.
        value: f64,
    },
}
