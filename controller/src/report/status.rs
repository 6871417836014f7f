//! The status of a policy, made of its decision; and the memory of a policy, made of its status.
//!
//! Numbers are quantised and the ones that move by themselves (load, ready replicas, the sentence of the reason)
//! never cause a write: an unchanged world writes nothing.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use loadline_crds::{
    ElasticPolicy,
    elastic_policy::{
        ClusterStatus, ElasticPolicyStatus, EndpointWeightsStatus, ForecastStatus, ForecastTrust,
        LatencyTryPhase, LatencyTryStatus, LeadTimeStatus, LoadStatus, Mode, PersonFloorStatus,
        ReplicaChange, WeightBaselineStatus, quantised,
    },
};
use loadline_policies::{
    desired,
    forecast::{Forecast, trust::Trust},
    ids::{ByCluster, ClusterId},
    lead_time::{LeadTime, Learned},
    load::{awaited::Awaited, endpoint_weights::EndpointLearner},
    memory::{LatencyTry, Memory, PersonFloor, PolicyMemory, TryPhase, WeightBaseline},
    now::Now,
    plan::Decision,
    policy::{self, EndpointWeights},
    reason,
};

use super::{capacity, key_of};
use crate::translate::trust;

/// How many changes status remembers: enough for the rate rules of a default policy (one period of 15 s, at one
/// write a tick of 5 s), small enough to read.
const CHANGES: usize = 10;

/// Longest sentence in status, in bytes; the schema allows so many characters.
const MAX_TEXT: usize = 1024;

/// A weight baseline that moved less than this is not worth a write.
const BASELINE_STEP: f64 = 0.05;

/// Nor is a lead time that moved less than this.
const LEAD_STEP: f64 = 0.2;

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
            from: Some(count(floor.from)),
            until: whole_seconds(now.wall_of(floor.until)),
        }),
        idle_since: memory.and_then(|m| m.idle_since).map(|at| whole_seconds(now.wall_of(at))),
        weight_baseline: memory.and_then(|m| m.baseline).and_then(|b| baseline(b, now)),
        endpoint_weights: memory.and_then(endpoint_weights),
        latency_try: memory.and_then(|m| m.latency).and_then(|t| latency_try(&t)),
        capacity: capacity::of(decision.capacity.as_ref(), memory, previous.capacity.as_ref(), now),
        forecast: match memory.and_then(|m| m.awaited?.stands_in(now.mono)) {
            // A process that begins in the meantime must know it too.
            Some(acting) => previous.forecast.clone().map(|kept| held_to(acting, kept)),
            None => decision.forecast.map(|f| forecast(&f)),
        },
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
        || old.latency_try.as_ref().map(|t| t.phase) != new.latency_try.as_ref().map(|t| t.phase)
        || old.forecast.as_ref().map(|f| (f.trust, f.earned))
            != new.forecast.as_ref().map(|f| (f.trust, f.earned))
    {
        return Urgency::Now;
    }
    let messages = old.conditions.iter().map(|c| &c.message).ne(new.conditions.iter().map(|c| &c.message));
    let moved = baseline_moved(old.weight_baseline.as_ref(), new.weight_baseline.as_ref())
        || try_moved(old.latency_try.as_ref(), new.latency_try.as_ref())
        || lead_moved(&old.clusters, &new.clusters)
        || old.endpoint_weights != new.endpoint_weights;
    let known = capacity::urgency(old.capacity.as_ref(), new.capacity.as_ref());
    if messages || moved { known.max(Urgency::Soon) } else { known }
}

