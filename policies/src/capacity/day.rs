//! One day of evidence.

use std::time::Duration;

use super::{
    bounds::{self, Knee},
    tally::Tally,
};

/// A day of looking: 24 hours in which there was somebody to look.
///
/// Time in which no process ran does not count, so a clock that jumps closes no day early.
pub const FULL_DAY: Duration = Duration::from_hours(24);

/// Fewest healthy windows in a day that prove anything: with twenty, the 95th percentile is not the largest.
pub const LEAST_WINDOWS: u32 = 20;

/// The share of the healthy windows that may have borne more than the lower bound (elasticity.md §3: p95): a few
/// windows are measured wrong.
const PROVEN: f64 = 0.95;

/// What was seen on one day.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Day {
    /// How much of it has passed.
    pub(super) seen: Duration,
    /// Work per ready replica of the healthy windows.
    pub(super) healthy: Tally,
    /// Onsets of unhealthy latency.
    pub(super) knees: Vec<Knee>,
}

impl Day {
    /// What its healthy windows prove; `None` where there are too few.
    pub(super) fn proves(&self) -> Option<f64> {
        if self.healthy.count() < LEAST_WINDOWS { None } else { self.healthy.quantile(PROVEN) }
    }

    /// Adds a knee. A day near its knee has hundreds of them; the last ones tell as much.
    pub(super) fn add(&mut self, knee: Knee) {
        bounds::push(&mut self.knees, knee);
    }
}
