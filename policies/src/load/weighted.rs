//! Weighted QPS: one number for the work that requests make, by latency section or by endpoint.
//!
//! ```text
//! sections    [0, c1)     [c1, c2)          [c2, inf)
//! factors       f1           f2                f3
//! buckets   |   |     |          |      |            +Inf
//!                 ^ a cut inside a bucket: its requests are spread evenly over it, as histogram_quantile does
//! ```
//!
//! Latency-weighted QPS is the measure of `CudgX`; the default cuts and factors are its own.

use std::{collections::BTreeMap, ops::Add};

use crate::{
    fleet::{Histogram, LoadSample},
    policy::{LatencyWeights, Weights},
    reading::{Doubt, finite},
};

/// The time in which a queue's backlog is to be worked off, in seconds.
///
/// A backlog of B messages is work of B/60 per second on top of the arrivals. A minute is shorter than the
/// wait that makes a queue's users complain, and long enough that one batch of producers, which the replicas
/// there clear before new ones could start, does not scale the workload out.
pub const DRAIN_SECONDS: f64 = 60.0;

/// Requests and the work that they make.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Weighed {
    /// Requests per second, each counting 1; for a queue arrivals + backlog / [`DRAIN_SECONDS`].
    pub requests: f64,
    /// Weighted requests per second.
    pub weighted: f64,
    /// The part of `weighted` that rests on interpolation inside buckets, in weighted requests per second.
    pub interpolated: f64,
}

impl Weighed {
    /// Share of the weighted requests that rests on interpolation, 0 to 1.
    #[must_use]
    pub fn share_interpolated(&self) -> f64 {
        if self.weighted > 0.0 { (self.interpolated / self.weighted).clamp(0.0, 1.0) } else { 0.0 }
    }
}

impl Add for Weighed {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            weighted: self.weighted + other.weighted,
            interpolated: self.interpolated + other.interpolated,
        }
    }
}

/// The work of one sample.
///
/// Offered requests that the histogram or the endpoints do not hold (rejected before they were timed, or of
/// no known endpoint) and the backlog of a queue are work too. By latency they weigh as much as the mean of
/// those that were timed, or 1 where none was; by endpoint they weigh 1, as every endpoint without a name.
///
/// # Errors
/// A rate that is NaN, infinite or negative: its own doubt. Latency weights without a histogram, or endpoint
/// weights where no request carries an endpoint: [`Doubt::WrongShape`], because every request counting 1
/// would be a silent guess.
pub fn weigh(sample: &LoadSample, weights: &Weights) -> Result<Weighed, Doubt> {
    let drain = sample.backlog.map_or(Ok(0.0), finite)? / DRAIN_SECONDS;
    let offered = offered(sample)?;
    let timed = match weights {
        Weights::Plain => Weighed::default(),
        Weights::Latency(weights) => {
            let histogram = sample.histogram.as_ref().ok_or_else(|| {
                Doubt::WrongShape("latency weights need a profile with a latency histogram".into())
            })?;
            by_latency(histogram, weights)
        }
        Weights::Endpoints(weights) => by_endpoint(&sample.endpoints, offered, weights)?,
    };
    let rest = (offered - timed.requests).max(0.0) + drain;
    let each = match weights {
        Weights::Latency(_) if timed.requests > 0.0 => timed.weighted / timed.requests,
        _ => 1.0,
    };
    Ok(timed
        + Weighed {
            requests: rest,
            weighted: rest * each,
            interpolated: rest * each * timed.share_interpolated(),
        })
}

/// Offered requests per second: never fewer than the histogram counts.
///
/// # Errors
/// A rate that is NaN, infinite or negative.
pub fn offered(sample: &LoadSample) -> Result<f64, Doubt> {
    let timed = sample.histogram.as_ref().map_or(0.0, Histogram::total);
    Ok(finite(sample.requests)?.max(finite(timed)?))
}

/// Latency-weighted QPS of a histogram.
///
/// Sections are half-open, `[lo, hi)`. A cut at the bound of a bucket needs no interpolation (the requests
/// at exactly that latency, which Prometheus counts below the bound, are too few to matter); a bucket with a
/// cut inside is split linearly, and all that it weighs counts as interpolated.
///
/// Requests in the `+Inf` bucket are slower than the highest finite bound and nothing says by how much.
/// Where cuts lie above that bound, they count in the heaviest section that they may be in: too many
/// replicas cost money, too few break the service. That too counts as interpolated.
#[must_use]
pub fn by_latency(histogram: &Histogram, weights: &LatencyWeights) -> Weighed {
    let mut sum = Weighed { requests: histogram.total(), ..Weighed::default() };
    let (mut start, mut below) = (0.0, 0.0);
    for &(bound, cumulative) in &histogram.buckets {
        let requests = (cumulative - below).max(0.0);
        let (weight, guessed) = bucket_weight(start, bound, weights);
        sum.weighted += requests * weight;
        if guessed {
            sum.interpolated += requests * weight;
        }
        (start, below) = (bound, cumulative);
    }
    sum
}

/// Mean weight of a request in the bucket `(start, end]`, and whether it is interpolated.
fn bucket_weight(start: f64, end: f64, weights: &LatencyWeights) -> (f64, bool) {
    let mut pieces = sections(weights).filter(|&(lo, hi, _)| hi > start && lo < end.max(start.next_up()));
    let Some((_, first_end, first)) = pieces.next() else { return (0.0, false) };
    if first_end >= end {
        return (first, false);
    }
    if end.is_infinite() {
        return (pieces.map(|(_, _, factor)| factor).fold(first, f64::max), true);
    }
    let width = end - start;
    let head = first * (first_end - start);
    let tail: f64 = pieces.map(|(lo, hi, factor)| factor * (hi.min(end) - lo)).sum();
    ((head + tail) / width, true)
}

/// The sections `(lo, hi, factor)` in ascending order; the last one ends at infinity.
fn sections(weights: &LatencyWeights) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
    let starts = std::iter::once(0.0).chain(weights.cuts.iter().copied());
    let ends = weights.cuts.iter().copied().chain(std::iter::once(f64::INFINITY));
    starts.zip(ends).zip(&weights.factors).map(|((lo, hi), &factor)| (lo, hi, factor))
}

/// Requests per second in each latency section, in the order of the factors; they add up to the total.
///
/// It is what the console draws: the same split as [`by_latency`], by section instead of weighed.
#[must_use]
pub fn by_section(histogram: &Histogram, weights: &LatencyWeights) -> Vec<f64> {
    let only = |index: usize| {
        let factors = (0..weights.factors.len()).map(|i| f64::from(u8::from(i == index))).collect();
        LatencyWeights { cuts: weights.cuts.clone(), factors }
    };
    (0..weights.factors.len()).map(|index| by_latency(histogram, &only(index)).weighted).collect()
}

fn by_endpoint(
    endpoints: &BTreeMap<String, f64>,
    offered: f64,
    weights: &BTreeMap<String, f64>,
) -> Result<Weighed, Doubt> {
    if endpoints.is_empty() && offered > 0.0 {
        return Err(Doubt::WrongShape("endpoint weights, but no request carries an endpoint".into()));
    }
    let mut sum = Weighed::default();
    for (endpoint, &rate) in endpoints {
        let rate = finite(rate)?;
        sum.requests += rate;
        sum.weighted += rate * weights.get(endpoint).copied().unwrap_or(1.0);
    }
    Ok(sum)
}
