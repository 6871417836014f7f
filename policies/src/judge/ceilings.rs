//! A person says how much a forecast may do, whatever it has earned.

use super::{
    restarts::{past, restarted, season, trusted},
    scene::{Scene, at},
    *,
};
use crate::{forecast::trust::Trust, reason::ConditionKind};

/// A workload whose forecast has earned all trust.
fn trusted_in_full() -> Scene {
    let mut scene = restarted(Trust::Shadow);
    let memory = scene.memory.policies.values_mut().next().unwrap();
    memory.awaited = None;
    memory.forecaster = Some(past(at(0), 6 * 1_440, season));
    scene
}

fn load(second: u64) -> f64 {
    season(at(second).wall.as_second().div_euclid(60))
}

/// One look under a ceiling.
fn look(scene: &mut Scene, most: Trust, second: u64) -> Decision {
    if scene.workload.policy.forecast.max_trust != most {
        scene.policy().forecast.max_trust = most;
        scene.policy().generation += 1;
    }
    scene.with_load(load(second), at(second)).0
}

fn says(decision: &Decision) -> bool {
    decision.proposals.iter().any(|proposal| proposal.source == "forecast")
}

#[test]
fn a_ceiling_holds_what_was_earned_and_gives_it_back_at_once_when_it_is_raised() {
    // Given a forecast that has earned all trust, and a workload that is kept at the benchmark by it alone,
    let mut scene = trusted_in_full();
    let full = look(&mut scene, Trust::Full, 0);
    assert_eq!((trusted(&full), says(&full)), ((Some(true), "Trusted"), true));
    let band = |seconds| reactive(load(seconds));
    assert!(full.desired < band(0), "{} replicas without head-room", full.desired);

    // when it may only add, then the head-room is back, and what the forecast needs is kept.
    let adds = look(&mut scene, Trust::ScaleOutOnly, 15);
    assert_eq!((trusted(&adds), says(&adds)), ((Some(true), "HeldByPolicy"), true));
    assert!(adds.desired >= band(15), "{:?}", adds.reasons);
    let forecast = adds.forecast.unwrap();
    assert_eq!((forecast.trust, forecast.earned), (Trust::ScaleOutOnly, Trust::Full));

    // When it is switched off, then it says nothing, and everybody can see what it has earned.
    for (most, second) in [(Trust::Recommend, 30), (Trust::Shadow, 45)] {
        let off = look(&mut scene, most, second);
        assert_eq!((trusted(&off), says(&off)), ((Some(false), "HeldByPolicy"), false));
        assert_eq!(off.desired, band(second), "{:?}", off.reasons);
        let condition = off.conditions.iter().find(|c| c.kind == ConditionKind::ForecastTrusted).unwrap();
        assert!(condition.message.contains("has earned Full and is held to"), "{}", condition.message);
    }

    // When it is switched on again, then it goes on where it was: nothing has to be earned twice.
    let again = look(&mut scene, Trust::Full, 60);
    assert_eq!((trusted(&again), again.forecast.unwrap().trust), ((Some(true), "Trusted"), Trust::Full));
}

/// The replicas that the band alone wants.
fn reactive(load: f64) -> u32 {
    let policy = super::scene::policy();
    crate::desired::count::ceil(load * policy.capacity.redundancy.min / 100.0)
}

#[test]
fn what_keeps_a_forecast_from_acting_at_all_is_told_before_the_ceiling() {
    // Given a load of a day and a half, of which nothing is trusted yet,
    let mut scene = trusted_in_full();
    let memory = scene.memory.policies.values_mut().next().unwrap();
    memory.forecaster = Some(past(at(0), 36 * 60, season));
    // then a ceiling that it is far from is not the reason.
    let decision = look(&mut scene, Trust::Shadow, 0);
    assert_eq!(trusted(&decision), (Some(false), "ShortHistory"));
    let forecast = decision.forecast.unwrap();
    assert_eq!((forecast.trust, forecast.earned), (Trust::Shadow, Trust::Recommend));
}

#[test]
fn nothing_stands_in_after_a_restart_where_the_forecast_is_switched_off() {
    let mut scene = restarted(Trust::Full);
    let decision = look(&mut scene, Trust::Shadow, 0);
    assert_eq!(trusted(&decision).0, Some(false));
    assert_eq!(decision.desired, reactive(load(0)), "{:?}", decision.reasons);
}
