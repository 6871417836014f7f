//! Other writers: what a person, a pipeline or another controller did to the replicas since we last looked.
//!
//! ```text
//! last_wanted  seen            then
//!     5          5             nothing
//!     5          9             a person knows something: 9 is accepted, and a floor for one down window
//!     9          4             restored to 9, with a reason (unless it takes back the person's own floor)
//!  three changes that undo ours in ten minutes: contested, nothing is written until it has been quiet
//! ```
//!
//! Scaling up by hand, even again and again, is no fight: it is accepted. It undoes ours only where our last
//! change took replicas away.
//!
//! Our own write is not foreign: what was applied is remembered, and until the watch shows it, the old value in
//! the cache is not taken for somebody else's.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    desired::words,
    fleet::{Cluster, ClusterState, Instance, Workload},
    ids::ClusterId,
    memory::{InFlight, PersonFloor, PolicyMemory, record_change},
    now::{Mono, Now},
    placement::Slot,
    reason::{Reason, ReasonCode},
};

/// So many foreign changes within [`CONTESTED_WITHIN`] are a fight.
pub const CONTESTED_AFTER: usize = 3;

/// The time in which foreign changes count as one fight.
pub const CONTESTED_WITHIN: Duration = Duration::from_mins(10);

/// How long a watch may lag behind our own confirmed write before its value is taken as it stands. Watches lag
/// by milliseconds; a world that never moves its resourceVersion must not hide its replicas for ever.
const WATCH_LAG: Duration = Duration::from_secs(30);

/// How long the old value may still be shown under a *newer* resourceVersion than the one that was written on.
///
/// The object may have changed between our look and our write (a status, a label), and the watch shows that
/// first. It shows our write within milliseconds after it; a person who set the old value again is believed
/// two seconds later.
const OVERTAKEN: Duration = Duration::from_secs(2);

/// What is there, after foreign writes were judged.
#[derive(Debug)]
pub struct Accepted<'a> {
    /// The target in each cluster where it is seen.
    pub slots: Vec<Slot<'a>>,
    /// What others did, for people.
    pub reasons: Vec<Reason>,
    /// Whether there is a fight, and until when at least.
    pub contested: Option<(Reason, Mono)>,
}

/// Judges what is seen against what was last wanted. Only while Loadline writes (`watching`) is a difference
/// foreign; otherwise what is seen is simply accepted.
pub fn accept<'a>(
    workload: &'a Workload,
    clusters: &BTreeMap<ClusterId, Cluster>,
    memory: &mut PolicyMemory,
    watching: bool,
    now: Now,
) -> Accepted<'a> {
    let mut accepted = Accepted { slots: Vec::new(), reasons: Vec::new(), contested: None };
    forget_clusters(workload, memory);
    let (mut raised, mut before) = (false, 0u32);
    for (cluster, instance) in &workload.instances {
        let Ok(instance) = instance else { continue };
        let healthy = clusters.get(cluster).is_some_and(|c| c.state == ClusterState::Healthy);
        let (seen, in_flight) = ours(memory, cluster, instance, now.mono);
        let wanted = if watching && healthy {
            let change = foreign(memory, cluster, seen, now.mono);
            raised |= matches!(change, Foreign::Raised { .. });
            before = before.saturating_add(change.before(seen));
            accepted.reasons.extend(change.reason(workload));
            change.accepted(seen)
        } else {
            adopt(memory, cluster, seen);
            before = before.saturating_add(seen);
            seen
        };
        accepted.slots.push(Slot { cluster, instance, wanted, healthy, in_flight });
    }
    if raised {
        let replicas = accepted.slots.iter().fold(0u32, |sum, slot| sum.saturating_add(slot.wanted));
        let until = now.mono.plus(workload.policy.behaviour.down.stabilization_window);
        // Who raises twice may take back both.
        let from = memory.person_floor.map_or(before, |floor| floor.from.min(before));
        memory.person_floor = Some(PersonFloor { replicas, from, until });
    }
    accepted.contested = fight(memory, now.mono);
    if accepted.contested.is_some() {
        for slot in &mut accepted.slots {
            if let Some(seen) = memory.restoring.remove(slot.cluster) {
                slot.wanted = seen;
                memory.last_wanted.insert(slot.cluster.clone(), seen);
            }
        }
    }
    accepted
}

/// The floor that a person set, while it holds.
pub fn floor(memory: &mut PolicyMemory, now: Mono) -> Option<(PersonFloor, Reason)> {
    memory.person_floor = memory.person_floor.filter(|floor| now < floor.until);
    let floor = memory.person_floor?;
    let text = format!(
        "Somebody scaled up to {} by hand: that is the floor for another {}.",
        words::replicas(floor.replicas),
        words::duration(floor.until.since(now))
    );
    Some((floor, Reason::new(ReasonCode::Person, text)))
}

/// What somebody else did.
enum Foreign {
    Nothing,
    Raised { from: u32, to: u32 },
    Restored { to: u32, from: u32 },
    TakenBack { to: u32 },
}

