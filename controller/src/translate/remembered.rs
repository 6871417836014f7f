//! What status keeps of a policy's memory, for a process that takes over.

use std::time::Duration;

use jiff::Timestamp;
use loadline_crds::ElasticPolicyStatus;
use loadline_policies::{
    memory::{self, Memory, PersonFloor, PolicyMemory, WeightBaseline},
    now::{Mono, Now},
};

use super::translator::Translator;

/// Status holds times in whole seconds: a change that is not newer than the newest one there by more than
/// this is the same change.
const SAME_CHANGE: Duration = Duration::from_secs(1);

impl Translator {
    /// Takes what status keeps of every valid policy into `memory`: at the start of a process, and again when
    /// it begins to write (the one that wrote before it has changed replicas meanwhile).
    pub fn restore(&self, memory: &mut Memory, now: Now) {
        for (key, entry) in &self.policies {
            if entry.parsed.is_ok()
                && let Some(status) = &entry.object.status
            {
                restore(memory.policies.entry(key.clone()).or_default(), status, now);
            }
        }
    }
}

fn restore(memory: &mut PolicyMemory, status: &ElasticPolicyStatus, now: Now) {
    let changes: Vec<(Timestamp, i64)> =
        status.recent_changes.iter().map(|c| (c.at.0, i64::from(c.to) - i64::from(c.from))).collect();
    if let Some(newest) = changes.iter().map(|(at, _)| *at).max() {
        let newest = now.mono_of(newest).plus(SAME_CHANGE);
        memory.changes.retain(|own| own.at > newest);
        memory::restore(memory, &changes, now);
    }
    if let (None, Some(since)) = (memory.idle_since, &status.idle_since) {
        memory.idle_since = Some(now.mono_of(since.0));
    }
    if let (None, Some(kept)) = (memory.baseline, &status.weight_baseline)
        && kept.mean.is_finite()
        && kept.mean > 0.0
    {
        memory.baseline = Some(WeightBaseline::kept(kept.mean, now.mono_of(kept.at.0)));
    }
    if let (None, Some(floor)) = (memory.person_floor, &status.person_floor)
        && let (Ok(replicas), Some(until)) = (u32::try_from(floor.replicas), later(floor.until.0, now))
    {
        memory.person_floor = Some(PersonFloor { replicas, until });
    }
}

/// The monotonic moment of a wall time in the future; `None` when it has passed.
fn later(wall: Timestamp, now: Now) -> Option<Mono> {
    let left = Duration::try_from(wall.duration_since(now.wall)).ok()?;
    (!left.is_zero()).then(|| now.mono.plus(left))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use loadline_crds::elastic_policy::{PersonFloorStatus, ReplicaChange, WeightBaselineStatus};
    use loadline_policies::memory::Change;

    use super::*;

    fn now() -> Now {
        Now::new("2026-03-01T12:00:00Z".parse().unwrap(), Duration::from_secs(1_000))
    }

    fn at(wall: &str) -> Time {
        Time(wall.parse().unwrap())
    }

    fn mono(secs: u64) -> Mono {
        Mono(Duration::from_secs(secs))
    }

    fn status() -> ElasticPolicyStatus {
        ElasticPolicyStatus {
            recent_changes: vec![
                ReplicaChange { at: at("2026-03-01T11:59:00Z"), from: 3, to: 12 },
                ReplicaChange { at: at("2026-03-01T11:59:30Z"), from: 12, to: 10 },
            ],
            idle_since: Some(at("2026-03-01T11:58:00Z")),
            weight_baseline: Some(WeightBaselineStatus { mean: 0.4, at: at("2026-03-01T11:50:00Z") }),
            person_floor: Some(PersonFloorStatus { replicas: 20, until: at("2026-03-01T12:05:00Z") }),
            ..ElasticPolicyStatus::default()
        }
    }

    #[test]
    fn a_process_that_takes_over_knows_what_the_one_before_it_did() {
        let mut memory = PolicyMemory::default();

        restore(&mut memory, &status(), now());

        let changes: Vec<Change> = memory.changes.iter().copied().collect();
        assert_eq!(changes, [Change { at: mono(940), delta: 9 }, Change { at: mono(970), delta: -2 }]);
        assert_eq!(memory.idle_since, Some(mono(880)));
        assert!((memory.baseline.unwrap().mean - 0.4).abs() < 1e-9);
        assert_eq!(memory.person_floor, Some(PersonFloor { replicas: 20, until: mono(1_300) }));
    }

    #[test]
    fn its_own_changes_are_counted_once() {
        // Given a process that wrote the last change of status itself, and one that is not in status yet.
        let mut memory = PolicyMemory::default();
        memory.changes.extend([Change { at: mono(970), delta: -2 }, Change { at: mono(990), delta: 5 }]);

        restore(&mut memory, &status(), now());

        let deltas: Vec<i64> = memory.changes.iter().map(|c| c.delta).collect();
        assert_eq!(deltas, [9, -2, 5]);
    }

    #[test]
    fn a_floor_that_has_ended_is_not_raised_again() {
        let mut status = status();
        status.person_floor = Some(PersonFloorStatus { replicas: 20, until: at("2026-03-01T11:59:59Z") });
        let mut memory = PolicyMemory::default();

        restore(&mut memory, &status, now());

        assert_eq!(memory.person_floor, None);
    }
}
