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

/// Requests per second in each latency section, in the order of the factors; they add up to the total.
///
/// It is the split behind [`by_latency`], for people to see which section the load is in.
#[must_use]
pub fn by_section(histogram: &Histogram, weights: &LatencyWeights) -> Vec<f64> {
    let mut sums = vec![0.0; weights.factors.len()];
    for (start, end, requests) in buckets(histogram) {
        split(start, end, weights, |section, share| {
            if let Some(sum) = sums.get_mut(section.index) {
                *sum += requests * share;
            }
        });
    }
    sums
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
    index: usize,
    lo: f64,
    hi: f64,
    factor: f64,
}

/// The sections in ascending order.
fn sections(weights: &LatencyWeights) -> impl Iterator<Item = Section> + '_ {
    let starts = std::iter::once(0.0).chain(weights.cuts.iter().copied());
    let ends = weights.cuts.iter().copied().chain(std::iter::once(f64::INFINITY));
    let borders = starts.zip(ends).zip(&weights.factors).enumerate();
    borders.map(|(index, ((lo, hi), &factor))| Section { index, lo, hi, factor })
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const INF: f64 = f64::INFINITY;

    fn histogram(pairs: &[(f64, f64)]) -> Histogram {
        Histogram::from_rates(pairs.iter().copied()).unwrap()
    }

    fn sample(requests: f64) -> LoadSample {
        LoadSample {
            window: Duration::from_mins(2),
            histogram: None,
            endpoints: BTreeMap::new(),
            requests,
            backlog: None,
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
    }

    #[test]
    fn cuts_on_bounds_are_exact() {
        // given a bucket for each section of CudgX
        let h = histogram(&[(0.01, 10.0), (0.05, 30.0), (0.1, 60.0), (0.5, 100.0), (INF, 150.0)]);
        let got = by_latency(&h, &LatencyWeights::default());
        // then W = 0.1·10 + 0.5·20 + 2·30 + 4·40 + 8·50, and nothing is interpolated
        assert!(close(got.weighted, 1.0 + 10.0 + 60.0 + 160.0 + 400.0), "{got:?}");
        assert!(close(got.interpolated, 0.0));
        assert_eq!(by_section(&h, &LatencyWeights::default()), [10.0, 20.0, 30.0, 40.0, 50.0]);
    }

    #[test]
    fn a_cut_inside_a_bucket_splits_it_evenly_and_says_so() {
        // given 100 requests/s between 0 and 40 ms, cut at 10 ms
        let h = histogram(&[(0.04, 100.0), (INF, 100.0)]);
        let got = by_latency(&h, &LatencyWeights::default());
        assert!(close(got.weighted, 25.0 * 0.1 + 75.0 * 0.5), "{got:?}");
        assert!(close(got.share_interpolated(), 1.0));
    }

    #[test]
    fn a_bucket_over_several_cuts_is_split_over_all_of_them() {
        let weights = LatencyWeights { cuts: vec![0.1, 0.2, 0.3], factors: vec![1.0, 2.0, 3.0, 4.0] };
        let h = histogram(&[(0.4, 40.0), (INF, 40.0)]);
        assert!(close(by_latency(&h, &weights).weighted, 10.0 * (1.0 + 2.0 + 3.0 + 4.0)));
    }

    #[test]
    fn what_is_above_the_highest_bound_counts_in_the_heaviest_section_it_may_be_in() {
        // given a histogram that ends at 250 ms, inside the section from 100 to 500 ms
        let h = histogram(&[(0.1, 0.0), (0.25, 60.0), (INF, 100.0)]);
        let got = by_latency(&h, &LatencyWeights::default());
        // then its slowest 40 count 8 each, as a guess
        assert!(close(got.weighted, 60.0 * 4.0 + 40.0 * 8.0), "{got:?}");
        assert!(close(got.interpolated, 320.0));
        // also where the heaviest section is not the last
        let odd = LatencyWeights { cuts: vec![0.1, 0.5], factors: vec![1.0, 4.0, 2.0] };
        assert!(close(by_latency(&h, &odd).weighted, 60.0 * 4.0 + 40.0 * 4.0));
    }

    #[test]
    fn what_is_above_the_last_cut_for_sure_is_no_guess() {
        let h = histogram(&[(0.5, 0.0), (INF, 100.0)]);
        let got = by_latency(&h, &LatencyWeights::default());
        assert!(close(got.weighted, 800.0) && close(got.interpolated, 0.0), "{got:?}");
    }

    #[test]
    fn a_bucket_at_zero_and_a_histogram_of_inf_alone_are_weighed() {
        let h = histogram(&[(0.0, 5.0), (0.01, 15.0), (INF, 15.0)]);
        assert!(close(by_latency(&h, &LatencyWeights::default()).weighted, 1.5));
        let alone = by_latency(&histogram(&[(INF, 10.0)]), &LatencyWeights::default());
        assert!(close(alone.weighted, 80.0) && close(alone.share_interpolated(), 1.0));
    }

    #[test]
    fn rejected_requests_weigh_as_much_as_those_that_were_timed() {
        // given 100 offered requests/s of which 80 were timed, at 0.5 each
        let timed = Some(histogram(&[(0.01, 0.0), (0.05, 80.0), (INF, 80.0)]));
        let got = weigh(&LoadSample { histogram: timed, ..sample(100.0) }, &latency()).unwrap();
        assert!(close(got.weighted, 50.0) && close(got.requests, 100.0), "{got:?}");
        // and 1 each where all were rejected
        let none = Some(histogram(&[(0.05, 0.0), (INF, 0.0)]));
        let got = weigh(&LoadSample { histogram: none, ..sample(100.0) }, &latency()).unwrap();
        assert!(close(got.weighted, 100.0), "{got:?}");
    }

    #[test]
    fn endpoints_without_a_name_and_requests_without_an_endpoint_count_one() {
        let weights = Weights::Endpoints([("POST /order".to_owned(), 4.0), ("GET /".to_owned(), 0.5)].into());
        let endpoints = [("POST /order", 10.0), ("GET /", 20.0), ("GET /new", 30.0)];
        let endpoints = endpoints.map(|(name, rate)| (name.to_owned(), rate)).into();
        let got = weigh(&LoadSample { endpoints, ..sample(65.0) }, &weights).unwrap();
        assert!(close(got.weighted, 40.0 + 10.0 + 30.0 + 5.0), "{got:?}");
        assert!(close(got.requests, 65.0));
    }

    #[test]
    fn a_backlog_is_work_that_is_to_be_drained_in_a_minute() {
        let got = weigh(&LoadSample { backlog: Some(6_000.0), ..sample(20.0) }, &Weights::Plain).unwrap();
        assert!(close(got.weighted, 20.0 + 100.0), "{got:?}");
    }

    fn latency() -> Weights {
        Weights::Latency(LatencyWeights::default())
    }

    #[test]
    fn weights_that_the_telemetry_cannot_serve_are_a_doubt_not_a_guess() {
        assert!(matches!(weigh(&sample(10.0), &latency()), Err(Doubt::WrongShape(_))));
        let endpoints = Weights::Endpoints(BTreeMap::new());
        assert!(matches!(weigh(&sample(10.0), &endpoints), Err(Doubt::WrongShape(_))));
        assert_eq!(weigh(&sample(0.0), &endpoints), Ok(Weighed::default()));
    }

    #[rstest]
    #[case::nan(f64::NAN, Doubt::NotANumber)]
    #[case::infinite(INF, Doubt::Infinite)]
    #[case::negative(-1.0, Doubt::Negative)]
    fn a_number_that_is_no_rate_is_its_own_doubt(#[case] value: f64, #[case] doubt: Doubt) {
        assert_eq!(weigh(&sample(value), &Weights::Plain), Err(doubt.clone()));
        let queue = LoadSample { backlog: Some(value), ..sample(1.0) };
        assert_eq!(weigh(&queue, &Weights::Plain), Err(doubt.clone()));
        let endpoints = [("GET /".to_owned(), value)].into();
        let by_endpoint = LoadSample { endpoints, ..sample(1.0) };
        assert_eq!(weigh(&by_endpoint, &Weights::Endpoints(BTreeMap::new())), Err(doubt));
    }

    fn any_rates() -> impl Strategy<Value = Vec<(f64, f64)>> {
        let bounds = proptest::collection::btree_set(0..2_000_u32, 1..15);
        (bounds, proptest::collection::vec(0.0..1e4_f64, 16)).prop_map(|(bounds, rates)| {
            let bounds = bounds.into_iter().map(|ms| f64::from(ms) / 1_000.0).chain([INF]);
            bounds.zip(rates).collect()
        })
    }

    fn of(rates: &[(f64, f64)]) -> Histogram {
        let mut sum = 0.0;
        let cumulate = |&(bound, rate): &(f64, f64)| {
            sum += rate;
            (bound, sum)
        };
        histogram(&rates.iter().map(cumulate).collect::<Vec<_>>())
    }

    fn any_weights() -> impl Strategy<Value = LatencyWeights> {
        let cuts = proptest::collection::btree_set(1..2_000_u32, 1..8);
        (cuts, proptest::collection::vec(0.0..10.0_f64, 9)).prop_map(|(cuts, mut factors)| {
            factors.truncate(cuts.len() + 1);
            LatencyWeights { cuts: cuts.into_iter().map(|ms| f64::from(ms) / 1_000.0).collect(), factors }
        })
    }

    proptest! {
        #[test]
        fn more_requests_never_weigh_less(rates in any_rates(), weights in any_weights(), at in 0..16_usize, more in 0.0..1e4_f64) {
            let before = by_latency(&of(&rates), &weights);
            let mut rates = rates;
            let at = at % rates.len();
            rates[at].1 += more;
            let after = by_latency(&of(&rates), &weights);
            prop_assert!(after.weighted >= before.weighted - 1e-9 * before.weighted);
        }

        #[test]
        fn the_weight_is_scale_free(rates in any_rates(), weights in any_weights(), k in 0.001..1_000.0_f64) {
            let scaled: Vec<_> = rates.iter().map(|&(bound, rate)| (bound, rate * k)).collect();
            let (once, times) = (by_latency(&of(&rates), &weights), by_latency(&of(&scaled), &weights));
            prop_assert!(close(times.weighted, once.weighted * k));
            prop_assert!(close(times.interpolated, once.interpolated * k));
        }

        #[test]
        fn the_mean_weight_lies_among_the_factors(rates in any_rates(), weights in any_weights()) {
            let got = by_latency(&of(&rates), &weights);
            let low = weights.factors.iter().copied().fold(INF, f64::min);
            let high = weights.factors.iter().copied().fold(0.0, f64::max);
            prop_assert!(got.weighted >= low * got.requests * (1.0 - 1e-9));
            prop_assert!(got.weighted <= high * got.requests * (1.0 + 1e-9));
        }

        #[test]
        fn the_interpolated_share_is_a_share(rates in any_rates(), weights in any_weights()) {
            let got = by_latency(&of(&rates), &weights);
            prop_assert!((0.0..=1.0).contains(&got.share_interpolated()));
            prop_assert!(got.interpolated <= got.weighted * (1.0 + 1e-12));
        }

        #[test]
        fn sections_add_up_to_the_total_and_to_the_weight(rates in any_rates(), weights in any_weights()) {
            let h = of(&rates);
            let sections = by_section(&h, &weights);
            prop_assert!(close(sections.iter().sum(), h.total()));
            let weighed: f64 = sections.iter().zip(&weights.factors).map(|(n, f)| n * f).sum();
            prop_assert!(close(weighed, by_latency(&h, &weights).weighted));
        }

        #[test]
        fn cuts_on_bounds_are_exact_whatever_the_counts(rates in any_rates(), factors in proptest::collection::vec(0.0..10.0_f64, 17)) {
            let cuts: Vec<f64> = rates.iter().map(|r| r.0).filter(|b| b.is_finite() && *b > 0.0).collect();
            let factors: Vec<f64> = factors.into_iter().take(cuts.len() + 1).collect();
            let got = by_latency(&of(&rates), &LatencyWeights { cuts: cuts.clone(), factors: factors.clone() });
            // a bucket at zero belongs to the first section, with the one above it
            let plain = rates.iter().map(|&(b, rate)| rate * factors[cuts.iter().filter(|c| **c < b).count()]);
            prop_assert!(close(got.weighted, plain.sum()));
            prop_assert!(close(got.interpolated, 0.0));
        }
    }
}
