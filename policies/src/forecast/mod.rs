//! The forecast: how high the load will be before more replicas could be ready, and for a while after.
//!
//! ```text
//! readings ─> history (rings of maxima) ─┐
//!          ─> recent, peak, trend ───────┴─> features ─> horizon: direct, candidates ─> outlook
//!                                                            └─> backtest ─> trust
//! ```
//!
//! Everything is learned one minute at a time, from windows that have closed: what is said of a window was never
//! computed from it. Starting again from a history is the same steps, faster.

mod backtest;
mod candidate;
mod conformal;
mod direct;
mod errors;
mod features;
mod handover;
pub mod history;
mod horizon;
mod level;
pub mod past;
mod point;
mod regression;
mod ripple;
pub mod trust;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::now::Now;

pub use self::{backtest::pinball, candidate::Candidate};
use self::{
    candidate::Trend,
    direct::Direct,
    features::{Aim, Courses, Recent, features},
    history::{History, Ring},
    horizon::Horizon,
    level::Peak,
    point::Point,
    ripple::Ripple,
    trust::{Evidence, Ladder, Standing, Trust},
};

const MINUTE: i64 = 60;
/// Missing minutes up to here are filled by a straight line.
const BRIDGED: i64 = 10;
/// More requests per second than this are no load but a broken counter.
const BELIEVED: f64 = 1e12;
/// Minutes of the window that a scale-in looks ahead, and a scale-out aims at: replicas that come and go within half
/// an hour cost more in churn than in time.
const HOLD: u32 = 30;

/// The forecast of one workload's load.
#[derive(Debug, Clone)]
pub struct Forecaster {
    history: History,
    recent: Recent,
    peak: Peak,
    trend: Trend,
    soon: Horizon,
    hold: Direct,
    /// Forecasts for people, where they are asked for.
    points: Vec<(Point, f64)>,
    q: f64,
    /// The last minutes that were seen, for a successor.
    minutes: Ring,
    /// The minute that is not over, and its highest load so far.
    current: Option<(i64, f64)>,
    /// The last minute that was learned from, and its load.
    last: Option<(i64, f64)>,
    /// The first minute that was seen.
    first: Option<i64>,
    ladder: Ladder,
    ripple: Ripple,
    forecast: Option<Forecast>,
}

/// What is expected of the load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Forecast {
    /// The load that the time until new replicas are ready stays at or under, with the wanted probability.
    pub soon: f64,
    /// The same of the next half hour; at least [`Self::soon`].
    pub hold: f64,
    /// The highest load that is expected in the next half hour.
    pub expected: f64,
    /// Whose forecast it is.
    pub candidate: Candidate,
    /// What it may do.
    pub trust: Trust,
    /// Why.
    pub evidence: Option<Evidence>,
    /// The probability.
    pub quantile: f64,
    /// The minutes until new replicas are ready.
    pub horizon: u32,
}

impl Forecast {
    /// Where it stands, and what keeps it from more.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let Self { trust, evidence, quantile, horizon, .. } = self;
        evidence.as_ref().map_or(Standing::ShortHistory, |e| Standing::of(*trust, e, *quantile, *horizon))
    }
}

impl Forecaster {
    /// A forecaster that has seen nothing: of windows of `horizon` minutes, at quantile `q`.
    #[must_use]
    pub fn new(horizon: u32, q: f64) -> Self {
        Self {
            history: History::default(),
            recent: Recent::default(),
            peak: Peak::default(),
            trend: Trend::default(),
            soon: Horizon::new(horizon, q),
            hold: Direct::new(HOLD),
            points: Vec::new(),
            q,
            minutes: Ring::new(Duration::from_mins(1), handover::KEPT),
            current: None,
            last: None,
            first: None,
            ladder: Ladder::default(),
            ripple: Ripple::default(),
            forecast: None,
        }
    }

    /// Also says the load itself that is expected in so many minutes, each.
    #[must_use]
    pub fn with_points(mut self, minutes: impl IntoIterator<Item = u32>) -> Self {
        self.points = minutes.into_iter().map(|minutes| (Point::new(minutes), 0.0)).collect();
        self
    }

    /// The minute that was learned from last, its load, and the loads that [`Self::with_points`] asked for.
    #[must_use]
    pub fn points(&self) -> Option<(i64, f64, impl Iterator<Item = f64> + '_)> {
        let (minute, load) = self.last?;
        Some((minute, load, self.points.iter().map(|(_, expected)| *expected)))
    }

