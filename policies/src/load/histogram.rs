//! Latency histograms as rates: made from raw buckets, asked for quantiles, merged over clusters.

use crate::{
    fleet::Histogram,
    reading::{Doubt, finite},
};

/// How far a cumulative rate may fall below the one before it, as a share of all requests, and still count
/// as a race between the buckets of one scrape.
///
/// Client libraries that update buckets without a lock are off by the requests in flight at the two ends of
/// the window, a few in a hundred at most. Replicas with *different* bounds (half of a roll-out) make steps
/// of the size of a replica's whole load: these would be repaired into a wrong distribution, so they are
/// refused.
const RACE: f64 = 0.1;

/// A quantile of latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantile {
    /// Seconds.
    pub seconds: f64,
    /// The quantile lies in the `+Inf` bucket: it is above `seconds`, the highest finite bound, and nothing
    /// says how far.
    pub at_least: bool,
}

impl Histogram {
    /// A histogram from raw `(le, cumulative requests/s)` pairs, in any order.
    ///
    /// Equal bounds are added up, as Prometheus does: `le="1"` and `le="1.0"` come from different client
    /// libraries and count different requests. A cumulative rate a little below the one before it is a race
    /// between buckets, and is raised to it.
    ///
    /// # Errors
    /// No pairs: [`Doubt::AbsentSeries`]. A rate that is NaN, infinite or negative: its own doubt. A bound
    /// that is NaN or negative, no `+Inf` bucket, or rates that descend by more than a tenth of the total:
    /// [`Doubt::WrongShape`].
    pub fn from_rates(pairs: impl IntoIterator<Item = (f64, f64)>) -> Result<Self, Doubt> {
        let mut pairs: Vec<(f64, f64)> = pairs.into_iter().collect();
        if pairs.is_empty() {
            return Err(Doubt::AbsentSeries);
        }
        for &(bound, rate) in &pairs {
            if bound.is_nan() || bound < 0.0 {
                return Err(Doubt::WrongShape(format!("a latency bucket with the bound {bound}")));
            }
            finite(rate)?;
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut buckets: Vec<(f64, f64)> = Vec::with_capacity(pairs.len());
        for (bound, rate) in pairs {
            match buckets.last_mut() {
                // Both come from the same parse of the same text: equal bounds are equal bits, but for 0.0
                // and -0.0, which the order has put side by side.
                Some(last) if last.0 >= bound => last.1 += rate,
                _ => buckets.push((bound, rate)),
            }
        }
        repair(&mut buckets)?;
        Ok(Self { buckets })
    }

    /// All requests per second: the rate of the `+Inf` bucket.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.buckets.last().map_or(0.0, |&(_, rate)| rate)
    }

    /// The highest finite bound in seconds; `None` when `+Inf` is the only bucket.
    #[must_use]
    pub fn highest_bound(&self) -> Option<f64> {
        self.buckets.iter().rev().map(|&(bound, _)| bound).find(|bound| bound.is_finite())
    }

    /// The `q`-quantile of latency as Prometheus' `histogram_quantile` gives it: linear inside a bucket, the
    /// lowest bucket from 0, and in the `+Inf` bucket the highest finite bound (said by
    /// [`Quantile::at_least`]).
    ///
    /// `None` where Prometheus says NaN: no requests, no finite bound, or `q` outside of 0 to 1.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Quantile> {
        let total = self.total();
        let highest = self.highest_bound()?;
        if total <= 0.0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = q * total;
        let (mut start, mut below) = (0.0, 0.0);
        for &(bound, rate) in &self.buckets {
            if rate >= rank {
                if bound.is_infinite() {
                    break;
                }
                let inside = rate - below;
                let share = if inside > 0.0 { (rank - below) / inside } else { 1.0 };
                return Some(Quantile { seconds: start + (bound - start) * share, at_least: false });
            }
            (start, below) = (bound, rate);
        }
        Some(Quantile { seconds: highest, at_least: true })
    }

    /// Requests per second at or under `seconds`, linear inside a bucket.
    ///
    /// What lies in the `+Inf` bucket counts as slower than any finite latency.
    #[must_use]
    pub fn at_or_under(&self, seconds: f64) -> f64 {
        let (mut start, mut below) = (0.0, 0.0);
        for &(bound, rate) in &self.buckets {
            if seconds < bound {
                let width = bound - start;
                let share = if bound.is_finite() && width > 0.0 { (seconds - start) / width } else { 0.0 };
                return (below + (rate - below) * share.clamp(0.0, 1.0)).min(rate);
            }
            (start, below) = (bound, rate);
        }
        below
    }

    /// The sum of two histograms, as of one workload in two clusters.
    ///
    /// With equal bounds it is exact. Otherwise the bounds are united, and each histogram is interpolated at
    /// the bounds that only the other one has. That is lossy: a quantile of the sum is then off by at most
    /// the bucket of the coarser histogram that it falls into. Above the highest finite bound of one, its
    /// remaining requests stay in `+Inf`: they count as slower than they may be, never as faster.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let same_bounds = self.buckets.len() == other.buckets.len()
            && self.buckets.iter().zip(&other.buckets).all(|(a, b)| a.0.total_cmp(&b.0).is_eq());
        if same_bounds {
            let sum = |(a, b): (&(f64, f64), &(f64, f64))| (a.0, a.1 + b.1);
            return Self { buckets: self.buckets.iter().zip(&other.buckets).map(sum).collect() };
        }
        let mut bounds: Vec<f64> = self.buckets.iter().chain(&other.buckets).map(|b| b.0).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup_by(|a, b| a.total_cmp(b).is_eq());
        let sum = |bound: f64| (bound, self.at_or_under(bound) + other.at_or_under(bound));
        Self { buckets: bounds.into_iter().map(sum).collect() }
    }
}

