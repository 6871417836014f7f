//! Weighing the load of a large fleet, as a ratio to plainly adding the same numbers up.
//!
//! Run it with `cargo bench -p loadline-policies --bench load`.

use std::{
    cell::Cell,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Bencher, Criterion};
use loadline_policies::{fleet::Histogram, load::weighted::by_latency, policy::LatencyWeights};

/// One histogram for each policy of the largest fleet that Loadline is made for.
const HISTOGRAMS: u32 = 10_000;
/// The default bounds of OpenTelemetry's HTTP histogram: 14, and `+Inf`.
const BOUNDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, f64::INFINITY];

fn main() {
    let fleet: Vec<Histogram> = (0..HISTOGRAMS).map(histogram).collect();
    let weights = LatencyWeights::default();
    let (plain, weighed) = (Cell::new(Duration::MAX), Cell::new(Duration::MAX));
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("load of 10,000 workloads");
    group.bench_function("plain sum", |b| {
        measure(b, &plain, || fleet.iter().flat_map(|h| &h.buckets).map(|bucket| bucket.1).sum());
    });
    group.bench_function("latency-weighted", |b| {
        measure(b, &weighed, || fleet.iter().map(|h| by_latency(h, &weights).weighted).sum());
    });
    group.finish();
    criterion.final_summary();
    let ratio = weighed.get().as_secs_f64() / plain.get().as_secs_f64();
    println!("weighing takes {ratio:.1} times as long as a plain sum of the same buckets");
}

/// A histogram like no other of the fleet: its requests lie around another bucket.
fn histogram(seed: u32) -> Histogram {
    let mut sum = 0.0;
    let buckets = BOUNDS.iter().zip(0_u32..).map(|(&bound, i)| {
        sum += f64::from((seed.wrapping_mul(31) + i.wrapping_mul(17)) % 97);
        (bound, sum)
    });
    Histogram { buckets: buckets.collect() }
}

/// Measures `work`, and keeps the shortest time of one call: what it takes without disturbance.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time; nothing is decided here")]
fn measure(bencher: &mut Bencher<'_>, shortest: &Cell<Duration>, work: impl Fn() -> f64) {
    bencher.iter_custom(|calls| {
        let start = Instant::now();
        for _ in 0..calls {
            black_box(work());
        }
        let took = start.elapsed();
        let calls = u32::try_from(calls).unwrap_or(u32::MAX).max(1);
        shortest.set(shortest.get().min(took / calls));
        took
    });
}
