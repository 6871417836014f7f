//! What is asked of a service over time: a day, steps, or a trace, with noise and bursts.

use std::{f64::consts::PI, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::chance::{Chance, Topic};

/// Offered requests per second over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Traffic {
    /// The course without chance.
    pub shape: Shape,
    /// Relative standard deviation of the noise around it, 0.03 for 3 %; it forgets itself within a minute.
    #[serde(default)]
    pub noise: f64,
    /// Known bursts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bursts: Vec<Burst>,
    /// Further bursts by chance: on average so many a day, of 1.2 to 2 times the load, 1 to 5 minutes long,
    /// never during another one.
    #[serde(default)]
    pub random_bursts_per_day: f64,
}

impl Traffic {
    /// This course, without noise and bursts.
    #[must_use]
    pub fn plain(shape: Shape) -> Self {
        Self { shape, noise: 0.0, bursts: Vec::new(), random_bursts_per_day: 0.0 }
    }
}

/// The course of the load without chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Shape {
    /// Always the same.
    Constant {
        /// Requests per second.
        rate: f64,
    },
    /// A step at each of these times; the first one's rate also holds before it.
    Steps {
        /// Ascending in time.
        steps: Vec<Step>,
    },
    /// The same day again and again.
    Day {
        /// Requests per second at the quietest hour.
        low: f64,
        /// Hills on top of it.
        peaks: Vec<Peak>,
    },
    /// Given values, joined by straight lines; after the last one it starts again.
    Trace {
        /// Requests per second.
        values: Vec<f64>,
        /// Time between two values.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        interval: Duration,
    },
}

/// "From here on, so much."
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Step {
    /// Time since the start of the world.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub at: Duration,
    /// Requests per second.
    pub rate: f64,
}

/// A hill of a day: a raised cosine, so it begins and ends softly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Peak {
    /// Hour of the day (UTC) of the top, 12.5 for half past twelve.
    pub hour: f64,
    /// Requests per second that it adds at the top.
    pub height: f64,
    /// Hours from the foot to the top.
    pub width: f64,
}

/// A burst: the load is multiplied for a while, rising and falling steeply.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Burst {
    /// Time since the start of the world.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub at: Duration,
    /// From the first rise to the end of the fall.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub lasts: Duration,
    /// What the load is multiplied by at the top.
    pub factor: f64,
}

/// Share of a burst that it takes to rise, and again to fall.
const FLANK: f64 = 0.15;
/// Seconds after which the noise has forgotten all but 1/e of itself.
const MEMORY: f64 = 20.0;

/// The shape's rate at a time since the start of the world, requests per second.
#[must_use]
pub fn rate(shape: &Shape, since_start: Duration, wall: Timestamp) -> f64 {
    match shape {
        Shape::Constant { rate } => *rate,
        Shape::Steps { steps } => steps
            .iter()
            .take_while(|step| step.at <= since_start)
            .last()
            .or_else(|| steps.first())
            .map_or(0.0, |step| step.rate),
        Shape::Day { low, peaks } => {
            let hour = hour_of_day(wall);
            low + peaks.iter().map(|peak| peak.at(hour)).sum::<f64>()
        }
        Shape::Trace { values, interval } => trace(values, *interval, since_start),
    }
}

fn hour_of_day(wall: Timestamp) -> f64 {
    let time = wall.to_zoned(TimeZone::UTC).time();
    f64::from(time.hour()) + f64::from(time.minute()) / 60.0 + f64::from(time.second()) / 3600.0
}

fn trace(values: &[f64], interval: Duration, since_start: Duration) -> f64 {
    if values.is_empty() || interval.is_zero() {
        return 0.0;
    }
    let position = since_start.as_secs_f64() / interval.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of intervals"
    )]
    let index = position.floor() as usize;
    let value = |i: usize| values.get(i % values.len()).copied().filter(|v| v.is_finite()).unwrap_or(0.0);
    let (before, after) = (value(index), value(index.saturating_add(1)));
    before + (after - before) * position.fract()
}

impl Peak {
    fn at(&self, hour: f64) -> f64 {
        // The nearest way around the clock.
        let away = (hour - self.hour).rem_euclid(24.0);
        let away = away.min(24.0 - away);
        if away >= self.width {
            0.0
        } else {
            self.height * f64::midpoint((PI * away / self.width).cos(), 1.0)
        }
    }
}

impl Burst {
    /// What the load is multiplied by; 1 outside the burst.
    fn factor_at(&self, since_start: Duration) -> f64 {
        let Some(into) = since_start.checked_sub(self.at) else { return 1.0 };
        let lasts = self.lasts.as_secs_f64();
        if lasts <= 0.0 || into >= self.lasts {
            return 1.0;
        }
        let part = into.as_secs_f64() / lasts;
        let height = (part / FLANK).min((1.0 - part) / FLANK).min(1.0);
        1.0 + (self.factor - 1.0) * height
    }
}

