//! Learning: the past of a policy is replayed into a new forecaster, on one thread, with rests.

use std::time::{Duration, Instant};

use loadline_policies::forecast::{
    Forecaster,
    past::{Past, together},
};
use tokio::task::spawn_blocking;

/// What is to be learned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lesson {
    /// Minutes of the windows.
    pub horizon: u32,
    /// The quantile.
    pub quantile: f64,
    /// What moves its costly steps against those of other policies.
    pub phase: u32,
    /// What a request of the past weighs.
    pub weight: f64,
}

/// Replays the past of a policy in its clusters. `None` where there is none.
#[must_use]
pub fn learn(lesson: Lesson, clusters: &[Past]) -> Option<Box<Forecaster>> {
    let Lesson { horizon, quantile, phase, weight } = lesson;
    let mut points = together(clusters).peekable();
    points.peek()?;
    let mut forecaster = Box::new(Forecaster::new(horizon, quantile, phase));
    points.for_each(|(at, load)| forecaster.remember(at, load * weight));
    Some(forecaster)
}

/// The same on a thread for what takes long. Gives how long it took, which is the rest that follows it: together they
/// take at most half of one core.
pub async fn apart(lesson: Lesson, clusters: Vec<Past>) -> (Option<Box<Forecaster>>, Duration) {
    let began = Instant::now();
    let learned = spawn_blocking(move || learn(lesson, &clusters)).await;
    // A thread that panicked, or that ends with the process, has learned nothing.
    (learned.ok().flatten(), began.elapsed())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use loadline_policies::forecast::trust::Trust;

    use super::*;
    use crate::history::fake::load;

    const LESSON: Lesson = Lesson { horizon: 5, quantile: 0.95, phase: 0, weight: 0.5 };

    fn clusters(days: i64) -> [Past; 1] {
        let until = Timestamp::from_second(20 * 86_400).unwrap();
        let mut past = Past::new(until, Duration::from_hours(336));
        for minute in 0..days * 1_440 {
            let second = until.as_second() - (minute + 1) * 60;
            // Noise of a percent, as any load has.
            #[expect(clippy::cast_precision_loss, reason = "minutes of days")]
            let noise = 1.0 + 0.01 * (minute as f64 * 12.9898).sin();
            past.keep(Timestamp::from_second(second).unwrap(), load(second) * noise);
        }
        [past]
    }

    #[test]
    fn a_past_of_days_earns_the_trust_that_it_deserves_and_weighs_what_requests_weigh_today() {
        let learned = learn(LESSON, &clusters(6)).unwrap();
        let now = Timestamp::from_second(20 * 86_400).unwrap();
        let forecast = learned.forecast(now).unwrap();
        assert_eq!(forecast.trust, Trust::Full, "{forecast:?}");
        assert!((25.0..35.0).contains(&forecast.expected), "half of the 50 at midnight: {forecast:?}");
    }

    #[test]
    fn nothing_is_learned_of_nothing() {
        assert!(learn(LESSON, &clusters(0)).is_none());
        assert!(learn(LESSON, &[]).is_none());
    }
}
