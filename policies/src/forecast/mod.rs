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
mod days;
mod direct;
mod errors;
mod features;
mod handover;
pub mod history;
mod horizon;
mod level;
mod outlook;
pub mod past;
mod point;
mod recent;
mod regression;
mod ripple;
pub mod trust;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::now::Now;

pub use self::{backtest::pinball, candidate::Candidate, outlook::LONGEST};
use self::{
    candidate::Trend,
    days::Days,
    history::{History, Ring},
    level::Peak,
    outlook::{Expected, Outlook},
    point::Point,
    recent::Recent,
    ripple::Ripple,
    trust::{Evidence, Ladder, Standing, Trust},
};

const MINUTE: i64 = 60;
/// Missing minutes up to here are filled by a straight line.
const BRIDGED: i64 = 10;
/// More requests per second than this are no load but a broken counter.
const BELIEVED: f64 = 1e12;

/// Minutes from one look to the next while the past is gone through by five-minute maxima: their windows overlap most.
const PAST: i64 = 10;
/// Minutes of two days, of which a few are always missing.
const TWO_DAYS_OR_SO: f64 = 0.95 * 2.0 * 1_440.0;
/// The forecast of one workload's load.
#[derive(Debug, Clone)]
pub struct Forecaster {
    history: History,
    recent: Recent,
    days: Days,
    peak: Peak,
    trend: Trend,
    outlook: Outlook,
    /// Another horizon or quantile that was asked for, until it has shown what it can do.
    next: Option<Box<Outlook>>,
    /// Forecasts for people, where they are asked for.
    points: Vec<(Point, f64)>,
    phase: u32,
    /// The last minutes that were seen, for a successor.
    minutes: Ring,
    /// The minute that is not over, and its highest load so far.
    current: Option<(i64, f64)>,
    /// The last minute that was learned from, and its load.
    last: Option<(i64, f64)>,
    /// The first minute that was seen.
    first: Option<i64>,
    /// The last minute whose windows were looked at, and whether minutes were missing before it.
    learned: i64,
    coarse: bool,
    ladder: Ladder,
    ripple: Ripple,
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
    /// What it may do: what it has earned, and not more than its policy allows.
    pub trust: Trust,
    /// What it has earned.
    pub earned: Trust,
    /// Where that stands, and what keeps it from more.
    pub standing: Standing,
    /// Why.
    pub evidence: Option<Evidence>,
    /// The probability.
    pub quantile: f64,
    /// The minutes until new replicas are ready.
    pub horizon: u32,
}

impl Forecast {
    /// The same, that may do `most` at the most, whatever it has earned.
    #[must_use]
    pub fn held_to(self, most: Trust) -> Self {
        // Of one that has not earned a say, what keeps it from that tells more than a ceiling that it is far from.
        let held = self.earned > most && self.earned >= Trust::ScaleOutOnly;
        let standing = if held { Standing::HeldByPolicy } else { self.standing };
        Self { trust: self.earned.min(most), standing, ..self }
    }
}

impl Forecaster {
    /// A forecaster that has seen nothing: of windows of `horizon` minutes (1 to [`LONGEST`]), at quantile `q`. `phase`
    /// is any number that differs from workload to workload: the costly steps of thousands then fall on many ticks.
    #[must_use]
    pub fn new(horizon: u32, q: f64, phase: u32) -> Self {
        let outlook = Outlook::new(horizon.clamp(1, LONGEST), q, phase);
        Self {
            history: History::default(),
            recent: Recent::default(),
            days: Days::new(outlook.longest()),
            peak: Peak::default(),
            trend: Trend::default(),
            outlook,
            next: None,
            points: Vec::new(),
            phase,
            minutes: Ring::new(Duration::from_mins(1), handover::KEPT),
            current: None,
            last: None,
            first: None,
            learned: 0,
            coarse: false,
            ladder: Ladder::default(),
            ripple: Ripple::default(),
        }
    }

    /// A forecaster that has learned what a history tells.
    #[must_use]
    pub fn of_history(history: &History, horizon: u32, q: f64, phase: u32) -> Self {
        let mut forecaster = Self::new(horizon, q, phase);
        for (at, load) in history.loads() {
            forecaster.remember(at, load);
        }
        forecaster
    }

    /// Asks for windows of `horizon` minutes (1 to [`LONGEST`]) at quantile `q` from now on.
    ///
    /// What is new has to show first what it can do: until it was scored for two days, or for as long as the one that
    /// it follows, trust is judged by that one. A new quantile of the same windows is used at once.
    pub fn aim(&mut self, horizon: u32, q: f64) {
        let horizon = horizon.clamp(1, LONGEST);
        if self.outlook.soon.is_for(horizon, q) {
            self.next = None;
        } else if !self.next.as_ref().is_some_and(|next| next.soon.is_for(horizon, q)) {
            let next = if horizon == self.outlook.soon.minutes() {
                self.outlook.at(q)
            } else {
                Self::of_history(&self.history, horizon, q, self.phase).outlook.at(q)
            };
            self.days = Days::new(next.longest().max(self.outlook.longest()));
            self.next = Some(Box::new(next));
        }
    }

