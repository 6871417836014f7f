//! What it costs to judge a fleet of 10,000 policies while nothing changes, as a ratio to the bare arithmetic
//! `ceil(W / c)` over the same loads, measured in the same run.
//!
//! Run it with `cargo bench -p loadline-policies --bench judge`.

use std::{
    cell::Cell,
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use loadline_policies::{
    fleet::{Cluster, ClusterState, Histogram, Instance, LoadSample, ObjectVersion, Workload},
    ids::{ClusterId, PolicyKey, Target},
    judge::judge,
    memory::PolicyMemory,
    now::Now,
    policy::{
        Band, Behaviour, Bounds, Capacity, Fallback, FallbackPolicy, LatencyObjective, LatencyWeights, Load,
        Mode, Pause, PerReplica, Policy, Weights,
    },
    reading::Reading,
};

/// Policies in the fleet (elasticity.md §9).
const FLEET: u32 = 10_000;

/// Weighted requests per second of one replica.
const PER_REPLICA: f64 = 100.0;

fn at(seconds: u64) -> Now {
    let since =
        jiff::SignedDuration::try_from(Duration::from_secs(1_800_000_000 + seconds)).unwrap_or_default();
    let wall = jiff::Timestamp::UNIX_EPOCH + since;
    Now::new(wall, Duration::from_secs(100_000 + seconds))
}

/// A histogram as OpenTelemetry's HTTP semantic conventions give it: 14 bounds and `+Inf`.
fn histogram(rate: f64) -> Histogram {
    let bounds =
        [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, f64::INFINITY];
    let buckets = bounds.iter().map(|bound: &f64| (*bound, rate * (1.0 - (-bound * 30.0).exp()))).collect();
    Histogram { buckets }
}

fn workload(i: u32, now: Now) -> Workload {
    let rate = 100.0 + f64::from(i % 1_000);
    let replicas = 3 + i % 20;
    let name = format!("service-{i}");
    let sample = LoadSample {
        window: Duration::from_mins(1),
        histogram: Some(histogram(rate)),
        endpoints: BTreeMap::new(),
        requests: rate,
        backlog: None,
    };
    let instance = Instance {
        wanted: replicas,
        current: replicas,
        ready: replicas,
        rolling_out: false,
        template: None,
        footprint: None,
        cpu: None,
        version: ObjectVersion { uid: name.clone(), resource_version: "1".to_owned() },
        load: Ok(Reading::complete(sample.clone(), now.wall)),
        burst: Some(Ok(Reading::complete(sample, now.wall))),
    };
    Workload {
        policy: Policy {
            key: PolicyKey::new("bench", &name),
            uid: name.clone(),
            generation: 1,
            target: Target::new("apps/v1", "Deployment", "bench", &name),
            mode: Mode::Active,
            pause: Pause::default(),
            bounds: Bounds { min: 1, max: 400 },
            load: Load {
                profile: "otel-http".to_owned(),
                weights: Weights::Latency(LatencyWeights::default()),
            },
            objective: Some(LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) }),
            capacity: Capacity {
                per_replica: PerReplica::Declared(PER_REPLICA),
                redundancy: Band { min: 1.1, max: 1.6 },
            },
            schedules: Vec::new(),
            events: Vec::new(),
            triggers: Vec::new(),
            behaviour: Behaviour::hpa_default(),
            fallback: Fallback { after: Duration::from_mins(3), policy: FallbackPolicy::Hold },
            activation: None,
            forecast: loadline_policies::policy::Forecasting::default(),
        },
        instances: BTreeMap::from([(ClusterId::local(), Ok(instance))]),
        triggers: BTreeMap::new(),
        contenders: Vec::new(),
    }
}

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
    let now = at(0);
    let workloads: Vec<Workload> = (0..FLEET).map(|i| workload(i, now)).collect();
    let clusters = BTreeMap::from([(ClusterId::local(), Cluster { state: ClusterState::Healthy })]);
    let mut memories = vec![PolicyMemory::default(); workloads.len()];
    let loads: Vec<f64> = (0..FLEET).map(|i| 100.0 + f64::from(i % 1_000)).collect();
    let (judged, bare) = (Cell::new(0.0), Cell::new(0.0));
    let mut seconds = 0;

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
