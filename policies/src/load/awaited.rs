//! A forecaster without its history: what holds until the past is read again.
//!
//! A new process, a new policy and new weights begin with a forecaster that has seen nothing. Its past is read from
//! the telemetry in the background. Meanwhile the trust that was there before stands in for it: the band stays where it
//! was, and nothing is removed. So a restart by itself changes no replica.

use std::time::Duration;

use serde::Serialize;

use crate::{
    desired::words,
    forecast::trust::Trust,
    now::{Mono, Now},
    plan::Demand,
    reason::{Reason, ReasonCode},
};

/// So long the trust of before stands in. The newest days of ten thousand workloads are read and learned in half of that
/// time; what takes longer is an outage of the telemetry, and then the load that is there is the better guide.
pub const GRACE: Duration = Duration::from_mins(15);

/// Certain readings before the weight of a request is believed: the first may be of a window that is partly empty.
const READINGS: u32 = 3;

/// That the history of a forecaster is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Awaited {
    /// Since when.
    pub since: Mono,
    /// The trust that was earned before.
    pub trust: Trust,
    /// The most that the policy lets it do.
    pub most: Trust,
    /// What has learned the newest days already deserves as much: nothing needs to stand in for the rest.
    met: bool,
    /// Sum of the weighted requests per second of the certain readings since.
    weighted: f64,
    /// Sum of their requests per second, each counting 1.
    requests: f64,
    readings: u32,
}

impl Awaited {
    /// Awaited from now on, after a forecast of this trust.
    #[must_use]
    pub const fn new(trust: Trust, now: Mono) -> Self {
        Self { since: now, trust, most: Trust::Full, met: false, weighted: 0.0, requests: 0.0, readings: 0 }
    }

    /// A certain reading.
    pub(super) fn see(&mut self, demand: &Demand) {
        self.weighted += demand.weighted;
        self.requests += demand.requests;
        self.readings = self.readings.saturating_add(1);
    }

    /// What a request of the past weighs, by those of now: history is a plain count. `None` before enough were seen.
    #[must_use]
    pub fn weight(&self) -> Option<f64> {
        let weight = self.weighted / self.requests;
        (self.readings >= READINGS && weight.is_finite() && weight > 0.0).then_some(weight)
    }

    /// The trust that stands in now: one that acted and still may, and not for ever.
    #[must_use]
    pub fn stands_in(&self, now: Mono) -> Option<Trust> {
        let trust = self.trust.min(self.most);
        let acts = !self.met && trust >= Trust::ScaleOutOnly && now.since(self.since) < GRACE;
        acts.then_some(trust)
    }

    /// What has learned the newest days has earned so much.
    pub(super) fn meet(&mut self, earned: Trust) {
        self.met = earned >= self.trust;
    }

    /// Why nothing is removed while trust stands in.
    #[must_use]
    pub fn no_scale_in(&self, now: Now) -> Option<Reason> {
        self.stands_in(now.mono)?;
        let text = format!(
            "The history of the forecast is read again since a restart: nothing is removed until it is back, or for \
             another {}.",
            words::duration(GRACE.saturating_sub(now.mono.since(self.since)))
        );
        Some(Reason::new(ReasonCode::HistoryAwaited, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(weighted: f64, requests: f64) -> Demand {
        Demand { weighted, raw: weighted, requests, interpolated: 0.0, capped: false, age: Duration::ZERO }
    }

    #[test]
    fn the_weight_of_a_request_is_believed_after_some_readings() {
        let mut awaited = Awaited::new(Trust::Full, Mono::default());
        awaited.see(&demand(50.0, 100.0));
        awaited.see(&demand(30.0, 100.0));
        assert_eq!(awaited.weight(), None);
        awaited.see(&demand(100.0, 100.0));
        assert!((awaited.weight().unwrap() - 0.6).abs() < 1e-12);
        // Of no requests nobody knows what one weighs.
        let mut idle = Awaited::new(Trust::Full, Mono::default());
        (0..9).for_each(|_| idle.see(&demand(0.0, 0.0)));
        assert_eq!(idle.weight(), None);
    }

    #[test]
    fn nothing_stands_in_for_the_rest_once_the_newest_days_deserve_as_much() {
        for (earned, stands) in [(Trust::ScaleOutOnly, Some(Trust::Full)), (Trust::Full, None)] {
            let mut awaited = Awaited::new(Trust::Full, Mono::default());
            awaited.meet(earned);
            assert_eq!(awaited.stands_in(Mono::default()), stands);
        }
    }

    #[test]
    fn only_trust_that_acted_stands_in_and_not_for_ever() {
        let began = Mono(Duration::from_secs(100));
        for (trust, stands) in [(Trust::Recommend, None), (Trust::Full, Some(Trust::Full))] {
            let awaited = Awaited::new(trust, began);
            assert_eq!(awaited.stands_in(began.plus(GRACE / 2)), stands);
            assert_eq!(awaited.stands_in(began.plus(GRACE)), None);
        }
        // As far as the policy lets it act.
        for (most, stands) in [(Trust::Shadow, None), (Trust::ScaleOutOnly, Some(Trust::ScaleOutOnly))] {
            assert_eq!(Awaited { most, ..Awaited::new(Trust::Full, began) }.stands_in(began), stands);
        }
    }
}
