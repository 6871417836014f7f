//! Settling: what a rate window has not seen whole yet, so that it tells of less load than there is.
//!
//! ```text
//! samples      x  x  x            (gap)            x  x  x  x  x
//! window 1                                      [        ]        half of it is empty: the rate reads low
//! window 2                                            [        ]  whole
//! ```
//!
//! `rate()` divides what a counter rose by the whole window, so a gap in the samples reads as fewer requests.
//! The counter of a new replica begins with its first scrape, so the share of the load that moved to it is
//! missing until it fills the window. Both look like a load that fell: nothing may be removed for it.

use std::{collections::VecDeque, time::Duration};

use crate::{
    desired::words,
    memory::{PolicyMemory, ReadyCount},
    now::Mono,
    reason::{Reason, ReasonCode},
};

/// The time after which a window has seen a replica, or the time after a gap, whole: the window, and half of it
/// for the scrape before the first sample and the delay until it can be read.
#[must_use]
pub fn whole(window: Duration) -> Duration {
    window.saturating_add(window / 2)
}

/// Remembers how many replicas are ready, and gives how many of them a rate over `window` has not seen whole:
/// those more than at the fewest within [`whole`] of the window.
///
/// `counts` is kept as the queue of that minimum: oldest first, replicas strictly rising.
pub fn young(counts: &mut VecDeque<ReadyCount>, ready: u32, window: Duration, now: Mono) -> u32 {
    let seen_whole = whole(window);
    // The count that stood when the time began still counts: it was left only later.
    while counts.get(1).is_some_and(|next| now.since(next.at) >= seen_whole) {
        counts.pop_front();
    }
    // Fewer are ready than stood since some moment: since that moment these are the fewest.
    let mut since = now;
    while let Some(last) = counts.pop_back_if(|last| last.replicas > ready) {
        since = last.at;
    }
    if counts.back().is_none_or(|last| last.replicas < ready) {
        counts.push_back(ReadyCount { at: since, replicas: ready });
    }
    counts.front().map_or(0, |fewest| ready.saturating_sub(fewest.replicas))
}

/// Why nothing may be removed although the load can be read: it can be read only since a moment ago, and its
/// window may not be filled.
#[must_use]
pub fn unfilled(memory: &PolicyMemory, window: Duration, now: Mono) -> Option<Reason> {
    let since = memory.doubted_at?;
    let left = whole(window).saturating_sub(now.since(since));
    (left > Duration::ZERO).then(|| {
        let text = format!(
            "The load is read without doubt only for {}, and its window of {} may not be filled: nothing is \
             removed for another {}.",
            words::duration(now.since(since)),
            words::duration(window),
            words::duration(left)
        );
        Reason::new(ReasonCode::WindowNotFilled, text)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    #[test]
    fn replicas_are_young_for_a_window_and_a_half() {
        let mut counts = VecDeque::new();
        // Given 12 replicas for long, of which nothing is young even at the first look,
        assert_eq!(young(&mut counts, 12, WINDOW, at(0)), 0);
        assert_eq!(young(&mut counts, 12, WINDOW, at(1_000)), 0);
        // when 36 more are ready, then these are young until a window has seen them whole.
        assert_eq!(young(&mut counts, 48, WINDOW, at(1_005)), 36);
        assert_eq!(young(&mut counts, 48, WINDOW, at(1_094)), 36);
        assert_eq!(young(&mut counts, 48, WINDOW, at(1_095)), 0);
    }

    #[test]
    fn one_replica_that_comes_and_goes_is_one_young_replica() {
        let mut counts = VecDeque::new();
        for second in (0..3_600).step_by(10) {
            let ready = if second % 60 < 30 { 400 } else { 399 };
            let young = young(&mut counts, ready, WINDOW, at(second));
            assert!(young <= 1, "{young} at {second} s");
            assert!(counts.len() <= 2);
        }
    }

    #[test]
    fn a_window_is_filled_again_a_window_and_a_half_after_the_last_doubt() {
        let memory = PolicyMemory { doubted_at: Some(at(100)), ..PolicyMemory::default() };
        let why = unfilled(&memory, WINDOW, at(130)).unwrap();
        assert_eq!(
            why.text,
            "The load is read without doubt only for 30 s, and its window of 1 min may not be filled: nothing is \
             removed for another 1 min."
        );
        assert_eq!(unfilled(&memory, WINDOW, at(190)), None);
        assert_eq!(unfilled(&PolicyMemory::default(), WINDOW, at(0)), None);
    }

    proptest! {
        /// By its definition: the ready replicas less the fewest that stood at any time in the span.
        #[test]
        fn it_is_what_came_since_the_fewest(counts in proptest::collection::vec((1u64..40, 0u32..30), 1..80)) {
            let (mut queue, mut history, mut now) = (VecDeque::new(), Vec::<(u64, u32)>::new(), 1_000);
            for (gap, ready) in counts {
                now += gap;
                history.push((now, ready));
                let begin = now - 90;
                let standing = history.iter().rev().find(|(t, _)| *t <= begin).map(|(_, n)| *n);
                let within = history.iter().filter(|(t, _)| *t > begin).map(|(_, n)| *n);
                let fewest = within.chain(standing).min().unwrap_or(ready);
                prop_assert_eq!(young(&mut queue, ready, WINDOW, at(now)), ready - fewest);
            }
        }
    }
}
