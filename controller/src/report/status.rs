//! The status of a policy, made of its decision; and the memory of a policy, made of its status.
//!
//! Numbers are quantised and the ones that move by themselves (load, ready replicas, the sentence of the reason)
//! never cause a write: an unchanged world writes nothing.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use loadline_crds::elastic_policy::{
    ClusterStatus, ElasticPolicyStatus, LoadStatus, Mode, PersonFloorStatus, ReplicaChange,
    WeightBaselineStatus, quantised,
};
use loadline_policies::{
    memory::{PersonFloor, PolicyMemory, WeightBaseline},
    now::Now,
    plan::Decision,
    policy, reason,
};

/// How many changes status remembers: enough for the rate rules of a default policy (one period of 15 s, at one
/// write a tick of 5 s), small enough to read.
const CHANGES: usize = 10;

/// Longest sentence in status, in bytes; the schema allows so many characters.
const MAX_TEXT: usize = 1024;

/// A weight baseline that moved less than this is not worth a write.
const BASELINE_STEP: f64 = 0.05;

/// How urgent it is to write a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nothing changed that a reader or a new leader must know.
    None,
    /// Worth a write within a minute.
    Soon,
    /// A decision or a state changed: write now.
    Now,
}

/// The status that a decision gives.
///
/// `previous` gives what stays: transition times of conditions, changes that were written before.
#[must_use]
pub fn of(
    decision: &Decision,
    memory: Option<&PolicyMemory>,
    change: Option<(u32, u32)>,
    previous: &ElasticPolicyStatus,
    now: Now,
) -> ElasticPolicyStatus {
    let judged = decision.mode.is_some();
    ElasticPolicyStatus {
        observed_generation: Some(decision.generation),
        mode: decision.mode.map(mode),
        desired_replicas: judged.then(|| count(decision.desired)),
        current_replicas: judged.then(|| count(decision.replicas.wanted)),
        ready_replicas: judged.then(|| count(decision.replicas.ready)),
        reason: decision.reasons.first().map(|r| cut(&r.text)),
        last_decision_time: Some(Time(now.wall)),
        load: load(decision),
        clusters: clusters(decision),
        recent_changes: changes(&previous.recent_changes, change, now.wall),
        person_floor: memory.and_then(|m| m.person_floor).map(|floor| PersonFloorStatus {
            replicas: count(floor.replicas),
            until: whole_seconds(now.wall_of(floor.until)),
        }),
        idle_since: memory.and_then(|m| m.idle_since).map(|at| whole_seconds(now.wall_of(at))),
        weight_baseline: memory.and_then(|m| m.baseline).and_then(|b| baseline(b, now)),
        conditions: conditions(&decision.conditions, &previous.conditions, decision.generation, now.wall),
    }
}

/// How urgent it is to replace `old` by `new`.
#[must_use]
pub fn urgency(old: &ElasticPolicyStatus, new: &ElasticPolicyStatus) -> Urgency {
    if old.observed_generation != new.observed_generation
        || old.mode != new.mode
        || old.desired_replicas != new.desired_replicas
        || old.current_replicas != new.current_replicas
        || old.recent_changes != new.recent_changes
        || old
            .clusters
            .iter()
            .map(|c| (&c.name, c.desired))
            .ne(new.clusters.iter().map(|c| (&c.name, c.desired)))
        || states(&old.conditions).ne(states(&new.conditions))
        || old.person_floor.as_ref().map(|f| f.replicas) != new.person_floor.as_ref().map(|f| f.replicas)
        || old.idle_since.is_some() != new.idle_since.is_some()
    {
        return Urgency::Now;
    }
    let messages = old.conditions.iter().map(|c| &c.message).ne(new.conditions.iter().map(|c| &c.message));
    let moved = baseline_moved(old.weight_baseline.as_ref(), new.weight_baseline.as_ref());
    if messages || moved { Urgency::Soon } else { Urgency::None }
}

