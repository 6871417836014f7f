//! From a fraction of replicas to whole ones.

/// How far over a whole number a result may be and still count as it, relative to its size.
///
/// Loads and capacities are sums and quotients of doubles: their noise is near 1e-15 of the value, and no
/// measured load is known to one part in a billion. So 3.000 000 000 1 is three replicas, not four.
pub const EPSILON: f64 = 1e-9;

/// The fewest whole replicas that are at least `x`, tolerant of float noise; 0 for NaN and below zero.
#[must_use]
pub fn ceil(x: f64) -> u32 {
    whole((x - slack(x)).ceil())
}

/// The most whole replicas that are at most `x`, tolerant of float noise; 0 for NaN and below zero.
#[must_use]
pub fn floor(x: f64) -> u32 {
    whole((x + slack(x)).floor())
}

/// None for what is infinite: there it would make NaN of a demand that has no bound.
fn slack(x: f64) -> f64 {
    if x.is_infinite() { 0.0 } else { EPSILON * x.abs().max(1.0) }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates: NaN and negative give 0, huge gives u32::MAX"
)]
const fn whole(x: f64) -> u32 {
    x as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_noise_does_not_cost_a_replica() {
        assert_eq!([ceil(3.000_000_000_1), ceil(3.0), ceil(3.000_1), ceil(2.9)], [3, 3, 4, 3]);
        assert_eq!([floor(2.999_999_999_9), floor(3.0), floor(2.99), floor(3.9)], [3, 3, 2, 3]);
        // 1.1 × 3 is 3.300 000 000 000 000 3 in doubles; 0.1 × 3 × 10 is just over 3.
        assert_eq!(ceil(0.1 * 3.0 * 10.0), 3);
    }

    #[test]
    fn what_is_no_count_saturates() {
        assert_eq!(
            [ceil(f64::NAN), ceil(-1.0), ceil(1e300), ceil(f64::INFINITY)],
            [0, 0, u32::MAX, u32::MAX]
        );
    }
}
