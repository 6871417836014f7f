//! Stories of endpoint weights, and what holds for any readings.

use std::f64::consts::TAU;

use proptest::{collection::vec, prelude::*};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// A service with endpoints of known cost, each with a day and a noise of its own.
struct Service {
    learner: EndpointLearner,
    costs: Vec<(&'static str, f64)>,
    minute: u32,
    /// All endpoints come in the same shares at all times.
    together: bool,
}

impl Service {
    fn new(costs: &[(&'static str, f64)]) -> Self {
        let mut learner = EndpointLearner::default();
        learner.see(10, Mono::default());
        Self { learner, costs: costs.to_vec(), minute: 10, together: false }
    }

    /// A number between -0.5 and 0.5: SplitMix64 of the minute (Steele, Lea and Flood, OOPSLA 2014).
    fn chance(&self, of: u32) -> f64 {
        let mut z = (u64::from(self.minute) << 32 | u64::from(of)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((z ^ (z >> 31)) >> 32).unwrap()) / 2.0_f64.powi(32) - 0.5
    }

    fn minutes(&mut self, minutes: u32) {
        for _ in 0..minutes {
            self.minute += 1;
            let day = |phase: f64| 1.0 + 0.6 * (f64::from(self.minute) / 1_440.0 * TAU + phase).sin();
            let rates: BTreeMap<&str, f64> = (0..)
                .zip(&self.costs)
                .map(|(i, (name, _))| {
                    let (phase, noise) =
                        if self.together { (0.0, 0.0) } else { (f64::from(i) / 3.0, self.chance(i)) };
                    (*name, 10.0 * day(phase) * (1.0 + 0.2 * f64::from(i)) * (1.0 + 0.3 * noise))
                })
                .collect();
            let work: f64 = self.costs.iter().map(|(name, cost)| rates[name] * cost).sum();
            let cores = (0.1 + work) * (1.0 + 0.06 * self.chance(99));
            let window = EndpointWindow { rates, cores, length: MINUTE };
            self.learner.learn(&window, 0, Mono(MINUTE * self.minute));
        }
    }

    fn days(&mut self, days: u32) -> &EndpointLearner {
        self.minutes(days * 1_440 + 10);
        &self.learner
    }
}

#[test]
fn known_weights_are_recovered_within_fifteen_percent() {
    // Given an order that costs eight times a look at the cart, and a health check that costs next to nothing,
    let costs =
        [("GET /cart", 0.002), ("GET /health", 0.000_1), ("POST /order", 0.016), ("PUT /cart", 0.004)];
    let mut service = Service::new(&costs);
    // when one day was seen, then all weigh 1 still,
    assert_eq!(service.days(1).in_use(), None);
    // and after days, of which each was held out, they weigh what they cost.
    let learned = service.days(3).in_use().unwrap().clone();
    let (requests, cost) = (0..).zip(&costs).fold((0.0, 0.0), |(requests, all), (i, (_, cost))| {
        let rate = 10.0 * (1.0 + 0.2 * f64::from(i));
        (requests + rate, all + rate * cost)
    });
    for (name, own) in costs {
        let (got, wanted) = (learned.of(name), own * requests / cost);
        // Next to nothing is known as that, not to a share of itself.
        assert!(
            (got - wanted).abs() < (0.15 * wanted).max(0.08),
            "{name}: {got} for {wanted} of {learned:?}"
        );
    }
}

#[test]
fn the_mean_request_weighs_one_so_that_the_unit_stays() {
    let mut service = Service::new(&[("a", 0.001), ("b", 0.01), ("c", 0.003)]);
    let learner = service.days(4);
    let used = learner.in_use().unwrap();
    let share = |i: usize| learner.week.at(IDLE, i + 2);
    let all: f64 = (0..3).map(share).sum();
    let mean: f64 = (0..3).map(|i| share(i) * used.of(&learner.names[i])).sum::<f64>() / all;
    assert!((mean - 1.0).abs() < 0.05, "{mean}: {used:?}");
}

#[test]
fn endpoints_that_cost_the_same_go_on_weighing_one() {
    let mut service = Service::new(&[("a", 0.004), ("b", 0.004), ("c", 0.004)]);
    assert_eq!(service.days(4).in_use(), None, "weights of 1 explain it as well");
}

#[test]
fn endpoints_that_always_come_together_share_what_they_cost() {
    // Given two endpoints in one share at all times, of which one costs everything,
    let mut service = Service::new(&[("a", 0.0), ("b", 0.02)]);
    service.together = true;
    service.days(3);
    // then nobody can tell, and the fit gives both the same, which is no better than weights of 1.
    let costs = service.learner.week.fit();
    assert!((costs[2] / costs[3] - 1.0).abs() < 0.3, "{costs:?}");
    assert_eq!(service.learner.in_use(), None);
}

#[test]
fn weights_that_explain_no_more_are_given_up() {
    let mut service = Service::new(&[("a", 0.001), ("b", 0.02)]);
    assert!(service.days(4).in_use().is_some());
    // When another version does it the other way round,
    service.costs = vec![("a", 0.02), ("b", 0.001)];
    service.days(1);
    // then the next day is explained better by weights of 1, and in time by the new ones.
    assert_eq!(service.learner.in_use(), None);
    let learned = service.days(21).in_use().unwrap().clone();
    assert!(learned.of("a") > learned.of("b"), "{learned:?}");
}

#[test]
fn more_endpoints_than_are_told_apart_are_one() {
    let names: Vec<String> = (0..100).map(|n| format!("GET /{n}")).collect();
    let mut learner = EndpointLearner::default();
    learner.see(10, Mono::default());
    for minute in 10..20_u32 {
        let rates = (1_u32..).zip(&names).map(|(n, name)| (name.as_str(), f64::from(n))).collect();
        let window = EndpointWindow { rates, cores: 1.0, length: MINUTE };
        learner.learn(&window, 0, Mono(MINUTE * minute));
    }
    assert_eq!((learner.names.len(), learner.names[0].as_str()), (64, "GET /99"));
    assert!((learner.day.at(IDLE, OTHERS) - 10.0 * f64::from((1..=36).sum::<u32>())).abs() < 1e-6);
}

#[test]
fn what_was_in_use_survives_a_restart_and_what_cannot_be_does_not() {
    let mut service = Service::new(&[("a", 0.001), ("b", 0.02)]);
    let used = service.days(4).in_use().unwrap().clone();
    assert_eq!(EndpointLearner::restored(used.clone()).in_use(), Some(&used));
    let odd = [("a".to_owned(), -1.0), ("b".to_owned(), f64::NAN)].into();
    assert_eq!(EndpointLearner::restored(EndpointWeights { by_name: odd, others: 1.0 }).in_use(), None);
}

#[test]
fn a_window_with_other_replicas_than_before_teaches_nothing() {
    let mut learner = EndpointLearner::default();
    let window = EndpointWindow { rates: [("a", 1.0)].into(), cores: 1.0, length: MINUTE };
    learner.see(10, Mono(MINUTE * 10));
    learner.learn(&window, 0, Mono(MINUTE * 11));
    assert!(learner.day.windows().abs() < 1e-12);
    learner.learn(&window, 0, Mono(MINUTE * 12));
    assert!((learner.day.windows() - 1.0).abs() < 1e-12);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn weights_are_finite_and_never_negative_whatever_was_read(
        windows in vec((vec(prop_oneof![4 => 0.0..1e3_f64, 1 => any::<f64>(), 1 => 0.0..1e9_f64], 4),
            prop_oneof![4 => 0.0..1e2_f64, 1 => any::<f64>(), 1 => 0.0..1e9_f64]), 1..40),
    ) {
        let names = ["a", "b", "c", "d"];
        let mut learner = EndpointLearner::default();
        learner.see(10, Mono::default());
        for (minute, (rates, cores)) in (10..).zip(windows.iter().cycle().take(4_000)) {
            let rates = names.into_iter().zip(rates.iter().copied()).collect();
            let window = EndpointWindow { rates, cores: *cores, length: MINUTE };
            learner.learn(&window, 0, Mono(MINUTE * minute));
        }
        let fitted = if learner.week.windows() >= LEAST { learner.week.fit() } else { Vec::new() };
        prop_assert!(fitted.iter().all(|cost| cost.is_finite() && *cost >= 0.0));
        if let Some(used) = learner.in_use() {
            prop_assert!(used.by_name.values().chain([&used.others]).all(|w| w.is_finite() && *w >= 0.0));
        }
    }
}
