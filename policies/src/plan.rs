//! The plan: what a tick decided, with every reason; first `Proposed`, and after `apply` `Applied`.
//!
//! The two are different types, so that a report can only be made of what was really applied.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    capacity::Known,
    fleet::ObjectVersion,
    forecast::Forecast,
    ids::{ByCluster, ClusterId, PolicyKey, Target, as_map},
    lead_time::Learned,
    now::{Mono, Now},
    policy::Mode,
    reading::Doubt,
    reason::{Condition, Reason},
};

/// A stage in the life of a plan: what an action is at that stage.
pub trait Stage: fmt::Debug {
    /// An action at this stage.
    type Action: fmt::Debug + Serialize;
}

/// Decided, not yet written.
#[derive(Debug, Clone, Copy)]
pub struct Proposed;

/// Written, or not, and why.
#[derive(Debug, Clone, Copy)]
pub struct Applied;

impl Stage for Proposed {
    type Action = Action;
}

impl Stage for Applied {
    type Action = AppliedAction;
}

/// What one tick decided for the whole fleet.
#[derive(Debug, Serialize)]
#[serde(bound = "")]
pub struct Plan<S: Stage> {
    /// When it was decided.
    #[serde(serialize_with = "wall")]
    pub at: Now,
    /// What to write, in order.
    pub actions: Vec<S::Action>,
    /// What was decided for each policy, also where nothing is written.
    pub decisions: BTreeMap<PolicyKey, Decision>,
    /// When to look again at the latest, if nothing happens before.
    pub wake_at: Option<Mono>,
}

fn wall<S: serde::Serializer>(now: &Now, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&now.wall)
}

/// Something to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Action {
    /// Set `spec.replicas` through `/scale`.
    Scale(ScaleAction),
}

/// Set the replicas of one target in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScaleAction {
    /// The policy that wants it.
    pub policy: PolicyKey,
    /// Where.
    pub cluster: ClusterId,
    /// What.
    pub target: Target,
    /// Replicas when it was decided; the write is refused when they are others by then.
    pub from: u32,
    /// Replicas that were accepted as asked for before: more than `from` where somebody else took some away that
    /// are put back, the same otherwise.
    pub accepted: u32,
    /// Replicas wanted.
    pub to: u32,
    /// What the write must carry.
    pub version: ObjectVersion,
    /// The decisive reason, for the Event.
    pub reason: Reason,
}

/// An action and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppliedAction {
    /// What was to be written.
    pub action: Action,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of an action; the variant is the metric label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// Written.
    Done,
    /// Not tried: back-off, dry run or a lapsed permit.
    Skipped(String),
    /// The API server (or the world as it is by now) refused it: conflict, forbidden, gone.
    Refused(String),
    /// It failed on the way; whether it was written is not known.
    Failed(String),
}

impl Outcome {
    /// The metric label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped(_) => "skipped",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }
}

/// What was decided for one policy.
#[derive(Debug, Clone, Serialize)]
pub struct Decision {
    /// Generation of the policy that was judged.
    pub generation: i64,
    /// How much Loadline may do; `Observe` while capacity is unknown. `None` when the policy is invalid.
    pub mode: Option<Mode>,
    /// Replicas over all clusters.
    pub replicas: crate::fleet::Totals,
    /// What load there is, if it could be read.
    pub demand: Option<Demand>,
    /// Weighted requests per second that one replica bears, as used for this decision.
    pub per_replica: Option<f64>,
    /// Where that comes from, and how sure it is; `None` when the policy is invalid.
    pub capacity: Option<Known>,
    /// Endpoints with a learned weight in use, 0 while all weigh 1; `None` where weights are not to be learned.
    pub endpoints_weighed: Option<u32>,
    /// `per_replica × ready / weighted load`; `None` without load or capacity.
    pub redundancy: Option<f64>,
    /// The measured quantile of the latency objective, in seconds.
    pub latency: Option<f64>,
    /// What is expected of the load.
    pub forecast: Option<Forecast>,
    /// How long replicas take to become ready, by cluster, where that was learned.
    #[serde(serialize_with = "as_map")]
    pub lead: ByCluster<Learned>,
    /// Every source that had a say.
    pub proposals: Vec<Proposal>,
    /// The result: replicas after behaviour and bounds. In modes that do not write: the recommendation.
    pub desired: u32,
    /// `desired`, spread over the clusters.
    #[serde(serialize_with = "as_map")]
    pub placement: ByCluster<u32>,
    /// Ready replicas by cluster.
    #[serde(serialize_with = "as_map")]
    pub ready: ByCluster<u32>,
    /// What fits nowhere.
    pub shortfall: u32,
    /// What is in doubt: the signal's name and why.
    pub doubts: Vec<(String, Doubt)>,
    /// Why; the first is the decisive one.
    pub reasons: Vec<Reason>,
    /// All conditions of the policy.
    pub conditions: Vec<Condition>,
    /// When this policy wants to be looked at again.
    pub wake_at: Option<Mono>,
}

/// The load of a workload over all its clusters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Demand {
    /// Weighted requests per second, as used for sizing (after the κ guard).
    pub weighted: f64,
    /// Weighted requests per second before the κ guard.
    pub raw: f64,
    /// Offered requests per second, unweighted.
    pub requests: f64,
    /// Share of `raw` that was interpolated inside histogram buckets, 0 to 1.
    pub interpolated: f64,
    /// Whether the κ guard cut `raw`.
    pub capped: bool,
    /// Age of the oldest reading in it.
    #[serde(serialize_with = "seconds")]
    pub age: Duration,
}

fn seconds<S: serde::Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(d.as_secs_f64())
}

/// What one source proposes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// Which source: `load`, `burst`, `latency`, `schedule lunch`, `trigger backlog`, …
    pub source: String,
    /// Replicas that it wants at least.
    pub replicas: u32,
}

impl Plan<Proposed> {
    /// The same plan after its actions were tried, one outcome for each action, in order.
    #[must_use]
    pub fn applied(self, outcomes: Vec<Outcome>) -> Plan<Applied> {
        let Self { at, actions, decisions, wake_at } = self;
        debug_assert_eq!(actions.len(), outcomes.len(), "one outcome for each action");
        let actions = actions
            .into_iter()
            .zip(outcomes)
            .map(|(action, outcome)| AppliedAction { action, outcome })
            .collect();
        Plan { at, actions, decisions, wake_at }
    }
}
