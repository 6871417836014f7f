//! What is said of the load ahead: of the time until new replicas are ready, and of a while after it.

use super::{
    candidate::{Candidate, Trend},
    days::{Aim, Days},
    direct::{Direct, Said},
    features::{Minute, features},
    horizon::Horizon,
    level::Level,
    recent::Recent,
};

/// A scale-in looks so many minutes further than a scale-out: replicas that come and go within half an hour cost more in
/// churn than in time. The sum is at most [`LONGEST`].
const FURTHER: u32 = 25;
/// The longest window, minutes: what takes longer to start than this is not helped by a forecast of load.
pub const LONGEST: u32 = 60;

/// Forecasts of two windows from now: until new replicas are ready, and a while longer.
#[derive(Debug, Clone)]
pub(super) struct Outlook {
    pub(super) soon: Horizon,
    hold: Direct,
    hold_minutes: u32,
    /// What was said last of the longer one.
    held: Option<(Said, Level)>,
}

/// Loads that are expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Expected {
    /// What the shorter window stays at or under, with the wanted probability.
    pub(super) soon: f64,
    /// What the longer one stays at or under; at least `soon`.
    pub(super) hold: f64,
    /// The highest load of the longer one, as likely passed as not.
    pub(super) middle: f64,
    /// Who says the first.
    pub(super) candidate: Candidate,
}

impl Outlook {
    /// Of `minutes` until new replicas are ready (1 to [`LONGEST`]), at quantile `q`; `phase` as of [`Direct::new`].
    pub(super) fn new(minutes: u32, q: f64, phase: u32) -> Self {
        let hold_minutes = minutes.saturating_add(FURTHER).min(LONGEST);
        Self {
            soon: Horizon::new(minutes, q, phase),
            hold: Direct::new(hold_minutes, Aim::Highest, phase),
            hold_minutes,
            held: None,
        }
    }

    /// The same windows at another quantile: see [`Horizon::at`].
    pub(super) fn at(&self, q: f64) -> Self {
        Self { soon: self.soon.at(q), ..self.clone() }
    }

    /// Length of the longer window, minutes.
    pub(super) const fn longest(&self) -> u32 {
        self.hold_minutes
    }

    /// A minute came in: see [`Horizon::step`].
    pub(super) fn step(&mut self, minute: &Minute, recent: &Recent, trend: Trend, days: &Days, passed: i64) {
        self.soon.step(minute, recent, trend, days, passed);
        let courses = days.courses(minute, self.hold_minutes, Aim::Highest);
        let held = self.hold.step(minute, recent, &features(minute, &courses), passed);
        self.held = Some((held, minute.scale));
    }

    /// What is expected now; `None` before anything came out.
    pub(super) fn expected(&self) -> Option<Expected> {
        let (soon, candidate) = self.soon.outlook()?;
        let (said, scale) = self.held.as_ref()?;
        let longer = self.hold.quantile(said, self.soon.q()).map_or(soon, |level| scale.load(level));
        let middle = scale.load(said.level + said.growth);
        Some(Expected { soon, hold: longer.max(soon), middle, candidate })
    }

    /// Forgets the windows that have not closed: minutes are missing in them.
    pub(super) fn interrupt(&mut self) {
        self.soon.interrupt();
        self.hold.interrupt();
    }
}
