//! Ridge regression that learns one sample at a time and slowly forgets.
//!
//! Kept are the sums of the normal equations, not the samples: a sample costs `p²/2` multiplications, a refit `p³/6`.
//! Forgetting is done by giving each sample more weight than the one before it, not by touching every sum.

use linfa_linalg::cholesky::SolveC as _;
use ndarray::Array2;

/// Samples before the weights are used at all: fewer than that say nothing about thirty of them.
const ENOUGH: f64 = 200.0;
/// Added to every diagonal element, so that a feature that never moved has a solution: none.
const TINY: f64 = 1e-4;
/// The weight of a sample at which the sums are brought back to the size of one.
const RESCALE: f64 = 1e6;

/// How many minutes' samples one sample stands for: where only every third minute is learned from, three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stands(u8);

impl Stands {
    /// For itself alone.
    #[cfg(test)]
    pub(super) const ONE: Self = Self(1);

    /// For so many minutes, from one to ten: over a longer gap nothing is known.
    pub(super) fn minutes(minutes: i64) -> Self {
        Self(u8::try_from(minutes.clamp(1, 10)).unwrap_or(1))
    }

    /// The number.
    pub(super) fn count(self) -> f64 {
        f64::from(self.0)
    }

    /// What is left of a memory after so many samples, if `memory` is left after one.
    pub(super) fn left(self, memory: f64) -> f64 {
        memory.powi(i32::from(self.0))
    }
}

/// Numbers that are added at once.
const BLOCK: usize = 4;
/// Blocks of the most features that a regression may have: 24.
const BLOCKS: usize = 6;

/// A regression on `p` features.
#[derive(Debug, Clone)]
pub(super) struct Regression {
    /// Lower triangle of `Σ w·f·fᵀ`, row by row up to the block that holds the diagonal, times [`Self::gain`]. Of 32
    /// bits, as all that ten thousand workloads keep: a sample is far above the rounding of the sum of a week.
    squares: Box<[f32]>,
    /// `Σ w·f·y`, times [`Self::gain`].
    products: Box<[f32]>,
    /// Samples that are remembered, times [`Self::gain`].
    samples: f64,
    /// The weight of the next sample.
    gain: f64,
    /// What a sample weighs after one more, below 1.
    memory: f64,
    /// How many samples' worth of each feature's own power speak for a weight of zero.
    ridge: f64,
    /// Whether the first feature is a constant, which is not shrunk.
    intercept: bool,
    weights: Box<[f32]>,
}

impl Regression {
    /// A regression on `features` that forgets all but 1/e in so many samples.
    pub(super) fn new(features: usize, memory: f64, ridge: f64, intercept: bool) -> Self {
        Self {
            squares: vec![0.0; (0..features).map(|row| (row / BLOCK + 1) * BLOCK).sum()].into(),
            products: vec![0.0; features].into(),
            samples: 0.0,
            gain: 1.0,
            memory: (-1.0 / memory).exp(),
            ridge,
            intercept,
            weights: vec![0.0; features].into(),
        }
    }

    /// Learns that these features came with this value; `weight` is how much it counts, usually 1, and the sample
    /// stands for so many.
    pub(super) fn learn(&mut self, features: &[f64], value: f64, weight: f64, stands: Stands) {
        self.gain /= stands.left(self.memory);
        if self.gain > RESCALE {
            self.rescale();
        }
        let gain = self.gain * stands.count();
        self.samples += gain;
        let (gain, value) = (narrow(gain * weight), narrow(value));
        // Whole blocks at once, a little over the diagonal: the compiler makes vectors of them.
        let mut padded = [[0.0; BLOCK]; BLOCKS];
        padded
            .as_flattened_mut()
            .iter_mut()
            .zip(features)
            .for_each(|(place, feature)| *place = narrow(*feature));
        let (mut rest, _) = self.squares.as_chunks_mut::<BLOCK>();
        for (row, (feature, product)) in padded.as_flattened().iter().zip(&mut self.products).enumerate() {
            let weighted = feature * gain;
            *product += weighted * value;
            let Some((squares, below)) = rest.split_at_mut_checked(row / BLOCK + 1) else { return };
            for (squares, others) in squares.iter_mut().zip(&padded) {
                for (square, other) in squares.iter_mut().zip(others) {
                    *square += weighted * other;
                }
            }
            rest = below;
        }
    }

    /// Whether enough was learned for a prediction.
    pub(super) fn knows(&self) -> bool {
        self.samples / self.gain > ENOUGH
    }

