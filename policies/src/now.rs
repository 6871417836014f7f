//! Time as a value: the wall time that people and cron mean, and a monotonic reading for every dwell.

use std::time::Duration;

use jiff::Timestamp;

/// One moment, seen on two clocks.
///
/// Windows and dwells are measured on `mono`, so that a jump of the wall clock neither shortens nor
/// lengthens them. Schedules and expiries are judged on `wall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall time, UTC.
    pub wall: Timestamp,
    /// Monotonic time since an arbitrary origin that is fixed for the life of the process.
    pub mono: Mono,
}

/// A monotonic moment: the time since an arbitrary, fixed origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize)]
pub struct Mono(pub Duration);

impl Mono {
    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `d` after this one.
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(d))
    }

    /// The moment `d` before this one, or the origin where that would be before it.
    #[must_use]
    pub fn minus(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(d))
    }
}

impl Now {
    /// A moment from a wall time and a monotonic reading.
    #[must_use]
    pub fn new(wall: Timestamp, mono: Duration) -> Self {
        Self { wall, mono: Mono(mono) }
    }

    /// The monotonic moment that corresponds to a wall time kept across a restart (in status).
    ///
    /// A time in the future (the clock was set back) counts as now, so that a dwell that was kept in
    /// status is never shortened by a clock jump.
    #[must_use]
    pub fn mono_of(self, wall: Timestamp) -> Mono {
        let age = Duration::try_from(self.wall.duration_since(wall)).unwrap_or(Duration::ZERO);
        self.mono.minus(age)
    }

    /// The wall time that corresponds to a monotonic moment of this process.
    #[must_use]
    pub fn wall_of(self, mono: Mono) -> Timestamp {
        let (sign, gap) =
            if mono >= self.mono { (1, mono.since(self.mono)) } else { (-1, self.mono.since(mono)) };
        let gap = jiff::SignedDuration::try_from(gap).unwrap_or(jiff::SignedDuration::MAX);
        self.wall.saturating_add(gap * sign).unwrap_or(self.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Now {
        Now::new("2026-03-01T12:00:00Z".parse().unwrap(), Duration::from_secs(1_000))
    }

    #[test]
    fn a_time_from_the_future_counts_as_now() {
        assert_eq!(now().mono_of("2026-03-01T13:00:00Z".parse().unwrap()), now().mono);
    }

    #[test]
    fn wall_and_mono_convert_both_ways() {
        let past = now().mono.minus(Duration::from_secs(90));
        assert_eq!(now().wall_of(past), "2026-03-01T11:58:30Z".parse().unwrap());
        assert_eq!(now().mono_of(now().wall_of(past)), past);
    }
}
