//! The clock of a running process.

use std::time::Duration;

use jiff::Timestamp;
use loadline_policies::now::Now;

use crate::ports::Clock;

/// Wall time, and a monotonic time that counts suspend: a laptop or a virtual machine that slept must not
/// believe that its permit to write is still good.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now::new(Timestamp::now(), monotonic())
    }
}

fn monotonic() -> Duration {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    // macOS: its monotonic clock counts suspend.
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_never_runs_back() {
        let (first, second) = (SystemClock.now(), SystemClock.now());
        assert!(second.mono >= first.mono);
        assert!(first.mono.0 > Duration::ZERO);
    }
}
