//! The operator is restarted in the middle of a day: what the forecast had earned holds until its history is back.

use super::scene::{Scene, at};
use super::*;
use crate::{
    forecast::{Forecaster, trust::Trust},
    load::{
        adopt,
        awaited::{Awaited, GRACE},
    },
    now::Mono,
    reason::ConditionKind,
};

/// A workload at 1.02 of the benchmark, which only a forecast that is trusted in full keeps there, in a process that
/// has just begun with this trust from status.
pub(super) fn restarted(trust: Trust) -> Scene {
    let mut scene = Scene::new(102).watched_for_long();
    scene.policy().bounds.max = 1_000;
    memory(&mut scene).awaited = Some(Awaited::new(trust, at(0).mono));
    scene
}

fn memory(scene: &mut Scene) -> &mut PolicyMemory {
    scene.memory.policies.values_mut().next().unwrap()
}

pub(super) fn trusted(decision: &Decision) -> (Option<bool>, &'static str) {
    let found = decision.conditions.iter().find(|c| c.kind == ConditionKind::ForecastTrusted).unwrap();
    (found.status, found.reason)
}

/// What has learned so many minutes until a moment: what the archive tells.
pub(super) fn past(now: Now, minutes: i64, load: impl Fn(i64) -> f64) -> Box<Forecaster> {
    let mut learned = Box::new(Forecaster::new(5, policy_quantile(), 0));
    let until = now.wall.as_second().div_euclid(60);
    for minute in until - minutes..until {
        let at = jiff::Timestamp::from_second(minute * 60).unwrap();
        learned.remember(at, load(minute));
    }
    learned
}

fn policy_quantile() -> f64 {
    super::scene::policy().forecast.quantile
}

/// 10,000 at noon and half of that at night, with the noise of a few percent that any load has.
#[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
pub(super) fn season(minute: i64) -> f64 {
    let time = std::f64::consts::TAU * minute.rem_euclid(1_440) as f64 / 1_440.0;
    let noise = (minute as f64 * 12.9898).sin() * 100.0;
    7_500.0 - 2_500.0 * time.cos() + noise
}

/// The minute of a second of the scene.
fn minute(second: u64) -> i64 {
    at(second).wall.as_second().div_euclid(60)
}

#[test]
fn what_had_full_trust_keeps_its_replicas_while_its_history_is_read() {
    let mut scene = restarted(Trust::Full);
    for second in (0..GRACE.as_secs()).step_by(15) {
        // The load wavers around the benchmark, below it and above it.
        let load = if second % 30 == 0 { 10_000.0 } else { 5_000.0 };
        let (decision, actions) = scene.with_load(load, at(second));
        assert!(actions.is_empty(), "after {second} s: {:?}", decision.reasons);
        assert_eq!(trusted(&decision), (Some(true), "HistoryAwaited"));
    }
    // When the history does not come, then the rules for a load that nobody foresees hold again.
    let (decision, actions) = scene.with_load(10_000.0, at(GRACE.as_secs()));
    assert_eq!(decision.desired, 110, "{:?}", decision.reasons);
    assert!(!actions.is_empty());
    assert_eq!(trusted(&decision).0, Some(false));
}

#[test]
fn a_load_over_the_benchmark_is_followed_also_without_history() {
    let mut scene = restarted(Trust::Full);
    let (decision, _) = scene.with_load(12_000.0, at(0));
    assert_eq!(decision.desired, 120, "{:?}", decision.reasons);
}

#[test]
fn what_had_no_say_before_a_restart_has_none_after_it() {
    for trust in [Trust::Shadow, Trust::Recommend] {
        let mut scene = restarted(trust);
        let (decision, _) = scene.with_load(10_000.0, at(0));
        assert_eq!(decision.desired, 110, "{trust:?}: {:?}", decision.reasons);
        assert_eq!(trusted(&decision).0, Some(false));
    }
    // What could only add replicas keeps the band of the policy, and removes none.
    let mut scene = restarted(Trust::ScaleOutOnly);
    assert_eq!(scene.with_load(10_000.0, at(0)).0.desired, 110);
    let mut scene = restarted(Trust::ScaleOutOnly);
    let (decision, _) = scene.with_load(2_000.0, at(0));
    assert_eq!(decision.desired, 102, "{:?}", decision.reasons);
    assert_eq!(decision.reasons[0].code, ReasonCode::HistoryAwaited, "{:?}", decision.reasons);
}

