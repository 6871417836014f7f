//! The judgement of one policy: from what is seen of its workload to a decision with reasons, and what to write.
//!
//! ```text
//! load::assess ─┐
//! permission ───┼─> person (foreign writes) ─> recommend ─> settle ─> place ─> actions (if permitted)
//! memory ───────┘                                              └─> conditions, reasons, wake_at
//! ```

use std::{collections::BTreeMap, time::Duration};

use crate::{
    conditions::{self, Facts},
    desired::{
        self, earliest,
        permission::{self, Barrier},
        person, reactive,
        settle::{self, Settled},
        trigger, words,
    },
    fleet::{Cluster, ClusterState, Freeze, InvalidPolicy, Totals, Workload},
    ids::{ByCluster, ClusterId},
    load::{self, Assessment},
    memory::{Basis, PolicyMemory},
    now::Now,
    placement::{self, Placement, Slot},
    plan::{Action, Decision, ScaleAction},
    policy::{Mode, Policy},
    reason::{Reason, ReasonCode},
};

/// Judges one policy: what is desired, why, and what to write.
///
/// Pure but for `memory`, which it keeps. A policy that may not write gives no actions; its decision still says
/// what would be written.
pub fn judge(
    workload: &Workload,
    freeze: Option<&Freeze>,
    clusters: &BTreeMap<ClusterId, Cluster>,
    memory: &mut PolicyMemory,
    now: Now,
) -> (Decision, Vec<Action>) {
    let policy = &workload.policy;
    begin(memory, policy, now);
    let Seen { assessment, barrier, accepted, replicas } = see(workload, freeze, clusters, memory, now);

    let recommendation = desired::recommend(workload, &assessment, replicas, memory, now);
    let mut proposals = recommendation.proposals.clone();
    let mut settled = settle::settle(policy, recommendation, replicas.wanted, memory, now);
    pause_at(policy, replicas.wanted, &mut settled);
    if barrier.as_ref().is_some_and(|(barrier, _)| barrier.measures_only()) {
        proposals.clear();
        measure_only(replicas.wanted, &mut settled);
    }
    let placement = placement::place(settled.desired, &accepted.slots);
    let reasons = reasons(barrier.as_ref(), &settled, &accepted.reasons, &placement, replicas.wanted);
    let actions = match (&barrier, reasons.first()) {
        (None, Some(decisive)) => actions(policy, &accepted.slots, &placement, decisive),
        _ => Vec::new(),
    };
    let conditions = conditions::of(&Facts {
        workload,
        assessment: &assessment,
        barrier: barrier.as_ref(),
        contested: accepted.contested.as_ref().map(|(reason, _)| reason),
        limited: settled.limited.as_ref(),
        shortfall: placement.shortfall,
        no_data: desired::no_data(workload, &assessment),
        replicas,
    });
    let contested_until = accepted.contested.as_ref().map(|(_, until)| *until);
    let demand = assessment.up;
    let per_replica = assessment.per_replica;
    let decision = Decision {
        generation: policy.generation,
        mode: Some(if per_replica.is_none() { Mode::Observe } else { policy.mode }),
        replicas,
        demand,
        per_replica,
        capacity: Some(assessment.capacity),
        endpoints_weighed: memory.endpoint_weights.as_ref().map(|learner| learner.told_apart()),
        redundancy: demand
            .zip(per_replica)
            .and_then(|(d, c)| reactive::redundancy(d.weighted, c, replicas.ready)),
        latency: assessment.latency,
        forecast: assessment.forecast,
        lead: memory.lead.iter().filter_map(|(id, lead)| Some((id.clone(), lead.learned()?))).collect(),
        proposals,
        desired: settled.desired,
        placement: placement.clusters,
        ready: accepted.slots.iter().map(|slot| (slot.cluster.clone(), slot.instance.ready)).collect(),
        shortfall: placement.shortfall,
        doubts: assessment.doubts,
        reasons,
        conditions,
        wake_at: earliest([settled.wake_at, contested_until]).filter(|at| *at > now.mono),
    };
    (decision, actions)
}

/// The decision about a policy that could not be parsed: nothing is written, and every complaint is told.
#[must_use]
pub fn refuse(invalid: &InvalidPolicy) -> Decision {
    let text = format!("The policy is not valid: {}", invalid.complaints.join("; "));
    Decision {
        generation: invalid.generation,
        mode: None,
        replicas: Totals::default(),
        demand: None,
        per_replica: None,
        capacity: None,
        endpoints_weighed: None,
        redundancy: None,
        latency: None,
        forecast: None,
        lead: ByCluster::new(),
        proposals: Vec::new(),
        desired: 0,
        placement: ByCluster::new(),
        ready: ByCluster::new(),
        shortfall: 0,
        doubts: Vec::new(),
        reasons: vec![Reason::new(ReasonCode::InvalidSpec, text.clone())],
        conditions: conditions::of_invalid(&text),
        wake_at: None,
    }
}

