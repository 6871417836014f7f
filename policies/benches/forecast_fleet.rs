//! The forecasts of a fleet of 10,000 workloads: learning two weeks of each on all processors, what they keep in memory,
//! and what the minutes of a fleet that runs cost.
//!
//! The baseline, in the same run, is making the same loads and summing them up: what is above it is the learning.
//!
//! Run it with `cargo bench -p loadline-policies --bench forecast_fleet`; `SERIES=1000` for a shorter one.

mod support;

use std::{
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use loadline_policies::{fleet::Workload, forecast::Forecaster, judge::judge, memory::PolicyMemory};

const DAY: i64 = 1_440;
const DAYS: i64 = 14;
/// The last days are known by the minute, those before by five minutes: as history is loaded.
const FINE: i64 = 2;
/// Minutes of which every tick is measured.
const TICKED: i64 = 100;
/// After a restart so many are learned first.
const NEWEST: i64 = 3;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap_or_default()
}

/// A day between 400 and 1,600 requests per second, at another hour for each workload, with some noise.
fn load(series: usize, minute: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let (time, minute, series) = (minute.rem_euclid(DAY) as f64 / 1_440.0, minute as f64, series as f64);
    let noise = (((minute + 17.0 * series) * 12.9898).sin() * 43_758.547).fract();
    let phase = std::f64::consts::TAU * (time + series / 24.0);
    (1_000.0 - 600.0 * phase.cos()) * (1.0 + 0.03 * noise)
}

/// The minutes of the newest days of two weeks at which a load is known.
fn minutes(days: i64) -> impl Iterator<Item = i64> {
    let fine = (DAYS - FINE) * DAY;
    ((DAYS - days) * DAY..fine).filter(|minute| minute % 5 == 2).chain(fine..DAYS * DAY)
}

fn learned(series: usize, days: i64) -> Forecaster {
    let phase = u32::try_from(series).unwrap_or_default();
    let mut forecaster = Forecaster::new(5, 0.95, phase);
    minutes(days).for_each(|minute| forecaster.remember(at(minute), load(series, minute)));
    forecaster
}

/// After a restart: how long the newest three days take to be learned, and what was learned to take the place of what
/// has seen the last twenty minutes; of each.
fn start_again(series: usize) -> (Duration, Duration) {
    let (mut learning, mut handing_over) = (Duration::ZERO, Duration::ZERO);
    let each = |sum: Duration| sum / u32::try_from(series.max(1)).unwrap_or(u32::MAX);
    for number in 0..series {
        let mut live = Forecaster::new(5, 0.95, 0);
        for minute in DAYS * DAY..DAYS * DAY + 20 {
            live.remember(at(minute), load(number, minute));
        }
        let start = now();
        let mut learned = learned(number, NEWEST);
        learning += start.elapsed();
        let start = now();
        learned.take_over(&live);
        handing_over += start.elapsed();
        std::hint::black_box(learned);
    }
    (each(learning), each(handing_over))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// Resident memory of this process, MiB; `None` where the system does not tell.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1_024.0)
}

/// Learns all series on all processors, and keeps what was learned.
fn learn_all(series: usize) -> (Vec<Forecaster>, Duration, usize) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let start = now();
    let all = thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= series {
                    return mine;
                }
                mine.push(learned(number, DAYS));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    (all, start.elapsed(), threads)
}

/// How long the judgement of each sync of 15 s takes for all workloads, one after the other: most forecasters only
/// compare, at the turn of a minute all learn. `forecasters` are those of the workloads, or none.
fn tick(series: usize, forecasters: Vec<Forecaster>) -> Vec<Duration> {
    let begin = DAYS * DAY * 60;
    let clusters = support::clusters();
    let mut forecasters = forecasters.into_iter();
    let mut fleet: Vec<(Workload, PolicyMemory)> = (0..series)
        .map(|number| {
            let forecaster = forecasters.next().map(Box::new);
            let workload = support::workload(u32::try_from(number).unwrap_or_default(), support::at(begin));
            // A memory of another policy would be dropped.
            let uid = workload.policy.uid.clone();
            (workload, PolicyMemory { uid, forecaster, ..PolicyMemory::default() })
        })
        .collect();
    let mut took = Vec::new();
    for second in (begin..begin + TICKED * 60).step_by(15) {
        let at = support::at(second);
        for (number, (workload, _)) in fleet.iter_mut().enumerate() {
            support::offer(workload, load(number, second / 60), at);
        }
        let start = now();
        let wanted: Vec<u32> = fleet
            .iter_mut()
            .map(|(workload, memory)| judge(workload, None, &clusters, memory, at).0.desired)
            .collect();
        took.push(start.elapsed());
        fleet.iter_mut().zip(wanted).for_each(|((workload, _), n)| support::scale(workload, n));
    }
    took.sort_unstable();
    took
}

fn say(what: &str, took: &[Duration]) {
    let at = |share: usize| took.get((took.len() - 1) * share / 100).map_or(0.0, |d| d.as_secs_f64() * 1e3);
    println!("{what}: median {:.1} ms, p99 {:.1} ms, max {:.1} ms", at(50), at(99), at(100));
}

fn main() {
    let series: usize = std::env::var("SERIES").ok().and_then(|s| s.parse().ok()).unwrap_or(10_000);
    let before = resident();
    let (forecasters, took, threads) = learn_all(series);
    let after = resident();
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let count = series as f64;
    let each = took.as_secs_f64() * f64::from(u32::try_from(threads).unwrap_or(1)) / count;
    println!(
        "{series} series × {DAYS} days learned in {:.1} s on {threads} threads: {:.2} ms each",
        took.as_secs_f64(),
        each * 1e3
    );
    if let (Some(before), Some(after)) = (before, after) {
        println!("memory: {:.0} MiB, {:.1} KiB each", after - before, (after - before) * 1_024.0 / count);
    }
    // The baseline: generating and touching the same loads without learning from them.
    let start = now();
    let sum: f64 = (0..series / 10).flat_map(|s| minutes(DAYS).map(move |minute| load(s, minute))).sum();
    let bare = start.elapsed().as_secs_f64() / (count / 10.0);
    println!(
        "baseline, the same loads summed up: {:.2} ms each ({sum:.0}); ratio {:.1}",
        bare * 1e3,
        each / bare
    );
    let (learning, handing_over) = start_again(series / 10);
    println!(
        "the newest {NEWEST} days alone: {:.2} ms each; handed over after 20 minutes: {:.3} ms each",
        learning.as_secs_f64() * 1e3,
        handing_over.as_secs_f64() * 1e3
    );
    say("a tick of all with forecasts, one thread", &tick(series, forecasters));
    say("baseline, the same with forecasts that have seen nothing", &tick(series, Vec::new()));
}
