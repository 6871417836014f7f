//! The forecast of one workload: a minute of it, and two weeks at once, as after a start.
//!
//! The baseline of both is remembering the same loads in the history alone: what is above it is the forecast's own.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use loadline_policies::forecast::{Forecaster, history::History};

const DAY: i64 = 1_440;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap_or_default()
}

/// A day between 400 and 1,600 requests per second, with some noise.
fn load(minute: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
    let (time, minute) = (minute.rem_euclid(DAY) as f64 / 1_440.0, minute as f64);
    let noise = ((minute * 12.9898).sin() * 43_758.547).fract();
    (1_000.0 - 600.0 * (std::f64::consts::TAU * time).cos()) * (1.0 + 0.03 * noise)
}

fn forecaster(days: i64) -> Forecaster {
    let mut forecaster = Forecaster::new(5, 0.95, 0);
    (0..days * DAY).for_each(|minute| forecaster.remember(at(minute), load(minute)));
    forecaster
}

fn minute(c: &mut Criterion) {
    let mut group = c.benchmark_group("a minute of one workload");
    group.throughput(Throughput::Elements(1));
    let mut history = History::default();
    let mut now = 0;
    group.bench_function("baseline: remembered only", |b| {
        b.iter(|| {
            now += 1;
            history.record(at(now), black_box(load(now)));
        });
    });
    let mut forecaster = forecaster(9);
    let mut now = 9 * DAY;
    group.bench_function("forecast", |b| {
        b.iter(|| {
            now += 1;
            forecaster.remember(at(now), black_box(load(now)));
        });
    });
    group.finish();
}

fn two_weeks(c: &mut Criterion) {
    let mut group = c.benchmark_group("two weeks of one workload");
    group.sample_size(10);
    group.bench_function("baseline: remembered only", |b| {
        b.iter(|| {
            let mut history = History::default();
            (0..14 * DAY).for_each(|minute| history.record(at(minute), load(minute)));
            history
        });
    });
    group.bench_function("forecast", |b| b.iter(|| forecaster(14)));
    group.finish();
}

criterion_group!(benches, minute, two_weeks);
criterion_main!(benches);
