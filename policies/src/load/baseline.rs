//! The κ guard: an overloaded service is slower, and slow requests must not make it look busier than it is.
//!
//! Latency-weighted QPS feeds back: saturation moves requests into heavier sections, up to 80 times with the
//! default factors, exactly when the measure is least true. So a baseline of the mean weight per request is
//! learned while latency is healthy, and a request is never sized at more than κ times it. Saturation itself
//! is the latency term's matter.
//!
//! Plain and endpoint weights do not depend on latency: nothing feeds back, and they need no baseline.

use std::time::Duration;

use crate::{
    load::weighted::Weighed,
    memory::WeightBaseline,
    now::Mono,
    policy::{LatencyObjective, Weights},
};

use super::histogram::Quantile;

/// How far the mean weight of a request may stand above its baseline, as a factor.
///
/// Wide enough for the change of mix between day and night, narrow against the factor of 80 by which
/// saturation can inflate the weight.
pub const KAPPA: f64 = 1.5;

/// How slowly the baseline follows a real change of the mix of requests.
///
/// A mix that became twice as heavy is fully believed (baseline × κ reaches it) after 1.6 hours: longer than
/// almost every incident, in which the weight is not to be believed, and shorter than half a working day.
const TIME_CONSTANT: Duration = Duration::from_hours(4);

/// Fewest requests in the window for a mean weight worth learning from.
///
/// The weights of single requests differ by up to 80 times; the mean of a hundred is steady to about a tenth
/// of their spread.
const MIN_REQUESTS: f64 = 100.0;

/// Where no objective says what healthy latency is: the utilisation under which latency is taken for healthy,
/// or that of the lower edge of the policy's band where that is more.
///
/// Queueing lets latency rise steeply from about here on (at 0.8 of an M/M/1 queue it is five times the
/// service time). But inside its band a workload is where the person wants it, and one that lives at the lower
/// edge must learn too. Judged on the weight before the guard, so that inflated weights are never learned.
const HEALTHY_UTILISATION: f64 = 0.8;

/// How much healthy time a baseline from status is taken to rest on (status does not say it).
///
/// Long enough that the minutes after a restart do not overthrow a good one, short enough that one which was
/// learned in bad minutes is corrected within the hour.
const KEPT: Duration = Duration::from_hours(1);

impl WeightBaseline {
    /// A baseline that status kept over a restart: its mean, and when it was last moved.
    #[must_use]
    pub const fn kept(mean: f64, at: Mono) -> Self {
        Self { mean, at, learned: KEPT }
    }
}

/// Whether these weights feed back through latency, so that a baseline is needed.
#[must_use]
pub const fn needed(weights: &Weights) -> bool {
    matches!(weights, Weights::Latency(_))
}

/// The weighted requests per second to size by: at most [`KAPPA`] × baseline for each request.
///
/// Without a baseline a request counts 1 at most: plain QPS is the limit. A weight *under* 1 is taken as it
/// is even then, because saturation can only make requests heavier: sizing fast requests at 1 until a
/// baseline is learned would multiply the replicas of a fast service at every start of the operator.
#[must_use]
pub fn guard(work: Weighed, weights: &Weights, baseline: Option<&WeightBaseline>) -> f64 {
    if !needed(weights) {
        return work.weighted;
    }
    let per_request = learned(baseline).map_or(1.0, |b| KAPPA * b.mean);
    work.weighted.min(per_request * work.requests)
}

/// A baseline that bounds anything: of one that is zero (every request fell into a section of factor 0) no
/// multiple says how heavy a slow request may be.
#[must_use]
pub fn learned(baseline: Option<&WeightBaseline>) -> Option<&WeightBaseline> {
    baseline.filter(|b| b.mean > 0.0)
}

/// Whether latency is healthy, so that the weights may be learned from.
///
/// With an objective: it is met (a quantile in the `+Inf` bucket is not known to be). Without one: the
/// utilisation, by the weight before the guard, is known and under 0.8, or inside the band whose lower edge of
/// redundancy is `min_redundancy`.
#[must_use]
pub fn healthy(
    objective: Option<&LatencyObjective>,
    measured: Option<Quantile>,
    utilisation: Option<f64>,
    min_redundancy: f64,
) -> bool {
    match objective {
        Some(o) => measured.is_some_and(|m| !m.at_least && m.seconds <= o.target.as_secs_f64()),
        None => utilisation.is_some_and(|u| u < HEALTHY_UTILISATION || u * min_redundancy <= 1.0),
    }
}

