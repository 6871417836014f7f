//! The ripple that a rate hides: requests arrive unevenly within the minute that a rate is the mean of.
//!
//! Of a mean over n independent steps, the second difference from step to step tells the spread of one step:
//! `σ = n/2 · rms(xₜ - 2xₜ₋₁ + xₜ₋₂)`, since only one step in n comes and one goes.

use std::time::Duration;

use crate::now::Mono;

/// The step, which is HPA's and a usual scrape: finer ripple is the queue's matter.
const STEP: Duration = Duration::from_secs(15);
/// A step that is longer than this tells nothing about its neighbours.
const LONGEST: Duration = Duration::from_secs(45);
/// Half of the steps in a minute, which is the usual window of a rate.
const HALF: f64 = 2.0;
/// Memory, steps: an hour.
const MEMORY: f64 = 240.0;
/// The highest of the steps in a window lies above the highest minute by about so many of their spreads.
const ABOVE: f64 = 1.25;

/// The unevenness of arrivals.
#[derive(Debug, Clone, Default)]
pub(super) struct Ripple {
    /// When the last two loads were seen, newest first.
    before: Option<(Mono, f64, Option<f64>)>,
    square: f64,
    seen: f64,
}

impl Ripple {
    /// A load was seen.
    pub(super) fn see(&mut self, now: Mono, load: f64) {
        let Some((at, one, two)) = self.before else {
            self.before = Some((now, load, None));
            return;
        };
        let passed = now.since(at);
        if passed < STEP {
            return;
        }
        if passed > LONGEST {
            self.before = Some((now, load, None));
            return;
        }
        if let Some(two) = two {
            let second = load - 2.0 * one + two;
            self.seen += 1.0;
            let share = (1.0 - (-1.0 / MEMORY).exp()).max(1.0 / self.seen);
            self.square += share * (second * second - self.square);
        }
        self.before = Some((now, load, Some(one)));
    }

    /// By how much the highest step of a window passes the highest minute.
    pub(super) fn height(&self) -> f64 {
        ABOVE * HALF * self.square.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_arrivals_is_found_under_their_minutes() {
        // Given steps of 15 s that are 100 or 200 by turns of chance (a spread of 50), seen as minutes of four,
        let mut state = 1_u64;
        let steps: Vec<f64> = (0..2_004)
            .map(|_| {
                // Knuth's linear congruential generator.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if state >> 63 == 0 { 100.0 } else { 200.0 }
            })
            .collect();
        let mut ripple = Ripple::default();
        for i in 0..2_000_usize {
            let minute = steps[i..i + 4].iter().sum::<f64>() / 4.0;
            ripple.see(Mono(STEP * u32::try_from(i).unwrap()), minute);
        }
        let spread = ripple.height() / ABOVE;
        assert!((40.0..60.0).contains(&spread), "{spread}");
    }

    #[test]
    fn a_steady_load_has_none_and_a_silence_is_no_ripple() {
        let mut ripple = Ripple::default();
        (0..100).for_each(|i| ripple.see(Mono(STEP * i), 100.0));
        (200..300).for_each(|i| ripple.see(Mono(STEP * i), 900.0));
        assert!(ripple.height() < 1e-9, "{}", ripple.height());
    }
}
