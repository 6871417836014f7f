//! Stories of other writers: our own late writes, people, fights, restarts.

use super::{scene::*, *};
use crate::{memory, plan::Outcome, reason::ConditionKind};

#[test]
fn our_own_write_is_not_foreign_although_the_watch_is_late() {
    // Given a write from 5 to 6 that the API server confirmed.
    let mut scene = Scene::new(5);
    let (_, actions) = scene.with_load(545.0, at(0));
    scene.apply(actions, at(0), Outcome::Done);
    // When the watch still shows 5 at the old resourceVersion, then nothing is written again.
    let instance = scene.instance();
    (instance.wanted, instance.version.resource_version) = (5, "1".to_owned());
    let (decision, actions) = scene.with_load(545.0, at(5));
    assert!(actions.is_empty());
    assert_eq!(decision.replicas.wanted, 6);
    // When it shows 6, then all is well.
    scene.set_replicas(6);
    let (decision, actions) = scene.with_load(545.0, at(10));
    assert!(actions.is_empty());
    assert_eq!(condition(&decision, ConditionKind::Contested), (Some(false), "Uncontested"));
}

#[test]
fn a_write_that_failed_on_the_way_back_is_recognised_when_it_shows() {
    let mut scene = Scene::new(10);
    let (_, actions) = scene.with_load(10_000.0, at(0));
    scene.apply(actions, at(0), Outcome::Failed("timeout".to_owned()));
    scene.set_replicas(20);
    // It counts against the rate rule, and not as foreign.
    let (decision, actions) = scene.with_load(10_000.0, at(5));
    assert!(actions.is_empty());
    assert_eq!(code(&decision), ReasonCode::RateLimited);
}

#[test]
fn scaling_up_by_hand_is_a_floor_for_one_window() {
    // Given a workload that needs 6, settled there.
    let mut scene = Scene::settled_at(7, 500.0);
    for seconds in (5..=600).step_by(5) {
        assert!(scene.with_load(500.0, at(seconds)).1.is_empty());
    }
    // When a person scales to 15, then 15 stays for five minutes, and the reason says who.
    scene.set_replicas(15);
    let (decision, actions) = scene.with_load(500.0, at(605));
    assert!(actions.is_empty());
    assert!(decision.reasons.iter().any(|r| r.code == ReasonCode::Person), "{:?}", decision.reasons);
    let mut went = None;
    for seconds in (610..=1_300).step_by(5) {
        if let Some(n) = to(&scene.with_load(500.0, at(seconds)).1) {
            went = went.or(Some((seconds, n)));
        }
    }
    assert_eq!(went, Some((905, 7)));
}

#[test]
fn scaling_down_by_hand_is_restored_with_a_reason() {
    let mut scene = Scene::settled_at(7, 500.0);
    scene.set_replicas(2);
    let (decision, actions) = scene.with_load(500.0, at(5));
    assert_eq!(to(&actions), Some(7));
    assert_eq!(code(&decision), ReasonCode::Person);
    // The same low value does not count twice while the write is on its way.
    for seconds in [10, 15, 20, 25] {
        assert_eq!(to(&scene.with_load(500.0, at(seconds)).1), Some(7));
    }
}

#[test]
fn three_foreign_changes_in_ten_minutes_are_a_contest_until_it_is_quiet() {
    let mut scene = Scene::settled_at(7, 500.0);
    for seconds in [10, 20, 30] {
        scene.set_replicas(2);
        let (_, actions) = scene.with_load(500.0, at(seconds));
        scene.apply(actions, at(seconds), Outcome::Done);
    }
    scene.set_replicas(2);
    let (decision, actions) = scene.with_load(500.0, at(40));
    assert!(actions.is_empty());
    assert_eq!(code(&decision), ReasonCode::Contested);
    assert_eq!(condition(&decision, ConditionKind::Contested), (Some(true), "ForeignWrites"));
    // Quiet for ten minutes: Loadline writes again.
    assert!(scene.with_load(500.0, at(600)).1.is_empty());
    assert_eq!(to(&scene.with_load(500.0, at(640)).1), Some(6));
}