#[test]
fn when_the_history_is_back_it_is_judged_by_its_own_evidence() {
    // Given a process that has begun five minutes ago, and an archive that ends a minute before that.
    let start = at(0);
    let load = |second: i64| season(start.wall.as_second().div_euclid(60) + second.div_euclid(60));
    let mut scene = restarted(Trust::Full);
    for second in (0..300).step_by(15) {
        scene.with_load(load(i64::try_from(second).unwrap()), at(second));
    }
    let learned = past(at(0), 6 * 1_440, season);
    let asked = memory(&mut scene).awaited.unwrap().since;

    // When it is put in place, then it knows the minutes since, and has the trust that its past earned.
    assert!(adopt(memory(&mut scene), asked, learned, false));
    let decision = scene.with_load(load(300), at(300)).0;
    let forecast = decision.forecast.unwrap();
    assert_eq!(forecast.trust, Trust::Full, "{forecast:?}");
    assert_eq!(trusted(&decision), (Some(true), "Trusted"));
    let evidence = forecast.evidence.unwrap();
    assert!(evidence.history >= 6 * 1_440 + 3, "the minutes since are known: {evidence:?}");

    // One that was asked for by another process, or for other weights, is not taken.
    let late = past(at(0), 6 * 1_440, season);
    assert!(!adopt(memory(&mut scene), asked, late, false));
    memory(&mut scene).awaited = Some(Awaited::new(Trust::Shadow, Mono::default()));
    assert!(!adopt(memory(&mut scene), asked, past(at(0), 10, season), false));
}

#[test]
fn a_past_that_does_not_deserve_it_takes_the_trust_away() {
    let mut scene = restarted(Trust::Full);
    (0..60).step_by(15).for_each(|second| drop(scene.with_load(10_000.0, at(second))));
    let asked = memory(&mut scene).awaited.unwrap().since;
    // The archive has less than the two days that trust takes.
    let learned = past(at(0), 36 * 60, season);
    assert!(adopt(memory(&mut scene), asked, learned, false));
    let decision = scene.with_load(10_000.0, at(75)).0;
    assert_eq!(decision.forecast.unwrap().trust, Trust::Recommend, "{:?}", decision.forecast);
    assert_eq!(trusted(&decision), (Some(false), "ShortHistory"));
    assert_eq!(decision.desired, 110, "{:?}", decision.reasons);
}

#[test]
fn the_newest_days_are_enough_where_they_deserve_the_trust_of_before_and_else_it_waits_for_the_rest() {
    for (days, (condition, no_scale_in)) in [(3, ("Trusted", false)), (1, ("HistoryAwaited", true))] {
        // Given a process that has begun a minute ago, after a forecast with full trust,
        let mut scene = restarted(Trust::Full);
        (0..60).step_by(15).for_each(|second| drop(scene.with_load(season(minute(0)), at(second))));
        let asked = memory(&mut scene).awaited.unwrap().since;

        // when the newest days are learned, then they decide if they deserve as much, and else the trust stands in.
        assert!(adopt(memory(&mut scene), asked, past(at(0), days * 1_440, season), true));
        let decision = scene.with_load(season(minute(75)), at(75)).0;
        assert_eq!(trusted(&decision), (Some(true), condition), "{days} days");
        assert_eq!(memory(&mut scene).awaited.unwrap().no_scale_in(at(75)).is_some(), no_scale_in);

        // When the rest is there too, then nothing is awaited any more.
        assert!(adopt(memory(&mut scene), asked, past(at(0), 6 * 1_440, season), false));
        let decision = scene.with_load(season(minute(90)), at(90)).0;
        assert_eq!(trusted(&decision), (Some(true), "Trusted"));
        assert!(decision.forecast.unwrap().evidence.unwrap().history >= 6 * 1_440);
        assert_eq!(memory(&mut scene).awaited, None);
    }
}

#[test]
fn other_weights_make_another_load_of_it_and_its_past_is_asked_for_again() {
    let mut scene = restarted(Trust::Full);
    scene.with_load(10_000.0, at(0));
    let before = memory(&mut scene).awaited.unwrap().since;
    scene.policy().generation += 1;
    scene.policy().load.profile = "envoy".to_owned();
    scene.with_load(10_000.0, at(5));
    let after = memory(&mut scene).awaited.unwrap();
    assert!(after.since > before);
    assert_eq!(after.trust, Trust::Shadow);
}
