//! The fleet: one consistent, typed, age-stamped snapshot that every decision of a tick reads.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    ids::{ByCluster, ClusterId, PolicyKey},
    now::Now,
    policy::Policy,
    reading::{Doubt, Observed},
};

/// Everything that is seen at one moment. A fleet of one cluster is a special case of many.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// When it was seen.
    pub now: Now,
    /// Whether automation is frozen, and why.
    pub freeze: Option<Freeze>,
    /// The clusters that take part.
    pub clusters: BTreeMap<ClusterId, Cluster>,
    /// The workloads, by the policy that governs them.
    pub workloads: BTreeMap<PolicyKey, Workload>,
    /// Policies that could not be parsed: reported, and never in the way of the others.
    pub invalid: BTreeMap<PolicyKey, InvalidPolicy>,
}

/// A freeze by the `SafetyLever`: automation stops, people do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freeze {
    /// The reason that the person gave.
    pub reason: String,
}

/// One cluster as the placement sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Whether its API server answers.
    pub state: ClusterState,
}

/// Whether a cluster may be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum ClusterState {
    /// Seen and answering.
    Healthy,
    /// Not seen: nothing is written, nothing is taken for gone.
    Dark,
    /// Seen, and not to be written now: what was seen last stands, nothing is taken for gone.
    Cut(Outage),
}

/// Why a cluster cannot be written although it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// When the first request was sent that failed.
    pub since: Timestamp,
    /// What kind of failure it is.
    pub cause: OutageCause,
    /// The last failure, for people.
    pub detail: String,
}

/// What kind of failure an [`Outage`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum OutageCause {
    /// The API server gives no answer, or none but errors of its own.
    NoAnswer,
    /// It answers, and does not let the lease be renewed, without which nobody may write.
    LeaseRefused,
}

/// A policy with what is seen of its workload.
#[derive(Debug, Clone)]
pub struct Workload {
    /// What a person asked for; shared, since most policies are the same from tick to tick.
    pub policy: Arc<Policy>,
    /// What is seen of the target, per cluster.
    pub instances: ByCluster<Result<Instance, TargetProblem>>,
    /// The user's own signals, by trigger name.
    pub triggers: BTreeMap<String, Observed<f64>>,
    /// Others that scale the same target.
    pub contenders: Vec<Contender>,
}

/// The target in one cluster.
#[derive(Debug, Clone)]
pub struct Instance {
    /// `spec.replicas`.
    pub wanted: u32,
    /// Replicas that exist and are not going away (neither completed, failed nor deleting).
    pub current: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Whether a roll-out is under way (`observedGeneration` behind, or replicas of two templates), or cannot be ruled
    /// out because the object does not tell which of its replicas are ready.
    pub rolling_out: bool,
    /// Identity of what a replica is made of: the images and resources of the pod template's containers. `None` where no
    /// template is seen.
    pub template: Option<u64>,
    /// What of the pod template its CPU is judged by; `None` where no template is seen.
    pub footprint: Option<Footprint>,
    /// The object's UID and resourceVersion: what a write must carry.
    pub version: ObjectVersion,
    /// Offered load over the long window (steady; what scale-in is judged by).
    pub load: Observed<LoadSample>,
    /// Offered load over the short window (quick; may only raise), where the source gives one.
    pub burst: Option<Observed<LoadSample>>,
    /// The CPU that its replicas use; `None` in all ticks without an answer, which are most: it is asked for about once a
    /// minute, and only while something is learned from it.
    pub cpu: Option<Observed<CpuSample>>,
}

/// What of a pod template the CPU of its replicas is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Footprint {
    /// Identity of the images of its containers.
    pub images: u64,
    /// CPU that one replica asks for, in thousandths of a core, sidecars included; `None` unless every container asks.
    pub cpu_request: Option<u32>,
}

/// CPU that the replicas of a workload in one cluster use. Its coverage says of how many replicas it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuSample {
    /// The window that the rate is over.
    pub window: Duration,
    /// CPU seconds per second, of all replicas that report.
    pub cores: f64,
}

/// What a write must carry so that it changes only what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectVersion {
    /// UID of the object.
    pub uid: String,
    /// Its resourceVersion when it was seen.
    pub resource_version: String,
}

/// Why the target of a policy cannot be scaled in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum TargetProblem {
    /// No such object.
    Missing,
    /// The kind is not known to the API server.
    UnknownKind,
    /// The kind is known, but has no `/scale` subresource.
    NotScalable,
    /// The operator may not read or scale it: add the kind to the chart's `scaleTargets`.
    Forbidden,
    /// The object is being deleted.
    Deleting,
    /// Not listed yet: the process just started, or the API server is away.
    NotYetSeen,
}

/// Another scaler of the same target.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Contender {
    /// For example `HorizontalPodAutoscaler`, `ScaledObject`, `ElasticPolicy`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Offered load of one workload in one cluster over a window.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSample {
    /// The window that the rates are over; counts are `rate × window`.
    pub window: Duration,
    /// Requests per second by latency, if the profile has a histogram.
    pub histogram: Option<Histogram>,
    /// Requests per second by endpoint, if the policy asks for them.
    pub endpoints: BTreeMap<String, f64>,
    /// Offered requests per second: served + rejected + degraded + shed. For a queue: arrivals.
    pub requests: f64,
    /// Messages waiting, for a queue profile.
    pub backlog: Option<f64>,
}

/// Rates of a cumulative latency histogram.
///
/// Invariant (made by `load::histogram`): bounds ascend, the last is `+Inf`, rates never descend.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// `(upper bound in seconds, cumulative requests/s at or under it)`.
    pub buckets: Vec<(f64, f64)>,
}

/// A policy that could not be parsed, with every complaint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvalidPolicy {
    /// `metadata.generation`.
    pub generation: i64,
    /// Each with the path of the field and the way to fix it.
    pub complaints: Vec<String>,
}

impl Workload {
    /// Replicas wanted, existing and ready over all clusters where the target is seen.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.instances.values().flatten().fold(Totals::default(), |t, i| Totals {
            wanted: t.wanted.saturating_add(i.wanted),
            current: t.current.saturating_add(i.current),
            ready: t.ready.saturating_add(i.ready),
        })
    }

    /// The clusters whose load is in doubt, and why.
    pub fn load_doubts(&self) -> impl Iterator<Item = (&ClusterId, &Doubt)> {
        self.instances.iter().filter_map(|(id, i)| match i {
            Ok(Instance { load: Err(doubt), .. }) => Some((id, doubt)),
            _ => None,
        })
    }
}

/// Sums over clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Totals {
    /// `spec.replicas`.
    pub wanted: u32,
    /// Replicas that exist.
    pub current: u32,
    /// Replicas that are ready.
    pub ready: u32,
}
