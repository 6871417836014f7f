//! What must be remembered from tick to tick. What must survive a restart is also kept in status.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::{
    ids::{ClusterId, PolicyKey},
    now::Mono,
};

/// The memory of the whole fleet, by policy.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// By policy; entries of deleted policies are dropped by the tick.
    pub policies: BTreeMap<PolicyKey, PolicyMemory>,
}

/// The memory of one policy.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PolicyMemory {
    /// UID of the policy that this is the memory of.
    pub uid: String,
    /// When this process first judged the policy: a stabilisation window that began before is not known,
    /// so nothing is removed until one full window has been seen.
    pub first_seen: Option<Mono>,
    /// Recent recommendations before stabilisation, oldest first.
    pub recommendations: VecDeque<Recommendation>,
    /// Recent changes of the total that were written, oldest first.
    pub changes: VecDeque<Change>,
    /// Mean weight per request learned at healthy latency, for the κ guard.
    pub baseline: Option<WeightBaseline>,
    /// Since when there is no data at all.
    pub no_data_since: Option<Mono>,
    /// Since when the activation signal is at or under its threshold.
    pub idle_since: Option<Mono>,
    /// What we last wrote or saw as wanted, per cluster: a difference is somebody else's write.
    pub last_wanted: BTreeMap<ClusterId, u32>,
    /// Foreign changes of `spec.replicas`, oldest first.
    pub foreign: VecDeque<Mono>,
    /// A person's `kubectl scale` up: a floor until it ends.
    pub person_floor: Option<PersonFloor>,
    /// The latency term's try: whether more replicas helped.
    pub latency: Option<LatencyTry>,
}

/// One recommendation before stabilisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// When.
    pub at: Mono,
    /// Replicas.
    pub replicas: u32,
}

/// One change that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When.
    pub at: Mono,
    /// Replicas added (positive) or removed (negative).
    pub delta: i64,
}

/// Mean weight per request at healthy latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WeightBaseline {
    /// Mean weight of one request.
    pub mean: f64,
    /// When it was last moved.
    pub at: Mono,
}

/// A floor that a person set by scaling up by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PersonFloor {
    /// Replicas.
    pub replicas: u32,
    /// Until when.
    pub until: Mono,
}

/// The latency term's try.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyTry {
    /// When latency was first over its target while utilisation was not high.
    pub since: Mono,
    /// Latency then, in seconds.
    pub latency: f64,
    /// Ready replicas then.
    pub ready: u32,
    /// Whether +25 % replicas were seen to bring nothing.
    pub futile: bool,
}
