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
    days::Aim,
    errors::Errors,
    features::{FEATURES, Minute, UNREST},
    recent::Recent,
    regression::{Regression, Stands},
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
const REFIT: i64 = 60;
/// The same while the past is gone through in steps of some minutes: what is said of it is not used.
const REFIT_OF_THE_PAST: i64 = 480;
/// Windows that overlap by more than nine tenths say nearly the same: of longer ones fewer are learned from.
const OVERLAP: i64 = 10;
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

/// The forecast of the highest load within a horizon, or of the load at its end.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    horizon: i64,
    aim: Aim,
    growth: Regression,
    size: Regression,
    log_size: Regression,
    errors: Errors,
    conformal: Conformal,
    /// Forecasts whose windows have not closed, oldest first.
    open: VecDeque<Open>,
    /// The minute of the last of them.
    opened: Option<i64>,
    /// Moves the refits of one workload against those of others, so that not all fall on the same tick; minutes.
    phase: i64,
    /// Number of the last refit.
    refit: Option<i64>,
}

/// A forecast whose window has not closed. Of 32 bits: ten thousand workloads keep some each.
#[derive(Debug, Clone)]
struct Open {
    minute: i64,
    stands: Stands,
    features: [f32; FEATURES],
    level: f64,
    growth: f32,
    spread: Option<Spread<f32>>,
}

/// A predicted spread and what it was predicted from.
#[derive(Debug, Clone, Copy)]
struct Spread<F> {
    size: F,
    features: [F; SPREAD],
    /// The same as logarithms beside `base`, that of the first, with a constant in its place.
    logarithms: [F; SPREAD],
    base: F,
}

impl Spread<f64> {
    #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a load has")]
    fn narrow(self) -> Spread<f32> {
        let Self { size, features, logarithms, base } = self;
        let narrow = |x: f64| x as f32;
        Spread {
            size: narrow(size),
            features: features.map(narrow),
            logarithms: logarithms.map(narrow),
            base: narrow(base),
        }
    }
}

/// Minutes from one window of so many to the next that is learned from.
fn learned_every(horizon: i64) -> i64 {
    (horizon / OVERLAP).max(1)
}

/// Windows of so many minutes that are open at most at once: no more room is kept for ten thousand workloads.
fn most_open(horizon: u32) -> usize {
    let horizon = i64::from(horizon.max(1));
    usize::try_from(horizon / learned_every(horizon) + 1).unwrap_or_default()
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
    /// The level that no quantile passes.
    ceiling: f64,
    /// The minute that it was said in, and how unsteady the load was.
    minute: i64,
    unrest: [f64; UNREST],
}

impl Said {
    /// A level, or the highest that is believed.
    pub(super) fn under_ceiling(&self, level: f64) -> f64 {
        level.min(self.ceiling)
    }
}

impl Direct {
    /// A forecast of windows of so many minutes that has learned nothing.
    pub(super) fn new(horizon: u32, aim: Aim, phase: u32) -> Self {
        Self {
            horizon: i64::from(horizon.max(1)),
            aim,
            growth: Regression::new(FEATURES, MEMORY, RIDGE, true),
            size: Regression::new(SPREAD, MEMORY, RIDGE, false),
            log_size: Regression::new(SPREAD, MEMORY, RIDGE, true),
            errors: Errors::default(),
            conformal: Conformal::new(horizon),
            open: VecDeque::with_capacity(most_open(horizon)),
            opened: None,
            phase: i64::from(phase),
            refit: None,
        }
    }

    /// A minute came in, the newest of `recent`, `passed` minutes after the one before: learns from the windows that it
    /// closes, and forecasts the next one.
    pub(super) fn step(
        &mut self,
        minute: &Minute,
        recent: &Recent,
        features: &[f64; FEATURES],
        passed: i64,
    ) -> Said {
        while let Some(open) = self.open.pop_front_if(|open| open.minute + self.horizon <= minute.number) {
            let ago = usize::try_from(minute.number - open.minute - self.horizon).unwrap_or_default();
            let came = match self.aim {
                Aim::Highest => recent.highest(usize::try_from(self.horizon).unwrap_or(usize::MAX), ago),
                Aim::End => recent.back(ago),
            };
            self.learn(&open, came - open.level);
        }
        self.refit(minute.number, passed);
        let most = (minute.peak + GROWTH.1.ln() - minute.level).max(0.0);
        let growth = self.growth.predict(features).max(GROWTH.0).min(most);
        let said = Said {
            level: minute.level,
            growth,
            ceiling: minute.peak.max(minute.level + growth) + ABOVE_PEAK.ln(),
            minute: minute.number,
            unrest: minute.unrest,
        };
        self.open(&said, features);
        said
    }

