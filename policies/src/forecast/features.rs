//! What a forecast goes by: how the load moved within hours, and how it went on at this time of other days.

use std::{collections::VecDeque, f64::consts::TAU};

use super::{
    history::Ring,
    level::{Level, Peak},
};

/// Minutes ago with which the level is compared.
const LAGS: [usize; 7] = [1, 2, 4, 8, 15, 30, 60];
/// Memories, in minutes, of the means with which it is compared: half an hour to four days.
const MEANS: [f64; 4] = [30.0, 240.0, 1_440.0, 5_760.0];
/// Minutes over whose highest the load may have dropped.
const HOUR: usize = 60;
/// Days ago whose course is looked at.
const DAYS: [i64; 7] = [1, 2, 3, 4, 5, 6, 7];
/// Of those, the days that are looked at by themselves: yesterday, the day before, and this weekday.
const OWN_DAYS: [i64; 3] = [1, 2, 7];
/// Waves of a day, so that hours differ also where no day is known yet.
const WAVES: [f64; 3] = [1.0, 2.0, 3.0];
/// Their height: as large as the other features are.
const WAVE: f64 = 0.1;
/// How many comparisons there are.
const MOVES: usize = LAGS.len() + MEANS.len();
/// How many features there are: a constant, the comparisons, the course of other days, the waves.
pub(super) const FEATURES: usize = 1 + MOVES + 1 + OWN_DAYS.len() + 1 + 2 * WAVES.len();
/// What the spread of the forecast goes by, beside its own errors.
pub(super) const UNREST: usize = 4;
/// Memories of the mean step from minute to minute, minutes.
const STEPS: [f64; 2] = [5.0, 60.0];
/// Minutes over which the range is taken.
const RANGE: usize = 30;

/// Minutes that are kept: one more than the longest lag.
const KEPT: usize = 61;

const MINUTE: i64 = 60;
const MINUTES_OF_A_DAY: i64 = 1_440;

/// What is kept from minute to minute.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    /// Levels of the last minutes, newest last. Of 32 bits: ten thousand workloads keep hundreds each.
    levels: VecDeque<f32>,
    means: [Mean; MEANS.len()],
    steps: [Mean; STEPS.len()],
    seen: u32,
}

/// A mean that forgets; its first values count as much as there are of them.
#[derive(Debug, Clone, Copy, Default)]
struct Mean(f64);

impl Mean {
    fn see(&mut self, value: f64, memory: f64, seen: u32) {
        let share = (1.0 - (-1.0 / memory).exp()).max(1.0 / (f64::from(seen) + 1.0));
        self.0 += share * (value - self.0);
    }
}

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
    moves: [f64; MOVES],
    /// How unsteady the load is: means of steps, range, and how far below its recent peak.
    pub(super) unrest: [f64; UNREST],
}

impl Recent {
    /// The load of a minute came in; minutes come in order, without a gap.
    pub(super) fn see(&mut self, number: i64, load: f64, peak: &Peak) -> Minute {
        let scale = peak.level();
        let level = scale.of(load);
        let before = self.levels.back().map_or(level, |l| f64::from(*l));
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a load has")]
        self.levels.push_back(level as f32);
        while self.levels.len() > KEPT {
            self.levels.pop_front();
        }
        let seen = self.seen;
        for (mean, memory) in self.means.iter_mut().zip(MEANS) {
            mean.see(level, memory, seen);
        }
        for (step, memory) in self.steps.iter_mut().zip(STEPS) {
            step.see((level - before).abs(), memory, seen);
        }
        self.seen = seen.saturating_add(1);
        let lags = LAGS.into_iter().map(|lag| level - self.back(lag));
        let means = self.means.iter().map(|mean| level - mean.0);
        let moves = collect(lags.chain(means));
        let [short, long] = self.steps;
        let range = self.highest(RANGE) + self.last(RANGE).map(|l| -l).fold(f64::NEG_INFINITY, f64::max);
        Minute {
            number,
            scale,
            level,
            peak: scale.of(peak.highest()),
            moves,
            unrest: [short.0, long.0, range, self.highest(HOUR) - level],
        }
    }