/// What is seen, before anything is decided.
struct Seen<'a> {
    assessment: Assessment,
    barrier: Option<(Barrier, Reason)>,
    accepted: person::Accepted<'a>,
    replicas: Totals,
}

fn see<'a>(
    workload: &'a Workload,
    freeze: Option<&Freeze>,
    clusters: &BTreeMap<ClusterId, Cluster>,
    memory: &mut PolicyMemory,
    now: Now,
) -> Seen<'a> {
    time_starts(workload, memory, now);
    let mut assessment = load::assess(workload, memory, now);
    let mut barrier = permission::barrier(workload, freeze, &assessment);
    let accepted = person::accept(workload, clusters, memory, barrier.is_none(), now);
    if barrier.is_none() {
        barrier = barrier_of_world(&accepted, clusters);
    }
    let replicas = totals(&accepted.slots);
    assessment.doubts.extend(trigger::formula_doubts(workload, replicas));
    Seen { assessment, barrier, accepted, replicas }
}

/// Learns how long replicas take to become ready, before our own writes are taken for seen.
fn time_starts(workload: &Workload, memory: &mut PolicyMemory, now: Now) {
    memory.lead.retain(|cluster, _| workload.instances.contains_key(cluster));
    for (cluster, instance) in &workload.instances {
        if let Ok(instance) = instance {
            let lead = memory.lead.entry(cluster.clone()).or_default();
            lead.see(instance, memory.in_flight.get(cluster), now.mono);
        }
    }
}

/// So long without a judgement, and the memory is that of a stranger: others may have scaled, windows have run
/// empty. A tick comes every few seconds; only a process that slept, or a policy that was not valid, is away
/// for longer.
const GAP: Duration = Duration::from_mins(2);

/// Starts the memory of a policy, or starts anew what of it no longer holds: all when the object is another one
/// by the same name, what depends on a field that was changed, what is only known while one looks.
fn begin(memory: &mut PolicyMemory, policy: &Policy, now: Now) {
    if memory.uid != policy.uid {
        // An empty UID is a memory that was restored from status before the first judgement.
        if !memory.uid.is_empty() {
            *memory = PolicyMemory::default();
        }
        policy.uid.clone_into(&mut memory.uid);
    }
    if memory.generation != policy.generation || memory.basis.is_none() {
        rebase(memory, policy);
    }
    if memory.judged_at.is_some_and(|last| now.mono.since(last) > GAP) {
        memory.first_seen = None;
        memory.idle_since = None;
        forget_wanted(memory);
    }
    memory.judged_at = Some(now.mono);
    memory.first_seen.get_or_insert(now.mono);
}

/// Drops what was learned under another target, load, objective or capacity.
fn rebase(memory: &mut PolicyMemory, policy: &Policy) {
    let Policy { target, load, objective, capacity, generation, .. } = policy;
    let basis = Basis {
        target: target.clone(),
        load: load.clone(),
        objective: *objective,
        per_replica: capacity.per_replica,
    };
    // Of a memory from status only the generation is known; of a new one not even that.
    let edited = memory.generation != 0 && memory.generation != *generation;
    let old = memory.basis.as_ref();
    let another_target = old.map_or(edited, |old| old.target != basis.target);
    let another_load = old.map_or(edited, |old| old.load != basis.load);
    let another_objective = old.map_or(edited, |old| old.objective != basis.objective);
    let another_capacity = old.map_or(edited, |old| old.per_replica != basis.per_replica);
    if another_target {
        // Rate rules go on: a change too many in memory only slows the next one down.
        let changes = std::mem::take(&mut memory.changes);
        *memory = PolicyMemory { uid: std::mem::take(&mut memory.uid), changes, ..PolicyMemory::default() };
    }
    if another_load {
        memory.baseline = None;
        // Its loads were of other weights.
        (memory.forecaster, memory.awaited) = (None, None);
        memory.capacity = None;
        memory.endpoint_weights = None;
    }
    if another_load || another_objective {
        // Of work in another unit, or of windows that were healthy by another measure.
        memory.cpu = None;
    }
    if another_objective && let Some(learner) = &mut memory.capacity {
        learner.judged_anew();
    }
    if another_load || another_objective || another_capacity {
        memory.latency = None;
    }
    memory.generation = *generation;
    memory.basis = Some(basis);
}

/// Forgets what was wanted: what is seen next is accepted as it stands.
fn forget_wanted(memory: &mut PolicyMemory) {
    memory.last_wanted.clear();
    memory.in_flight.clear();
    memory.restoring.clear();
    memory.ready.clear();
}