    /// A load was seen. What is no load (below zero, not finite), or older than the minute under way, is not.
    pub fn observe(&mut self, now: Now, load: f64) {
        if !is_load(load) {
            return;
        }
        self.ripple.see(now.mono, load);
        self.remember(now.wall, load);
    }

    /// A load of the past, as a bulk read of history tells it; in the order of time.
    pub fn remember(&mut self, at: Timestamp, load: f64) {
        let number = at.as_second().div_euclid(MINUTE);
        if !is_load(load) {
            return;
        }
        match self.current {
            Some((minute, highest)) if number == minute => self.current = Some((minute, highest.max(load))),
            Some((minute, highest)) if number > minute => {
                self.minute(minute, highest);
                self.current = Some((number, load));
            }
            Some(_) => {}
            None => self.current = Some((number, load)),
        }
    }

    /// What is expected now; `None` before the first minute, and while too long nothing was seen.
    #[must_use]
    pub fn forecast(&self, now: Timestamp) -> Option<Forecast> {
        let minute = now.as_second().div_euclid(MINUTE);
        let fresh = self.last.is_some_and(|(last, _)| minute - last <= BRIDGED);
        let ripple = self.ripple.height();
        self.forecast.filter(|_| fresh).map(|forecast| Forecast {
            soon: forecast.soon + ripple,
            hold: forecast.hold + ripple,
            ..forecast
        })
    }

    /// Whether it is one of windows of so many minutes at this quantile.
    #[must_use]
    pub fn is_for(&self, horizon: u32, q: f64) -> bool {
        self.soon.minutes() == horizon && (self.q - q).abs() < f64::EPSILON
    }

    /// What was seen so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// A minute is over.
    fn minute(&mut self, number: i64, load: f64) {
        self.minutes.record(number.saturating_mul(MINUTE), load);
        match self.last {
            Some((last, before)) if number - last <= BRIDGED => {
                #[expect(clippy::cast_precision_loss, reason = "minutes of a short gap")]
                let share = |minute: i64| (minute - last) as f64 / (number - last) as f64;
                for missing in last + 1..number {
                    self.step(missing, before + (load - before) * share(missing));
                }
            }
            Some(_) => {
                self.soon.interrupt();
                self.hold.interrupt();
                self.recent.interrupt();
                self.points.iter_mut().for_each(|(point, _)| point.interrupt());
            }
            None => self.first = Some(number),
        }
        self.step(number, load);
    }

    fn step(&mut self, number: i64, load: f64) {
        self.last = Some((number, load));
        if let Ok(at) = Timestamp::from_second(number.saturating_mul(MINUTE)) {
            self.history.record(at, load);
        }
        self.peak.see(number.saturating_mul(MINUTE), load);
        let minute = self.recent.see(number, load, &self.peak);
        self.trend.see(minute.level);
        let fives = self.history.fives();
        let soon = self.soon.step(&minute, &self.recent, self.trend, fives);
        let half_hour = self.recent.highest(usize::try_from(HOLD).unwrap_or(usize::MAX));
        let courses = Courses::look_up(&minute, HOLD, Aim::Highest, fives);
        let hold = self.hold.step(&minute, half_hour, &features(&minute, &courses));
        let hold_quantile = self.hold.quantile(&hold, self.q).map(|level| minute.scale.load(level));
        for (point, expected) in &mut self.points {
            *expected = point.step(&minute, fives);
        }
        let history = self.first.map_or(0, |first| number - first);
        let evidence = self.soon.evidence(number, history);
        self.ladder.judge(number, evidence, self.q, self.soon.minutes());
        self.forecast = soon.quantile.map(|quantile| Forecast {
            soon: quantile,
            hold: hold_quantile.unwrap_or(quantile).max(quantile),
            expected: minute.scale.load(hold.level + hold.growth),
            candidate: soon.candidate,
            trust: self.ladder.trust(),
            evidence,
            quantile: self.q,
            horizon: self.soon.minutes(),
        });
    }
}

/// Whether a number can be a load: not below zero, finite, and believable.
fn is_load(load: f64) -> bool {
    (0.0..=BELIEVED).contains(&load)
}

#[cfg(test)]
mod tests;