    /// Finds the weights that explain what was learned. Weights that cannot be found stay as they are.
    pub(super) fn refit(&mut self) {
        if !self.knows() {
            return;
        }
        let p = self.products.len();
        let mut matrix = Array2::<f64>::zeros((p, p));
        let mut squares = self.squares.iter();
        for row in 0..p {
            for column in 0..(row / BLOCK + 1) * BLOCK {
                let sum = squares.next().copied().map_or(0.0, f64::from) / self.gain;
                if column > row {
                    continue;
                }
                if let Some(cell) = matrix.get_mut((row, column)) {
                    *cell = sum;
                }
                if row != column
                    && let Some(cell) = matrix.get_mut((column, row))
                {
                    *cell = sum;
                }
            }
        }
        let count = self.samples / self.gain;
        for (at, cell) in matrix.diag_mut().iter_mut().enumerate() {
            let shrunk = if self.intercept && at == 0 { 0.0 } else { self.ridge * *cell / count };
            *cell += TINY + shrunk;
        }
        let right = Array2::from_shape_fn((p, 1), |(row, _)| {
            self.products.get(row).copied().map_or(0.0, f64::from) / self.gain
        });
        if let Ok(solution) = matrix.solvec(&right)
            && solution.iter().all(|weight| weight.is_finite())
        {
            self.weights = solution.into_iter().map(narrow).collect();
        }
    }

    /// The value that these features come with; 0 until [`Self::knows`].
    pub(super) fn predict(&self, features: &[f64]) -> f64 {
        self.weights.iter().zip(features).map(|(weight, feature)| f64::from(*weight) * feature).sum()
    }

    fn rescale(&mut self) {
        let by = 1.0 / self.gain;
        self.squares.iter_mut().chain(&mut self.products).for_each(|sum| *sum *= narrow(by));
        self.samples *= by;
        self.gain = 1.0;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a load has")]
fn narrow(x: f64) -> f32 {
    x as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random, between -1 and 1.
    fn noise(i: u32) -> f64 {
        (f64::from(i) * 12.9898).sin() * 43_758.547 % 1.0
    }

    fn learn(regression: &mut Regression, samples: std::ops::Range<u32>, slope: f64) {
        for i in samples {
            let (a, b) = (noise(3 * i), noise(3 * i + 1));
            regression.learn(
                &[1.0, a, b],
                2.0 + slope * a - 0.5 * b + 0.01 * noise(3 * i + 2),
                1.0,
                Stands::ONE,
            );
        }
        regression.refit();
    }

    #[test]
    fn it_finds_the_weights_that_made_the_samples() {
        let mut regression = Regression::new(3, 10_000.0, 1.0, true);
        learn(&mut regression, 0..5_000, 3.0);
        for (weight, made) in regression.weights.iter().zip([2.0, 3.0, -0.5]) {
            assert!((f64::from(*weight) - made).abs() < 0.01, "{:?}", regression.weights);
        }
    }

    #[test]
    fn it_forgets_what_is_long_past_and_says_nothing_from_too_little() {
        let mut regression = Regression::new(3, 100.0, 1.0, true);
        learn(&mut regression, 0..50, 3.0);
        assert!(regression.predict(&[1.0, 0.5, 0.5]).abs() < f64::EPSILON);
        let mut regression = Regression::new(3, 500.0, 1.0, true);
        learn(&mut regression, 0..20_000, 3.0);
        learn(&mut regression, 20_000..25_000, -1.0);
        assert!((regression.weights[1] + 1.0).abs() < 0.01, "{:?}", regression.weights);
        assert!(regression.gain <= RESCALE);
    }

    #[test]
    fn a_sample_that_stands_for_five_counts_as_five_of_the_same() {
        let (mut five, mut one) =
            (Regression::new(2, 500.0, 1.0, true), Regression::new(2, 500.0, 1.0, true));
        for i in 0..400 {
            let (a, y) = (noise(2 * i), noise(2 * i + 1));
            (0..5).for_each(|_| one.learn(&[1.0, a], y, 1.0, Stands::ONE));
            five.learn(&[1.0, a], y, 1.0, Stands::minutes(5));
        }
        one.refit();
        five.refit();
        for (five, one) in five.weights.iter().zip(&one.weights) {
            assert!((five - one).abs() < 2e-3, "{five} instead of {one}");
        }
    }

    #[test]
    fn features_that_never_move_or_are_the_same_do_no_harm() {
        let mut regression = Regression::new(4, 10_000.0, 60.0, true);
        for i in 0..1_000 {
            let a = noise(i);
            regression.learn(&[1.0, a, a, 0.0], a, 1.0, Stands::ONE);
        }
        regression.refit();
        let said = regression.predict(&[1.0, 0.5, 0.5, 0.0]);
        assert!((said - 0.5).abs() < 0.05, "{said} by {:?}", regression.weights);
    }
}
