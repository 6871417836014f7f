//! How the load went on at this time of the days before.

use super::{features::Minute, history::Ring, level::Level};

/// Days ago whose course is looked at.
pub(super) const DAYS: [i64; 7] = [1, 2, 3, 4, 5, 6, 7];
const MINUTES_OF_A_DAY: i64 = 1_440;
/// Minutes of a slot of the history.
const SLOT: i64 = 5;
/// The middle of a slot, minutes after its start: its maximum is taken to be there.
const MIDDLE: i64 = SLOT / 2;
/// A floor that moved by less than this share leaves levels as they are.
const SAME_FLOOR: f64 = 0.01;

/// What of a window is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// Its highest load: what capacity is kept for.
    Highest,
    /// The load at its end: what a person means by a forecast.
    End,
}

/// Levels of the five-minute maxima around this time on the days before.
///
/// They move on by one slot in five minutes; looked up and taken the logarithm of anew each minute, they would cost more
/// than all the rest of the forecast.
#[derive(Debug, Clone)]
pub(super) struct Days {
    /// Slots that the longest window can touch.
    span: usize,
    /// The slot, counted as of today, whose level of the days before comes first; `None` before the first look.
    first: Option<(i64, Level)>,
    /// The levels, day by day; NaN in a gap.
    levels: Vec<f32>,
}

impl Days {
    /// For windows of up to so many minutes.
    pub(super) fn new(longest: u32) -> Self {
        let slots = i64::from(longest).saturating_add(SLOT - 1) / SLOT + 2;
        let span = usize::try_from(slots).unwrap_or(usize::MAX);
        Self { span, first: None, levels: vec![f32::NAN; span * DAYS.len()] }
    }

    /// Moves on to a minute.
    pub(super) fn look(&mut self, minute: &Minute, fives: &Ring) {
        let first = (minute.number - MIDDLE).div_euclid(SLOT);
        let step = self.first.filter(|(_, scale)| minute.scale.is_near(*scale, SAME_FLOOR));
        let moved = step.map_or(0, |(before, _)| usize::try_from(first - before).unwrap_or(0));
        if step.is_some_and(|(before, _)| before == first) {
            return;
        }
        // What was looked up already only moves to the front.
        let from = if (1..self.span).contains(&moved) { self.span - moved } else { 0 };
        let scale = step.map_or(minute.scale, |(_, scale)| scale);
        self.first = Some((first, scale));
        for (row, days) in self.levels.chunks_mut(self.span).zip(DAYS) {
            if from > 0 {
                row.rotate_left(moved);
            }
            let then = first - days * MINUTES_OF_A_DAY / SLOT;
            for (slot, level) in (then..).zip(row).skip(from) {
                #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a load has")]
                let known = fives.at(slot).map_or(f32::NAN, |load| scale.of(load) as f32);
                *level = known;
            }
        }
    }

    /// The courses of the window of `horizon` minutes after a minute, that of the last [`Self::look`].
    pub(super) fn courses(&self, minute: &Minute, horizon: u32, aim: Aim) -> Courses {
        let mut courses = [None; DAYS.len()];
        let first = self.first.map_or(0, |(first, _)| first);
        let since = minute.number - MIDDLE - first * SLOT;
        for (course, row) in courses.iter_mut().zip(self.levels.chunks(self.span)) {
            *course = course_of(row, since, i64::from(horizon), aim);
        }
        Courses(courses)
    }
}

