//! What a capacity that is only estimated by CPU may do: add, and never remove.

use proptest::prelude::*;

use super::{
    scene::{Scene, at, code, condition, policy, to},
    *,
};
use crate::{
    capacity::{CpuKept, CpuLearner},
    fleet::{CpuSample, Footprint},
    policy::{LatencyObjective, PerReplica},
    reading::{Coverage, Doubt, Reading},
    reason::ConditionKind,
};

/// A workload that is to learn its capacity, of replicas that ask for half a core and use 5 ms for a request: by that
/// one bears 70.
fn estimated(replicas: u32) -> Scene {
    let mut policy = policy();
    policy.capacity.per_replica = PerReplica::Learned;
    policy.objective = Some(LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) });
    let mut scene = Scene::of(policy, replicas).watched_for_long();
    scene.instance().footprint = Some(Footprint { images: 1, cpu_request: Some(500) });
    let cpu = CpuLearner::restored(CpuKept { per_thousand: 5.0, idle: 0.0, images: Some(1) });
    scene.memory.policies.values_mut().for_each(|memory| memory.cpu = Some(Box::new(cpu.clone())));
    scene
}

#[test]
fn it_adds_replicas_and_says_by_what() {
    // Given ten replicas of 70 each by their CPU, when 1,400 come, then 22 are written at once or as fast as allowed.
    let (decision, actions) = estimated(10).with_load(1_400.0, at(0));
    assert_eq!(decision.per_replica, Some(70.0));
    assert_eq!((to(&actions), code(&decision)), (Some(20), ReasonCode::BelowBand));
    assert_eq!(condition(&decision, ConditionKind::CapacityKnown), (Some(true), "Estimated"));
}

#[test]
fn it_removes_none_however_little_there_is_to_do() {
    let mut scene = estimated(10);
    for minute in 0..60 {
        let (decision, actions) = scene.with_load(10.0, at(minute * 60));
        assert!(actions.is_empty(), "at {minute} min: {actions:?}");
        assert_eq!(decision.desired, 10);
        if minute > 10 {
            assert_eq!(code(&decision), ReasonCode::CapacityEstimated);
        }
    }
}

#[test]
fn without_a_request_or_under_other_images_it_is_none() {
    for footprint in [
        Some(Footprint { images: 1, cpu_request: None }),
        Some(Footprint { images: 2, cpu_request: Some(500) }),
        None,
    ] {
        let mut scene = estimated(10);
        scene.instance().footprint = footprint;
        let (decision, actions) = scene.with_load(1_400.0, at(0));
        assert_eq!((decision.per_replica, actions.len()), (None, 0), "{footprint:?}");
        assert_eq!(condition(&decision, ConditionKind::CapacityKnown), (Some(false), "Learning"));
    }
}

#[test]
fn a_doubtful_cpu_is_no_doubt_about_the_load() {
    // Given a capacity that is declared, when CPU cannot be read, then it is scaled in as ever.
    let mut scene = Scene::settled_at(10, 100.0);
    scene.instance().cpu = Some(Err(Doubt::TimedOut));
    let removed = (1..10).find_map(|minute| to(&scene.with_load(100.0, at(minute * 60)).1));
    assert!(removed.is_some_and(|n| n < 10), "{removed:?}");
    // And nothing is remembered of it where nothing is learned.
    assert!(scene.memory.policies.values().all(|memory| memory.cpu.is_none()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever the CPU said and says, and whatever the load does, replicas are only added.
    #[test]
    fn nothing_is_removed_by_an_estimate(
        per_thousand in 1e-3..1e3_f64,
        replicas in 1u32..60,
        ticks in proptest::collection::vec((0.0..2e4_f64, proptest::option::of(any::<f64>()), 0u32..60), 1..60),
    ) {
        let mut scene = estimated(replicas);
        let cpu = CpuLearner::restored(CpuKept { per_thousand, idle: 0.01, images: Some(1) });
        scene.memory.policies.values_mut().for_each(|memory| memory.cpu = Some(Box::new(cpu.clone())));
        let mut wanted = replicas;
        for (minute, (rate, cores, reporting)) in (0..).zip(ticks) {
            let now = at(minute * 60);
            let expected = scene.instance().ready;
            scene.instance().cpu = cores.map(|cores| {
                let value = CpuSample { window: Duration::from_mins(1), cores };
                Ok(Reading { value, observed_at: now.wall, coverage: Coverage { reporting, expected } })
            });
            let decision = scene.live(rate, now);
            prop_assert!(decision.desired >= wanted, "{} of {wanted}", decision.desired);
            prop_assert!(decision.per_replica.is_none_or(|c| c.is_finite() && c > 0.0));
            wanted = decision.desired;
        }
    }
}
