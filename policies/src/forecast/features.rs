//! What a forecast goes by: how the load moved within hours, and how it went on at this time of other days.

use std::f64::consts::TAU;

use super::{days::Courses, level::Level};

/// Minutes ago with which the level is compared.
pub(super) const LAGS: [usize; 7] = [1, 2, 4, 8, 15, 30, 60];
/// Memories, in minutes, of the means with which it is compared: half an hour to four days.
pub(super) const MEANS: [f64; 4] = [30.0, 240.0, 1_440.0, 5_760.0];
/// Of the days before, those that are looked at by themselves: yesterday, the day before, and this weekday.
const OWN_DAYS: [i64; 3] = [1, 2, 7];
/// Waves of a day, a half and a third of it, so that hours differ also where no day is known yet: sine and cosine each.
const WAVES: usize = 6;
/// Their height: as large as the other features are.
const WAVE: f64 = 0.1;
/// How many comparisons there are.
pub(super) const MOVES: usize = LAGS.len() + MEANS.len();
/// How many features there are: a constant, the comparisons, the course of other days, the waves.
pub(super) const FEATURES: usize = 1 + MOVES + 1 + OWN_DAYS.len() + 1 + WAVES;
/// What the spread of the forecast goes by, beside its own errors.
pub(super) const UNREST: usize = 4;

const MINUTES_OF_A_DAY: i64 = 1_440;

/// What a minute looks like to a forecast, whatever its horizon.
#[derive(Debug, Clone)]
pub(super) struct Minute {
    /// Its number since 1970.
    pub(super) number: i64,
    /// How loads become levels in it.
    pub(super) scale: Level,
    /// Its level.
    pub(super) level: f64,
    /// The level of the peak of two weeks.
    pub(super) peak: f64,
    /// The level less those it is compared with.
    pub(super) moves: [f64; MOVES],
    /// The time of the day.
    pub(super) waves: [f64; WAVES],
    /// How unsteady the load is: means of steps, range, and how far below its recent peak.
    pub(super) unrest: [f64; UNREST],
}

/// The waves at a minute since 1970, of UTC's day. One sine and one cosine: the others are their products.
pub(super) fn waves(number: i64) -> [f64; WAVES] {
    #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
    let time = TAU * number.rem_euclid(MINUTES_OF_A_DAY) as f64 / MINUTES_OF_A_DAY as f64;
    let (sin, cos) = time.sin_cos();
    let (sin2, cos2) = (2.0 * sin * cos, cos * cos - sin * sin);
    let (sin3, cos3) = (sin2 * cos + cos2 * sin, cos2 * cos - sin2 * sin);
    [sin, cos, sin2, cos2, sin3, cos3].map(|wave| WAVE * wave)
}

/// All features of a minute for a horizon.
pub(super) fn features(minute: &Minute, courses: &Courses) -> [f64; FEATURES] {
    let usual = courses.growth().unwrap_or(0.0);
    let own = OWN_DAYS.map(|days| courses.growth_of(days).map_or(0.0, |growth| growth - usual));
    let height = courses.height(minute.level).unwrap_or(0.0);
    let rest = std::iter::once(usual).chain(own).chain([height]).chain(minute.waves);
    let mut all = [0.0; FEATURES];
    let values = std::iter::once(1.0).chain(minute.moves).chain(rest);
    all.iter_mut().zip(values).for_each(|(place, value)| *place = value);
    all
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::forecast::{
        days::{Aim, Days},
        history::History,
        level::Peak,
        recent::Recent,
    };

    #[test]
    fn there_are_as_many_features_as_are_said_and_all_are_finite() {
        for days in [0, 1, 8] {
            let (mut history, mut peak, mut recent) =
                (History::default(), Peak::default(), Recent::default());
            let last = days * MINUTES_OF_A_DAY + 600;
            for number in 0..=last {
                history.record(Timestamp::from_second(number * 60).unwrap(), 100.0);
                peak.see(number * 60, 100.0);
                recent.see(peak.level().of(100.0));
            }
            let minute = recent.look(last, peak.level().of(100.0), &peak);
            let mut before = Days::new(5);
            before.look(&minute, history.fives());
            let features = features(&minute, &before.courses(&minute, 5, Aim::End));
            assert!(features.iter().all(|f| f.is_finite()), "{features:?}");
            assert!((features[0] - 1.0).abs() < f64::EPSILON);
            assert!(features[FEATURES - 1].abs() > 0.0, "the last wave is there: {features:?}");
        }
    }

    #[test]
    fn the_waves_are_sines_and_cosines_of_one_two_and_three_times_the_day() {
        for number in [0_i64, 1, 359, 720, 1_439, 1_440 * 20_000 + 77] {
            #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
            let time = TAU * number.rem_euclid(MINUTES_OF_A_DAY) as f64 / 1_440.0;
            let direct = [1.0, 2.0, 3.0].into_iter().flat_map(|n| [(n * time).sin(), (n * time).cos()]);
            for (wave, direct) in waves(number).into_iter().zip(direct) {
                assert!((wave - WAVE * direct).abs() < 1e-12, "{number}: {wave} instead of {direct}");
            }
        }
    }
}
