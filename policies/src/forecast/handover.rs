//! The hand-over: a forecaster that has learned the past takes the place of one that has seen only the present.

use jiff::Timestamp;

use super::{Forecaster, MINUTE};

/// Minutes that a forecaster keeps for its successor: the past of ten thousand workloads is read and learned in less.
pub(super) const KEPT: usize = 120;

impl Forecaster {
    /// What it was asked for last, as [`Self::new`] takes it: the minutes of its windows, its quantile, its phase.
    #[must_use]
    pub fn terms(&self) -> (u32, f64, u32) {
        let asked = self.next.as_deref().unwrap_or(&self.outlook);
        (asked.soon.minutes(), asked.soon.q(), self.phase)
    }

    /// Learns what another one has seen since its own last minute, and its unrest within minutes, which no history
    /// tells.
    pub fn take_over(&mut self, live: &Self) {
        let known = self.current.map_or(i64::MIN, |(minute, _)| minute);
        let past = live.minutes.start().div_euclid(MINUTE);
        let over = (past..).zip(live.minutes.values()).filter_map(|(minute, load)| Some((minute, load?)));
        for (minute, load) in over.chain(live.current).filter(|(minute, _)| *minute >= known) {
            if let Ok(at) = Timestamp::from_second(minute.saturating_mul(MINUTE)) {
                self.remember(at, load);
            }
        }
        self.ripple = live.ripple.clone();
    }
}
