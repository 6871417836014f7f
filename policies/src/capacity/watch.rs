//! The watch: which windows teach anything, and what.
//!
//! ```text
//! window     1        2        3        4        5        6
//! latency    healthy  healthy  slow     slow     slow     healthy
//! teaches    at least at least a knee   nothing  nothing  at least
//! ```
//!
//! One window is one sample: rates of overlapping windows are the same evidence told twice. A window tells what one
//! replica did only while the replicas stayed the same for all of it.

use std::time::Duration;

use super::is_plausible;
use crate::{load::settling, memory::ReadyCount, now::Mono};

/// By how much the ready replicas may differ within a window, as a share: one that comes and goes among many.
const STEADY: f64 = 0.05;

/// A window that may teach: complete, fresh, outside of a roll-out, with no young replica.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Weighted requests per second, after the κ guard.
    pub work: f64,
    /// The load that made the slow requests slow, where the short window saw more; else the same.
    pub peak: f64,
    /// Ready replicas.
    pub ready: u32,
    /// Those of them whose requests are missing from `work`.
    pub silent: u32,
    /// What the rates are over.
    pub length: Duration,
    /// Whether latency met its objective; `None` where nobody can tell.
    pub healthy: Option<bool>,
}

/// What a window teaches, in weighted requests per second and replica.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lesson {
    /// One replica bears at least this.
    Healthy(f64),
    /// At this, latency became unhealthy.
    Knee(f64),
    /// Latency is unhealthy, and was before: an overloaded window is not to be trusted.
    Overloaded,
}

/// What must be known of the windows before.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Watch {
    /// Since when the ready replicas have been steady, and how many.
    steady: Option<ReadyCount>,
    /// The last sample, and whether latency was healthy.
    last: Option<(Mono, bool)>,
}

impl Watch {
    /// Since when the ready replicas have been steady, and how many.
    pub(super) fn steady(&self) -> Option<ReadyCount> {
        self.steady
    }

    /// Looks at the window that ends now. `None` stands for one that cannot be trusted at all.
    pub(super) fn look(&mut self, window: Option<Window>, now: Mono) -> Option<Lesson> {
        let Some((window, healthy)) = window.and_then(|w| Some((w, w.healthy?))) else {
            *self = Self::default();
            return None;
        };
        let steady = self.steady.filter(|s| is_steady(s.replicas, window.ready));
        let steady = *self.steady.insert(steady.unwrap_or(ReadyCount { at: now, replicas: window.ready }));
        if now.since(steady.at) < settling::whole(window.length) {
            self.last = None;
            return None;
        }
        let before = self.last;
        if before.is_some_and(|(at, _)| now.since(at) < window.length) {
            return None;
        }
        self.last = Some((now, healthy));
        // The more replicas, the less each of them did: the estimate is never too high for the count.
        let heard = steady.replicas.max(window.ready).saturating_sub(window.silent);
        let each = |load: f64| Some(load / f64::from(heard)).filter(|work| is_plausible(*work));
        let was_healthy = before.is_some_and(|(at, was)| was && now.since(at) < window.length * 2);
        match (healthy, was_healthy) {
            (true, _) => each(window.work).map(Lesson::Healthy),
            (false, true) => each(window.peak.max(window.work)).map(Lesson::Knee),
            (false, false) => Some(Lesson::Overloaded),
        }
    }
}

fn is_steady(before: u32, now: u32) -> bool {
    f64::from(before.abs_diff(now)) <= STEADY * f64::from(before)
}

#[cfg(test)]
mod tests {
    use super::{
        Lesson::{Healthy, Knee, Overloaded},
        *,
    };

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(1_000 + seconds))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what is looked at")]
    fn window(work: f64, ready: u32, healthy: bool) -> Option<Window> {
        Some(Window { work, peak: work, ready, silent: 0, length: MINUTE, healthy: Some(healthy) })
    }

    /// What ten steady replicas teach, window by window.
    fn lessons(windows: &[(f64, bool)]) -> Vec<Option<Lesson>> {
        let mut watch = Watch::default();
        assert_eq!(watch.look(window(100.0, 10, true), at(0)), None, "the first window is not seen whole");
        let times = (0..).map(|i| at(120 + 60 * i));
        windows
            .iter()
            .zip(times)
            .map(|(&(work, healthy), t)| watch.look(window(work, 10, healthy), t))
            .collect()
    }

    #[test]
    fn only_the_onset_of_slowness_is_a_knee() {
        let got = lessons(&[(500.0, true), (700.0, false), (900.0, false), (650.0, true)]);
        assert_eq!(got, [Some(Healthy(50.0)), Some(Knee(70.0)), Some(Overloaded), Some(Healthy(65.0))]);
    }

    #[test]
    fn what_was_slow_when_first_seen_is_no_onset() {
        assert_eq!(lessons(&[(900.0, false)]), [Some(Overloaded)]);
    }

    #[test]
    fn a_window_is_one_sample_however_often_it_is_looked_at() {
        let mut watch = Watch::default();
        let taught = (0..=600).step_by(5).filter(|t| watch.look(window(500.0, 10, true), at(*t)).is_some());
        // The first comes when a window was seen whole, after 90 s; then one a minute.
        assert_eq!(taught.collect::<Vec<_>>(), (90..=600).step_by(60).collect::<Vec<_>>());
    }

    #[test]
    fn after_a_scale_in_or_a_doubt_a_whole_window_must_pass() {
        let mut watch = Watch::default();
        let mut look = |w, t| watch.look(w, at(t));
        look(window(500.0, 10, true), 0);
        assert!(look(window(500.0, 10, true), 100).is_some());
        // The load of five minutes ago, on ten, would read as twice the work of each.
        assert_eq!(look(window(500.0, 5, true), 160), None);
        assert_eq!(look(window(500.0, 5, true), 245), None);
        assert_eq!(look(window(500.0, 5, true), 250), Some(Healthy(100.0)));
        assert_eq!(look(None, 310), None);
        assert_eq!(look(window(900.0, 5, false), 315), None);
        assert_eq!(look(window(900.0, 5, false), 420), Some(Overloaded), "the onset was not seen");
    }

    #[test]
    fn one_replica_that_comes_and_goes_among_many_is_no_change() {
        let mut watch = Watch::default();
        let taught: Vec<_> = (0..=600)
            .step_by(10)
            .filter_map(|t| watch.look(window(4_000.0, if t % 40 < 20 { 40 } else { 39 }, true), at(t)))
            .collect();
        assert!(taught.len() >= 8, "{taught:?}");
        assert!(taught.iter().all(|lesson| *lesson == Healthy(100.0)), "{taught:?}");
    }

    #[test]
    fn the_requests_of_silent_replicas_are_missing_and_so_are_they() {
        let mut watch = Watch::default();
        let partly = window(900.0, 20, true).map(|w| Window { silent: 2, ..w });
        watch.look(partly, at(0));
        assert_eq!(watch.look(partly, at(90)), Some(Healthy(50.0)));
    }
}
