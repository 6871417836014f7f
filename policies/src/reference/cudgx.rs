//! CudgX's redundancy keeper: the median redundancy of the last minute is brought back into a band.
//!
//! After `internal/predict/redundancy-keeper/redundancy.go` of galaxy-future/cudgx, with its integer arithmetic:
//! the change is rounded towards more replicas in both directions (`Ceil` of a signed number), and the median of
//! an even number of samples is the upper one.

use crate::policy::Bounds;

/// At most so many replicas in one change, as its documentation advises.
const MAX_STEP: i64 = 30;

/// The rule of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Redundancy in percent at or under which replicas are added.
    pub min: u32,
    /// Redundancy in percent at or over which replicas are removed.
    pub max: u32,
    /// Percent of the missing (or superfluous) replicas that one change makes up for.
    pub execute_ratio: u32,
    /// Bounds of the replicas.
    pub bounds: Bounds,
}

impl Rule {
    /// Replicas to set, of `current` ones; `redundancies` are the samples of the last minute (1.0 is exactly at the
    /// benchmark). The caller asks once a minute, and not while the last change is under way.
    #[must_use]
    pub fn step(&self, current: u32, redundancies: &[f64]) -> u32 {
        let Some(redundancy) = median(redundancies) else { return current };
        // Whole percents, cut off.
        let percent = (redundancy * 100.0).trunc();
        if percent > f64::from(self.min) && percent < f64::from(self.max) {
            return current;
        }
        let middle = f64::from(u32::midpoint(self.min, self.max)) / 100.0;
        let expected = (middle / redundancy * f64::from(current)).trunc();
        let change = ((expected - f64::from(current)) * f64::from(self.execute_ratio) / 100.0).ceil();
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and the clamp bounds it")]
        let change = (change as i64).clamp(-MAX_STEP, MAX_STEP);
        let Bounds { min, max } = self.bounds;
        let wanted = (i64::from(current) + change).clamp(i64::from(min), i64::from(max));
        u32::try_from(wanted).unwrap_or(current)
    }
}

/// The upper median of the usable samples.
fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = samples.iter().copied().filter(|r| r.is_finite() && *r > 0.0).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const RULE: Rule = Rule { min: 100, max: 300, execute_ratio: 30, bounds: Bounds { min: 2, max: 600 } };

    #[rstest]
    #[case::inside_the_band(10, &[1.5, 2.0, 2.5], 10)]
    #[case::just_above_the_lower_end_is_cut_to_it(10, &[1.009], 13)]
    #[case::below_it_a_third_of_what_is_missing(10, &[0.8], 15)]
    #[case::above_it_a_third_of_what_is_too_much_cut_off(10, &[4.0], 9)]
    #[case::a_few_too_many_are_never_removed(4, &[3.2], 4)]
    #[case::at_most_thirty_at_once(200, &[0.5], 230)]
    #[case::the_upper_median_of_four(10, &[0.5, 0.9, 2.0, 3.1], 10)]
    #[case::bounds(3, &[9.0], 3)]
    #[case::no_sample(10, &[f64::INFINITY, f64::NAN], 10)]
    fn a_change_is_a_share_of_what_the_middle_of_the_band_asks_for(
        #[case] current: u32,
        #[case] redundancies: &[f64],
        #[case] expected: u32,
    ) {
        assert_eq!(RULE.step(current, redundancies), expected);
    }
}