/// Lets the baseline follow heavier requests that nobody can call healthy or not: where there is no objective,
/// the guard believes less than is measured, and the utilisation is high by what is measured.
///
/// It may be saturation, and then the load is soon over or a person looks; or the mix has changed for good, and
/// then a guard that never moved would keep the workload too small for ever. So it follows with its ordinary
/// time constant, upwards only. Without a baseline it begins at what is believed then: 1 for a request.
pub fn creep(baseline: &mut Option<WeightBaseline>, work: Weighed, window: Duration, now: Mono) {
    let known = learned(baseline.as_ref()).copied();
    let old = known.unwrap_or(WeightBaseline { mean: 1.0 / KAPPA, at: now, learned: TIME_CONSTANT });
    if work.weighted <= old.mean * work.requests {
        return;
    }
    let mut next = Some(WeightBaseline { learned: TIME_CONSTANT, ..old });
    learn(&mut next, work, window, now);
    *baseline = next;
}

/// Moves the baseline towards the mean weight of `work`, a healthy sample over `window`.
///
/// The first sample is the baseline at once; then it is the mean of all healthy time seen, until that is four
/// hours long; from then on it is an exponential mean with that time constant. A sample speaks for the time
/// since the last one, but never for more than its own window, so that one sample after a long gap does not
/// count for the gap.
pub fn learn(baseline: &mut Option<WeightBaseline>, work: Weighed, window: Duration, now: Mono) {
    if work.requests * window.as_secs_f64() < MIN_REQUESTS {
        return;
    }
    let mean = work.weighted / work.requests;
    let next = match *baseline {
        None => WeightBaseline { mean, at: now, learned: window.min(TIME_CONSTANT) },
        Some(old) => {
            let speaks_for = now.since(old.at).min(window);
            let learned = old.learned + speaks_for;
            let gain = if learned.is_zero() { 0.0 } else { speaks_for.as_secs_f64() / learned.as_secs_f64() };
            WeightBaseline {
                mean: old.mean + (mean - old.mean) * gain,
                at: now,
                learned: learned.min(TIME_CONSTANT),
            }
        }
    };
    *baseline = Some(next);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::LatencyWeights;

    const WINDOW: Duration = Duration::from_mins(2);

    fn latency() -> Weights {
        Weights::Latency(LatencyWeights::default())
    }

    fn work(requests: f64, mean: f64) -> Weighed {
        Weighed { requests, weighted: requests * mean, interpolated: 0.0 }
    }

    fn baseline(mean: f64) -> WeightBaseline {
        WeightBaseline { mean, at: Mono::default(), learned: TIME_CONSTANT }
    }

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    #[test]
    fn a_saturated_service_is_sized_at_kappa_times_its_healthy_weight() {
        // given a service whose requests weigh 0.1 when it is well
        // when saturation lifts all of them over 500 ms, 80 times heavier
        let sized = guard(work(1_000.0, 8.0), &latency(), Some(&baseline(0.1)));
        // then it is sized at half more than healthy, not at 80 times
        assert!((sized - 150.0).abs() < 1e-9, "{sized}");
    }

    #[test]
    fn without_a_baseline_a_request_counts_one_at_most() {
        assert!((guard(work(100.0, 8.0), &latency(), None) - 100.0).abs() < 1e-9);
        assert!((guard(work(100.0, 0.1), &latency(), None) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn weights_that_do_not_depend_on_latency_are_not_guarded() {
        let endpoints = Weights::Endpoints([("POST /order".to_owned(), 4.0)].into());
        assert!((guard(work(100.0, 4.0), &endpoints, Some(&baseline(0.1))) - 400.0).abs() < 1e-9);
        assert!((guard(work(100.0, 1.0), &Weights::Plain, None) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn the_first_healthy_sample_is_the_baseline_and_an_odd_one_washes_out_within_minutes() {
        // given a first sample that is three times too heavy (cold caches)
        let mut b = None;
        learn(&mut b, work(10.0, 1.5), WINDOW, at(0));
        assert_eq!(b.map(|b| b.mean), Some(1.5));
        // when twenty minutes of ordinary samples follow
        for tick in 1..=240 {
            learn(&mut b, work(10.0, 0.5), WINDOW, at(tick * 5));
        }
        // then the first counts for its own two minutes only
        let mean = b.unwrap().mean;
        assert!((0.5..0.6).contains(&mean), "{mean}");
    }

    #[test]
    fn a_mix_twice_as_heavy_is_believed_after_hours_not_minutes() {
        let mut b = Some(baseline(1.0));
        let mut believed = None;
        for tick in 1..=10_000_u64 {
            learn(&mut b, work(10.0, 2.0), WINDOW, at(tick * 5));
            if believed.is_none() && b.unwrap().mean * KAPPA >= 2.0 {
                believed = Some(tick * 5);
            }
        }
        let hours = Duration::from_secs(believed.unwrap()).as_secs_f64() / 3600.0;
        assert!((1.5..1.8).contains(&hours), "{hours}");
    }

    #[test]
    fn a_heavier_mix_that_nobody_can_judge_is_followed_within_hours_and_a_lighter_one_is_not() {
        // Given a workload without an objective whose requests are five times as heavy from now on,
        let mut b = Some(baseline(0.1));
        let believed = (1..=20_000_u64).find(|tick| {
            creep(&mut b, work(1_000.0, 0.5), WINDOW, at(tick * 5));
            b.unwrap().mean * KAPPA >= 0.5
        });
        // then they are believed after some hours, and not within one.
        let hours = Duration::from_secs(believed.unwrap() * 5).as_secs_f64() / 3600.0;
        assert!((1.0..8.0).contains(&hours), "{hours}");
        let before = b;
        creep(&mut b, work(1_000.0, 0.2), WINDOW, at(200_000));
        assert_eq!(b, before);
        // Without a baseline it begins at plain requests.
        let mut none = None;
        creep(&mut none, work(1_000.0, 4.0), WINDOW, at(0));
        assert!((none.unwrap().mean * KAPPA - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_baseline_of_zero_bounds_nothing() {
        let sized = guard(work(100.0, 0.5), &latency(), Some(&baseline(0.0)));
        assert!((sized - 50.0).abs() < 1e-9, "{sized}");
    }

    #[test]
    fn one_sample_after_a_long_gap_does_not_count_for_the_gap() {
        let mut b = Some(baseline(1.0));
        learn(&mut b, work(10.0, 2.0), WINDOW, at(86_400));
        assert!(b.unwrap().mean < 1.01, "{b:?}");
    }

    #[test]
    fn a_baseline_kept_over_a_restart_is_moved_by_hours_not_by_the_first_sample() {
        let mut b = Some(WeightBaseline::kept(1.0, at(0)));
        learn(&mut b, work(10.0, 2.0), WINDOW, at(300));
        assert!(b.unwrap().mean < 1.05, "{b:?}");
        for tick in 1..=720 {
            learn(&mut b, work(10.0, 2.0), WINDOW, at(300 + tick * 5));
        }
        assert!(b.unwrap().mean > 1.4, "{b:?}");
    }

    #[test]
    fn a_handful_of_requests_teaches_nothing() {
        let mut b = None;
        learn(&mut b, work(0.5, 8.0), WINDOW, at(0));
        assert_eq!(b, None);
    }

    #[test]
    fn healthy_is_the_objective_met_or_without_one_room_to_spare() {
        let objective = LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) };
        let measured = |seconds, at_least| Some(Quantile { seconds, at_least });
        let healthy = |objective, measured, utilisation| healthy(objective, measured, utilisation, 1.1);
        assert!(healthy(Some(&objective), measured(0.25, false), None));
        assert!(!healthy(Some(&objective), measured(0.26, false), Some(0.1)));
        // the histogram ends before the target: nobody knows whether it is met
        assert!(!healthy(Some(&objective), measured(0.2, true), Some(0.1)));
        assert!(!healthy(Some(&objective), None, Some(0.1)));
        // without one, up to the lower edge of the band: 1 / 1.1
        assert!(healthy(None, None, Some(0.9)));
        assert!(!healthy(None, None, Some(0.92)));
        assert!(!healthy(None, None, None));
    }

    proptest! {
        #[test]
        fn a_request_is_never_sized_above_kappa_times_the_baseline(
            requests in 0.0..1e6_f64, mean in 0.0..80.0_f64, base in 0.01..8.0_f64,
        ) {
            let sized = guard(work(requests, mean), &latency(), Some(&baseline(base)));
            prop_assert!(sized <= KAPPA * base * requests * (1.0 + 1e-12));
            prop_assert!(sized <= requests * mean);
        }

        #[test]
        fn the_baseline_stays_among_the_means_it_learned_from(
            means in proptest::collection::vec((0.1..8.0_f64, 0..7_200_u64), 1..50),
        ) {
            let (mut b, mut now) = (None, 0);
            let (mut low, mut high) = (f64::MAX, 0.0_f64);
            for (mean, gap) in means {
                now += gap;
                learn(&mut b, work(10.0, mean), WINDOW, at(now));
                (low, high) = (low.min(mean), high.max(mean));
                let got = b.unwrap().mean;
                prop_assert!(got >= low - 1e-9 && got <= high + 1e-9, "{got} outside {low}..{high}");
            }
        }
    }
}
