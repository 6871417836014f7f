//! How good the forecast was, beside what it was used for.

use std::collections::BTreeMap;

use loadline_policies::forecast::{Candidate, Forecast, Forecaster, trust::Trust};

use super::{STEP_SECONDS, grid::count};

/// Minutes ahead at which the load itself is forecast.
const AHEAD: [u32; 2] = [15, 60];
/// Steps of a minute.
const MINUTE: usize = (60 / STEP_SECONDS) as usize;

/// How good a forecast was.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Accuracy {
    /// Share of the windows whose highest load stayed at or under the forecast quantile, 0 to 1.
    pub calibration: Option<f64>,
    /// Mean absolute error 15 minutes ahead, as a ratio to that of the last value.
    pub wape_15m: Option<f64>,
    /// The same 60 minutes ahead.
    pub wape_60m: Option<f64>,
}

/// How much a forecast was trusted, and whose it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Influence {
    trust: [usize; Trust::ALL.len()],
    candidates: [usize; Candidate::ALL.len()],
}

impl Influence {
    /// A forecast was made.
    pub(super) fn see(&mut self, forecast: &Forecast) {
        let count = |counts: &mut [usize], at: Option<usize>| {
            if let Some(count) = at.and_then(|at| counts.get_mut(at)) {
                *count += 1;
            }
        };
        count(&mut self.trust, Trust::ALL.iter().position(|trust| *trust == forecast.trust));
        count(&mut self.candidates, Candidate::ALL.iter().position(|c| *c == forecast.candidate));
    }

    /// The shares of the time with each trust, 0 to 1; without those that never were.
    #[must_use]
    pub fn trust(&self) -> BTreeMap<&'static str, f64> {
        shares(Trust::ALL.map(Trust::name), self.trust)
    }

    /// The shares of the time in which each candidate was used, 0 to 1; without those that never were.
    #[must_use]
    pub fn candidates(&self) -> BTreeMap<&'static str, f64> {
        shares(Candidate::ALL.map(Candidate::name), self.candidates)
    }
}

fn shares<const N: usize>(names: [&'static str; N], counts: [usize; N]) -> BTreeMap<&'static str, f64> {
    let all: usize = counts.iter().sum();
    let seen = names.into_iter().zip(counts).filter(|(_, n)| *n > 0);
    seen.map(|(name, n)| (name, count(n) / count(all))).collect()
}

/// The share of windows whose highest load stayed at or under what was forecast for them; looked at once a minute.
/// `window` is in steps. A window with a gap is not judged.
pub(super) fn calibration(load: &[f64], forecast: &[f64], window: usize, warmup: usize) -> Option<f64> {
    let (mut judged, mut kept) = (0, 0);
    for (step, said) in forecast.iter().enumerate().skip(warmup).step_by(MINUTE) {
        // The step under way is in it too: nobody has seen it yet.
        let Some(coming) = load.get(step..=step + window) else { break };
        if said.is_finite() && coming.iter().all(|load| load.is_finite()) {
            judged += 1;
            kept += usize::from(coming.iter().all(|load| load <= said));
        }
    }
    (judged > 0).then(|| count(kept) / count(judged))
}

/// Forecasts of the load [`AHEAD`] of time, as they were made.
#[derive(Debug)]
pub(super) struct Points {
    forecaster: Forecaster,
    /// Minute, its load, and what was expected from it on.
    said: Vec<(i64, f64, [f64; AHEAD.len()])>,
}

impl Points {
    /// Forecasts from what a forecaster sees; its own windows are not asked for.
    pub(super) fn new(q: f64) -> Self {
        Self { forecaster: Forecaster::new(1, q, 0).with_points(AHEAD), said: Vec::new() }
    }

    /// A load was seen.
    pub(super) fn see(&mut self, at: jiff::Timestamp, load: f64) {
        self.forecaster.remember(at, load);
        let Some((minute, load, points)) = self.forecaster.points() else { return };
        if self.said.last().is_some_and(|(last, ..)| *last == minute) {
            return;
        }
        let mut expected = [f64::NAN; AHEAD.len()];
        for (place, point) in expected.iter_mut().zip(points) {
            *place = point;
        }
        self.said.push((minute, load, expected));
    }

    /// The ratio of the forecast's error to the last value's, for each of [`AHEAD`], from a Unix minute on.
    pub(super) fn wape(&self, from: i64) -> [Option<f64>; AHEAD.len()] {
        let mut ratios = [None; AHEAD.len()];
        for (which, (ratio, ahead)) in ratios.iter_mut().zip(AHEAD).enumerate() {
            let later = self.said.iter().skip(usize::try_from(ahead).unwrap_or(usize::MAX));
            let (mut ours, mut naive) = (0.0, 0.0);
            for ((minute, load, expected), (then, came, _)) in self.said.iter().zip(later) {
                let whole = then - minute == i64::from(ahead);
                if let Some(expected) = expected.get(which).filter(|_| whole && *then >= from) {
                    ours += (came - expected).abs();
                    naive += (came - load).abs();
                }
            }
            *ratio = (naive > 0.0).then(|| ours / naive);
        }
        ratios
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_is_the_share_of_windows_that_stayed_under_their_forecast() {
        let load: Vec<f64> = (0..40).map(|i| if i == 21 { 9.0 } else { 1.0 }).collect();
        let forecast = vec![2.0; 40];
        // Looked at from 0, 4, … 32; the windows from 16 and 20 hold the spike.
        let share = calibration(&load, &forecast, 7, 0).unwrap();
        assert!((share - 7.0 / 9.0).abs() < 1e-9, "{share}");
        assert_eq!(calibration(&load, &[], 7, 0), None);
    }
}
