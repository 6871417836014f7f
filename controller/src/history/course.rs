//! The course of a read: which slots are asked for next, how many at once, and when it ends.
//!
//! ```text
//! by five minutes, oldest last   <──────┼─────── by minute <── begins here
//!       └ ends after two days           └ the newest three days: a stop, where others may go first
//!         without any point
//! ```
//!
//! The newest come first: whatever is read when a source gives up is the part that forecasts are judged by.

use std::time::Duration;

use jiff::Timestamp;
use loadline_policies::forecast::past::Past;

use crate::ports::Span;

/// Most points of one query: series of policies times slots. As JSON that is about 5 MB.
pub const MOST_POINTS: usize = 200_000;
/// Most points of one series: Prometheus refuses more than 11,000.
const MOST_SLOTS: usize = 10_000;
/// A source without any point in so long is taken to begin after it. A telemetry that was away for two days is not told
/// from one that began since; the forecast then has less history, and none that is wrong.
const NOTHING: Duration = Duration::from_hours(48);

/// The newest part of a past: a forecast needs two days to be trusted, and one before them to learn from.
pub const NEWEST: Duration = Duration::from_hours(72);

/// What is still to be read of a batch.
#[derive(Debug, Clone)]
pub struct Course {
    /// What is left of each part, the newest first: first slot, how many, length.
    left: Vec<(i64, usize, Duration)>,
    /// Nothing that begins before this Unix second is read yet.
    stop: Option<i64>,
    series: usize,
    budget: usize,
    slots: usize,
    read: usize,
    /// The time without any point that was read last.
    nothing: Duration,
}

impl Course {
    /// A course over the parts of a past, for so many series.
    #[must_use]
    pub fn new(past: &Past, series: usize) -> Self {
        let left: Vec<_> =
            past.parts().map(|(start, slots, slot)| (start.as_second(), slots, slot)).collect();
        let slots = left.iter().map(|(_, slots, _)| slots).sum();
        let series = series.max(1);
        Self { left, stop: None, series, budget: MOST_POINTS, slots, read: 0, nothing: Duration::ZERO }
    }

    /// The same, which ends with the [`NEWEST`] part before a moment, for now.
    #[must_use]
    pub fn newest_first(self, until: Timestamp) -> Self {
        let newest = i64::try_from(NEWEST.as_secs()).unwrap_or(i64::MAX);
        Self { stop: Some(until.as_second().saturating_sub(newest)), ..self }
    }

    /// Goes on behind the stop.
    pub fn go_on(&mut self) {
        self.stop = None;
    }

    /// Whether all was read, also what is behind the stop.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Ends here, whatever is left.
    pub fn give_up(&mut self) {
        self.left.clear();
    }

    /// The next span; `None` at the end, or at the stop before it.
    #[must_use]
    pub fn next(&self) -> Option<Span> {
        let (start, left, slot) = *self.left.first()?;
        let step = i64::try_from(slot.as_secs()).ok()?;
        let later = self.stop.map_or(0, |stop| stop.saturating_sub(start).max(0).div_euclid(step));
        let now = left.saturating_sub(usize::try_from(later).ok()?);
        if now == 0 {
            return None;
        }
        let slots = self.most().min(now);
        let before = i64::try_from(left.saturating_sub(slots)).ok()?;
        let start = Timestamp::from_second(start.saturating_add(before.saturating_mul(step))).ok()?;
        Some(Span { start, slots, slot })
    }

    fn most(&self) -> usize {
        (self.budget / self.series).clamp(1, MOST_SLOTS)
    }

    /// The span was read, and had points or none.
    pub fn done(&mut self, span: Span, points: usize) {
        self.read = self.read.saturating_add(span.slots);
        if let Some((_, left, _)) = self.left.first_mut() {
            *left = left.saturating_sub(span.slots);
        }
        self.left.retain(|(_, left, _)| *left > 0);
        let long = span.slot.saturating_mul(u32::try_from(span.slots).unwrap_or(u32::MAX));
        self.nothing = if points == 0 { self.nothing.saturating_add(long) } else { Duration::ZERO };
        if self.nothing >= NOTHING {
            self.left.clear();
        }
    }

