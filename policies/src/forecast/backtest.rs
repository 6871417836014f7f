//! Which candidate is used: the one whose quantile did best over the last two days, on windows that it had not seen.
//!
//! Every forecast is kept until its window has closed and then scored: a rolling origin without a separate run.

use std::collections::VecDeque;

/// Minutes over which candidates are compared.
pub(super) const WINDOW: i64 = 2 * 1_440;
/// Minutes of the short look at calibration.
pub(super) const SHORT: i64 = 360;
/// Minutes of a bucket: what is dropped at once when it is over. Ten thousand workloads keep two days of them.
const BUCKET: i64 = 120;
/// Buckets of a window and the one under way.
const BUCKETS: usize = 25;

/// The loss of a quantile forecast: `q·(y - Q)` above it, `(1 - q)·(Q - y)` below; Koenker and Bassett (1978).
#[must_use]
pub fn pinball(actual: f64, quantile: f64, q: f64) -> f64 {
    let over = actual - quantile;
    if over >= 0.0 { q * over } else { (q - 1.0) * over }
}

/// Means of several numbers over the last two days and the last six hours, in buckets of two hours.
#[derive(Debug, Clone)]
pub(super) struct Rolling<const N: usize> {
    /// Number of the bucket, samples, and the sum of each number; oldest first.
    buckets: VecDeque<(i64, f32, [f32; N])>,
    /// Sums over the buckets that are over, of both windows: they change seldom, and are asked for every minute.
    over: [Sums<N>; 2],
}

/// Samples, and the sum of each number.
#[derive(Debug, Clone, Copy)]
struct Sums<const N: usize> {
    samples: f64,
    sums: [f64; N],
}

impl<const N: usize> Default for Sums<N> {
    fn default() -> Self {
        Self { samples: 0.0, sums: [0.0; N] }
    }
}

impl<const N: usize> Sums<N> {
    fn and(mut self, (_, samples, numbers): &(i64, f32, [f32; N])) -> Self {
        self.samples += f64::from(*samples);
        for (sum, number) in self.sums.iter_mut().zip(numbers) {
            *sum += f64::from(*number);
        }
        self
    }
}

impl<const N: usize> Default for Rolling<N> {
    fn default() -> Self {
        Self { buckets: VecDeque::with_capacity(BUCKETS), over: [Sums::default(); 2] }
    }
}

impl<const N: usize> Rolling<N> {
    /// Numbers of a minute.
    pub(super) fn see(&mut self, minute: i64, numbers: [f64; N]) {
        let bucket = minute.div_euclid(BUCKET);
        if self.buckets.back().is_none_or(|(newest, ..)| *newest < bucket) {
            while self.buckets.front().is_some_and(|(oldest, ..)| (bucket - oldest) * BUCKET >= WINDOW) {
                self.buckets.pop_front();
            }
            self.over = [WINDOW, SHORT].map(|window| {
                let within = self.buckets.iter().filter(|(at, ..)| (bucket - at) * BUCKET < window);
                within.fold(Sums::default(), Sums::and)
            });
            self.buckets.push_back((bucket, 0.0, [0.0; N]));
        }
        if let Some((_, samples, sums)) = self.buckets.back_mut() {
            *samples += 1.0;
            for (sum, number) in sums.iter_mut().zip(numbers) {
                #[expect(clippy::cast_possible_truncation, reason = "sums of sixty")]
                let number = number as f32;
                *sum += number;
            }
        }
    }

    /// The means over the two days, and the six hours, that end with the last minute that was seen; `None` before it.
    pub(super) fn means(&self) -> Option<[[f64; N]; 2]> {
        let newest = self.buckets.back()?;
        Some(self.over.map(|over| {
            let Sums { samples, sums } = over.and(newest);
            sums.map(|sum| sum / samples)
        }))
    }

    /// How often numbers were seen in the last two days.
    pub(super) fn samples(&self) -> f64 {
        let [long, _] = self.over;
        self.buckets.back().map_or(0.0, |newest| long.and(newest).samples)
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
        assert_eq!(rolling.means(), Some([[3.0], [3.0]]));
        assert!((rolling.samples() - 2_880.0).abs() < 1e-6);
        // After a silence of weeks only the newest is left, and six hours are shorter than two days.
        (0..600).for_each(|minute| rolling.see(9 * WINDOW + minute, [f64::from(u8::from(minute < 240))]));
        let [[long], [short]] = rolling.means().unwrap();
        assert!((long - 0.4).abs() < 1e-6 && short.abs() < 1e-6, "{long} {short}");
        assert_eq!(Rolling::<1>::default().means(), None);
    }
}