    /// Minutes of the windows that were asked for last.
    #[must_use]
    pub fn aimed_at(&self) -> u32 {
        self.next.as_ref().map_or(self.outlook.soon.minutes(), |next| next.soon.minutes())
    }

    /// Also says the load itself that is expected in so many minutes, each.
    #[must_use]
    pub fn with_points(mut self, minutes: impl IntoIterator<Item = u32>) -> Self {
        self.points = minutes.into_iter().map(|minutes| (Point::new(minutes), 0.0)).collect();
        self.days = Days::new(LONGEST);
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
        let (last, _) = self.last?;
        if now.as_second().div_euclid(MINUTE) - last > BRIDGED {
            return None;
        }
        // Another quantile of the same windows is used at once.
        let judged = &self.outlook.soon;
        let same = self.next.as_deref().filter(|next| next.soon.minutes() == judged.minutes());
        let used = same.unwrap_or(&self.outlook);
        let Expected { soon, hold, middle, candidate } = used.expected()?;
        let (trust, evidence) = (self.ladder.trust(), self.evidence(last));
        let standing = |e: Evidence| Standing::of(trust, &e, judged.q(), judged.minutes());
        let ripple = self.ripple.height();
        Some(Forecast {
            soon: soon + ripple,
            hold: hold + ripple,
            expected: middle,
            candidate,
            trust,
            earned: trust,
            standing: evidence.map_or(Standing::ShortHistory, standing),
            evidence,
            quantile: used.soon.q(),
            horizon: used.soon.minutes(),
        })
    }

    /// The trust that it has earned.
    #[must_use]
    pub const fn earned(&self) -> Trust {
        self.ladder.trust()
    }

    /// What was seen so far.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// A minute is over.
    fn minute(&mut self, number: i64, load: f64) {
        let mut passed = 1;
        self.minutes.record(number.saturating_mul(MINUTE), load);
        match self.last {
            Some((last, before)) if number - last <= BRIDGED => {
                passed = number - last;
                self.bridge((last, before), (number, load));
            }
            Some(_) => self.interrupt(),
            None => self.first = Some(number),
        }
        self.step(number, load, passed);
    }

    /// Draws a straight line over missing minutes. They are compared with, and not learned from.
    fn bridge(&mut self, (last, before): (i64, f64), (number, load): (i64, f64)) {
        let length = self.history.fives().slot();
        let slot = |minute: i64| (minute * MINUTE).div_euclid(length);
        let between = slot(last) + 1..slot(number);
        for missing in last + 1..number {
            #[expect(clippy::cast_precision_loss, reason = "minutes of a short gap")]
            let share = (missing - last) as f64 / (number - last) as f64;
            let load = before + (load - before) * share;
            if between.contains(&slot(missing)) {
                self.record(missing, load);
            }
            self.see(load);
        }
    }

    /// Too many minutes are missing: nothing is compared over them.
    fn interrupt(&mut self) {
        self.outlook.interrupt();
        self.next.iter_mut().for_each(|next| next.interrupt());
        self.recent.interrupt();
        self.points.iter_mut().for_each(|(point, _)| point.interrupt());
    }

    fn record(&mut self, number: i64, load: f64) {
        if let Ok(at) = Timestamp::from_second(number.saturating_mul(MINUTE)) {
            self.history.record(at, load);
        }
    }

    /// Takes up the load of the next minute; gives its level.
    fn see(&mut self, load: f64) -> f64 {
        let level = self.peak.level().of(load);
        self.recent.see(level);
        self.trend.see(level);
        level
    }

    fn step(&mut self, number: i64, load: f64, passed: i64) {
        self.last = Some((number, load));
        self.record(number, load);
        self.peak.see(number.saturating_mul(MINUTE), load);
        let level = self.see(load);
        let coarse = std::mem::replace(&mut self.coarse, passed > 1) && passed > 1;
        if coarse && number - self.learned < PAST {
            return;
        }
        self.learned = number;
        let minute = self.recent.look(number, level, &self.peak);
        let Self { recent, days, history, .. } = self;
        days.look(&minute, history.fives());
        self.outlook.step(&minute, recent, self.trend, days, passed);
        if let Some(next) = &mut self.next {
            next.step(&minute, recent, self.trend, days, passed);
        }
        for (point, expected) in &mut self.points {
            *expected = point.step(&minute, recent, days, passed);
        }
        self.succeed();
        let (q, horizon) = (self.outlook.soon.q(), self.outlook.soon.minutes());
        self.ladder.judge(number, self.evidence(number), q, horizon);
    }

    fn evidence(&self, number: i64) -> Option<Evidence> {
        self.outlook.soon.evidence(self.first.map_or(0, |first| number - first))
    }

    /// Lets what was asked for take the place of what it follows, once it was judged by as much.
    fn succeed(&mut self) {
        let enough = self.outlook.soon.scored().min(TWO_DAYS_OR_SO);
        if let Some(next) = self.next.take_if(|next| next.soon.scored() >= enough) {
            self.outlook = *next;
        }
    }
}

/// Whether a number can be a load: not below zero, finite, and believable.
fn is_load(load: f64) -> bool {
    (0.0..=BELIEVED).contains(&load)
}

#[cfg(test)]
mod tests;