/// A barrier that shows only in the world: a fight over the replicas, or no cluster that answers.
fn barrier_of_world(
    accepted: &person::Accepted<'_>,
    clusters: &BTreeMap<ClusterId, Cluster>,
) -> Option<(Barrier, Reason)> {
    if let Some((reason, _)) = &accepted.contested {
        return Some((Barrier::ForeignWrites, reason.clone()));
    }
    if accepted.slots.iter().any(|slot| slot.healthy) {
        return None;
    }
    let outage = accepted.slots.iter().find_map(|slot| match &clusters.get(slot.cluster)?.state {
        ClusterState::Cut(outage) => Some(outage),
        ClusterState::Healthy | ClusterState::Dark => None,
    });
    if let Some(outage) = outage {
        return Some(permission::outage(outage));
    }
    let text = "The API server of every cluster with this target is away: replicas stay as they are.";
    Some((Barrier::Dark, Reason::new(ReasonCode::TargetProblem, text)))
}

/// Replicas over all clusters, as accepted.
fn totals(slots: &[Slot<'_>]) -> Totals {
    slots.iter().fold(Totals::default(), |sum, slot| Totals {
        wanted: sum.wanted.saturating_add(slot.wanted),
        current: sum.current.saturating_add(slot.instance.current),
        ready: sum.ready.saturating_add(slot.instance.ready),
    })
}

/// `paused-replicas`: exactly what a person asked for, at once, whatever the load and the bounds.
fn pause_at(policy: &Policy, current: u32, settled: &mut Settled) {
    let Some(n) = policy.pause.replicas else { return };
    let text = format!("The annotation loadline.dev/paused-replicas holds {}.", words::replicas(n));
    let without = settled.desired;
    settled.desired = n;
    settled.limited = None;
    settled.reasons.insert(0, Reason::new(ReasonCode::Paused, text));
    if without != n && without != current {
        let text = format!("Without it, {} would be set now.", words::replicas(without));
        settled.reasons.insert(1, Reason::new(ReasonCode::Paused, text));
    }
}

/// Measures without deciding: nothing is recommended, and only doubts are worth telling.
fn measure_only(current: u32, settled: &mut Settled) {
    settled.desired = current;
    settled.limited = None;
    settled.reasons.retain(|reason| reason.code == ReasonCode::Doubt);
}

/// All reasons, the decisive one first.
fn reasons(
    barrier: Option<&(Barrier, Reason)>,
    settled: &Settled,
    others: &[Reason],
    placement: &Placement,
    current: u32,
) -> Vec<Reason> {
    let mut reasons = Vec::with_capacity(2 + settled.reasons.len());
    if let Some((barrier, reason)) = barrier {
        let mut reason = reason.clone();
        if settled.desired != current && !barrier.measures_only() {
            reason.text = format!("{} Loadline would set {}.", reason.text, words::replicas(settled.desired));
        }
        reasons.push(reason);
    }
    // Where the load asks for nothing, what others did is why something is written.
    if settled.desired == current {
        reasons.extend_from_slice(others);
        reasons.extend_from_slice(&settled.reasons);
    } else {
        reasons.extend_from_slice(&settled.reasons);
        reasons.extend_from_slice(others);
    }
    if placement.shortfall > 0 {
        let text = format!("{} fit nowhere.", words::replicas(placement.shortfall));
        reasons.push(Reason::new(ReasonCode::Shortfall, text));
    }
    reasons
}

/// What to write: one action for each cluster whose replicas are not as placed, and which shows our last write.
fn actions(policy: &Policy, slots: &[Slot<'_>], placement: &Placement, decisive: &Reason) -> Vec<Action> {
    let writable = slots.iter().filter(|slot| slot.healthy && !slot.in_flight);
    writable
        .filter_map(|slot| {
            let to = *placement.clusters.get(slot.cluster)?;
            (to != slot.instance.wanted).then(|| {
                Action::Scale(ScaleAction {
                    policy: policy.key.clone(),
                    cluster: slot.cluster.clone(),
                    target: policy.target.clone(),
                    from: slot.instance.wanted,
                    accepted: slot.wanted,
                    to,
                    version: slot.instance.version.clone(),
                    reason: decisive.clone(),
                })
            })
        })
        .collect()
}

#[cfg(test)]
mod ceilings;
#[cfg(test)]
mod estimated;
#[cfg(test)]
mod known_events;
#[cfg(test)]
mod learned_weights;
#[cfg(test)]
mod like_hpa;
#[cfg(test)]
mod new_premises;
#[cfg(test)]
mod other_writers;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod stories;