    /// Minutes are missing: what was before them is not compared with.
    pub(super) fn interrupt(&mut self) {
        self.levels.clear();
    }

    /// The level so many minutes ago; the oldest known where that is not known any more.
    fn back(&self, minutes: usize) -> f64 {
        let at = self.levels.len().saturating_sub(1 + minutes);
        self.levels.get(at).map_or(0.0, |level| f64::from(*level))
    }

    /// The last levels, newest first.
    pub(super) fn last(&self, minutes: usize) -> impl Iterator<Item = f64> + '_ {
        self.levels.iter().rev().take(minutes).map(|level| f64::from(*level))
    }

    /// The highest of the last levels.
    pub(super) fn highest(&self, minutes: usize) -> f64 {
        self.last(minutes).fold(f64::NEG_INFINITY, f64::max)
    }
}

fn collect<const N: usize>(values: impl Iterator<Item = f64>) -> [f64; N] {
    let mut all = [0.0; N];
    for (place, value) in all.iter_mut().zip(values) {
        *place = value;
    }
    all
}

/// What of a window is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// Its highest load: what capacity is kept for.
    Highest,
    /// The load at its end: what a person means by a forecast.
    End,
}

/// The course of the load after this time of another day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Course {
    /// Growth of the level from then to the highest of the window after it, or to its end.
    pub(super) growth: f64,
    /// The level then.
    pub(super) level: f64,
}

/// The courses of the days before, by [`DAYS`]; `None` where that day is not known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Courses([Option<Course>; DAYS.len()]);

impl Courses {
    /// Looks the window of `horizon` minutes after this minute up in the history of five-minute maxima.
    pub(super) fn look_up(minute: &Minute, horizon: u32, aim: Aim, fives: &Ring) -> Self {
        let mut courses = [None; DAYS.len()];
        for (course, days) in courses.iter_mut().zip(DAYS) {
            let then = minute.number - days * MINUTES_OF_A_DAY;
            *course = course_of(then, horizon, aim, minute.scale, fives);
        }
        Self(courses)
    }

    /// The mean growth of all days that are known; `None` where none is.
    pub(super) fn growth(&self) -> Option<f64> {
        mean(self.0.iter().flatten().map(|course| course.growth))
    }

    /// The growth of the day so many days ago.
    pub(super) fn growth_of(&self, days: i64) -> Option<f64> {
        let at = DAYS.iter().position(|d| *d == days)?;
        self.0.get(at).copied().flatten().map(|course| course.growth)
    }

