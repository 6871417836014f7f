//! The only source of chance: streams of one seed, one stream per thing, so that no thing's draws shift another's.

use rand::RngExt;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// A stream of chance.
#[derive(Debug, Clone)]
pub(super) struct Chance(ChaCha8Rng);

/// What a stream decides about; part of the stream's number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Topic {
    /// Noise and bursts of traffic.
    Traffic = 0,
    /// Start-up times.
    Pods = 1,
    /// Which pods die, which writes collide.
    Faults = 2,
}

impl Chance {
    /// The stream of `topic` for the `index`th thing of its kind.
    pub(super) fn new(seed: u64, topic: Topic, index: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Four streams per index: topics never meet.
        rng.set_stream((index as u64).wrapping_mul(4).wrapping_add(topic as u64));
        Self(rng)
    }

    /// Uniform in `[0, 1)`.
    pub(super) fn uniform(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    /// A whole number below `n`; 0 when `n` is 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.0.random_range(0..n) }
    }

    /// About standard normal: twelve uniforms less six (Irwin-Hall). Sums only, so it is the same on every
    /// machine.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}
