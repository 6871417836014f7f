//! Stabilisation: on the way up the lowest recommendation of a window counts, on the way down the highest.
//!
//! Kept as monotonic queues: only recommendations that can still be the highest (or lowest) of the window stay,
//! which is exact. Entries that fall within one slot of a window (1/64 of it) share an entry that keeps the
//! more cautious value until the newer one's time, so that a queue never holds more than about 65 entries
//! whatever the window and the sync; that can only prolong a hold, by at most one slot.

use std::{cmp::Ordering, collections::VecDeque, time::Duration};

use crate::{
    memory::{PolicyMemory, Recommendation},
    now::Mono,
    policy::Behaviour,
};

/// Slots of a window; bounds the queue's length.
const SLOTS: u32 = 64;

/// A stabilised recommendation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stabilised {
    /// Replicas.
    pub replicas: u32,
    /// The earlier recommendation that holds it back, if one does.
    pub held_by: Option<Recommendation>,
}

/// Stabilises a recommendation against the windows' memory, and remembers it.
pub fn stabilise(
    memory: &mut PolicyMemory,
    behaviour: &Behaviour,
    current: u32,
    recommended: u32,
    now: Mono,
) -> Stabilised {
    let (up, down) = (behaviour.up.stabilization_window, behaviour.down.stabilization_window);
    forget(&mut memory.highs, down, now);
    forget(&mut memory.lows, up, now);
    let result = judge(memory, current, recommended);
    push(&mut memory.highs, recommended, down, now, |old, new| old <= new);
    push(&mut memory.lows, recommended, up, now, |old, new| old >= new);
    result
}

/// HPA's rule: the current replicas, raised to the lowest of the up window, lowered to the highest of the
/// down window.
fn judge(memory: &PolicyMemory, current: u32, recommended: u32) -> Stabilised {
    // The queues are monotonic: the front is the extreme of the window.
    let low = memory.lows.front().filter(|r| r.replicas < recommended);
    let high = memory.highs.front().filter(|r| r.replicas > recommended);
    let up = low.map_or(recommended, |r| r.replicas);
    let down = high.map_or(recommended, |r| r.replicas);
    let replicas = current.max(up).min(down);
    let held_by = match replicas.cmp(&recommended) {
        Ordering::Greater => high.copied(),
        Ordering::Less => low.copied(),
        Ordering::Equal => None,
    };
    Stabilised { replicas, held_by }
}

/// Drops what is as old as the window: HPA counts only what is younger.
fn forget(queue: &mut VecDeque<Recommendation>, window: Duration, now: Mono) {
    while queue.front().is_some_and(|r| now.since(r.at) >= window) {
        queue.pop_front();
    }
}

/// Appends a recommendation; those that it `beats` can never be the extreme again.
fn push(
    queue: &mut VecDeque<Recommendation>,
    replicas: u32,
    window: Duration,
    now: Mono,
    beats: impl Fn(u32, u32) -> bool,
) {
    if window.is_zero() {
        queue.clear();
        return;
    }
    while queue.back().is_some_and(|r| beats(r.replicas, replicas)) {
        queue.pop_back();
    }
    let slot = (window / SLOTS).as_nanos().max(1);
    match queue.back_mut() {
        Some(last) if last.at.0.as_nanos() / slot == now.0.as_nanos() / slot => last.at = now,
        _ => queue.push_back(Recommendation { at: now, replicas }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60;

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    fn down_window(seconds: u64) -> Behaviour {
        let mut behaviour = Behaviour::hpa_default();
        behaviour.down.stabilization_window = Duration::from_secs(seconds);
        behaviour
    }

    #[test]
    fn a_scale_in_waits_until_the_highest_recommendation_leaves_the_window() {
        // Given a recommendation of 9, then of 4.
        let (mut memory, behaviour) = (PolicyMemory::default(), down_window(300));
        stabilise(&mut memory, &behaviour, 9, 9, at(0));
        // When 4 is recommended within the window, then 9 still holds, and it is known why.
        let held = stabilise(&mut memory, &behaviour, 9, 4, at(299));
        assert_eq!(held.replicas, 9);
        assert_eq!(held.held_by, Some(Recommendation { at: at(0), replicas: 9 }));
        // When the window is over, then 4 counts.
        assert_eq!(stabilise(&mut memory, &behaviour, 9, 4, at(300)).replicas, 4);
    }

    #[test]
    fn an_up_window_takes_the_lowest() {
        let mut behaviour = Behaviour::hpa_default();
        behaviour.up.stabilization_window = Duration::from_mins(1);
        let mut memory = PolicyMemory::default();
        stabilise(&mut memory, &behaviour, 3, 3, at(0));
        assert_eq!(stabilise(&mut memory, &behaviour, 3, 10, at(30)).replicas, 3);
        assert_eq!(stabilise(&mut memory, &behaviour, 3, 8, at(61)).replicas, 8);
    }

    #[test]
    fn a_constant_recommendation_keeps_one_entry() {
        let (mut memory, behaviour) = (PolicyMemory::default(), down_window(300));
        for tick in 0..1_000 {
            stabilise(&mut memory, &behaviour, 5, 5, at(tick * 5));
        }
        assert_eq!(memory.highs.len(), 1);
    }

    /// What HPA does: keep everything, search the window.
    fn hpa(history: &[(u64, u32)], window: u64, current: u32, desired: u32, now: u64) -> u32 {
        let high = history.iter().filter(|(t, _)| now - t < window).map(|(_, r)| *r).fold(desired, u32::max);
        current.max(desired).min(high)
    }

    proptest! {
        #[test]
        fn it_equals_hpa_where_a_slot_is_shorter_than_the_sync(
            recommendations in proptest::collection::vec(0u32..50, 1..200),
            current in 0u32..50,
        ) {
            // A window of 5 minutes has slots of 4.7 s; a sync of 5 s puts at most one tick in each.
            let (mut memory, behaviour) = (PolicyMemory::default(), down_window(5 * MINUTE));
            let mut history = Vec::new();
            for (tick, &desired) in (0u64..).zip(&recommendations) {
                let now = tick * 5;
                let expected = hpa(&history, 300, current, desired, now);
                prop_assert_eq!(stabilise(&mut memory, &behaviour, current, desired, at(now)).replicas, expected);
                history.push((now, desired));
            }
        }

        #[test]
        fn it_is_never_less_cautious_than_hpa_and_never_grows(
            recommendations in proptest::collection::vec(0u32..5_000, 1..400),
            current in 0u32..5_000,
        ) {
            // A window of 1 hour has slots of 56 s: many ticks share one.
            let (mut memory, behaviour) = (PolicyMemory::default(), down_window(60 * MINUTE));
            let mut history = Vec::new();
            for (tick, &desired) in (0u64..).zip(&recommendations) {
                let now = tick * 15;
                let exact = hpa(&history, 3_600, current, desired, now);
                let longer = hpa(&history, 3_600 + 57, current, desired, now);
                let got = stabilise(&mut memory, &behaviour, current, desired, at(now)).replicas;
                prop_assert!(exact <= got && got <= longer, "{} <= {} <= {}", exact, got, longer);
                prop_assert!(memory.highs.len() <= SLOTS as usize + 2);
                history.push((now, desired));
            }
        }
    }
}
