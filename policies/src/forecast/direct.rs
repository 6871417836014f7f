//! The direct forecast of one window: how far the load will rise above what it is, at the most, in the next minutes.
//!
//! ```text
//! features ──> growth (ridge) ─┐
//!          ──> spread (two more regressions, of the error's size and of its logarithm)
//!                              └─> quantile = level + growth + spread × conformal ratio
//! ```
//!
//! It learns from each window when it has closed, and from nothing else: what it says was never seen before.

use std::collections::VecDeque;

use super::{
    conformal::Conformal,
    errors::Errors,
    features::{FEATURES, Minute, UNREST},
    regression::Regression,
};

/// What growth and spread forget: all but 1/e in a week, which holds each weekday once.
const MEMORY: f64 = 7.0 * 1_440.0;
/// Samples' worth of a feature's own power that speak for a weight of zero.
const RIDGE: f64 = 60.0;
/// An error of so many spreads counts less, so that a spike does not bend all weights.
const OUTLIER: f64 = 2.0;
/// A sample counts by how calm its time was, within these.
const CALM: (f64, f64) = (0.1, 10.0);
/// Minutes between two refits: a week's sums do not change faster.
const REFIT: u32 = 30;
/// Features of the spread.
const SPREAD: usize = 6 + UNREST;
/// Added to errors before their logarithm is taken: half a percent.
const SOFT: f64 = 0.005;
/// The smallest spread, as growth: 0.2 %.
const SMALLEST: f64 = 2e-3;
/// The spread is at least this share of the errors lately, whatever the regression says.
const LEAST: f64 = 0.3;
/// The growth that is believed: down to e⁻⁶, and up to half more than the peak of two weeks.
const GROWTH: (f64, f64) = (-6.0, 1.5);
/// The quantile is at most this much above the peak of two weeks and above the forecast itself.
const ABOVE_PEAK: f64 = 1.25;

/// The forecast of the highest load within a horizon.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    horizon: usize,
    growth: Regression,
    size: Regression,
    log_size: Regression,
    errors: Errors,
    conformal: Conformal,
    /// Forecasts whose windows have not closed, oldest first.
    open: VecDeque<Open>,
    until_refit: u32,
}

/// A forecast whose window has not closed. Of 32 bits: ten thousand workloads keep dozens each.
#[derive(Debug, Clone)]
struct Open {
    minute: i64,
    features: [f32; FEATURES],
    level: f64,
    growth: f32,
    spread: Option<Spread>,
}

/// A predicted spread and what it was predicted from.
#[derive(Debug, Clone, Copy)]
struct Spread {
    size: f32,
    features: [f32; SPREAD],
}

/// The features of a spread as logarithms beside that of the first, the error of a week, and that logarithm.
fn as_logarithms(features: &[f64; SPREAD]) -> ([f64; SPREAD], f64) {
    let [week, ..] = features;
    let base = (week + SOFT).ln();
    let mut all = features.map(|feature| (feature + SOFT).ln() - base);
    if let Some(first) = all.first_mut() {
        *first = 1.0;
    }
    (all, base)
}

/// What is said of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    /// Level now.
    pub(super) level: f64,
    /// Growth to the highest level of the window that is expected.
    pub(super) growth: f64,
    /// How far off it usually is; `None` before anything came out.
    pub(super) spread: Option<f64>,
    /// The level that no quantile passes.
    ceiling: f64,
}

impl Said {
    /// A level, or the highest that is believed.
    pub(super) fn under_ceiling(&self, level: f64) -> f64 {
        level.min(self.ceiling)
    }
}

impl Direct {
    /// A forecast of windows of so many minutes that has learned nothing.
    pub(super) fn new(horizon: u32) -> Self {
        Self {
            horizon: usize::try_from(horizon).unwrap_or(usize::MAX),
            growth: Regression::new(FEATURES, MEMORY, RIDGE, true),
            size: Regression::new(SPREAD, MEMORY, RIDGE, false),
            log_size: Regression::new(SPREAD, MEMORY, RIDGE, true),
            errors: Errors::default(),
            conformal: Conformal::new(horizon),
            open: VecDeque::new(),
            until_refit: 0,
        }
    }

