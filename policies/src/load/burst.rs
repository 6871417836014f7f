//! Bursts: the short window reacts within seconds, so it must show more than chance before it may raise.
//!
//! The short window counts few requests, and few requests vary: ten expected are six or fourteen every other
//! minute. Only a count that chance would hardly give is a burst. A burst may raise the demand, and never
//! lowers it: what is quiet for a moment is judged by the long window.

/// How many standard deviations above the expectation a burst stands.
///
/// One tick in 740 by chance alone; at a tick every 5 s about once an hour, and then by the few replicas that
/// three standard deviations are worth. Real traffic comes in clumps and varies more than Poisson's law
/// says, so a lower bar would scale on noise.
const SIGMAS: f64 = 3.0;

/// Whether `count` requests are significantly more than the `expected` ones, both over the short window.
///
/// Both are `rate × short window`, with the expectation's rate from the long window. The bar is 3 σ of
/// Poisson on Anscombe's variance-stabilised scale, `2·√(count + 3/8) - 2·√(expected + 3/8) > 3`. Solved for
/// the count it is `expected + 3·√(expected + 3/8) + 9/4`: always a little above the plain 3 σ, which is too
/// low for small counts because they are skewed. Where nothing was expected five requests are a burst, where
/// one was, seven.
///
/// The long window holds the short one, so a burst already is in its own expectation; that makes the bar
/// higher, never lower.
#[must_use]
pub fn significant(count: f64, expected: f64) -> bool {
    let scale = |n: f64| 2.0 * (n.max(0.0) + 0.375).sqrt();
    scale(count) - scale(expected) > SIGMAS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_few_where_nothing_was_expected(5.0, 0.0, true)]
    #[case::four_are_chance(4.0, 0.0, false)]
    #[case::seven_where_one_was(7.0, 1.0, true)]
    #[case::a_third_more_of_a_hundred(133.0, 100.0, true)]
    #[case::a_quarter_more_of_a_hundred_is_chance(125.0, 100.0, false)]
    #[case::two_percent_of_a_hundred_thousand(102_000.0, 100_000.0, true)]
    fn the_bar_follows_the_count(#[case] count: f64, #[case] expected: f64, #[case] burst: bool) {
        assert_eq!(significant(count, expected), burst);
    }

    /// P(X >= count) of a Poisson variable, by its own sum.
    fn chance(count: u32, expected: f64) -> f64 {
        let mut term = (-expected).exp();
        let mut under = 0.0;
        for k in 0..count {
            under += term;
            term *= expected / f64::from(k + 1);
        }
        1.0 - under
    }

    proptest! {
        #[test]
        fn chance_gives_a_burst_less_than_once_in_740(expected in 0.01..300.0_f64) {
            let first = (0..1_000_u32).find(|&n| significant(f64::from(n), expected)).unwrap();
            prop_assert!(chance(first, expected) < 1.0 / 740.0, "{first} of {expected}");
        }

        #[test]
        fn fewer_than_expected_are_never_a_burst(expected in 0.0..1e9_f64, share in 0.0..=1.0_f64) {
            prop_assert!(!significant(expected * share, expected));
        }

        #[test]
        fn more_requests_are_never_less_of_a_burst(a in 0.0..1e6_f64, more in 0.0..1e6_f64, expected in 0.0..1e6_f64) {
            prop_assert!(!significant(a, expected) || significant(a + more, expected));
        }
    }
}
