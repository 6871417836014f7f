//! Stories and properties of weighted QPS.

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

/// Requests per second in each latency section, in the order of the factors: the split behind [`by_latency`].
fn by_section(histogram: &Histogram, weights: &LatencyWeights) -> Vec<f64> {
    let mut sums = vec![0.0; weights.factors.len()];
    for (start, end, requests) in buckets(histogram) {
        split(start, end, weights, |section, share| {
            if let Some(sum) = sums.get_mut(weights.cuts.iter().filter(|cut| **cut <= section.lo).count()) {
                *sum += requests * share;
            }
        });
    }
    sums
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
fn a_short_window_that_only_counts_is_weighed_as_the_long_one() {
    // given 100 requests/s at 0.5 each and a backlog
    let rates = Some(histogram(&[(0.01, 0.0), (0.05, 100.0), (INF, 100.0)]));
    let long = LoadSample { histogram: rates, backlog: Some(60.0), ..sample(100.0) };
    let got = weigh_short(&sample(300.0), &long, &latency()).unwrap();
    assert!(close(got.weighted, 150.0 + 0.5) && close(got.requests, 301.0), "{got:?}");
    // and by endpoint the same
    let endpoints = [("POST /order".to_owned(), 50.0)].into();
    let long = LoadSample { endpoints, ..sample(100.0) };
    let weights = Weights::Endpoints([("POST /order".to_owned(), 4.0)].into());
    let got = weigh_short(&sample(200.0), &long, &weights).unwrap();
    assert!(close(got.weighted, 500.0), "{got:?}");
    // and 1 each where the long window had none to tell from
    let quiet = Some(histogram(&[(0.05, 0.0), (INF, 0.0)]));
    let long = LoadSample { histogram: quiet, ..sample(0.0) };
    assert!(close(weigh_short(&sample(7.0), &long, &latency()).unwrap().weighted, 7.0));
}

#[test]
fn a_short_window_that_tells_latencies_is_weighed_by_its_own() {
    let of = |bound| LoadSample { histogram: Some(histogram(&[(bound, 10.0), (INF, 10.0)])), ..sample(10.0) };
    let got = weigh_short(&of(0.01), &of(0.5), &latency()).unwrap();
    assert!(close(got.weighted, 1.0), "{got:?}");
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