    /// The span was too much for the source: from now on half of it. False when it was one slot already.
    pub fn halve(&mut self, span: Span) -> bool {
        self.budget = (span.slots / 2).max(1).saturating_mul(self.series);
        span.slots > 1
    }

    /// The share that was read, 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.left.is_empty() {
            return 1.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a week has far fewer than 2^52 slots")]
        let (read, slots) = (self.read as f64, self.slots.max(1) as f64);
        read / slots
    }

    /// Whether the newest part, by which forecasts are judged, is complete.
    #[must_use]
    pub fn has_the_newest(&self) -> bool {
        self.left.iter().all(|(_, _, slot)| *slot > loadline_policies::forecast::past::MINUTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const DAY: i64 = 86_400;

    fn course(series: usize) -> Course {
        let until = Timestamp::from_second(20 * DAY).unwrap();
        Course::new(&Past::new(until, Duration::from_hours(336)), series)
    }

    /// All spans of a course of which those after a moment have points.
    fn walk(mut course: Course, since: i64) -> Vec<Span> {
        let mut spans = Vec::new();
        while let Some(span) = course.next() {
            course.done(span, usize::from(span.start.as_second() >= since));
            spans.push(span);
        }
        spans
    }

    fn seconds(span: &Span) -> (i64, i64) {
        let start = span.start.as_second();
        (start, start + i64::try_from(span.slots).unwrap() * i64::try_from(span.slot.as_secs()).unwrap())
    }

    #[test]
    fn every_slot_is_read_once_the_newest_first_in_queries_of_bounded_size() {
        for series in [1, 10, 3_000, 10_000, 1_000_000] {
            let spans = walk(course(series), 0);
            let mut until = 20 * DAY;
            for span in &spans {
                let (start, end) = seconds(span);
                assert_eq!(end, until, "{series}: {span:?}");
                assert!(span.slots == 1 || span.slots * series <= MOST_POINTS, "{series}: {span:?}");
                until = start;
            }
            assert_eq!(until, 6 * DAY, "{series}");
        }
        assert_eq!(walk(course(1), 0).len(), 2);
        assert_eq!(walk(course(10_000), 0).len(), (2 * 1_440 + 12 * 288) / 20 + 1);
    }

    #[test]
    fn the_newest_days_are_a_stop_on_the_way_and_no_slot_is_left_out_or_read_twice() {
        for series in [1, 10, 10_000] {
            let mut course = course(series).newest_first(Timestamp::from_second(20 * DAY + 42).unwrap());
            let mut until = 20 * DAY;
            for stop in [17 * DAY, 6 * DAY] {
                assert!(!course.is_done(), "{series}");
                while let Some(span) = course.next() {
                    let (start, end) = seconds(&span);
                    assert_eq!(end, until, "{series}: {span:?}");
                    until = start;
                    course.done(span, 1);
                }
                assert_eq!(until, stop, "{series}");
                course.go_on();
            }
            assert!(course.is_done(), "{series}");
        }
    }

    #[test]
    fn a_source_that_is_younger_than_two_days_at_the_stop_has_no_rest() {
        let mut young = course(1).newest_first(Timestamp::from_second(20 * DAY).unwrap());
        while let Some(span) = young.next() {
            young.done(span, 0);
        }
        assert!(young.is_done());
    }

    #[test]
    fn a_source_that_is_younger_ends_it_and_a_short_silence_does_not() {
        // Given a source that began three days ago,
        let spans = walk(course(10_000), 17 * DAY);
        let (oldest, _) = seconds(spans.last().unwrap());
        assert_eq!(oldest.div_euclid(DAY), 15, "two days before that, and not two weeks");
        // and one that has nothing at all.
        let (oldest, _) = seconds(walk(course(10_000), i64::MAX).last().unwrap());
        assert_eq!(oldest, 18 * DAY);
    }

    #[test]
    fn what_is_too_much_is_halved_until_it_is_one_slot() {
        let mut course = course(10_000);
        let mut slots = Vec::new();
        loop {
            let span = course.next().unwrap();
            slots.push(span.slots);
            if !course.halve(span) {
                break;
            }
        }
        assert_eq!(slots, [20, 10, 5, 2, 1]);
        assert_eq!(course.next().unwrap().slot, MINUTE);
        assert!(!course.has_the_newest());
    }
}
