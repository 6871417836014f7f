//! The permit: the right to write, with a deadline, checked before every send.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use loadline_policies::now::Mono;

use crate::ports::Clock;

/// The right to write, derived from the lease; every holder of a clone sees the same deadline.
#[derive(Clone)]
pub struct Permit {
    /// Nanoseconds of the clock; 0 when there is none.
    deadline: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    write_timeout: Duration,
}

/// The permit has ended, or ends before a write could be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this process may not write now: it does not hold the lease, or could not renew it in time")]
pub struct PermitLapsed;

/// One send that was permitted: it must be over at `until`.
#[derive(Clone)]
pub struct Window {
    until: Mono,
    clock: Arc<dyn Clock>,
}

impl Permit {
    /// No permit yet. `write_timeout` is the longest that one write may take.
    pub fn new(clock: Arc<dyn Clock>, write_timeout: Duration) -> Self {
        Self { deadline: Arc::default(), clock, write_timeout }
    }

    /// Sets the deadline; `None` takes the permit away at once.
    pub fn set(&self, deadline: Option<Mono>) {
        let nanos = deadline.map_or(0, |d| u64::try_from(d.0.as_nanos()).unwrap_or(0));
        self.deadline.store(nanos, Ordering::SeqCst);
    }

    /// Permission for one send now.
    ///
    /// # Errors
    /// When there is no permit, or less of it is left than a write may take.
    pub fn window(&self) -> Result<Window, PermitLapsed> {
        let until = self.clock.now().mono.plus(self.write_timeout);
        let deadline = Mono(Duration::from_nanos(self.deadline.load(Ordering::SeqCst)));
        if until > deadline {
            return Err(PermitLapsed);
        }
        Ok(Window { until, clock: Arc::clone(&self.clock) })
    }

    /// Whether a write could begin now.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.window().is_ok()
    }

    /// The longest that one write may take.
    #[must_use]
    pub const fn write_timeout(&self) -> Duration {
        self.write_timeout
    }
}

impl Window {
    /// Whether the send had to be over by now (the process was stopped or suspended meanwhile).
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.clock.now().mono >= self.until
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;
    use loadline_policies::now::Now;

    use super::*;

    struct Set(Mutex<u64>);

    impl Clock for Set {
        fn now(&self) -> Now {
            Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(*self.0.lock().unwrap()))
        }
    }

    fn at(secs: u64) -> Mono {
        Mono(Duration::from_secs(secs))
    }

    #[test]
    fn a_write_begins_only_when_it_can_end_before_the_deadline() {
        let clock = Arc::new(Set(Mutex::new(100)));
        let permit = Permit::new(clock.clone(), Duration::from_secs(5));
        assert!(!permit.is_valid(), "no permit yet");
        permit.set(Some(at(114)));
        assert!(permit.is_valid());
        *clock.0.lock().unwrap() = 109;
        assert!(permit.is_valid(), "exactly enough is left");
        *clock.0.lock().unwrap() = 110;
        assert!(!permit.is_valid());
        permit.set(Some(at(200)));
        assert!(permit.is_valid(), "renewed");
        permit.clone().set(None);
        assert!(!permit.is_valid(), "taken away from all clones");
    }

    #[test]
    fn a_send_that_slept_through_its_window_is_over() {
        let clock = Arc::new(Set(Mutex::new(100)));
        let permit = Permit::new(clock.clone(), Duration::from_secs(5));
        permit.set(Some(at(114)));
        let window = permit.window().ok().unwrap();
        assert!(!window.is_over());
        *clock.0.lock().unwrap() = 160;
        assert!(window.is_over());
    }
}
