//! What it costs to judge a fleet of 10,000 policies while nothing changes, as a ratio to the bare arithmetic
//! `ceil(W / c)` over the same loads, measured in the same run.
//!
//! Run it with `cargo bench -p loadline-policies --bench judge`.

mod support;

use std::{
    cell::Cell,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use loadline_policies::{fleet::Workload, judge::judge, memory::PolicyMemory};

use support::{PER_REPLICA, at, clusters, workload};

/// Policies in the fleet (elasticity.md §9).
const FLEET: u32 = 10_000;

/// When it begins, seconds since 1970.
const BEGIN: i64 = 1_800_000_000;

/// Runs `body` so many times and keeps the mean of one run.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed(iterations: u64, mean: &Cell<f64>, mut body: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..iterations {
        body();
    }
    let elapsed = start.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "iterations are few")]
    mean.set(elapsed.as_secs_f64() / iterations as f64);
    elapsed
}

fn fleet(c: &mut Criterion) {
    let workloads: Vec<Workload> = (0..FLEET).map(|i| workload(i, at(BEGIN))).collect();
    let clusters = clusters();
    let mut memories = vec![PolicyMemory::default(); workloads.len()];
    let loads: Vec<f64> = (0..FLEET).map(|i| 100.0 + f64::from(i % 1_000)).collect();
    let (judged, bare) = (Cell::new(0.0), Cell::new(0.0));
    let mut seconds = BEGIN;

    let mut group = c.benchmark_group("fleet of 10,000");
    group.sample_size(20);
    group.bench_function("judge", |b| {
        b.iter_custom(|iterations| {
            timed(iterations, &judged, || {
                seconds += 5;
                for (workload, memory) in workloads.iter().zip(&mut memories) {
                    black_box(judge(workload, None, &clusters, memory, at(seconds)));
                }
            })
        });
    });
    group.bench_function("bare ceil(W/c)", |b| {
        b.iter_custom(|iterations| {
            timed(iterations, &bare, || {
                for load in &loads {
                    black_box((black_box(*load) / PER_REPLICA).ceil());
                }
            })
        });
    });
    group.finish();
    println!(
        "fleet of 10,000: judge {:.1} ms, bare ceil(W/c) {:.4} ms, ratio {:.0}",
        judged.get() * 1e3,
        bare.get() * 1e3,
        judged.get() / bare.get()
    );
}

criterion_group!(benches, fleet);
criterion_main!(benches);