    /// A minute came in. `came` is what of the window that it closes was forecast: its highest level, or the last.
    /// Learns from it, and forecasts the next window.
    pub(super) fn step(&mut self, minute: &Minute, came: f64, features: &[f64; FEATURES]) -> Said {
        if self.open.len() >= self.horizon
            && let Some(open) = self.open.pop_front()
        {
            self.learn(&open, came - open.level);
        }
        if self.until_refit == 0 {
            self.growth.refit();
            self.size.refit();
            self.log_size.refit();
            self.until_refit = REFIT;
        }
        self.until_refit -= 1;
        let most = (minute.peak + GROWTH.1.ln() - minute.level).max(0.0);
        let growth = self.growth.predict(features).max(GROWTH.0).min(most);
        let spread = self.spread(minute, growth);
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a load has")]
        let narrow = |x: f64| x as f32;
        self.open.push_back(Open {
            minute: minute.number,
            features: features.map(narrow),
            level: minute.level,
            growth: narrow(growth),
            spread: spread
                .map(|(size, features)| Spread { size: narrow(size), features: features.map(narrow) }),
        });
        Said {
            level: minute.level,
            growth,
            spread: spread.map(|(size, _)| size),
            ceiling: minute.peak.max(minute.level + growth) + ABOVE_PEAK.ln(),
        }
    }

    /// Forgets the windows that have not closed: minutes are missing in them.
    pub(super) fn interrupt(&mut self) {
        self.open.clear();
    }

    /// The level that the window stays at or under with probability `q`; `None` before anything came out.
    pub(super) fn quantile(&self, said: &Said, q: f64) -> Option<f64> {
        let ratio = self.conformal.quantile(q)?;
        Some(said.under_ceiling(said.level + said.growth + said.spread? * ratio))
    }

    fn learn(&mut self, open: &Open, grown: f64) {
        let residual = grown - f64::from(open.growth);
        let error = residual.abs();
        self.errors.learn(open.minute, error);
        let mut weight = 1.0;
        if let Some(spread) = open.spread {
            let size = f64::from(spread.size);
            self.conformal.learn(residual / size);
            if self.size.knows() {
                let usual = self.errors.means().map_or(size, |means| means.week);
                let calm = (usual / size).clamp(CALM.0, CALM.1);
                weight = (OUTLIER * size / error.max(1e-9)).min(1.0) * calm;
            }
            let features = spread.features.map(f64::from);
            let (log_features, base) = as_logarithms(&features);
            self.size.learn(&features, error, 1.0);
            self.log_size.learn(&log_features, (error + SOFT).ln() - base, 1.0);
        }
        self.growth.learn(&open.features.map(f64::from), grown, weight);
    }

    /// How far off the forecast of this minute will be, from how far off it was and how unsteady the load is.
    fn spread(&self, minute: &Minute, growth: f64) -> Option<(f64, [f64; SPREAD])> {
        let means = self.errors.means()?;
        let at_this_time = self.errors.at_this_time(minute.number).unwrap_or(means.day);
        let [short, long, range, below] = minute.unrest;
        let features = [
            means.week + 1e-4,
            means.day,
            means.hours,
            means.quarter,
            at_this_time,
            growth.abs(),
            short,
            long,
            range,
            below,
        ];
        let mut size = means.day;
        if self.size.knows() {
            let plain = self.size.predict(&features).max(LEAST * means.day.min(means.week)).max(SMALLEST);
            let (log_features, base) = as_logarithms(&features);
            let of_log = (self.log_size.predict(&log_features).clamp(-4.0, 4.0) + base).exp();
            // One errs where errors are large, the other where they are small: their geometric mean does neither.
            size = (plain * of_log).sqrt();
        }
        Some((size.max(SMALLEST), features))
    }
}
