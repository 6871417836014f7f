//! Trust: whether an estimate explains a day that it was not learned from.

/// How far a held-out day may differ from the estimate: what learning claims is 10 %.
const TOLERANCE: f64 = 0.1;

/// How many tested days the record remembers, as a time constant: two weeks.
const MEMORY: f64 = 14.0;

/// Whether an estimate explains a day: its healthy windows prove hardly more, and its knees hardly less.
///
/// `proves` is the p95 of work per ready replica of its healthy windows, `upper` the upper bound of its knees alone
/// (`None` where they are too few for one).
pub(super) fn explains(estimate: f64, proves: f64, upper: Option<f64>) -> bool {
    proves <= estimate * (1.0 + TOLERANCE) && upper.is_none_or(|u| u >= estimate * (1.0 - TOLERANCE))
}

/// How many days were tested and how many explained; older ones fade.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Record {
    /// Tested.
    pub(super) tested: f64,
    /// Explained, at most as many.
    pub(super) explained: f64,
}

impl Record {
    /// Adds a tested day.
    pub(super) fn add(&mut self, explained: bool) {
        let keep = 1.0 - MEMORY.recip();
        self.tested = self.tested * keep + 1.0;
        self.explained = self.explained * keep + if explained { 1.0 } else { 0.0 };
    }

    /// Laplace's rule of succession without its optimism: one more day is counted as tested and not explained, so that
    /// a single good day gives a half, and two weeks of them more than nine tenths.
    pub(super) fn confidence(self) -> f64 {
        self.explained / (self.tested + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_explained_that_proves_hardly_more_and_breaks_hardly_earlier() {
        assert!(explains(100.0, 109.0, None));
        assert!(explains(100.0, 60.0, Some(91.0)));
        assert!(!explains(100.0, 111.0, None), "it bears more");
        assert!(!explains(100.0, 60.0, Some(89.0)), "it bears less");
    }

    #[test]
    fn confidence_grows_with_good_days_and_falls_with_bad_ones() {
        let mut record = Record::default();
        assert!(record.confidence().abs() < 1e-12);
        record.add(true);
        assert!((record.confidence() - 0.5).abs() < 1e-12);
        (0..30).for_each(|_| record.add(true));
        let high = record.confidence();
        assert!((0.9..1.0).contains(&high), "{high}");
        (0..3).for_each(|_| record.add(false));
        assert!(record.confidence() < high - 0.15);
    }
}