/// The traffic of one workload with its chance.
#[derive(Debug, Clone)]
pub(super) struct Source {
    traffic: Traffic,
    chance: Chance,
    noise: f64,
    bursts: Vec<Burst>,
}

impl Source {
    pub(super) fn new(traffic: &Traffic, seed: u64, index: usize) -> Self {
        Self {
            traffic: traffic.clone(),
            chance: Chance::new(seed, Topic::Traffic, index),
            noise: 0.0,
            bursts: traffic.bursts.clone(),
        }
    }

    /// Offered requests per second in the step of `dt` that ends now.
    pub(super) fn next(&mut self, since_start: Duration, wall: Timestamp, dt: Duration) -> f64 {
        let dt = dt.as_secs_f64();
        self.bursts.retain(|burst| burst.at.saturating_add(burst.lasts) > since_start);
        self.draw_burst(since_start, dt);
        // A first-order autoregressive process with a stationary deviation of 1.
        let keep = (-dt / MEMORY).exp();
        self.noise = keep * self.noise + (1.0 - keep * keep).sqrt() * self.chance.normal();
        let bursts: f64 = self.bursts.iter().map(|burst| burst.factor_at(since_start)).product();
        let noise = 1.0 + self.traffic.noise * self.noise;
        (rate(&self.traffic.shape, since_start, wall) * bursts * noise).max(0.0)
    }

    fn draw_burst(&mut self, since_start: Duration, dt: f64) {
        let per_day = self.traffic.random_bursts_per_day;
        // One draw a step, whether known bursts are under way or not; only a burst that begins draws its shape too.
        let drawn = per_day > 0.0 && self.chance.uniform() < per_day * dt / 86_400.0;
        if drawn && self.bursts.iter().all(|burst| burst.at > since_start) {
            let factor = 1.2 + 0.8 * self.chance.uniform();
            let lasts = Duration::from_secs_f64(60.0 + 240.0 * self.chance.uniform());
            self.bursts.push(Burst { at: since_start, lasts, factor });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::constant(1_772_409_600 + 12 * 3600, 0);
    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_day_is_highest_at_its_peak_and_low_at_night() {
        let day = Shape::Day { low: 100.0, peaks: vec![Peak { hour: 12.0, height: 400.0, width: 3.0 }] };
        assert!((rate(&day, Duration::ZERO, NOON) - 500.0).abs() < 1e-9);
        assert!((rate(&day, Duration::ZERO, NOON + Duration::from_hours(12)) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_peak_near_midnight_reaches_into_the_next_day() {
        let peak = Peak { hour: 23.0, height: 100.0, width: 4.0 };
        assert!((peak.at(1.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn steps_hold_until_the_next_one() {
        let steps = [(0, 10.0), (60, 40.0)].map(|(at, rate)| Step { at: Duration::from_secs(at), rate });
        let shape = Shape::Steps { steps: steps.to_vec() };
        assert!((rate(&shape, Duration::from_secs(59), NOON) - 10.0).abs() < 1e-12);
        assert!((rate(&shape, MINUTE, NOON) - 40.0).abs() < 1e-12);
    }

    #[test]
    fn a_trace_is_joined_by_straight_lines_and_starts_again() {
        let shape = Shape::Trace { values: vec![10.0, 20.0, f64::NAN], interval: MINUTE };
        assert!((rate(&shape, MINUTE / 2, NOON) - 15.0).abs() < 1e-12);
        assert!((rate(&shape, MINUTE * 3, NOON) - 10.0).abs() < 1e-12);
        assert!(rate(&shape, MINUTE * 2, NOON).abs() < 1e-12, "a gap is no load, never NaN");
    }

    #[test]
    fn a_burst_rises_holds_and_falls() {
        let burst = Burst { at: MINUTE, lasts: MINUTE, factor: 3.0 };
        assert!((burst.factor_at(MINUTE) - 1.0).abs() < 1e-12);
        assert!((burst.factor_at(MINUTE * 3 / 2) - 3.0).abs() < 1e-12);
        assert!((burst.factor_at(MINUTE * 2) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn noise_has_the_deviation_that_was_asked_for() {
        let traffic = Traffic { noise: 0.05, ..Traffic::plain(Shape::Constant { rate: 100.0 }) };
        let mut source = Source::new(&traffic, 7, 0);
        let draws: Vec<f64> = (0..20_000).map(|i| source.next(MINUTE * i, NOON, MINUTE)).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let deviation = (draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
        assert!((mean - 100.0).abs() < 0.2 && (deviation - 5.0).abs() < 0.2, "{mean} ± {deviation}");
    }
}