/// What must survive a restart, from status: rate rules, a person's floor, idle time, the weight baseline.
///
/// Stabilisation windows are not kept: a new process removes nothing before it has seen one full window itself.
#[must_use]
pub fn remembered(status: &ElasticPolicyStatus, now: Now) -> PolicyMemory {
    let mut memory = PolicyMemory::default();
    let changes: Vec<_> =
        status.recent_changes.iter().map(|c| (c.at.0, i64::from(c.to) - i64::from(c.from))).collect();
    loadline_policies::memory::restore(&mut memory, &changes, now);
    memory.person_floor = status.person_floor.as_ref().and_then(|floor| {
        let left = std::time::Duration::try_from(floor.until.0.duration_since(now.wall)).ok()?;
        Some(PersonFloor { replicas: u32::try_from(floor.replicas).ok()?, until: now.mono.plus(left) })
    });
    memory.idle_since = status.idle_since.as_ref().map(|at| now.mono_of(at.0));
    memory.baseline =
        status.weight_baseline.as_ref().map(|b| WeightBaseline::kept(b.mean, now.mono_of(b.at.0)));
    memory
}

fn mode(mode: policy::Mode) -> Mode {
    match mode {
        policy::Mode::Observe => Mode::Observe,
        policy::Mode::Recommend => Mode::Recommend,
        policy::Mode::Active => Mode::Active,
    }
}

fn count(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// At most [`MAX_TEXT`] bytes, cut at a character.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT - '…'.len_utf8()).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// API servers keep whole seconds; a fraction would make every read differ from what was written.
pub(super) fn whole_seconds(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

fn load(decision: &Decision) -> Option<LoadStatus> {
    let demand = decision.demand.as_ref()?;
    Some(LoadStatus {
        weighted_qps: quantised(demand.weighted),
        qps: quantised(demand.requests),
        per_replica: decision.per_replica.and_then(quantised),
        redundancy: decision.redundancy.and_then(quantised),
    })
}

fn clusters(decision: &Decision) -> Vec<ClusterStatus> {
    let ready = |id| decision.ready.get(id).copied().map_or(0, count);
    decision
        .placement
        .iter()
        .map(|(id, n)| ClusterStatus { name: id.to_string(), desired: count(*n), ready: ready(id) })
        .collect()
}

fn changes(previous: &[ReplicaChange], change: Option<(u32, u32)>, at: Timestamp) -> Vec<ReplicaChange> {
    let new =
        change.map(|(from, to)| ReplicaChange { at: whole_seconds(at), from: count(from), to: count(to) });
    let all: Vec<_> = previous.iter().cloned().chain(new).collect();
    let surplus = all.len().saturating_sub(CHANGES);
    all.into_iter().skip(surplus).collect()
}

fn baseline(baseline: WeightBaseline, now: Now) -> Option<WeightBaselineStatus> {
    let mean = quantised(baseline.mean)?;
    Some(WeightBaselineStatus { mean, at: whole_seconds(now.wall_of(baseline.at)) })
}

fn baseline_moved(old: Option<&WeightBaselineStatus>, new: Option<&WeightBaselineStatus>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => (new.mean - old.mean).abs() > BASELINE_STEP * old.mean.abs(),
        (None, Some(_)) => true,
        (_, None) => false,
    }
}

fn conditions(
    new: &[reason::Condition],
    old: &[Condition],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    new.iter()
        .map(|c| {
            let type_ = c.kind.to_string();
            let status = match c.status {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            let since = old.iter().find(|o| o.type_ == type_ && o.status == status);
            Condition {
                last_transition_time: since.map_or(whole_seconds(now), |o| o.last_transition_time.clone()),
                message: cut(&c.message),
                observed_generation: Some(generation),
                reason: c.reason.to_owned(),
                status: status.to_owned(),
                type_,
            }
        })
        .collect()
}

fn states(conditions: &[Condition]) -> impl Iterator<Item = (&str, &str, &str)> {
    conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()))
}
