//! A trace on the simulation's steps of 15 s.

use std::time::Duration;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Poisson};

use super::{STEP_SECONDS, Trace};

/// Points further apart than this are a gap, unless the trace is as coarse as that everywhere.
const LONGEST: Duration = Duration::from_mins(10);
/// So many of the trace's own steps between two points are a gap: one point is missing at the most.
const MISSING: f64 = 2.0;

/// What is added to a trace that is too smooth to be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// The straight lines between its points.
    None,
    /// The arrivals of each step are drawn from a Poisson distribution of that mean.
    Poisson {
        /// The same seed gives the same arrivals.
        seed: u64,
    },
}

/// The load on steps of [`super::STEP`].
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Unix time of the first step, seconds.
    pub start: f64,
    /// Load of each step, requests per second; NaN in a gap.
    pub load: Vec<f64>,
    /// How many steps lie in gaps.
    pub gaps: usize,
}

impl Grid {
    /// Lays a trace onto the steps: straight lines between its points, nothing in its gaps.
    #[must_use]
    pub fn new(trace: &Trace, noise: Noise) -> Self {
        let points: Vec<(f64, f64)> =
            trace.points.iter().filter_map(|(at, value)| Some((*at, (*value)?))).collect();
        let longest = longest(&points);
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return Self { start: 0.0, load: Vec::new(), gaps: 0 };
        };
        let step = f64::from(STEP_SECONDS);
        let mut load = Vec::new();
        let mut pairs = points.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))).peekable();
        let mut at = first.0;
        while at <= last.0 {
            while pairs.next_if(|(_, b)| b.0 < at).is_some() {}
            let Some((a, b)) = pairs.peek() else { break };
            let inside = b.0 - a.0 <= longest || at <= a.0 || at >= b.0;
            let share = (at - a.0) / (b.0 - a.0);
            load.push(if inside { a.1 + (b.1 - a.1) * share } else { f64::NAN });
            // A product has no rounding that adds up over a million steps.
            at = first.0 + step * count(load.len());
        }
        let gaps = load.iter().filter(|v| v.is_nan()).count();
        let mut grid = Self { start: first.0, load, gaps };
        if let Noise::Poisson { seed } = noise {
            grid.add_noise(seed);
        }
        grid
    }

    /// The load under which the grid is for a share of the time, interpolated between ranks; 0 without any load.
    #[must_use]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut known: Vec<f64> = self.load.iter().copied().filter(|v| v.is_finite()).collect();
        known.sort_by(f64::total_cmp);
        let rank = share.clamp(0.0, 1.0) * count(known.len().saturating_sub(1));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank in the list")]
        let below = rank as usize;
        let (Some(low), high) = (known.get(below), known.get(below + 1)) else { return 0.0 };
        low + (high.unwrap_or(low) - low) * rank.fract()
    }

    fn add_noise(&mut self, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let step = f64::from(STEP_SECONDS);
        for value in &mut self.load {
            // A gap stays one, and nothing arrives where nobody does.
            if let Ok(arrivals) = Poisson::new(*value * step) {
                *value = arrivals.sample(&mut rng) / step;
            }
        }
    }
}

/// The longest time between two points that is no gap, seconds.
fn longest(points: &[(f64, f64)]) -> f64 {
    let mut steps: Vec<f64> =
        points.windows(2).filter_map(|pair| Some(pair.get(1)?.0 - pair.first()?.0)).collect();
    steps.sort_by(f64::total_cmp);
    let usual = steps.get(steps.len() / 2).copied().unwrap_or(0.0);
    LONGEST.as_secs_f64().max(MISSING * usual)
}

#[expect(clippy::cast_precision_loss, reason = "traces have far fewer than 2^52 steps")]
pub(super) const fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(text: &str, noise: Noise) -> Grid {
        Grid::new(&Trace::read(format!("ts,value\n{text}").as_bytes()).unwrap(), noise)
    }

    #[test]
    fn between_two_points_the_load_is_a_straight_line() {
        let grid = grid("100,10\n160,50\n190,20\n", Noise::None);
        assert_eq!(grid.load, [10.0, 20.0, 30.0, 40.0, 50.0, 35.0, 20.0]);
        assert!((grid.start - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_point_that_is_missing_is_interpolated_and_a_long_silence_is_a_gap() {
        let minutes =
            |from: u32, to: u32| (from..to).map(|m| format!("{},60\n", m * 60)).collect::<Vec<_>>().concat();
        let whole = grid(&format!("{}{}", minutes(0, 5), minutes(14, 20)), Noise::None);
        assert_eq!(whole.gaps, 0);
        let broken = grid(&format!("{}{}", minutes(0, 5), minutes(16, 20)), Noise::None);
        // Twelve minutes between the points 4 and 16, without the points themselves.
        assert_eq!(broken.gaps, 12 * 4 - 1);
        // A trace of hours has no gap in every hour.
        assert_eq!(grid("0,1\n3600,2\n7200,3\n", Noise::None).gaps, 0);
    }

    #[test]
    fn a_quantile_is_interpolated_between_ranks() {
        let grid = Grid { start: 0.0, load: vec![4.0, f64::NAN, 1.0, 3.0, 2.0], gaps: 1 };
        assert!((grid.quantile(0.5) - 2.5).abs() < 1e-12);
        assert!((grid.quantile(1.0) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn arrivals_have_the_mean_and_the_spread_of_a_poisson_process_and_their_seed_repeats_them() {
        let text = "0,20\n150000,20\n";
        let noise = Noise::Poisson { seed: 7 };
        let drawn = grid(text, noise);
        let n = count(drawn.load.len());
        let mean = drawn.load.iter().sum::<f64>() / n;
        let variance = drawn.load.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        assert!((mean - 20.0).abs() < 0.1, "{mean}");
        // Of a rate over 15 s: 20 / 15.
        assert!((variance - 20.0 / 15.0).abs() < 0.1, "{variance}");
        assert_eq!(drawn, grid(text, noise));
        assert_ne!(drawn, grid(text, Noise::Poisson { seed: 8 }));
    }
}
