//! What must be remembered from tick to tick. What must survive a restart is also kept in status.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    capacity::{CpuLearner, Learner},
    forecast::Forecaster,
    ids::{ByCluster, PolicyKey, Target, as_map},
    lead_time::LeadTime,
    load::{awaited::Awaited, endpoint_weights::EndpointLearner},
    now::{Mono, Now},
    plan::{Action, Applied, Outcome, Plan, ScaleAction},
    policy::{LatencyObjective, Load, PerReplica},
};

/// The memory of the whole fleet, by policy.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// By policy; entries of deleted policies are dropped by the tick. Boxed, since nodes of the map are half empty.
    pub policies: BTreeMap<PolicyKey, Box<PolicyMemory>>,
}

/// The memory of one policy.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PolicyMemory {
    /// UID of the policy that this is the memory of.
    pub uid: String,
    /// What of the policy it was learned under; `None` before the first judgement of this process.
    pub basis: Option<Basis>,
    /// The generation of the policy at the last judgement, or that of the status that it was restored from.
    pub generation: i64,
    /// When the policy was last judged: after a gap nothing is known of what others did meanwhile.
    pub judged_at: Option<Mono>,
    /// When this process first judged the policy: a stabilisation window that began before is not known,
    /// so nothing is removed until one full window has been seen.
    pub first_seen: Option<Mono>,
    /// When the load was last in doubt: the rate window may be partly empty until it has passed once more.
    pub doubted_at: Option<Mono>,
    /// Ready replicas by cluster that can still be the fewest of a rate window: oldest first, replicas
    /// strictly rising. Kept by `load::settling`.
    #[serde(serialize_with = "as_map")]
    pub ready: ByCluster<VecDeque<ReadyCount>>,
    /// Recent recommendations that can still be the highest of the down window: oldest first, replicas
    /// strictly falling. Kept by `behaviour::stabilise`.
    pub highs: VecDeque<Recommendation>,
    /// Recent recommendations that can still be the lowest of the up window: oldest first, replicas strictly
    /// rising. Kept by `behaviour::stabilise`.
    pub lows: VecDeque<Recommendation>,
    /// Recent changes of the total that were written, oldest first.
    pub changes: VecDeque<Change>,
    /// Mean weight per request learned at healthy latency, for the κ guard.
    pub baseline: Option<WeightBaseline>,
    /// Since when there is no data at all.
    pub no_data_since: Option<Mono>,
    /// Since when the activation signal is at or under its threshold.
    pub idle_since: Option<Mono>,
    /// What we last wrote or accepted as wanted, per cluster: a difference is somebody else's write.
    #[serde(serialize_with = "as_map")]
    pub last_wanted: ByCluster<u32>,
    /// Our own writes that the watch has not shown yet, per cluster.
    #[serde(serialize_with = "as_map")]
    pub in_flight: ByCluster<InFlight>,
    /// Foreign values below [`Self::last_wanted`] that are being restored, per cluster; each counts once.
    #[serde(serialize_with = "as_map")]
    pub restoring: ByCluster<u32>,
    /// When we last wrote fewer replicas: who puts them back undoes it.
    pub lowered_at: Option<Mono>,
    /// Foreign changes that undid ours, oldest first.
    pub foreign: VecDeque<Mono>,
    /// A person's `kubectl scale` up: a floor until it ends.
    pub person_floor: Option<PersonFloor>,
    /// When each schedule starts next and last started, so that cron is not searched every tick.
    pub schedules: Vec<ScheduleEdges>,
    /// The latency term's try: whether more replicas helped.
    pub latency: Option<LatencyTry>,
    /// How long replicas take to become ready, per cluster.
    #[serde(serialize_with = "as_map")]
    pub lead: ByCluster<LeadTime>,
    /// Since when the forecast would do with fewer.
    pub surplus: Option<Surplus>,
    /// That the forecaster has not learned its past yet.
    pub awaited: Option<Awaited>,
    /// What was learned of the capacity of one replica. Told in the decision.
    #[serde(skip)]
    pub capacity: Option<Box<Learner>>,
    /// What was learned of the CPU that a request takes, while the capacity is not. Told in the decision.
    #[serde(skip)]
    pub cpu: Option<Box<CpuLearner>>,
    /// What requests weigh by endpoint, where that is to be learned. Told in status.
    #[serde(skip)]
    pub endpoint_weights: Option<Box<EndpointLearner>>,
    /// The forecast of the load. Told elsewhere: it is thousands of numbers.
    #[serde(skip)]
    pub forecaster: Option<Box<Forecaster>>,
}

/// What of a policy the memory was learned under: what depends on it is dropped when it changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Basis {
    /// Whose replicas they are.
    pub target: Target,
    /// What a request weighs, and how it is read.
    pub load: Load,
    /// What latency is judged by.
    pub objective: Option<LatencyObjective>,
    /// What one replica bears.
    pub per_replica: PerReplica,
}

/// That the forecast would do with fewer replicas than are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Surplus {
    /// Since when, without a break.
    pub since: Mono,
    /// Of how many.
    pub wanted: u32,
}

/// The fewest replicas that were ready since a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReadyCount {
    /// Since when, until the moment of the next entry.
    pub at: Mono,
    /// Replicas.
    pub replicas: u32,
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

