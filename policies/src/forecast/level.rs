//! Load as a logarithm: growth is a ratio, and a quiet night must not weigh more than a busy day.

use std::collections::VecDeque;

/// The share of the peak below which loads are alike: one replica serves any of them.
const FLOOR: f64 = 0.01;
/// Days over which the peak is remembered: two of each weekday.
const DAYS: usize = 14;
/// Seconds of a day.
const DAY: i64 = 86_400;
/// Keeps the logarithm of no load at all finite.
const NOTHING: f64 = 1e-12;

/// The logarithm of loads of one workload, softened below a hundredth of its peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    floor: f64,
}

impl Level {
    /// The level of a load.
    pub(super) fn of(self, load: f64) -> f64 {
        (load.max(self.floor) + self.floor + NOTHING).ln()
    }

    /// Whether another scale differs from this one by less than a share of the floor.
    pub(super) fn is_near(self, other: Self, share: f64) -> bool {
        (self.floor - other.floor).abs() <= share * self.floor
    }

    /// The load of a level; never below zero.
    pub(super) fn load(self, level: f64) -> f64 {
        (level.exp() - self.floor).max(0.0)
    }
}

/// The highest load of the last two weeks.
#[derive(Debug, Clone, Default)]
pub(super) struct Peak {
    /// `(day since 1970, highest load of it)`, oldest first.
    days: VecDeque<(i64, f64)>,
    /// The highest of them: it is asked for every minute, and changes seldom.
    highest: f64,
}

impl Peak {
    /// A load was seen at a Unix time.
    pub(super) fn see(&mut self, second: i64, load: f64) {
        let today = second.div_euclid(DAY);
        match self.days.back_mut() {
            Some((day, highest)) if *day >= today => *highest = highest.max(load),
            _ => self.days.push_back((today, load)),
        }
        self.highest = self.highest.max(load);
        while self.days.len() > DAYS {
            self.days.pop_front();
            self.highest = self.days.iter().map(|(_, highest)| *highest).fold(0.0, f64::max);
        }
    }

    /// The highest of them; 0 before the first.
    pub(super) const fn highest(&self) -> f64 {
        self.highest
    }

    /// How loads become levels under this peak.
    pub(super) fn level(&self) -> Level {
        Level { floor: FLOOR * self.highest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_gives_its_load_back_and_tiny_loads_are_alike() {
        let mut peak = Peak::default();
        peak.see(0, 1_000.0);
        let level = peak.level();
        assert!((level.load(level.of(500.0)) - 500.0).abs() < 1e-6);
        assert!((level.of(0.0) - level.of(9.9)).abs() < 1e-12);
        assert!(Peak::default().level().of(0.0).is_finite());
    }

    #[test]
    fn a_peak_is_forgotten_after_two_weeks() {
        let mut peak = Peak::default();
        for day in 0..20 {
            peak.see(day * DAY, if day == 1 { 100.0 } else { 10.0 });
            assert!((peak.highest() > 50.0) == (1..15).contains(&day), "day {day}");
        }
    }
}
