//! The last minutes of the load: its levels by the minute, and means of it over longer memories.

use std::{collections::VecDeque, sync::LazyLock};

use super::{
    features::{LAGS, MEANS, MOVES, Minute, UNREST, waves},
    level::Peak,
};

/// Memories of the mean step from minute to minute, minutes.
const STEPS: [f64; 2] = [5.0, 60.0];
/// Minutes over whose highest the load may have dropped.
const HOUR: usize = 60;
/// Minutes over which the range is taken.
const RANGE: usize = 30;
/// Minutes that are kept: the longest lag or window, and the longest gap that is bridged.
const KEPT: usize = 72;

/// What a mean moves by at each value, once it has seen as many as its memory holds.
static SHARES: LazyLock<([f64; MEANS.len()], [f64; STEPS.len()])> = LazyLock::new(|| {
    let share = |memory: f64| 1.0 - (-1.0 / memory).exp();
    (MEANS.map(share), STEPS.map(share))
});

/// What is kept from minute to minute.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    /// Levels of the last minutes, newest last. Of 32 bits: ten thousand workloads keep dozens each.
    levels: VecDeque<f32>,
    means: [Mean; MEANS.len()],
    steps: [Mean; STEPS.len()],
    seen: u32,
}

/// A mean that forgets; its first values count as much as there are of them.
#[derive(Debug, Clone, Copy, Default)]
struct Mean(f64);

impl Mean {
    fn see(&mut self, value: f64, share: f64, first: f64) {
        self.0 += share.max(first) * (value - self.0);
    }
}

impl Recent {
    /// The level of a minute came in; minutes come in order, without a gap.
    pub(super) fn see(&mut self, level: f64) {
        let before = self.levels.back().map_or(level, |l| f64::from(*l));
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a load has")]
        self.levels.push_back(level as f32);
        if self.levels.len() > KEPT {
            self.levels.pop_front();
        }
        let first = 1.0 / (f64::from(self.seen) + 1.0);
        let (means, steps) = &*SHARES;
        for (mean, share) in self.means.iter_mut().zip(means) {
            mean.see(level, *share, first);
        }
        for (step, share) in self.steps.iter_mut().zip(steps) {
            step.see((level - before).abs(), *share, first);
        }
        self.seen = self.seen.saturating_add(1);
    }

    /// What the newest minute looks like, by its number and level.
    pub(super) fn look(&self, number: i64, level: f64, peak: &Peak) -> Minute {
        let scale = peak.level();
        let mut moves = [0.0; MOVES];
        let lags = LAGS.into_iter().map(|lag| level - self.back(lag));
        let means = self.means.iter().map(|mean| level - mean.0);
        moves.iter_mut().zip(lags.chain(means)).for_each(|(place, value)| *place = value);
        let [short, long] = self.steps;
        let unrest: [f64; UNREST] =
            [short.0, long.0, self.highest(RANGE, 0) - self.lowest(RANGE), self.highest(HOUR, 0) - level];
        Minute { number, scale, level, peak: scale.of(peak.highest()), moves, waves: waves(number), unrest }
    }

    /// Minutes are missing: what was before them is not compared with.
    pub(super) fn interrupt(&mut self) {
        self.levels.clear();
    }

    /// The level so many minutes ago; the oldest known where that is not known any more.
    pub(super) fn back(&self, minutes: usize) -> f64 {
        let at = self.levels.len().saturating_sub(1 + minutes);
        self.levels.get(at).map_or(0.0, |level| f64::from(*level))
    }

    /// The highest level of so many minutes, the last of them so many minutes `ago`.
    pub(super) fn highest(&self, minutes: usize, ago: usize) -> f64 {
        f64::from(
            self.last(minutes, ago)
                .fold(f32::NEG_INFINITY, |most, level| if level > most { level } else { most }),
        )
    }

    /// The lowest of the last levels.
    fn lowest(&self, minutes: usize) -> f64 {
        f64::from(
            self.last(minutes, 0)
                .fold(f32::INFINITY, |least, level| if level < least { level } else { least }),
        )
    }

    fn last(&self, minutes: usize, ago: usize) -> impl Iterator<Item = f32> + '_ {
        let end = self.levels.len().saturating_sub(ago);
        let start = end.saturating_sub(minutes);
        self.levels.range(start..end).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_a_window_is_found_also_when_it_ended_some_minutes_ago() {
        let (mut recent, mut peak) = (Recent::default(), Peak::default());
        peak.see(0, 1_000.0);
        for minute in 0..100 {
            recent.see(peak.level().of(if minute == 90 { 1_000.0 } else { 100.0 }));
        }
        let level = |load: f64| peak.level().of(load);
        for (minutes, ago, load) in [(9, 0, 100.0), (10, 0, 1_000.0), (3, 9, 1_000.0), (30, 10, 100.0)] {
            assert!((recent.highest(minutes, ago) - level(load)).abs() < 1e-5, "{minutes} minutes {ago} ago");
        }
        assert!((recent.back(9) - level(1_000.0)).abs() < 1e-5);
        let minute = recent.look(99, level(100.0), &peak);
        assert!(minute.unrest.iter().all(|u| u.is_finite()), "{minute:?}");
    }
}