/// What must survive a restart, from status: rate rules, a person's floor, the weight baseline, the latency try, the
/// trust of the forecast, lead times, the learned capacity.
///
/// Stabilisation windows are not kept: a new process removes nothing before it has seen one full window itself.
/// Nor is the idle time: nobody looked while no process ran.
#[must_use]
pub fn remembered(status: &ElasticPolicyStatus, now: Now) -> PolicyMemory {
    let mut memory = PolicyMemory::default();
    let changes: Vec<_> =
        status.recent_changes.iter().map(|c| (c.at.0, i64::from(c.to) - i64::from(c.from))).collect();
    loadline_policies::memory::restore(&mut memory, &changes, now);
    memory.person_floor = status.person_floor.as_ref().and_then(|floor| {
        let left = std::time::Duration::try_from(floor.until.0.duration_since(now.wall)).ok()?;
        let replicas = u32::try_from(floor.replicas).ok()?;
        let from = floor.from.and_then(|n| u32::try_from(n).ok()).unwrap_or(replicas);
        (!left.is_zero()).then(|| PersonFloor { replicas, from, until: now.mono.plus(left) })
    });
    let baseline = status.weight_baseline.as_ref().filter(|b| b.mean.is_finite() && b.mean > 0.0);
    memory.baseline = baseline.map(|b| WeightBaseline::kept(b.mean, now.mono_of(b.at.0)));
    memory.lead = remembered_lead(&status.clusters);
    memory.awaited =
        status.forecast.as_ref().map(|kept| Awaited::new(trust(kept.earned.unwrap_or(kept.trust)), now.mono));
    memory.latency = status.latency_try.as_ref().and_then(|kept| remembered_try(kept, now));
    memory.capacity = status.capacity.as_ref().and_then(capacity::remembered);
    memory.endpoint_weights = status.endpoint_weights.as_ref().map(|kept| {
        let kept = EndpointWeights { by_name: kept.endpoints.clone(), others: kept.others };
        Box::new(EndpointLearner::restored(kept))
    });
    memory.cpu = status.capacity.as_ref().and_then(capacity::remembered_cpu);
    memory.generation = status.observed_generation.unwrap_or_default();
    memory
}

/// What a new process remembers of all policies.
#[must_use]
pub fn restored(policies: &[Arc<ElasticPolicy>], now: Now) -> Memory {
    let each = policies.iter().filter_map(|policy| {
        let memory = remembered(policy.status.as_ref()?, now);
        let uid = policy.metadata.uid.clone().unwrap_or_default();
        Some((key_of(policy), Box::new(PolicyMemory { uid, ..memory })))
    });
    Memory { policies: each.collect() }
}

/// What requests weigh, as it is in use: it changes once a day at most.
fn endpoint_weights(memory: &PolicyMemory) -> Option<EndpointWeightsStatus> {
    let used = memory.endpoint_weights.as_ref()?.in_use()?;
    Some(EndpointWeightsStatus { endpoints: used.by_name.clone(), others: used.others })
}

/// A try that goes on after a restart. What latency was before its step is not known any more, so a step that was
/// under way counts as one that helped: if it did not, the next step will tell.
fn remembered_try(kept: &LatencyTryStatus, now: Now) -> Option<LatencyTry> {
    let sane = kept.factor.is_finite() && kept.factor >= 1.0 && kept.utilisation.is_finite();
    let (replicas, limit) = (u32::try_from(kept.replicas).ok()?, u32::try_from(kept.limit).ok()?);
    sane.then(|| LatencyTry {
        since: now.mono,
        at: now.mono,
        latency: 0.0,
        slow: 0.0,
        utilisation: kept.utilisation,
        replicas: f64::from(replicas),
        factor: kept.factor,
        before: (kept.factor, f64::from(replicas)),
        limit: f64::from(limit),
        reached: None,
        phase: match kept.phase {
            LatencyTryPhase::Growing | LatencyTryPhase::Easing => TryPhase::Easing,
            LatencyTryPhase::Futile => TryPhase::Futile,
        },
    })
}

fn forecast(f: &Forecast) -> ForecastStatus {
    ForecastStatus {
        trust: written(f.trust),
        earned: (f.earned > f.trust).then_some(written(f.earned)),
        candidate: f.candidate.name().to_owned(),
        soon: quantised(f.soon),
        hold: quantised(f.hold),
        skill: f.evidence.and_then(|e| quantised(e.skill)),
        calibration: f.evidence.and_then(|e| quantised(e.calibration)),
    }
}

/// What was kept of a forecast that may do no more than this now.
fn held_to(acting: Trust, kept: ForecastStatus) -> ForecastStatus {
    let earned = kept.earned.unwrap_or(kept.trust);
    ForecastStatus { trust: written(acting), earned: (trust(earned) > acting).then_some(earned), ..kept }
}

const fn written(trust: Trust) -> ForecastTrust {
    match trust {
        Trust::Shadow => ForecastTrust::Shadow,
        Trust::Recommend => ForecastTrust::Recommend,
        Trust::ScaleOutOnly => ForecastTrust::ScaleOutOnly,
        Trust::Full => ForecastTrust::Full,
    }
}

