//! A known sale: prepared for, kept while it lasts, let go.

use super::scene::{Scene, at, code};
use super::*;
use crate::{forecast::Forecaster, plan::Outcome, policy::Event, reason::ReasonCode};

const MINUTE: u64 = 60;
/// The sale lasts an hour from the third on.
const SALE: (u64, u64) = (180 * MINUTE, 240 * MINUTE);

/// Eleven replicas of 100 each at 1,000 requests per second, and a sale that makes three times of that.
fn before_the_sale(days: i64) -> Scene {
    let mut scene = Scene::new(11).watched_for_long();
    let policy = scene.policy();
    policy.bounds.max = 1_000;
    let (from, to) = (at(SALE.0).wall, at(SALE.1).wall);
    policy.events = vec![Event { name: "sale".into(), from, to, multiple: 3.0 }];
    let mut forecaster = Forecaster::new(5, policy.forecast.quantile, 0);
    let now = at(0).wall.as_second().div_euclid(60);
    for minute in now - days * 1_440..now {
        let noise = f64::from(u32::try_from(minute.rem_euclid(7)).unwrap());
        forecaster.remember(jiff::Timestamp::from_second(minute * 60).unwrap(), 997.0 + noise);
    }
    scene.memory.policies.values_mut().for_each(|m| m.forecaster = Some(Box::new(forecaster.clone())));
    scene
}

/// Lives until a moment under the usual load; gives the last decision.
fn until(scene: &mut Scene, from: u64, second: u64) -> Decision {
    let mut last = None;
    for now in (from..=second).step_by(15) {
        let (decision, actions) = scene.with_load(1_000.0, at(now));
        scene.apply(actions, at(now), Outcome::Done);
        last = Some(decision);
    }
    last.unwrap()
}

#[test]
fn a_sale_is_prepared_for_as_long_before_as_replicas_take_and_kept_until_its_end() {
    let mut scene = before_the_sale(8);
    // Given that it is far away, then nothing is different.
    let decision = until(&mut scene, 0, SALE.0 - 6 * MINUTE);
    assert!(decision.desired <= 11 && code(&decision) != ReasonCode::Event, "{:?}", decision.reasons);
    // When replicas that are asked for now would be ready in time, then they are asked for, though nobody came yet:
    // three times the usual maximum of 1,003, as fast as the rate rules allow.
    let decision = until(&mut scene, SALE.0 - 6 * MINUTE + 15, SALE.0 - 5 * MINUTE + 15);
    assert_eq!((decision.desired, code(&decision)), (22, ReasonCode::Event), "{:?}", decision.reasons);
    // While it lasts they are kept, though the load stays away,
    let decision = until(&mut scene, SALE.0 - 5 * MINUTE + 30, SALE.1 - MINUTE);
    assert_eq!((decision.desired, decision.replicas.wanted), (31, 31), "{:?}", decision.reasons);
    // and a stabilisation window after it they go.
    let decision = until(&mut scene, SALE.1 - MINUTE + 15, SALE.1 + 10 * MINUTE);
    assert!(decision.desired <= 11, "{:?}", decision.reasons);
}

#[test]
fn where_the_usual_load_is_not_known_nothing_is_removed_while_the_event_lasts() {
    // Given thirty replicas for a load of ten, and no history,
    let mut scene = before_the_sale(0);
    scene.set_replicas(30);
    let decision = until(&mut scene, SALE.0, SALE.0 + 20 * MINUTE);
    assert_eq!(decision.desired, 30, "{:?}", decision.reasons);
    let said =
        decision.reasons.iter().any(|reason| reason.text.contains("usual load at this time is not known"));
    assert!(said, "{:?}", decision.reasons);
}
