//! Endpoint weights that are learned: what they do to the load before and after.

use super::{
    scene::{Scene, at, policy, requests},
    *,
};
use crate::{
    fleet::CpuSample,
    load::endpoint_weights::EndpointLearner,
    policy::{EndpointWeights, Weights},
    reading::{Doubt, Reading},
};

fn scene() -> Scene {
    let mut policy = policy();
    policy.load.weights = Weights::LearnedEndpoints(None);
    Scene::of(policy, 10).watched_for_long()
}

/// A judgement under so many looks at the cart and so many orders per second, of which the CPU was read.
fn look(scene: &mut Scene, now: Now, (carts, orders): (f64, f64), cpu: bool) -> Decision {
    let mut load = requests(carts + orders, now);
    load.value.endpoints = [("GET /cart".to_owned(), carts), ("POST /order".to_owned(), orders)].into();
    scene.instance().load = Ok(load);
    // A look costs 1 ms and an order 9.
    let value = CpuSample { window: Duration::from_mins(1), cores: 0.2 + 0.001 * carts + 0.009 * orders };
    scene.instance().cpu = cpu.then(|| Ok(Reading::complete(value, now.wall)));
    scene.judge(now).0
}

#[test]
fn every_request_counts_one_until_days_have_borne_something_else_out() {
    // Given a day of orders at noon and of looks in the evening, which goes on for days,
    let mut scene = scene();
    let mix = |minute: u64| {
        let angle = f64::from(u32::try_from(minute % 1_440).unwrap()) / 1_440.0 * std::f64::consts::TAU;
        (300.0 + 200.0 * angle.sin(), 100.0 + 80.0 * angle.cos())
    };
    let judge = |scene: &mut Scene, minute: u64| look(scene, at(minute * 60), mix(minute), true);
    let first = (0..2_000).map(|minute| judge(&mut scene, minute)).last().unwrap();
    assert_eq!(
        (first.endpoints_weighed, first.demand.unwrap().weighted),
        (Some(0), first.demand.unwrap().raw)
    );
    assert!((first.demand.unwrap().weighted - first.demand.unwrap().requests).abs() < 1e-9);
    // when they explained a day that they were not learned from, then an order weighs nine looks,
    let learned = (2_000..5_000).map(|minute| judge(&mut scene, minute)).last().unwrap();
    assert_eq!(learned.endpoints_weighed, Some(2));
    let memory = &scene.memory.policies[&scene.workload.policy.key];
    let used = memory.endpoint_weights.as_ref().unwrap().in_use().unwrap();
    let ratio = used.of("POST /order") / used.of("GET /cart");
    assert!((ratio - 9.0).abs() < 1.0, "{used:?}");
    // and the mean request still weighs about one.
    let noon = look(&mut scene, at(5_000 * 60), (300.0, 100.0), false).demand.unwrap();
    assert!((noon.weighted / noon.requests - 1.0).abs() < 0.1, "{noon:?}");
}

#[test]
fn weights_in_use_without_endpoints_are_a_doubt_and_no_guess() {
    let mut scene = scene();
    let weights = EndpointWeights { by_name: [("POST /order".to_owned(), 4.0)].into(), others: 0.5 };
    scene.memory.policies.values_mut().for_each(|memory| {
        memory.endpoint_weights = Some(Box::new(EndpointLearner::restored(weights.clone())));
    });
    // Restored, they weigh at once: 10 orders of 4, and 100 others of a half.
    let decision = look(&mut scene, at(0), (100.0, 10.0), false);
    assert!((decision.demand.unwrap().weighted - 90.0).abs() < 1e-9, "{:?}", decision.demand);
    let (decision, actions) = scene.with_load(110.0, at(60));
    assert!(matches!(decision.doubts.first(), Some((_, Doubt::WrongShape(_)))), "{:?}", decision.doubts);
    assert!(actions.is_empty());
}

#[test]
fn a_cpu_that_cannot_be_read_teaches_nothing_and_stops_nothing() {
    let mut scene = scene();
    let decision = (0..10)
        .map(|minute| {
            scene.instance().cpu = Some(Err(Doubt::AbsentSeries));
            scene.with_load(800.0, at(minute * 60)).0
        })
        .last()
        .unwrap();
    assert_eq!((decision.doubts.len(), decision.endpoints_weighed), (0, Some(0)));
}
