//! What holds for any sequence of windows.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{latency::LatencyTerm, now::Mono};

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![6 => 0.0..1e4_f64, 1 => any::<f64>(), 1 => Just(0.0), 1 => 1e-12..1e12_f64]
}

fn health() -> impl Strategy<Value = Option<bool>> {
    prop_oneof![6 => Just(Some(true)), 3 => Just(Some(false)), 1 => Just(None)]
}

fn term() -> impl Strategy<Value = LatencyTerm> {
    prop_oneof![
        4 => Just(LatencyTerm::Fine),
        1 => Just(LatencyTerm::NotJudged),
        1 => (1.0..3.0_f64).prop_map(|factor| LatencyTerm::ScaleOut { factor }),
        1 => (1.0..3.0_f64).prop_map(|factor| LatencyTerm::Easing { factor }),
        1 => (1.0..3.0_f64).prop_map(|factor| LatencyTerm::Futile { factor }),
    ]
}

/// So many minutes of the same, seen or in doubt.
#[derive(Debug, Clone)]
struct Spell {
    minutes: u64,
    window: Option<Window>,
    term: LatencyTerm,
    template: Option<u64>,
    restart: bool,
}

fn spell() -> impl Strategy<Value = Spell> {
    let window = (number(), number(), 0u32..50, 0u32..50, health()).prop_map(
        |(work, peak, ready, silent, healthy)| Window {
            work,
            peak,
            ready,
            silent,
            length: Duration::from_mins(1),
            healthy,
        },
    );
    let template = prop_oneof![8 => Just(Some(1)), 1 => Just(Some(2)), 1 => Just(None)];
    (1u64..600, proptest::option::weighted(0.9, window), term(), template, any::<bool>()).prop_map(
        |(minutes, window, term, template, restart)| Spell { minutes, window, term, template, restart },
    )
}

proptest! {
    #[test]
    fn what_is_used_is_positive_and_moves_by_a_fifth_a_day_at_most(spells in vec(spell(), 1..80)) {
        let (mut learner, mut minute) = (Learner::default(), 0_u64);
        // Since when what is used stands, and what it was before: within a day there is one move at most.
        let mut moved: Option<u64> = None;
        for spell in spells {
            if spell.restart {
                learner = Learner::restored(learner.kept());
            }
            for _ in 0..spell.minutes {
                minute += 1;
                let before = learner.known();
                learner.learn(spell.window, spell.term, spell.template, Mono(Duration::from_mins(minute)));
                let after = learner.known();
                prop_assert!((0.0..=1.0).contains(&after.confidence));
                let Some(now) = after.per_replica else { continue };
                prop_assert!(now.is_finite() && now > 0.0);
                let (Some(then), false) = (before.per_replica, after.source != before.source) else { continue };
                if (now - then).abs() > then * 1e-12 {
                    prop_assert!(now <= then * 1.2 * (1.0 + 1e-9) && now >= then * 0.8 * (1.0 - 1e-9));
                    prop_assert!(moved.is_none_or(|at| minute - at >= 1_440), "twice in a day");
                    moved = Some(minute);
                }
            }
        }
    }

    #[test]
    fn windows_under_half_of_it_never_lower_it(
        works in vec((0.0..0.49_f64, prop_oneof![vec((health(), term()), 1..5), Just(cured())]), 1..60),
    ) {
        // Given a service that bears 100,
        let (mut learner, mut minute) = (Learner::default(), 0_u64);
        let mut look = |learner: &mut Learner, work: f64, healthy, term| {
            minute += 1;
            let window = Window {
                work: work * 10.0, peak: work * 10.0, ready: 10, silent: 0,
                length: Duration::from_mins(1), healthy,
            };
            learner.learn(Some(window), term, Some(1), Mono(Duration::from_mins(minute)));
        };
        (0..3 * 1_440).for_each(|_| look(&mut learner, 100.0, Some(true), LatencyTerm::Fine));
        let before = learner.known().per_replica.unwrap();
        // when whatever happens happens under half of that, for days, then it stays.
        for (share, spells) in works {
            for (healthy, term) in spells {
                (0..60).for_each(|_| look(&mut learner, before * share, healthy, term));
            }
            prop_assert_eq!(learner.known().per_replica, Some(before));
        }
    }
}

/// Latency breaks, and more replicas cure it: what lowers a capacity most surely.
fn cured() -> Vec<(Option<bool>, LatencyTerm)> {
    vec![
        (Some(true), LatencyTerm::Fine),
        (Some(false), LatencyTerm::ScaleOut { factor: 1.25 }),
        (Some(true), LatencyTerm::Easing { factor: 1.25 }),
    ]
}