    fn refit(&mut self, minute: i64, passed: i64) {
        let every = if passed > 1 { REFIT_OF_THE_PAST } else { REFIT };
        let number = (minute + self.phase).div_euclid(every);
        if self.refit != Some(number) {
            self.refit = Some(number);
            self.growth.refit();
            self.size.refit();
            self.log_size.refit();
        }
    }

    /// Keeps what was said until the window has closed.
    fn open(&mut self, said: &Said, features: &[f64; FEATURES]) {
        let every = learned_every(self.horizon);
        let since = self.opened.map_or(every, |opened| said.minute - opened);
        if since < every {
            return;
        }
        self.opened = Some(said.minute);
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a load has")]
        let narrow = |x: f64| x as f32;
        self.open.push_back(Open {
            minute: said.minute,
            stands: Stands::minutes(since),
            features: features.map(narrow),
            level: said.level,
            growth: narrow(said.growth),
            spread: self.spread(said).map(Spread::narrow),
        });
    }

    /// Forgets the windows that have not closed: minutes are missing in them.
    pub(super) fn interrupt(&mut self) {
        self.open.clear();
        self.opened = None;
    }

    /// The level that the window stays at or under with probability `q`; `None` before anything came out.
    pub(super) fn quantile(&self, said: &Said, q: f64) -> Option<f64> {
        let ratio = self.conformal.quantile(q)?;
        Some(said.under_ceiling(said.level + said.growth + self.spread(said)?.size * ratio))
    }

    fn learn(&mut self, open: &Open, grown: f64) {
        let residual = grown - f64::from(open.growth);
        let error = residual.abs();
        self.errors.learn(open.minute, error, open.stands);
        let mut weight = 1.0;
        if let Some(spread) = open.spread {
            let size = f64::from(spread.size);
            self.conformal.learn(residual / size, open.stands);
            if self.size.knows() {
                let usual = self.errors.means().map_or(size, |means| means.week);
                let calm = (usual / size).clamp(CALM.0, CALM.1);
                weight = (OUTLIER * size / error.max(1e-9)).min(1.0) * calm;
            }
            let log_error = (error + SOFT).ln() - f64::from(spread.base);
            self.size.learn(&spread.features.map(f64::from), error, 1.0, open.stands);
            self.log_size.learn(&spread.logarithms.map(f64::from), log_error, 1.0, open.stands);
        }
        self.growth.learn(&open.features.map(f64::from), grown, weight, open.stands);
    }

    /// How far off a forecast will be, from how far off it was and how unsteady the load is; `None` before anything came
    /// out.
    fn spread(&self, said: &Said) -> Option<Spread<f64>> {
        let means = self.errors.means()?;
        let at_this_time = self.errors.at_this_time(said.minute).unwrap_or(means.day);
        let [short, long, range, below] = said.unrest;
        let features = [
            means.week + 1e-4,
            means.day,
            means.hours,
            means.quarter,
            at_this_time,
            said.growth.abs(),
            short,
            long,
            range,
            below,
        ];
        let (logarithms, base) = as_logarithms(&features);
        let mut size = means.day;
        if self.size.knows() {
            let plain = self.size.predict(&features).max(LEAST * means.day.min(means.week)).max(SMALLEST);
            let of_log = (self.log_size.predict(&logarithms).clamp(-4.0, 4.0) + base).exp();
            // One errs where errors are large, the other where they are small: their geometric mean does neither.
            size = (plain * of_log).sqrt();
        }
        Some(Spread { size: size.max(SMALLEST), features, logarithms, base })
    }
}
