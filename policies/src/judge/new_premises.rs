//! Stories of a memory that no longer holds: an edited policy, a gap in looking, a restart.

use std::time::Duration;

use super::{scene::*, *};
use crate::{
    ids::Target,
    memory::{LatencyTry, TryPhase, WeightBaseline},
    plan::Outcome,
    policy::{LatencyObjective, PerReplica, Weights},
};

fn memory(scene: &mut Scene) -> &mut PolicyMemory {
    scene.memory.policies.values_mut().next().unwrap()
}

fn edit(scene: &mut Scene, change: impl Fn(&mut Policy)) {
    change(scene.policy());
    scene.policy().generation += 1;
}

fn eased(now: Now) -> LatencyTry {
    LatencyTry {
        since: now.mono,
        at: now.mono,
        latency: 0.4,
        slow: 0.02,
        utilisation: 0.5,
        replicas: 17.0,
        factor: 1.8,
        before: (1.0, 0.0),
        limit: 30.0,
        reached: None,
        phase: TryPhase::Easing,
    }
}

#[test]
fn another_target_inherits_no_replicas() {
    // Given a policy that keeps 20 replicas of one Deployment,
    let mut scene = Scene::settled_at(20, 1_500.0);
    // when it is pointed at another one that has 5,
    edit(&mut scene, |p| p.target = Target::new("apps/v1", "Deployment", "shop", "other"));
    scene.set_replicas(5);
    let (decision, actions) = scene.with_load(400.0, at(5));
    // then nothing is "restored" there, and nobody is blamed.
    assert!(actions.is_empty());
    assert!(decision.reasons.iter().all(|r| r.code != ReasonCode::Person), "{:?}", decision.reasons);
}

#[test]
fn other_weights_or_another_capacity_forget_what_was_learned_under_the_old_ones() {
    let baseline = WeightBaseline::kept(0.5, at(0).mono);
    let mut scene = Scene::settled_at(20, 1_500.0);
    (memory(&mut scene).baseline, memory(&mut scene).latency) = (Some(baseline), Some(eased(at(0))));
    // Bounds are no premise of either.
    edit(&mut scene, |p| p.bounds.max = 50);
    scene.with_load(1_500.0, at(5));
    assert!(memory(&mut scene).baseline.is_some() && memory(&mut scene).latency.is_some());
    edit(&mut scene, |p| p.capacity.per_replica = PerReplica::Declared(60.0));
    scene.with_load(1_500.0, at(10));
    assert!(memory(&mut scene).baseline.is_some() && memory(&mut scene).latency.is_none());
    memory(&mut scene).latency = Some(eased(at(10)));
    edit(&mut scene, |p| {
        p.load.weights = Weights::Endpoints([("/pay".to_owned(), 4.0)].into());
    });
    scene.with_load(1_500.0, at(15));
    assert!(memory(&mut scene).baseline.is_none() && memory(&mut scene).latency.is_none());
}

#[test]
fn a_memory_from_a_status_of_an_older_generation_is_not_believed() {
    let restored = |generation| {
        let mut scene = Scene::new(20);
        scene.policy().objective =
            Some(LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) });
        *memory(&mut scene) =
            PolicyMemory { generation, latency: Some(eased(at(0))), ..PolicyMemory::default() };
        scene.with_load(1_500.0, at(5));
        memory(&mut scene).latency.is_some()
    };
    assert!(restored(policy().generation));
    assert!(!restored(policy().generation - 1));
}

#[test]
fn after_a_gap_in_looking_nothing_is_removed_before_a_whole_window() {
    // Given 20 replicas and a policy that nobody could judge for ten minutes,
    let mut scene = Scene::settled_at(20, 1_500.0);
    // when it can be judged again in the middle of a dip,
    for seconds in (600..900).step_by(5) {
        assert!(scene.with_load(300.0, at(seconds)).1.is_empty(), "at {seconds}");
    }
    // then only a whole window of it counts.
    assert_eq!(to(&scene.with_load(300.0, at(900)).1), Some(4));
}

#[test]
fn what_others_did_in_a_gap_is_accepted() {
    let mut scene = Scene::settled_at(20, 1_500.0);
    scene.set_replicas(17);
    let (decision, actions) = scene.with_load(1_500.0, at(600));
    assert!(actions.is_empty());
    assert!(decision.reasons.iter().all(|r| r.code != ReasonCode::Person), "{:?}", decision.reasons);
    scene.apply(actions, at(600), Outcome::Done);
}