#[test]
fn paused_replicas_are_held_exactly() {
    let mut scene = Scene::new(10);
    scene.policy().pause.replicas = Some(3);
    let (decision, actions) = scene.with_load(5_000.0, at(0));
    assert_eq!((to(&actions), code(&decision)), (Some(3), ReasonCode::Paused));
    assert_eq!(condition(&decision, ConditionKind::ScalingActive), (Some(false), "PausedAtReplicas"));
}

#[test]
fn a_policy_made_anew_starts_with_an_empty_memory_and_one_restored_keeps_its_changes() {
    let now = at(0);
    let mut restored = PolicyMemory::default();
    let recent = now.wall - jiff::SignedDuration::from_secs(5);
    memory::restore(&mut restored, &[(recent, 10)], now);
    let mut scene = Scene::new(20);
    scene.memory.policies.values_mut().for_each(|m| **m = restored.clone());
    // The restored change counts against the rate rule.
    assert!(scene.with_load(10_000.0, now).1.is_empty());
    // Another object by the same name does not inherit it.
    scene.policy().uid = "another".to_owned();
    assert_eq!(to(&scene.with_load(10_000.0, now).1), Some(40));
}

#[test]
fn a_person_who_scales_up_again_and_again_is_no_fight() {
    let mut scene = Scene::settled_at(5, 400.0);
    for (seconds, replicas) in [(60, 8), (120, 12), (180, 16), (240, 20)] {
        scene.set_replicas(replicas);
        let (decision, _) = scene.with_load(400.0, at(seconds));
        assert_eq!(condition(&decision, ConditionKind::Contested).0, Some(false), "{replicas}");
    }
    // The load doubles beyond that: Loadline still writes.
    assert_eq!(to(&scene.with_load(2_000.0, at(300)).1), Some(22));
}

#[test]
fn who_undoes_our_scale_in_three_times_fights() {
    let mut scene = Scene::settled_at(20, 2_000.0).watched_for_long();
    scene.policy().behaviour.down.stabilization_window = Duration::ZERO;
    let mut contested = None;
    for seconds in (5..600).step_by(5) {
        let decision = scene.live(500.0, at(seconds));
        contested = contested
            .or_else(|| (condition(&decision, ConditionKind::Contested).0 == Some(true)).then_some(seconds));
        if scene.instance().wanted < 20 {
            scene.set_replicas(20);
        }
    }
    assert!(contested.is_some());
}

#[test]
fn a_floor_is_taken_back_to_where_it_came_from_and_no_further() {
    // Given a person who scaled from 5 to 9, and a load that raised it to 20 since,
    let mut scene = Scene::settled_at(5, 400.0);
    scene.set_replicas(9);
    scene.with_load(400.0, at(5));
    scene.live(1_800.0, at(10));
    let now = scene.instance().wanted;
    assert!(now > 9);
    // when somebody sets 4, then that is not the person's floor taken back.
    scene.set_replicas(4);
    assert_eq!(to(&scene.with_load(400.0, at(15)).1), Some(now));
}

#[test]
fn what_is_restored_leaves_the_rate_rules_as_they_were() {
    // Given 100 replicas of which a tenth may go in a minute, and somebody who sets 10.
    let mut scene = Scene::settled_at(100, 9_000.0);
    scene.set_replicas(10);
    let (_, actions) = scene.with_load(9_000.0, at(5));
    assert_eq!(to(&actions), Some(100));
    scene.apply(actions, at(5), Outcome::Done);
    // Then putting 100 back is no raise that a scale-in could take back at once.
    let changes = &scene.memory.policies.values().next().unwrap().changes;
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn a_status_that_overtakes_our_write_in_the_watch_is_not_somebody_else() {
    // Given a write from 5 to 6 on version 1 that the API server took on version 2,
    let mut scene = Scene::settled_at(5, 545.0);
    let (_, actions) = scene.with_load(545.0, at(5));
    scene.apply(actions, at(5), Outcome::Done);
    // when the watch shows version 2 with the old replicas first,
    let instance = scene.instance();
    (instance.wanted, instance.version.resource_version) = (5, "status".to_owned());
    let (decision, actions) = scene.with_load(545.0, at(6));
    // then nobody is blamed, and it is not written again.
    assert!(actions.is_empty() && decision.reasons.iter().all(|r| r.code != ReasonCode::Person));
    // A person who sets the old value is believed soon after.
    assert_eq!(code(&scene.with_load(545.0, at(10)).0), ReasonCode::Person);
}