fn latency_try(t: &LatencyTry) -> Option<LatencyTryStatus> {
    let whole = |n: f64| count(desired::count::ceil(n));
    Some(LatencyTryStatus {
        phase: match t.phase {
            TryPhase::Watching if t.factor <= 1.0 => return None,
            TryPhase::Growing => LatencyTryPhase::Growing,
            TryPhase::Watching | TryPhase::Easing => LatencyTryPhase::Easing,
            TryPhase::Futile => LatencyTryPhase::Futile,
        },
        factor: quantised(t.factor)?,
        replicas: whole(t.replicas),
        limit: whole(t.limit),
        utilisation: quantised(t.utilisation)?,
    })
}

/// Whether a try moved by more than a twentieth, as of a baseline: it eases by a hundredth every 36 s.
fn try_moved(old: Option<&LatencyTryStatus>, new: Option<&LatencyTryStatus>) -> bool {
    let (Some(old), Some(new)) = (old, new) else { return false };
    (new.factor - old.factor).abs() > BASELINE_STEP || new.replicas != old.replicas
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
        .map(|(id, n)| ClusterStatus {
            name: id.to_string(),
            desired: count(*n),
            ready: ready(id),
            lead_time: decision.lead.get(id).map(lead_time),
        })
        .collect()
}

fn lead_time(learned: &Learned) -> LeadTimeStatus {
    let seconds = |d: Duration| i32::try_from(d.as_secs()).unwrap_or(i32::MAX);
    LeadTimeStatus {
        p50_seconds: seconds(learned.p50),
        p95_seconds: seconds(learned.p95),
        samples: count(learned.samples),
    }
}

/// What an earlier leader had learned about lead times; what cannot be one is dropped.
fn remembered_lead(clusters: &[ClusterStatus]) -> ByCluster<LeadTime> {
    let seconds = |n: i32| u64::try_from(n).ok().map(Duration::from_secs);
    let of = |cluster: &ClusterStatus| {
        let LeadTimeStatus { p50_seconds, p95_seconds, samples } = cluster.lead_time?;
        let (p50, p95) = (seconds(p50_seconds)?, seconds(p95_seconds)?);
        let learned = Learned { p50, p95, samples: u32::try_from(samples).ok()? };
        (p50 <= p95).then(|| (ClusterId::new(&cluster.name), LeadTime::kept(learned)))
    };
    clusters.iter().filter_map(of).collect()
}

/// Whether a lead time was learned, or moved by more than a fifth.
fn lead_moved(old: &[ClusterStatus], new: &[ClusterStatus]) -> bool {
    let p95 = |clusters: &[ClusterStatus], name: &str| {
        clusters.iter().find(|c| c.name == name).and_then(|c| c.lead_time).map(|l| f64::from(l.p95_seconds))
    };
    new.iter().any(|cluster| match (p95(old, &cluster.name), p95(new, &cluster.name)) {
        (Some(old), Some(new)) => (new - old).abs() > LEAD_STEP * old,
        (old, new) => old.is_some() != new.is_some(),
    })
}

fn changes(previous: &[ReplicaChange], change: Option<(u32, u32)>, at: Timestamp) -> Vec<ReplicaChange> {
    let new =
        change.map(|(from, to)| ReplicaChange { at: whole_seconds(at), from: count(from), to: count(to) });
    let mut all: Vec<_> = previous.iter().cloned().chain(new).collect();
    while all.len() > CHANGES && merge_oldest(&mut all) {}
    all
}

/// Makes one of the two oldest changes of the same direction, at the time of the later one: rate rules count no
/// less than what was written, and for no shorter time. Says whether there was such a pair, as there always is
/// among three.
fn merge_oldest(all: &mut Vec<ReplicaChange>) -> bool {
    let up = |c: &ReplicaChange| c.to > c.from;
    let later = |i: usize| {
        let first = all.get(i)?;
        let rest = all.iter().enumerate().skip(i.saturating_add(1));
        rest.filter(|(_, c)| up(c) == up(first)).map(|(j, _)| (i, j)).next()
    };
    let Some((i, j)) = later(0).or_else(|| later(1)) else { return false };
    let first = all.remove(i);
    if let Some(second) = all.get_mut(j.saturating_sub(1)) {
        let added = |c: &ReplicaChange| c.to.saturating_sub(c.from);
        let sum = added(&first).saturating_add(added(second));
        if sum > 0 {
            second.from = first.from;
            second.to = first.from.saturating_add(sum);
        } else {
            second.from = second.to.saturating_sub(sum);
        }
    }
    true
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
