//! What the load was: a compact ring of maxima by five minutes, for two weeks.
//!
//! A point takes two bytes (its logarithm, to 0.03 %), so ten thousand workloads remember two weeks in 80 MB. Slots are
//! aligned to Unix time, so that the same minute of another day is in the same slot. What was not seen is a gap, never
//! zero. The last hour is kept by the minute beside it (`features::Recent`); nothing asks for older minutes.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

/// Slots of the ring: two weeks of five minutes.
const FIVES: usize = 14 * 24 * 12;

/// The load of one workload, as far back as a forecast looks.
#[derive(Debug, Clone)]
pub struct History {
    fives: Ring,
}

impl Default for History {
    fn default() -> Self {
        Self { fives: Ring::new(Duration::from_mins(5), FIVES) }
    }
}

impl History {
    /// Remembers a load that was seen at a time; the largest of a slot counts. What is no load (below zero, not
    /// finite), or is older than the newest slot, is not remembered.
    pub fn record(&mut self, at: Timestamp, load: f64) {
        if load.is_finite() && load >= 0.0 {
            self.fives.record(at.as_second(), load);
        }
    }

    /// The loads with their times, oldest first: each in the middle of its slot.
    pub fn loads(&self) -> impl Iterator<Item = (Timestamp, f64)> + '_ {
        let slot = self.fives.slot();
        let middle = self.fives.start().saturating_add(slot / 2);
        let times = (0..).map(move |n: i64| middle.saturating_add(n.saturating_mul(slot)));
        let known = times.zip(self.fives.values());
        known.filter_map(|(second, load)| Some((Timestamp::from_second(second).ok()?, load?)))
    }

    /// The highest load of so many minutes from a time on; `None` where any of them is a gap or not remembered.
    #[must_use]
    pub fn highest(&self, from: Timestamp, minutes: u32) -> Option<f64> {
        let slot = |second: i64| second.div_euclid(self.fives.slot());
        let (first, last) = (from.as_second(), from.as_second().saturating_add(i64::from(minutes) * 60));
        (slot(first)..=slot(last))
            .map(|slot| self.fives.at(slot))
            .try_fold(0.0, |highest: f64, load| Some(highest.max(load?)))
    }

    /// The maxima by five minutes, of two weeks at most.
    #[must_use]
    pub const fn fives(&self) -> &Ring {
        &self.fives
    }
}

/// Maxima of equal slots of Unix time, the newest ones.
#[derive(Debug, Clone)]
pub struct Ring {
    /// Length of a slot, seconds; above 0.
    slot: i64,
    most: usize,
    /// Number of the newest slot since 1970; meaningless while there is none.
    newest: i64,
    codes: VecDeque<u16>,
}

impl Ring {
    pub(super) fn new(slot: Duration, most: usize) -> Self {
        let slot = i64::try_from(slot.as_secs()).unwrap_or(i64::MAX).max(1);
        Self { slot, most, newest: 0, codes: VecDeque::new() }
    }

    pub(super) fn record(&mut self, second: i64, load: f64) {
        let slot = second.div_euclid(self.slot);
        let ahead = if self.codes.is_empty() { 1 } else { slot.saturating_sub(self.newest) };
        if ahead < 0 {
            return;
        }
        // After a silence longer than the ring nothing of it is left.
        let empty = usize::try_from((ahead - 1).max(0)).unwrap_or(usize::MAX);
        if empty >= self.most {
            self.codes.clear();
        } else {
            self.codes.extend(std::iter::repeat_n(GAP, empty));
        }
        let code = encode(load);
        match self.codes.back_mut() {
            Some(last) if ahead == 0 => *last = if *last == GAP { code } else { code.max(*last) },
            _ => self.codes.push_back(code),
        }
        self.newest = slot;
        while self.codes.len() > self.most {
            self.codes.pop_front();
        }
    }

    /// How many slots there are, gaps among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether nothing was ever seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// Start of the oldest slot, Unix seconds.
    #[must_use]
    pub fn start(&self) -> i64 {
        let before = i64::try_from(self.codes.len()).unwrap_or(i64::MAX).saturating_sub(1);
        self.newest.saturating_sub(before).saturating_mul(self.slot)
    }

    /// Length of a slot, seconds.
    #[must_use]
    pub const fn slot(&self) -> i64 {
        self.slot
    }

    /// The maximum of a slot by its number since 1970; `None` in a gap, and where nothing is remembered.
    #[must_use]
    pub fn at(&self, slot: i64) -> Option<f64> {
        let back = usize::try_from(self.newest.checked_sub(slot)?).ok()?;
        let index = self.codes.len().checked_sub(back.checked_add(1)?)?;
        self.codes.get(index).and_then(|code| decode(*code))
    }

    /// The maxima, oldest first; `None` in a gap.
    #[must_use]
    pub fn values(&self) -> impl DoubleEndedIterator<Item = Option<f64>> + ExactSizeIterator + '_ {
        self.codes.iter().map(|code| decode(*code))
    }
}

/// The code of a slot in which nothing was seen.
pub(super) const GAP: u16 = u16::MAX;
/// The smallest load above zero that is told from it: one request in a quarter of an hour.
const LEAST: f64 = 1e-3;
/// One code is so much more than the one before, as a logarithm: with [`LEAST`] they reach 10¹².
const CODE: f64 = 5.3e-4;

pub(super) fn encode(load: f64) -> u16 {
    if load < LEAST {
        return 0;
    }
    let code = ((load / LEAST).ln() / CODE).round() + 1.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    let code = code as u16;
    code.min(GAP - 1)
}

pub(super) fn decode(code: u16) -> Option<f64> {
    match code {
        GAP => None,
        0 => Some(0.0),
        code => Some(LEAST * (f64::from(code - 1) * CODE).exp()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_largest_of_a_slot_counts_and_what_was_not_seen_is_a_gap() {
        let mut history = History::default();
        let seen = [(0, 1.0), (30, 3.0), (299, 2.0), (905, 5.0), (600, 9.0), (906, f64::NAN), (907, -1.0)];
        for (second, load) in seen {
            history.record(at(second), load);
        }
        let fives: Vec<_> = history.fives().values().map(|v| v.map(f64::round)).collect();
        assert_eq!(fives, [Some(3.0), None, None, Some(5.0)]);
        assert_eq!((history.fives().start(), history.fives().at(3).map(f64::round)), (0, Some(5.0)));
    }

    #[test]
    fn only_the_newest_are_kept_and_a_long_silence_leaves_nothing() {
        let mut ring = Ring::new(Duration::from_mins(1), 3);
        for minute in 0..5 {
            ring.record(minute * 60, 1.0);
        }
        assert_eq!((ring.len(), ring.start()), (3, 120));
        ring.record(100 * 60, 2.0);
        assert_eq!(ring.values().map(|v| v.map(f64::round)).collect::<Vec<_>>(), [Some(2.0)]);
        assert_eq!(ring.start(), 6_000);
    }

    proptest! {
        #[test]
        fn a_code_is_within_a_third_of_a_permille_and_keeps_the_order(a in 1e-3..1e11_f64, b in 1e-3..1e11_f64) {
            let back = decode(encode(a)).unwrap();
            prop_assert!((back / a - 1.0).abs() < 3.3e-4, "{a} became {back}");
            prop_assert!(a > b || encode(a) <= encode(b));
        }

        #[test]
        fn any_load_has_a_code(load in any::<f64>()) {
            let mut history = History::default();
            history.record(at(0), load);
            prop_assert!(history.fives().values().flatten().all(|v| v.is_finite() && v >= 0.0));
        }
    }
}
