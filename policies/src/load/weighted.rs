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
    let offered = offered(sample)?;
    let drain = drain(sample.backlog)?;
    Ok(complete(told(sample, offered, weights)?, offered, drain, weights))
}

/// The work of a short window. Sources often only count its requests, so that it stays cheap to ask for: what
/// it does not tell (latencies, endpoints, the backlog) is as in the `long` window.
///
/// # Errors
/// As of [`weigh`], for either window.
pub fn weigh_short(short: &LoadSample, long: &LoadSample, weights: &Weights) -> Result<Weighed, Doubt> {
    let tells = match weights {
        Weights::Plain | Weights::LearnedEndpoints(None) => true,
        Weights::Latency(_) => short.histogram.is_some(),
        Weights::Endpoints(_) | Weights::LearnedEndpoints(Some(_)) => !short.endpoints.is_empty(),
    };
    let requests = offered(short)?;
    let drain = drain(short.backlog.or(long.backlog))?;
    if tells {
        return Ok(complete(told(short, requests, weights)?, requests, drain, weights));
    }
    let before = offered(long)?;
    let known = complete(told(long, before, weights)?, before, 0.0, weights);
    let scale = if known.requests > 0.0 { requests / known.requests } else { 0.0 };
    let alike = Weighed {
        requests: known.requests * scale,
        weighted: known.weighted * scale,
        interpolated: known.interpolated * scale,
    };
    Ok(complete(alike, requests, drain, weights))
}

/// The work that latencies or endpoints tell of; nothing for plain weights.
fn told(sample: &LoadSample, offered: f64, weights: &Weights) -> Result<Weighed, Doubt> {
    match weights {
        Weights::Plain | Weights::LearnedEndpoints(None) => Ok(Weighed::default()),
        Weights::Latency(weights) => {
            let histogram = sample.histogram.as_ref().ok_or_else(|| {
                Doubt::WrongShape("latency weights need a profile with a latency histogram".into())
            })?;
            Ok(by_latency(histogram, weights))
        }
        Weights::Endpoints(weights) => {
            by_endpoint(&sample.endpoints, offered, |name| weights.get(name).copied().unwrap_or(1.0))
        }
        Weights::LearnedEndpoints(Some(weights)) => {
            by_endpoint(&sample.endpoints, offered, |name| weights.of(name))
        }
    }
}

/// Adds the requests that were not told of, and the backlog's work.
fn complete(told: Weighed, offered: f64, drain: f64, weights: &Weights) -> Weighed {
    let rest = (offered - told.requests).max(0.0) + drain;
    let each = match weights {
        Weights::Latency(_) if told.requests > 0.0 => told.weighted / told.requests,
        _ => 1.0,
    };
    let weighted = rest * each;
    let guessed =
        if matches!(weights, Weights::Latency(_)) { weighted * told.share_interpolated() } else { 0.0 };
    told + Weighed { requests: rest, weighted, interpolated: guessed }
}

/// The work of a backlog, in requests per second.
fn drain(backlog: Option<f64>) -> Result<f64, Doubt> {
    Ok(backlog.map_or(Ok(0.0), finite)? / DRAIN_SECONDS)
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
    for (start, end, requests) in buckets(histogram) {
        let mut weight = 0.0;
        let guessed = split(start, end, weights, |section, share| weight += section.factor * share);
        sum.weighted += requests * weight;
        if guessed {
            sum.interpolated += requests * weight;
        }
    }
    sum
}

/// The buckets of a histogram as `(start, end, requests/s inside)`.
fn buckets(histogram: &Histogram) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
    histogram.buckets.iter().scan((0.0, 0.0), |(start, below), &(end, cumulative)| {
        let bucket = (*start, end, (cumulative - *below).max(0.0));
        (*start, *below) = (end, cumulative);
        Some(bucket)
    })
}

/// One latency section, `[lo, hi)` seconds; the last one ends at infinity.
#[derive(Clone, Copy)]
struct Section {
    lo: f64,
    hi: f64,
    factor: f64,
}

/// The sections in ascending order.
fn sections(weights: &LatencyWeights) -> impl Iterator<Item = Section> + '_ {
    let starts = std::iter::once(0.0).chain(weights.cuts.iter().copied());
    let ends = weights.cuts.iter().copied().chain(std::iter::once(f64::INFINITY));
    starts.zip(ends).zip(&weights.factors).map(|((lo, hi), &factor)| Section { lo, hi, factor })
}

/// Gives the requests of the bucket `(start, end]` to sections, each with its share; says whether that took
/// interpolation. Where it did not, all of them go to one section.
fn split(start: f64, end: f64, weights: &LatencyWeights, mut give: impl FnMut(Section, f64)) -> bool {
    // A bucket that ends where it starts (`le="0"`) lies in the section of that one latency.
    let beyond = end.max(start.next_up());
    let mut touched = sections(weights).filter(|s| s.hi > start && s.lo < beyond);
    let Some(first) = touched.next() else { return false };
    if first.hi >= end {
        give(first, 1.0);
        return false;
    }
    if end.is_infinite() {
        give(touched.fold(first, |best, s| if s.factor >= best.factor { s } else { best }), 1.0);
        return true;
    }
    let width = end - start;
    give(first, (first.hi - start) / width);
    for section in touched {
        give(section, (section.hi.min(end) - section.lo) / width);
    }
    true
}

fn by_endpoint(
    endpoints: &BTreeMap<String, f64>,
    offered: f64,
    weight: impl Fn(&str) -> f64,
) -> Result<Weighed, Doubt> {
    if endpoints.is_empty() && offered > 0.0 {
        return Err(Doubt::WrongShape("endpoint weights, but no request carries an endpoint".into()));
    }
    let mut sum = Weighed::default();
    for (endpoint, &rate) in endpoints {
        let rate = finite(rate)?;
        sum.requests += rate;
        sum.weighted += rate * weight(endpoint);
    }
    Ok(sum)
}

#[cfg(test)]
#[path = "weighted_tests.rs"]
mod tests;