/// Between the middles of slots the level is a straight line. `since` is the minute after the first middle at which the
/// window begins, 0 to 4.
fn course_of(row: &[f32], since: i64, horizon: i64, aim: Aim) -> Option<Course> {
    let at = |minute: i64| {
        let index = usize::try_from(minute / SLOT).ok()?;
        let (low, high) = (f64::from(*row.get(index)?), f64::from(*row.get(index + 1)?));
        #[expect(clippy::cast_precision_loss, reason = "minutes of a slot")]
        let share = (minute % SLOT) as f64 / SLOT as f64;
        Some(low + (high - low) * share)
    };
    let (level, end) = (at(since)?, at(since + horizon)?);
    // The highest of straight lines is at one of their ends.
    let (mut highest, mut gap) = (at(since + 1)?.max(end), end.is_nan() || level.is_nan());
    if aim == Aim::Highest {
        let last = usize::try_from((since + horizon) / SLOT).ok()?;
        for middle in row.get(1..=last).unwrap_or_default() {
            highest = highest.max(f64::from(*middle));
            gap |= middle.is_nan();
        }
    }
    let grown = if aim == Aim::Highest { highest } else { end };
    (!gap).then_some(Course { growth: grown - level, level })
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
    /// The mean growth of all days that are known; `None` where none is.
    pub(super) fn growth(&self) -> Option<f64> {
        mean(self.0.iter().flatten().map(|course| course.growth))
    }

    /// The growth of the day so many days ago.
    pub(super) fn growth_of(&self, days: i64) -> Option<f64> {
        let at = DAYS.iter().position(|d| *d == days)?;
        self.0.get(at).copied().flatten().map(|course| course.growth)
    }

    /// How far a level is above that of the same time on the days before, on average.
    pub(super) fn height(&self, level: f64) -> Option<f64> {
        mean(self.0.iter().flatten().map(|course| level - course.level))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::forecast::{history::History, level::Peak, recent::Recent};

    /// A load that is a straight line through each day, from 100 at midnight to 244.
    fn sawtooth(minute: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
        let minute = minute.rem_euclid(MINUTES_OF_A_DAY) as f64;
        100.0 + minute / 10.0
    }

    fn record(history: &mut History, number: i64, load: f64) {
        history.record(Timestamp::from_second(number * 60).unwrap(), load);
    }

    fn minute(number: i64, load: f64) -> Minute {
        let (mut recent, mut peak) = (Recent::default(), Peak::default());
        peak.see(number * 60, 250.0);
        let level = peak.level().of(load);
        recent.see(level);
        recent.look(number, level, &peak)
    }

    fn courses(minute: &Minute, horizon: u32, aim: Aim, history: &History) -> Courses {
        let mut days = Days::new(horizon);
        days.look(minute, history.fives());
        days.courses(minute, horizon, aim)
    }

    #[test]
    fn the_course_of_other_days_is_found_at_this_time_of_the_day() {
        // Given three days and ten hours,
        let mut history = History::default();
        let now = 3 * MINUTES_OF_A_DAY + 599;
        (0..=now).for_each(|number| record(&mut history, number, sawtooth(number)));
        let minute = minute(now, sawtooth(now));
        // when the next half hour is looked up, then all three days say the same, and the fourth is not known.
        for aim in [Aim::Highest, Aim::End] {
            let courses = courses(&minute, 30, aim, &history);
            let grown = minute.scale.of(sawtooth(629)) - minute.scale.of(sawtooth(599));
            for day in [1, 2, 3] {
                let growth = courses.growth_of(day).unwrap();
                assert!((growth - grown).abs() < 2e-3, "{day} days ago: {growth} instead of {grown}");
            }
            assert_eq!(courses.growth_of(4), None);
            assert!((courses.growth().unwrap() - grown).abs() < 2e-3);
        }
    }

    #[test]
    fn moving_on_finds_the_same_as_looking_anew() {
        let mut history = History::default();
        let start = 8 * MINUTES_OF_A_DAY;
        (0..start).for_each(|number| record(&mut history, number, sawtooth(number * 7)));
        let mut days = Days::new(30);
        for number in (start..start + 60).chain(start + 75..start + 80) {
            let minute = minute(number, 100.0);
            days.look(&minute, history.fives());
            for (horizon, aim) in [(5, Aim::Highest), (30, Aim::Highest), (30, Aim::End)] {
                assert_eq!(days.courses(&minute, horizon, aim), anew(&minute, horizon, aim, &history));
            }
        }
    }

    fn anew(minute: &Minute, horizon: u32, aim: Aim, history: &History) -> Courses {
        let mut days = Days::new(30);
        days.look(minute, history.fives());
        days.courses(minute, horizon, aim)
    }

    #[test]
    fn a_gap_on_another_day_is_not_looked_through() {
        let mut history = History::default();
        for number in (0..600).chain(640..MINUTES_OF_A_DAY + 700) {
            record(&mut history, number, 100.0);
        }
        let seen = |number: i64| courses(&minute(number, 100.0), 5, Aim::Highest, &history).growth_of(1);
        assert_eq!(seen(MINUTES_OF_A_DAY + 620), None);
        assert!(seen(MINUTES_OF_A_DAY + 660).is_some());
    }
}
