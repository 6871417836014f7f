//! The past of a load while it is read: maxima by minute for two days, by five minutes before, in any order of time.
//!
//! ```text
//! until - 14 d                                   until - 2 d                until
//!   ├── by five minutes ───────────────────────────┼── by minute ────────────┤
//! ```
//!
//! A point takes two bytes, as in [`super::history`], and a workload without any past takes none. One of these is of
//! one workload in one cluster; [`together`] is the load over all its clusters.

use std::time::Duration;

use jiff::Timestamp;

use super::history::{GAP, decode, encode};

/// The newest part is kept by the minute: what a forecast is judged by.
pub const FINE: Duration = Duration::from_hours(48);
/// Length of a slot of the newest part.
pub const MINUTE: Duration = Duration::from_mins(1);
/// Length of a slot of what was before.
pub const FIVE: Duration = Duration::from_mins(5);

/// Seconds of [`FIVE`] and [`MINUTE`].
const STEPS: (i64, i64) = (300, 60);

/// The load of one workload in one cluster until a moment.
#[derive(Debug, Clone, Default)]
pub struct Past {
    coarse: Slots,
    fine: Slots,
}

/// Equal slots of Unix time.
#[derive(Debug, Clone, Default)]
struct Slots {
    /// Length of one, seconds.
    step: i64,
    /// Number of the first since 1970.
    first: i64,
    most: usize,
    /// Empty until the first point comes.
    codes: Vec<u16>,
}

impl Slots {
    /// The slots that begin between two moments, Unix seconds.
    fn between(from: i64, until: i64, step: i64) -> Self {
        let first = from.div_euclid(step);
        let most = usize::try_from(until.div_euclid(step).saturating_sub(first)).unwrap_or(0);
        Self { step, first, most, codes: Vec::new() }
    }

    fn set(&mut self, second: i64, load: f64) -> bool {
        let slot = second.div_euclid(self.step.max(1)).checked_sub(self.first);
        let Some(slot) = slot.and_then(|s| usize::try_from(s).ok()).filter(|s| *s < self.most) else {
            return false;
        };
        if self.codes.is_empty() {
            self.codes = vec![GAP; self.most];
        }
        if let Some(code) = self.codes.get_mut(slot) {
            *code = encode(load);
        }
        true
    }

    /// The middle of a slot, Unix seconds, where its maximum is taken to be, and its load.
    fn at(&self, slot: usize) -> (i64, Option<f64>) {
        let number = self.first.saturating_add(i64::try_from(slot).unwrap_or(i64::MAX));
        let middle = number.saturating_mul(self.step).saturating_add(self.step / 2);
        (middle, self.codes.get(slot).and_then(|code| decode(*code)))
    }
}

impl Past {
    /// Room for the time from `length` before `until` to `until`.
    #[must_use]
    pub fn new(until: Timestamp, length: Duration) -> Self {
        let (five, minute) = STEPS;
        let until = until.as_second();
        let seconds = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
        // Whole slots of five minutes: none of them is torn by the border.
        let border = until.saturating_sub(seconds(length.min(FINE))).div_euclid(five) * five;
        let from = until.saturating_sub(seconds(length)).min(border);
        Self { coarse: Slots::between(from, border, five), fine: Slots::between(border, until, minute) }
    }

    /// The parts that are to be read, the newest first: from the first slot, so many slots, so long each.
    pub fn parts(&self) -> impl Iterator<Item = (Timestamp, usize, Duration)> + '_ {
        [(&self.fine, MINUTE), (&self.coarse, FIVE)].into_iter().filter_map(|(slots, step)| {
            let start = Timestamp::from_second(slots.first.saturating_mul(slots.step)).ok()?;
            (slots.most > 0).then_some((start, slots.most, step))
        })
    }

    /// Keeps the load of the slot that a moment is in. What is no load (below zero, not finite), and what is outside,
    /// is not kept.
    pub fn keep(&mut self, at: Timestamp, load: f64) {
        if !(load.is_finite() && load >= 0.0) {
            return;
        }
        let second = at.as_second();
        if !self.fine.set(second, load) {
            self.coarse.set(second, load);
        }
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fine.codes.is_empty() && self.coarse.codes.is_empty()
    }

    fn slot(&self, slot: usize) -> (i64, Option<f64>) {
        match slot.checked_sub(self.coarse.most) {
            None => self.coarse.at(slot),
            Some(slot) => self.fine.at(slot),
        }
    }
}