/// Raises small dips to the running maximum; refuses deep ones and a missing `+Inf`.
fn repair(buckets: &mut [(f64, f64)]) -> Result<(), Doubt> {
    if buckets.last().is_none_or(|&(bound, _)| bound.is_finite()) {
        return Err(Doubt::WrongShape("a latency histogram without its +Inf bucket".into()));
    }
    let highest = buckets.iter().fold(0.0, |high: f64, &(_, rate)| high.max(rate));
    if !highest.is_finite() {
        return Err(Doubt::Infinite);
    }
    let mut running = 0.0_f64;
    for (bound, rate) in buckets {
        if running - *rate > RACE * highest {
            return Err(Doubt::WrongShape(format!(
                "the latency bucket le={bound} counts fewer requests than the one below it; do all replicas \
                 have the same bucket bounds?"
            )));
        }
        running = running.max(*rate);
        *rate = running;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const INF: f64 = f64::INFINITY;

    fn histogram(pairs: &[(f64, f64)]) -> Histogram {
        Histogram::from_rates(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn buckets_are_sorted_and_equal_bounds_are_added_up() {
        // given replicas of two client libraries: one writes le="1", the other le="1.0"
        let h = histogram(&[(INF, 6.0), (1.0, 2.0), (0.5, 1.0), (1.0, 3.0)]);
        assert_eq!(h.buckets, [(0.5, 1.0), (1.0, 5.0), (INF, 6.0)]);
    }

    #[test]
    fn a_race_between_two_buckets_is_raised_to_the_running_maximum() {
        let h = histogram(&[(0.1, 50.0), (0.2, 49.0), (INF, 100.0)]);
        assert_eq!(h.buckets, [(0.1, 50.0), (0.2, 50.0), (INF, 100.0)]);
    }

    #[test]
    fn replicas_with_different_bounds_are_refused_rather_than_repaired() {
        // given a roll-out that changes the bounds: 60 requests/s on one layout, 40 on the other
        let mixed = [(0.1, 55.0), (0.3, 38.0), (1.0, 60.0), (INF, 100.0)];
        assert!(matches!(Histogram::from_rates(mixed), Err(Doubt::WrongShape(_))));
    }

    #[rstest]
    #[case::nothing(&[], Doubt::AbsentSeries)]
    #[case::nan(&[(1.0, f64::NAN), (INF, 1.0)], Doubt::NotANumber)]
    #[case::infinite(&[(1.0, INF), (INF, 1.0)], Doubt::Infinite)]
    #[case::sum_infinite(&[(INF, f64::MAX), (INF, f64::MAX)], Doubt::Infinite)]
    #[case::negative(&[(1.0, -1.0), (INF, 1.0)], Doubt::Negative)]
    fn a_value_that_is_no_rate_is_its_own_doubt(#[case] pairs: &[(f64, f64)], #[case] doubt: Doubt) {
        assert_eq!(Histogram::from_rates(pairs.iter().copied()), Err(doubt));
    }

    #[rstest]
    #[case::no_inf(&[(0.1, 1.0), (1.0, 2.0)])]
    #[case::bound_nan(&[(f64::NAN, 1.0), (INF, 2.0)])]
    #[case::bound_negative(&[(-1.0, 1.0), (INF, 2.0)])]
    fn a_histogram_of_another_shape_is_refused(#[case] pairs: &[(f64, f64)]) {
        assert!(matches!(Histogram::from_rates(pairs.iter().copied()), Err(Doubt::WrongShape(_))));
    }

    #[rstest]
    #[case::in_the_lowest_bucket_from_zero(0.25, 0.05, false)]
    #[case::on_a_bound(0.5, 0.1, false)]
    #[case::inside_a_bucket(0.7, 0.3, false)]
    #[case::in_inf(0.95, 0.5, true)]
    fn quantiles_are_those_of_prometheus(#[case] q: f64, #[case] seconds: f64, #[case] at_least: bool) {
        let got = histogram(&[(0.1, 50.0), (0.5, 90.0), (INF, 100.0)]).quantile(q).unwrap();
        assert!((got.seconds - seconds).abs() < 1e-12, "{got:?}");
        assert_eq!(got.at_least, at_least);
    }

    #[test]
    fn where_prometheus_says_nan_there_is_no_quantile() {
        assert_eq!(histogram(&[(0.1, 0.0), (INF, 0.0)]).quantile(0.5), None);
        assert_eq!(histogram(&[(INF, 10.0)]).quantile(0.5), None);
        assert_eq!(histogram(&[(0.1, 1.0), (INF, 1.0)]).quantile(1.5), None);
    }

    #[test]
    fn histograms_of_equal_bounds_merge_exactly() {
        let a = histogram(&[(0.1, 1.0), (INF, 3.0)]);
        let b = histogram(&[(0.1, 2.0), (INF, 2.0)]);
        assert_eq!(a.merge(&b).buckets, [(0.1, 3.0), (INF, 5.0)]);
    }

    #[test]
    fn what_is_above_the_highest_bound_of_one_counts_as_slow_in_the_merged() {
        let fine = histogram(&[(0.1, 10.0), (1.0, 20.0), (INF, 20.0)]);
        let coarse = histogram(&[(0.2, 8.0), (INF, 10.0)]);
        let expected = [(0.1, 10.0 + 4.0), (0.2, 10.0 + 10.0 / 9.0 + 8.0), (1.0, 20.0 + 8.0), (INF, 30.0)];
        for (got, want) in fine.merge(&coarse).buckets.iter().zip(expected) {
            assert_eq!(got.0.total_cmp(&want.0), std::cmp::Ordering::Equal);
            assert!((got.1 - want.1).abs() < 1e-9, "{got:?}, not {want:?}");
        }
    }

    fn any_histogram() -> impl Strategy<Value = Histogram> {
        proptest::collection::vec((0.001..20.0_f64, 0.0..1e4_f64), 1..15).prop_map(|buckets| {
            let mut sum = 0.0;
            let mut bounds: Vec<f64> = buckets.iter().map(|b| b.0).collect();
            bounds.sort_by(f64::total_cmp);
            let mut pairs: Vec<(f64, f64)> = Vec::new();
            for (bound, (_, rate)) in bounds.into_iter().zip(buckets) {
                sum += rate;
                pairs.push((bound, sum));
            }
            pairs.dedup_by(|a, b| a.0.total_cmp(&b.0).is_eq());
            pairs.push((INF, sum * 1.1));
            Histogram::from_rates(pairs).unwrap()
        })
    }

    proptest! {
        #[test]
        fn any_order_of_the_same_buckets_makes_the_same_histogram(h in any_histogram(), turn in 0..15_usize) {
            let mut pairs = h.buckets.clone();
            let by = turn % pairs.len();
            pairs.rotate_left(by);
            prop_assert_eq!(Histogram::from_rates(pairs).unwrap(), h);
        }

        #[test]
        fn quantiles_ascend_and_stay_under_the_highest_bound(h in any_histogram(), a in 0.0..=1.0, b in 0.0..=1.0) {
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            prop_assume!(h.total() > 0.0);
            let (low, high) = (h.quantile(low).unwrap(), h.quantile(high).unwrap());
            prop_assert!(low.seconds <= high.seconds + 1e-9);
            prop_assert!(high.seconds <= h.highest_bound().unwrap());
        }

        #[test]
        fn the_rate_under_a_quantile_is_its_rank(h in any_histogram(), q in 0.01..=1.0) {
            prop_assume!(h.total() > 0.0);
            let found = h.quantile(q).unwrap();
            prop_assume!(!found.at_least);
            let rank = h.at_or_under(found.seconds);
            prop_assert!(rank >= q * h.total() * (1.0 - 1e-9));
        }

        #[test]
        fn merging_keeps_the_total_and_the_shape_and_does_not_mind_the_order(a in any_histogram(), b in any_histogram()) {
            let merged = a.merge(&b);
            prop_assert!((merged.total() - a.total() - b.total()).abs() <= 1e-9 * merged.total());
            prop_assert_eq!(&Histogram::from_rates(merged.buckets.iter().copied()).unwrap(), &merged);
            prop_assert_eq!(b.merge(&a), merged);
        }
    }
}
