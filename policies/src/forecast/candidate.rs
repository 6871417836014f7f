//! The other candidates: simple rules for how far the load will rise, each calibrated by how wrong it was.

use super::{conformal::Conformal, days::Courses, errors::Decayed, features::Minute, regression::Stands};

/// Memory of a candidate's usual error, minutes: a day.
const DAY: f64 = 1_440.0;
/// The smallest spread, as growth: 0.2 %.
const SMALLEST: f64 = 2e-3;

/// A rule for the growth of the load to the highest level of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum Candidate {
    /// Regression on features: see `direct`.
    Ridge,
    /// As high as now.
    Naive,
    /// Damped trend, after Holt; Gardner and McKenzie (1985).
    Holt,
    /// As on the same time of the last days, on average.
    SeasonalDay,
    /// As on the same time of the same weekday.
    SeasonalWeek,
    /// The median of all others.
    Median,
}

impl Candidate {
    /// All, the best guess before anything is known first.
    pub const ALL: [Self; 6] =
        [Self::Ridge, Self::Naive, Self::Holt, Self::SeasonalDay, Self::SeasonalWeek, Self::Median];

    /// Its name in status, metrics and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ridge => "ridge",
            Self::Naive => "naive",
            Self::Holt => "holt",
            Self::SeasonalDay => "seasonal-day",
            Self::SeasonalWeek => "seasonal-week",
            Self::Median => "median",
        }
    }
}

/// A damped trend of the level, shared by all horizons.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trend {
    level: f64,
    slope: f64,
    begun: bool,
}

/// Weight of the newest level: half, since a minute's maximum is steady already.
const ALPHA: f64 = 0.5;
/// Weight of the newest slope.
const BETA: f64 = 0.1;
/// What is left of the slope after a minute.
const PHI: f64 = 0.95;

impl Trend {
    /// A level came in.
    pub(super) fn see(&mut self, level: f64) {
        if !self.begun {
            *self = Self { level, slope: 0.0, begun: true };
            return;
        }
        let expected = self.level + PHI * self.slope;
        let error = level - expected;
        self.level = expected + ALPHA * error;
        self.slope = PHI * self.slope + ALPHA * BETA * error;
    }

    /// Growth from `level` to the highest of so many minutes.
    pub(super) fn growth(self, level: f64, horizon: u32) -> f64 {
        let minutes = i32::try_from(horizon).unwrap_or(i32::MAX);
        let sum = PHI * (1.0 - PHI.powi(minutes)) / (1.0 - PHI);
        self.level + (self.slope * PHI).max(self.slope * sum) - level
    }
}

/// The growth that the simple rules expect; those that know nothing expect none.
pub(super) fn simple(
    minute: &Minute,
    courses: &Courses,
    trend: Trend,
    horizon: u32,
) -> [(Candidate, f64); 4] {
    let day = courses.growth().unwrap_or(0.0);
    [
        (Candidate::Naive, 0.0),
        (Candidate::Holt, trend.growth(minute.level, horizon)),
        (Candidate::SeasonalDay, day),
        (Candidate::SeasonalWeek, courses.growth_of(7).unwrap_or(day)),
    ]
}

/// The middle of all growths; of an even number the mean of the two in the middle.
pub(super) fn median(growths: &mut [f64]) -> f64 {
    growths.sort_by(f64::total_cmp);
    let middle = growths.len() / 2;
    let at = |i: usize| growths.get(i).copied().unwrap_or(0.0);
    if growths.len().is_multiple_of(2) {
        f64::midpoint(at(middle.saturating_sub(1)), at(middle))
    } else {
        at(middle)
    }
}

/// How a rule did, and so how wide it has to be.
#[derive(Debug, Clone)]
pub(super) struct Calibrated {
    usual: Decayed,
    conformal: Conformal,
}

impl Calibrated {
    /// A rule for windows of so many minutes that was never tried.
    pub(super) fn new(horizon: u32) -> Self {
        Self { usual: Decayed::default(), conformal: Conformal::slow(horizon) }
    }

    /// How far off the rule usually is, as growth; `None` before anything came out.
    pub(super) fn spread(&self) -> Option<f64> {
        self.usual.mean().map(|mean| mean.max(SMALLEST))
    }

    /// A window has closed: what came was so much above what was said, where the spread was `spread`; one window in so
    /// many minutes is shown.
    pub(super) fn learn(&mut self, residual: f64, spread: Option<f64>, every: i64) {
        let stands = Stands::minutes(every);
        self.usual.see(residual.abs(), DAY, stands);
        if let Some(spread) = spread {
            self.conformal.learn(residual / spread, stands);
        }
    }

    /// The ratio of the spread under which the residual stays with probability `q`.
    pub(super) fn ratio(&self, q: f64) -> Option<f64> {
        self.conformal.quantile(q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_goes_on_for_a_while_and_no_longer() {
        let mut trend = Trend::default();
        (0..600).for_each(|i| trend.see(0.01 * f64::from(i)));
        let (short, long) = (trend.growth(5.99, 5), trend.growth(5.99, 600));
        assert!(short > 0.02 && short < 0.06, "{short}");
        assert!(long < 0.25, "{long}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(&mut [3.0, 1.0, 2.0, 9.0]) - 2.5).abs() < 1e-12);
    }
}