impl Foreign {
    /// What stood before it.
    const fn before(&self, seen: u32) -> u32 {
        match self {
            Self::Raised { from, .. } => *from,
            _ => self.accepted(seen),
        }
    }

    const fn accepted(&self, seen: u32) -> u32 {
        match self {
            Self::Restored { to, .. } => *to,
            Self::Nothing | Self::Raised { .. } | Self::TakenBack { .. } => seen,
        }
    }

    fn reason(&self, workload: &Workload) -> Option<Reason> {
        let target = &workload.policy.target;
        let text = match self {
            Self::Nothing => return None,
            Self::Raised { from, to } => format!("Somebody scaled {target} from {from} to {to}: accepted."),
            Self::TakenBack { to } => {
                format!("Somebody took the floor by hand back, {target} is at {to}: accepted.")
            }
            Self::Restored { to, from } => format!(
                "Somebody else set {target} from {to} to {from}; it is restored. To lower it on purpose, change \
                 bounds.max or set the annotation loadline.dev/paused-replicas."
            ),
        };
        Some(Reason::new(ReasonCode::Person, text))
    }
}

/// Compares what is seen with what was last wanted, and remembers it.
fn foreign(memory: &mut PolicyMemory, cluster: &ClusterId, seen: u32, now: Mono) -> Foreign {
    let Some(&last) = memory.last_wanted.get(cluster) else {
        adopt(memory, cluster, seen);
        return Foreign::Nothing;
    };
    if seen == last {
        memory.restoring.remove(cluster);
        return Foreign::Nothing;
    }
    if seen > last {
        // What we took away, somebody put back: that is one of a fight, unlike a person who wants more.
        if memory.lowered_at.is_some_and(|at| now.since(at) < CONTESTED_WITHIN) {
            memory.foreign.push_back(now);
        }
        adopt(memory, cluster, seen);
        return Foreign::Raised { from: last, to: seen };
    }
    // The load may have raised it further since: that was not the person's to take back.
    let own = |floor: &mut PersonFloor| now < floor.until && floor.replicas >= last && seen >= floor.from;
    if memory.person_floor.take_if(own).is_some() {
        adopt(memory, cluster, seen);
        return Foreign::TakenBack { to: seen };
    }
    let new = memory.restoring.insert(cluster.clone(), seen) != Some(seen);
    if new {
        memory.foreign.push_back(now);
    }
    Foreign::Restored { to: last, from: seen }
}

/// Forgets clusters that the workload is no longer in.
fn forget_clusters(workload: &Workload, memory: &mut PolicyMemory) {
    if memory.last_wanted.len() > workload.instances.len() {
        memory.last_wanted.retain(|cluster, _| workload.instances.contains_key(cluster));
        memory.in_flight.retain(|cluster, _| workload.instances.contains_key(cluster));
        memory.restoring.retain(|cluster, _| workload.instances.contains_key(cluster));
    }
}

fn adopt(memory: &mut PolicyMemory, cluster: &ClusterId, seen: u32) {
    memory.restoring.remove(cluster);
    match memory.last_wanted.get_mut(cluster) {
        Some(last) => *last = seen,
        None => {
            memory.last_wanted.insert(cluster.clone(), seen);
        }
    }
}

/// What is seen, with our own write in it that the watch may not show yet; and whether it is still hidden.
fn ours(memory: &mut PolicyMemory, cluster: &ClusterId, instance: &Instance, now: Mono) -> (u32, bool) {
    let Some(write) = memory.in_flight.get(cluster) else { return (instance.wanted, false) };
    let untouched = instance.version.resource_version == write.resource_version;
    let lag = if untouched || !write.confirmed { WATCH_LAG } else { OVERTAKEN };
    if instance.wanted == write.from && now.since(write.at) < lag {
        return if write.confirmed { (write.to, true) } else { (write.from, false) };
    }
    let Some(InFlight { at, accepted, to, confirmed, .. }) = memory.in_flight.remove(cluster) else {
        return (instance.wanted, false);
    };
    if !confirmed && instance.wanted == to {
        // It failed on the way back, not on the way there.
        record_change(memory, at, i64::from(to) - i64::from(accepted));
        adopt(memory, cluster, to);
    }
    (instance.wanted, false)
}

/// Whether the foreign changes of the last while are a fight, and until when.
fn fight(memory: &mut PolicyMemory, now: Mono) -> Option<(Reason, Mono)> {
    while memory.foreign.front().is_some_and(|at| now.since(*at) >= CONTESTED_WITHIN) {
        memory.foreign.pop_front();
    }
    let oldest = memory.foreign.len().checked_sub(CONTESTED_AFTER).and_then(|i| memory.foreign.get(i))?;
    let until = oldest.plus(CONTESTED_WITHIN);
    let text = format!(
        "Somebody else undid what Loadline wrote {} times within {}: nothing is written until it has been quiet for \
         {}. Find who writes spec.replicas (kubectl get --show-managed-fields) and stop one of the two.",
        memory.foreign.len(),
        words::duration(CONTESTED_WITHIN),
        words::duration(until.since(now))
    );
    Some((Reason::new(ReasonCode::Contested, text), until))
}