    fn height(&self, level: f64) -> Option<f64> {
        mean(self.0.iter().flatten().map(|course| level - course.level))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Between the centres of five-minute maxima the level is a straight line.
fn course_of(number: i64, horizon: u32, aim: Aim, scale: Level, fives: &Ring) -> Option<Course> {
    let bin = fives.slot() / MINUTE;
    // The centre of bin b is the minute b·5 + 2.
    let centre = bin / 2;
    let first = (number - centre).div_euclid(bin);
    let last = (number + i64::from(horizon) - centre).div_euclid(bin) + 1;
    let mut levels = Vec::with_capacity(usize::try_from(last - first + 1).unwrap_or_default());
    for slot in first..=last {
        levels.push(scale.of(fives.at(slot)?));
    }
    let at = |minute: i64| {
        let since = minute - centre - first * bin;
        let index = usize::try_from(since / bin).ok()?;
        let (low, high) = (levels.get(index)?, levels.get(index + 1)?);
        #[expect(clippy::cast_precision_loss, reason = "minutes of a bin")]
        let share = (since % bin) as f64 / bin as f64;
        Some(low + (high - low) * share)
    };
    let level = at(number)?;
    let horizon = i64::from(horizon);
    let grown = match aim {
        Aim::Highest => {
            (1..=horizon).filter_map(|ahead| at(number + ahead)).fold(f64::NEG_INFINITY, f64::max)
        }
        Aim::End => at(number + horizon)?,
    };
    Some(Course { growth: grown - level, level })
}

/// All features of a minute for a horizon.
pub(super) fn features(minute: &Minute, courses: &Courses) -> [f64; FEATURES] {
    let usual = courses.growth().unwrap_or(0.0);
    let own = OWN_DAYS.map(|days| courses.growth_of(days).map_or(0.0, |growth| growth - usual));
    let height = courses.height(minute.level).unwrap_or(0.0);
    #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
    let time = TAU * minute.number.rem_euclid(MINUTES_OF_A_DAY) as f64 / MINUTES_OF_A_DAY as f64;
    let waves = WAVES.into_iter().flat_map(|n| [WAVE * (n * time).sin(), WAVE * (n * time).cos()]);
    let rest = std::iter::once(usual).chain(own).chain([height]).chain(waves);
    collect(std::iter::once(1.0).chain(minute.moves).chain(rest))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::forecast::history::History;

    /// A load that is a straight line through each day, from 100 at midnight to 244.
    fn sawtooth(minute: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
        let minute = minute.rem_euclid(MINUTES_OF_A_DAY) as f64;
        100.0 + minute / 10.0
    }

    fn days(n: i64) -> (History, Peak, Minute) {
        let (mut history, mut peak, mut recent) = (History::default(), Peak::default(), Recent::default());
        let mut last = None;
        for number in 0..n * MINUTES_OF_A_DAY + 600 {
            let load = sawtooth(number);
            history.record(Timestamp::from_second(number * MINUTE).unwrap(), load);
            peak.see(number * MINUTE, load);
            last = Some(recent.see(number, load, &peak));
        }
        (history, peak, last.unwrap())
    }

    #[test]
    fn the_course_of_other_days_is_found_at_this_time_of_the_day() {
        let (history, _, minute) = days(3);
        let courses = Courses::look_up(&minute, 30, Aim::Highest, history.fives());
        let grown = minute.scale.of(sawtooth(629)) - minute.scale.of(sawtooth(599));
        for day in [1, 2, 3] {
            let growth = courses.growth_of(day).unwrap();
            assert!((growth - grown).abs() < 2e-3, "{day} days ago: {growth} instead of {grown}");
        }
        assert_eq!(courses.growth_of(4), None);
        assert!((courses.growth().unwrap() - grown).abs() < 2e-3);
    }

    #[test]
    fn a_gap_on_another_day_is_not_looked_through() {
        let mut history = History::default();
        let (mut peak, mut recent) = (Peak::default(), Recent::default());
        peak.see(0, 100.0);
        for number in (0..600).chain(640..MINUTES_OF_A_DAY + 700) {
            history.record(Timestamp::from_second(number * MINUTE).unwrap(), 100.0);
        }
        let at = |number: i64| recent.clone().see(number, 100.0, &peak);
        let seen = |number: i64| Courses::look_up(&at(number), 5, Aim::Highest, history.fives()).growth_of(1);
        assert_eq!(seen(MINUTES_OF_A_DAY + 620), None);
        assert!(seen(MINUTES_OF_A_DAY + 660).is_some());
        recent.see(0, 1.0, &peak);
    }

    #[test]
    fn there_are_as_many_features_as_are_said_and_all_are_finite() {
        for n in [0, 1, 8] {
            let (history, _, minute) = days(n);
            let features = features(&minute, &Courses::look_up(&minute, 5, Aim::End, history.fives()));
            assert!(features.iter().all(|f| f.is_finite()), "{features:?}");
            assert!((features[0] - 1.0).abs() < f64::EPSILON);
            assert!(features[FEATURES - 1].abs() > 0.0, "the last wave is there: {features:?}");
        }
    }
}