/// The load over all clusters of a workload at the middles of its slots, oldest first, gaps left out.
///
/// All must be of the same time. A cluster counts from its first point on: before that, the workload was not there.
/// From then on a slot without it is a gap of the whole, since a cluster whose telemetry is away is no load that fell.
pub fn together(clusters: &[Past]) -> impl Iterator<Item = (Timestamp, f64)> + '_ {
    let mut begun = vec![false; clusters.len()];
    let slots = clusters.first().map_or(0, |past| past.coarse.most.saturating_add(past.fine.most));
    (0..slots).filter_map(move |slot| {
        let (mut sum, mut second) = (None, 0);
        for (past, begun) in clusters.iter().zip(&mut begun) {
            let (at, load) = past.slot(slot);
            *begun |= load.is_some();
            if *begun {
                sum = Some(sum.unwrap_or(0.0) + load?);
            }
            second = at;
        }
        Some((Timestamp::from_second(second).ok()?, sum?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn past(until: i64, points: &[(i64, f64)]) -> Past {
        let mut past = Past::new(at(until), Duration::from_hours(336));
        for (second, load) in points {
            past.keep(at(*second), *load);
        }
        past
    }

    /// The middles of slots, of five minutes and of one, and the loads.
    fn rounded(clusters: &[Past]) -> Vec<(i64, f64)> {
        together(clusters).map(|(at, load)| (at.as_second(), load.round())).collect()
    }

    #[test]
    fn the_newest_two_days_are_by_minute_and_the_rest_by_five() {
        let until = 20 * DAY + 7 * 60;
        let (border, minute, five) = (18 * DAY + 5 * 60, Duration::from_mins(1), Duration::from_mins(5));
        let empty = past(until, &[]);
        let parts: Vec<_> = empty.parts().map(|(from, n, step)| (from.as_second(), n, step)).collect();
        assert_eq!(parts, [(border, 2 * 1_440 + 2, minute), (6 * DAY + 5 * 60, 12 * 288, five)]);
        assert!(empty.is_empty());
        // Whatever the order in which they come, and however they lie in their slots.
        let points =
            [(until - 30, 5.0), (border - 60, 3.0), (border + 61, 4.0), (5 * DAY, 9.0), (until, 9.0)];
        let kept = [past(until, &points)];
        assert_eq!(rounded(&kept), [(border - 150, 3.0), (border + 90, 4.0), (until - 30, 5.0)]);
    }

    #[test]
    fn less_than_two_days_are_by_minute_only() {
        let past = Past::new(at(20 * DAY), Duration::from_hours(24));
        assert_eq!(past.parts().map(|(_, n, _)| n).collect::<Vec<_>>(), [1_440]);
    }

    #[test]
    fn a_cluster_counts_from_its_first_point_on_and_a_silence_of_it_is_a_gap() {
        let until = 20 * DAY;
        let minute = |n: i64| until - (10 - n) * 60;
        let old = past(until, &[(minute(0), 1.0), (minute(1), 2.0), (minute(3), 4.0), (minute(4), 5.0)]);
        let young = past(until, &[(minute(1), 10.0), (minute(2), 10.0), (minute(3), 10.0)]);
        assert_eq!(
            rounded(&[old, young, past(until, &[])]),
            [(minute(0) + 30, 1.0), (minute(1) + 30, 12.0), (minute(3) + 30, 14.0)]
        );
        assert_eq!(rounded(&[]), []);
    }

    proptest! {
        #[test]
        fn nothing_is_invented_and_nothing_is_lost(
            minutes in proptest::collection::btree_map(0i64..2_880, 0.0..1e9_f64, 0..200),
            odd in proptest::collection::vec((any::<i32>(), any::<f64>()), 0..20),
        ) {
            let until = 20 * DAY;
            let mut one = past(until, &[]);
            for (minute, load) in &minutes {
                one.keep(at(until - 2 * DAY + minute * 60 + 59), *load);
            }
            for (second, load) in odd.iter().filter(|(_, load)| !(load.is_finite() && *load >= 0.0)) {
                one.keep(at(i64::from(*second)), *load);
            }
            let read: Vec<_> = together(std::slice::from_ref(&one)).collect();
            prop_assert_eq!(read.len(), minutes.len());
            for ((at, load), (minute, kept)) in read.iter().zip(&minutes) {
                prop_assert_eq!(at.as_second(), until - 2 * DAY + minute * 60 + 30);
                prop_assert!((load - kept).abs() <= kept * 1e-3 + 1e-3);
            }
        }
    }
}
