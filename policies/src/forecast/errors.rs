//! How wrong a forecast was: means over several memories, and by the time of the day.

use super::regression::Stands;

/// Memories, in minutes: a quarter of an hour, an hour and a half, a day, a week.
const MEMORIES: [f64; 4] = [15.0, 90.0, 1_440.0, 10_080.0];
/// Half hours of a day.
const SLOTS: usize = 48;
/// Minutes of one.
const SLOT: i64 = 30;
/// A slot is met by thirty minutes a day: seven days of them.
const SLOT_MEMORY: f64 = 7.0 * 30.0;

/// Means of absolute errors that forget.
#[derive(Debug, Clone)]
pub(super) struct Errors {
    means: [Decayed; MEMORIES.len()],
    by_time: Vec<Decayed>,
}

/// A mean with exponential forgetting.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Decayed {
    sum: f32,
    count: f32,
}

impl Decayed {
    /// Sees a value that stands for so many, with all that was before forgotten a little.
    pub(super) fn see(&mut self, value: f64, memory: f64, stands: Stands) {
        let keep = (-stands.count() / memory).exp();
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough for a mean")]
        let narrow = |x: f64| x as f32;
        self.sum = self.sum * narrow(keep) + narrow(value * stands.count());
        self.count = self.count * narrow(keep) + narrow(stands.count());
    }

    /// The mean; `None` before the first value.
    pub(super) fn mean(self) -> Option<f64> {
        (self.count > 0.0).then(|| f64::from(self.sum / self.count))
    }
}

/// The means at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    /// Of a quarter of an hour.
    pub(super) quarter: f64,
    /// Of an hour and a half.
    pub(super) hours: f64,
    /// Of a day.
    pub(super) day: f64,
    /// Of a week.
    pub(super) week: f64,
}

impl Default for Errors {
    fn default() -> Self {
        Self { means: [Decayed::default(); MEMORIES.len()], by_time: vec![Decayed::default(); SLOTS] }
    }
}

impl Errors {
    /// The forecast that was made at a minute was wrong by so much, and stands for so many.
    pub(super) fn learn(&mut self, minute: i64, error: f64, stands: Stands) {
        for (mean, memory) in self.means.iter_mut().zip(MEMORIES) {
            mean.see(error, memory, stands);
        }
        if let Some(slot) = self.by_time.get_mut(slot(minute, 0)) {
            slot.see(error, SLOT_MEMORY, stands);
        }
    }

    /// The means; `None` before the first error.
    pub(super) fn means(&self) -> Option<Means> {
        let [quarter, hours, day, week] = self.means.map(Decayed::mean);
        Some(Means { quarter: quarter?, hours: hours?, day: day?, week: week? })
    }

    /// The mean around this time of the day; `None` where no day was seen there yet.
    pub(super) fn at_this_time(&self, minute: i64) -> Option<f64> {
        let near =
            [-1, 0, 1].map(|beside| self.by_time.get(slot(minute, beside)).copied().unwrap_or_default());
        let (sum, count) = near.iter().fold((0.0, 0.0), |(sum, count), d| (sum + d.sum, count + d.count));
        Decayed { sum, count }.mean()
    }
}

fn slot(minute: i64, beside: i64) -> usize {
    let slots = i64::try_from(SLOTS).unwrap_or(1);
    usize::try_from((minute.div_euclid(SLOT) + beside).rem_euclid(slots)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_day_is_remembered_beside_the_last_errors() {
        let mut errors = Errors::default();
        assert!(errors.means().is_none() && errors.at_this_time(0).is_none());
        for minute in 0..3 * 1_440 {
            let night = minute % 1_440 < 360;
            errors.learn(minute, if night { 1.0 } else { 0.1 }, Stands::ONE);
        }
        assert!((errors.at_this_time(180).unwrap() - 1.0).abs() < 1e-3);
        assert!((errors.at_this_time(720).unwrap() - 0.1).abs() < 1e-3);
        let means = errors.means().unwrap();
        assert!(means.quarter < 0.11 && means.day > 0.2 && means.day < 0.4, "{means:?}");
    }
}
