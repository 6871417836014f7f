//! Conformal calibration: by how much a forecast has to be widened, judged by how wrong it was lately.
//!
//! The residuals are kept as ratios to the spread that was predicted with them, in two histograms that forget: a slow
//! one (days) and a fast one (hours); the wider of the two counts. After Vovk et al., "Algorithmic Learning in a
//! Random World" (2005), with exponential weights as in Barber et al., "Conformal prediction beyond exchangeability"
//! (2023).

use super::regression::Stands;

/// Bins of a histogram, equal in `asinh` of the ratio: fine around zero, coarse far out.
const BINS: usize = 128;
/// [`BINS`] as a number.
const BIN_COUNT: f64 = 128.0;
/// `asinh` of the smallest ratio that is told apart: -3.6.
const LOWEST: f64 = -2.0;
/// `asinh` of the largest: 33.
const HIGHEST: f64 = 4.2;
/// Memory of the slow histogram, minutes: four days see each hour four times.
const SLOW: f64 = 4.0 * 1_440.0;
/// Memory of the fast one, minutes: a forecast that goes wrong is widened within hours.
const FAST: f64 = 360.0;

/// Ratios of residuals to the spread predicted with them.
#[derive(Debug, Clone)]
pub(super) struct Conformal {
    slow: Histogram,
    fast: Option<Histogram>,
    /// Windows overlap: so many minutes of samples are one independent one.
    horizon: f64,
}

impl Conformal {
    /// Nothing seen yet, of windows of so many minutes.
    pub(super) fn new(horizon: u32) -> Self {
        Self { fast: Some(Histogram::new(FAST)), ..Self::slow(horizon) }
    }

    /// The same without the fast histogram: half the memory, for what is only compared.
    pub(super) fn slow(horizon: u32) -> Self {
        Self { slow: Histogram::new(SLOW), fast: None, horizon: f64::from(horizon.max(1)) }
    }

    /// A residual came out, as a ratio to the spread that was predicted; it stands for so many.
    pub(super) fn learn(&mut self, ratio: f64, stands: Stands) {
        let place = (ratio.asinh() - LOWEST) / (HIGHEST - LOWEST) * BIN_COUNT;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
        let bin = (place as usize).min(BINS - 1);
        self.slow.add(bin, stands);
        if let Some(fast) = &mut self.fast {
            fast.add(bin, stands);
        }
    }

    /// The ratio under which a residual stays with probability `q`; `None` before the first one.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        let seen = self.slow.seen();
        if seen <= 0.0 {
            return None;
        }
        let independent = seen / self.horizon;
        // As many samples as there are must say it (the usual (n+1)/n), and no more than they can say.
        let wide = (q * (1.0 + 1.0 / (independent + 1.0))).min(1.0 - 0.5 / (seen + 1.0));
        let of_days = self.slow.quantile(wide);
        Some(self.fast.as_ref().map_or(of_days, |fast| {
            // Some hours hold too few windows to tell a rare one.
            let recent = q.min(1.0 - 2.0 / (fast.seen() / self.horizon).max(2.0));
            of_days.max(fast.quantile(recent))
        }))
    }
}

/// A histogram that forgets. The newest counts most, so that the older need not be touched: see `Regression`.
#[derive(Debug, Clone)]
struct Histogram {
    // Of 32 bits: ten thousand workloads keep several each.
    bins: Vec<f32>,
    /// Sum of the bins.
    total: f64,
    /// The weight of the next ratio.
    gain: f64,
    memory: f64,
}

/// The weight at which the bins are brought back to the size of one: far from the end of their 24 bits.
const RESCALE: f64 = 1e4;

impl Histogram {
    fn new(memory: f64) -> Self {
        Self { bins: vec![0.0; BINS], total: 0.0, gain: 1.0, memory: (-1.0 / memory).exp() }
    }

    fn add(&mut self, bin: usize, stands: Stands) {
        self.gain /= stands.left(self.memory);
        if self.gain > RESCALE {
            let by = 1.0 / self.gain;
            #[expect(clippy::cast_possible_truncation, reason = "between 0 and 1")]
            self.bins.iter_mut().for_each(|bin| *bin *= by as f32);
            self.total *= by;
            self.gain = 1.0;
        }
        let weight = self.gain * stands.count();
        self.total += weight;
        if let Some(bin) = self.bins.get_mut(bin) {
            #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough for a share")]
            let weight = weight as f32;
            *bin += weight;
        }
    }

    /// How many ratios are remembered.
    fn seen(&self) -> f64 {
        self.total / self.gain
    }

    /// Linear inside a bin.
    fn quantile(&self, q: f64) -> f64 {
        let above = (1.0 - q) * self.total;
        let mut passed = 0.0;
        for (before, bin) in (0..BINS).zip(&self.bins).rev() {
            let here = f64::from(*bin);
            if passed + here > above {
                let share = (above - passed) / here;
                #[expect(clippy::cast_precision_loss, reason = "at most 128")]
                let end = (before + 1) as f64;
                return (LOWEST + (end - share) * (HIGHEST - LOWEST) / BIN_COUNT).sinh();
            }
            passed += here;
        }
        LOWEST.sinh()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The i-th of a sequence that fills 0 to 1 evenly.
    fn even(i: u32) -> f64 {
        f64::from(i) * 0.618_033_988_749 % 1.0
    }

    #[test]
    fn the_quantile_covers_its_share_of_what_was_seen() {
        let mut conformal = Conformal::new(1);
        for i in 0..10_000 {
            // Squares are far from normal, as residuals of a load are.
            conformal.learn(even(i).powi(2) * 4.0, Stands::ONE);
        }
        for q in [0.5, 0.9, 0.95, 0.99] {
            let ratio = conformal.quantile(q).unwrap();
            let covered = (ratio / 4.0).sqrt();
            assert!((covered - q).abs() < 0.02, "{q}: {covered}");
        }
    }

    #[test]
    fn of_a_few_windows_a_rare_one_is_expected_to_be_worse_than_all_of_them() {
        let mut conformal = Conformal::new(30);
        for i in 0..60 {
            conformal.learn(even(i), Stands::ONE);
        }
        // Sixty overlapping minutes are two windows.
        assert!(conformal.quantile(0.95).unwrap() > 0.98, "{:?}", conformal.quantile(0.95));
    }

    #[test]
    fn when_the_forecast_goes_wrong_it_is_widened_within_hours() {
        let mut conformal = Conformal::new(5);
        (0..10_000).for_each(|i| conformal.learn(even(i), Stands::ONE));
        let before = conformal.quantile(0.95).unwrap();
        (0..120).for_each(|i| conformal.learn(3.0 + even(i), Stands::ONE));
        let after = conformal.quantile(0.95).unwrap();
        assert!(before < 1.1 && after > 3.0, "{before} to {after}");
    }

    #[test]
    fn nothing_is_said_of_nothing_and_any_ratio_has_its_bin() {
        let mut conformal = Conformal::new(5);
        assert_eq!(conformal.quantile(0.95), None);
        for ratio in [f64::NEG_INFINITY, -1e300, 0.0, 1e300, f64::INFINITY] {
            conformal.learn(ratio, Stands::ONE);
        }
        assert!(conformal.quantile(0.95).unwrap().is_finite());
    }
}
