//! Which candidate is used: the one whose quantile did best over the last two days, on windows that it had not seen.
//!
//! Every forecast is kept until its window has closed and then scored: a rolling origin without a separate run.

use std::collections::VecDeque;

/// Minutes over which candidates are compared.
pub(super) const WINDOW: i64 = 2 * 1_440;
/// Minutes of the short look at calibration.
pub(super) const SHORT: i64 = 360;
/// Minutes of a bucket.
const BUCKET: i64 = 60;

/// The loss of a quantile forecast: `q·(y - Q)` above it, `(1 - q)·(Q - y)` below; Koenker and Bassett (1978).
#[must_use]
pub fn pinball(actual: f64, quantile: f64, q: f64) -> f64 {
    let over = actual - quantile;
    if over >= 0.0 { q * over } else { (q - 1.0) * over }
}

/// Means of several numbers over the last two days, in buckets of an hour.
#[derive(Debug, Clone)]
pub(super) struct Rolling<const N: usize> {
    /// Number of the hour, samples, and the sum of each number; oldest first.
    buckets: VecDeque<(i64, f32, [f32; N])>,
}

impl<const N: usize> Default for Rolling<N> {
    fn default() -> Self {
        Self { buckets: VecDeque::new() }
    }
}

impl<const N: usize> Rolling<N> {
    /// Numbers of a minute.
    pub(super) fn see(&mut self, minute: i64, numbers: [f64; N]) {
        let hour = minute.div_euclid(BUCKET);
        if self.buckets.back().is_none_or(|(newest, ..)| *newest < hour) {
            self.buckets.push_back((hour, 0.0, [0.0; N]));
        }
        if let Some((_, samples, sums)) = self.buckets.back_mut() {
            *samples += 1.0;
            for (sum, number) in sums.iter_mut().zip(numbers) {
                #[expect(clippy::cast_possible_truncation, reason = "sums of sixty")]
                let number = number as f32;
                *sum += number;
            }
        }
        while self.buckets.front().is_some_and(|(oldest, ..)| (hour - oldest) * BUCKET >= WINDOW) {
            self.buckets.pop_front();
        }
    }

    /// The means over so many minutes before `minute`; `None` where nothing was seen in them.
    pub(super) fn means(&self, minute: i64, over: i64) -> Option<[f64; N]> {
        let hour = minute.div_euclid(BUCKET);
        let recent = self.buckets.iter().filter(|(at, ..)| (hour - at) * BUCKET < over);
        let (samples, sums) = recent.fold((0.0, [0.0; N]), |(samples, mut sums), (_, n, more)| {
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum += f64::from(*more);
            }
            (samples + f64::from(*n), sums)
        });
        (samples > 0.0).then(|| sums.map(|sum| sum / samples))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_loss_is_least_at_the_quantile_itself(
            values in prop::collection::vec(0.0..100.0_f64, 20..200), q in 0.05..0.95_f64, off in -50.0..50.0_f64
        ) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let count = sorted.len();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
                reason = "a rank")]
            let best = sorted[((q * count as f64) as usize).min(count - 1)];
            let loss = |at: f64| values.iter().map(|v| pinball(*v, at, q)).sum::<f64>();
            prop_assert!(loss(best) <= loss(best + off) + 1e-6);
        }
    }

    #[test]
    fn what_is_older_than_two_days_does_not_count() {
        let mut rolling = Rolling::<1>::default();
        (0..WINDOW).for_each(|minute| rolling.see(minute, [1.0]));
        (WINDOW..2 * WINDOW).for_each(|minute| rolling.see(minute, [3.0]));
        let [mean] = rolling.means(2 * WINDOW - 1, WINDOW).unwrap();
        assert!((mean - 3.0).abs() < 1e-6, "{mean}");
        assert_eq!(rolling.means(9 * WINDOW, SHORT), None);
    }
}
