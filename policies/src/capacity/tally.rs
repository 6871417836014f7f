//! A tally of positive numbers by logarithmic classes: a quantile of a day's windows in a few dozen numbers.

use std::collections::BTreeMap;

use super::is_plausible;

/// The width of a class as a ratio: finer than what learning claims (10 %), coarse enough that a day of windows is a
/// few dozen classes, and that the same service gives the same number.
const WIDTH: f64 = 1.02;

/// Counts by class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    counts: BTreeMap<i32, u32>,
}

impl Tally {
    /// Counts a number; one that cannot be work per replica is left out.
    pub(super) fn add(&mut self, x: f64) {
        self.add_times(x, 1);
    }

    /// Counts a number so many times.
    pub(super) fn add_times(&mut self, x: f64, times: u32) {
        if is_plausible(x) && times > 0 {
            let count = self.counts.entry(class(x)).or_default();
            *count = count.saturating_add(times);
        }
    }

    /// How many were counted.
    pub(super) fn count(&self) -> u32 {
        self.counts.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// The number that a share `q` of all stay at or under, as the middle of its class; `None` of none.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let above = f64::from(self.count()) * (1.0 - q);
        let mut passed = 0.0;
        for (class, count) in self.counts.iter().rev() {
            passed += f64::from(*count);
            if passed > above {
                return Some(middle(*class));
            }
        }
        None
    }

    /// The highest classes as `(middle, count)`, at most `most` of them, ascending; what lies lower is counted in the
    /// lowest of them. The quantiles that they hold are kept, however many lower numbers come later.
    pub(super) fn top(&self, most: usize) -> Vec<(f64, u32)> {
        let lower = self.counts.len().saturating_sub(most);
        let left: u32 = self.counts.values().take(lower).fold(0, |sum, n| sum.saturating_add(*n));
        let kept = self.counts.iter().skip(lower);
        let mut top: Vec<_> = kept.map(|(class, n)| (middle(*class), *n)).collect();
        if let Some(lowest) = top.first_mut() {
            lowest.1 = lowest.1.saturating_add(left);
        }
        top
    }
}

fn class(x: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "a plausible number is within 1,400 classes of 1")]
    let class = (x.ln() / WIDTH.ln()).floor() as i32;
    class
}

fn middle(class: i32) -> f64 {
    WIDTH.powf(f64::from(class) + 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_a_hundredth() {
        let mut tally = Tally::default();
        for n in 1..=1_000 {
            tally.add(f64::from(n));
        }
        for q in [0.1, 0.5, 0.95, 0.99] {
            let got = tally.quantile(q).unwrap();
            assert!((got / (1_000.0 * q) - 1.0).abs() < 0.015, "{q}: {got}");
        }
        assert_eq!(Tally::default().quantile(0.5), None);
    }

    #[test]
    fn what_cannot_be_work_is_not_counted() {
        let mut tally = Tally::default();
        for x in [f64::NAN, f64::INFINITY, 0.0, -1.0, f64::MIN_POSITIVE, f64::MAX] {
            tally.add(x);
        }
        assert_eq!(tally.count(), 0);
    }

    #[test]
    fn the_top_keeps_the_number_of_all_and_the_high_quantiles() {
        let mut tally = Tally::default();
        for n in 100..=1_000 {
            tally.add(f64::from(n));
        }
        let top = tally.top(16);
        let mut again = Tally::default();
        for (x, n) in &top {
            again.add_times(*x, *n);
        }
        assert_eq!((top.len(), again.count()), (16, 901));
        assert_eq!(again.quantile(0.95), tally.quantile(0.95));
    }
}