/// A write of ours between apply and the watch event that shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InFlight {
    /// When it was decided.
    pub at: Mono,
    /// Replicas before, as they were seen.
    pub from: u32,
    /// Replicas before, as they were accepted.
    pub accepted: u32,
    /// Replicas written.
    pub to: u32,
    /// The resourceVersion that it was written on: while the watch still shows it, the write is not seen.
    pub resource_version: String,
    /// Whether the API server confirmed it; a write that failed on the way may or may not have arrived.
    pub confirmed: bool,
}

/// The edges of one schedule around a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScheduleEdges {
    /// Generation of the policy that this was computed for.
    pub generation: i64,
    /// Valid from this moment.
    pub from: Timestamp,
    /// Valid until this moment.
    pub until: Timestamp,
    /// The last start at or before `from`, if there was one.
    pub previous: Option<Timestamp>,
    /// The next start, if there is one.
    pub next: Option<Timestamp>,
}

/// Mean weight per request at healthy latency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WeightBaseline {
    /// Mean weight of one request.
    pub mean: f64,
    /// When it was last moved.
    pub at: Mono,
    /// How much healthy time it was learned from: the longer, the slower it moves (see `load::baseline`).
    pub learned: Duration,
}

/// A floor that a person set by scaling up by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PersonFloor {
    /// Replicas.
    pub replicas: u32,
    /// Replicas before: whoever takes the floor back may go as low as this.
    pub from: u32,
    /// Until when.
    pub until: Mono,
}

/// The latency term's try: more replicas because latency is over its target although the load is not high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyTry {
    /// When latency was first over its target while utilisation was not high.
    pub since: Mono,
    /// When this step began, or the factor was last eased.
    pub at: Mono,
    /// The worst latency before the replicas of this step were ready, in seconds.
    pub latency: f64,
    /// The largest share of requests over the target before they were ready, 0 to 1.
    pub slow: f64,
    /// Utilisation when this step began.
    pub utilisation: f64,
    /// Replicas that this step wants, before rounding up.
    pub replicas: f64,
    /// By how much one replica's capacity is taken to be over-estimated at any load.
    pub factor: f64,
    /// `factor` and `replicas` before this step: what a step that brings nothing falls back to.
    pub before: (f64, f64),
    /// Never more `replicas` than this in all steps together.
    pub limit: f64,
    /// Since when the replicas of this step are ready.
    pub reached: Option<Mono>,
    /// Where the try stands.
    pub phase: TryPhase,
}

/// Where the latency term's try stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum TryPhase {
    /// Latency is over its target and the load does not look like the cause: nothing is tried yet.
    Watching,
    /// Replicas are being added, to see whether they help.
    Growing,
    /// Latency is healthy again: the factor goes back to 1 slowly.
    Easing,
    /// +25 % replicas were seen to bring nothing.
    Futile,
}

/// Remembers which actions of a plan were written.
///
/// Call it once for each applied plan: rate rules, dwells and the detection of foreign writes live from it.
pub fn record(memory: &mut Memory, plan: &Plan<Applied>) {
    for applied in &plan.actions {
        let Action::Scale(action) = &applied.action;
        let Some(policy) = memory.policies.get_mut(&action.policy) else { continue };
        match &applied.outcome {
            Outcome::Done => {
                record_change(policy, plan.at.mono, delta(action));
                policy.last_wanted.insert(action.cluster.clone(), action.to);
                policy.restoring.remove(&action.cluster);
                policy.in_flight.insert(action.cluster.clone(), in_flight(action, plan.at.mono, true));
            }
            Outcome::Failed(_) => {
                policy.in_flight.insert(action.cluster.clone(), in_flight(action, plan.at.mono, false));
            }
            Outcome::Skipped(_) | Outcome::Refused(_) => {}
        }
    }
}

/// Takes the recent changes of status into the memory of a policy after a restart.
///
/// `changes` are `(when, replicas added or removed)` in any order. A time in the future counts as now, and a
/// time before the monotonic clock's origin as the origin, so that no rate rule or dwell is ever shortened.
pub fn restore(memory: &mut PolicyMemory, changes: &[(Timestamp, i64)], now: Now) {
    let kept = changes.iter().map(|&(at, delta)| Change { at: now.mono_of(at), delta });
    memory.changes = kept.chain(memory.changes.drain(..)).collect();
    memory.changes.make_contiguous().sort_by_key(|change| change.at);
}

/// Adds a change of the total. Changes of one plan (one per cluster) are one change, as their sum.
pub(crate) fn record_change(memory: &mut PolicyMemory, at: Mono, delta: i64) {
    if delta == 0 {
        return;
    }
    if delta < 0 {
        memory.lowered_at = Some(at);
    }
    match memory.changes.back_mut() {
        Some(last) if last.at == at => last.delta = last.delta.saturating_add(delta),
        _ => memory.changes.push_back(Change { at, delta }),
    }
}

/// What a write adds to what was accepted before it: putting back what somebody else took adds nothing.
fn delta(action: &ScaleAction) -> i64 {
    i64::from(action.to) - i64::from(action.accepted)
}

fn in_flight(action: &ScaleAction, at: Mono, confirmed: bool) -> InFlight {
    InFlight {
        at,
        from: action.from,
        accepted: action.accepted,
        to: action.to,
        resource_version: action.version.resource_version.clone(),
        confirmed,
    }
}
