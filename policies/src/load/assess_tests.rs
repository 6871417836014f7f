//! Stories of the assessment.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    fleet::{ObjectVersion, TargetProblem},
    ids::{ClusterId, PolicyKey, Target},
    policy::{
        Band, Behaviour, Bounds, Capacity, Fallback, FallbackPolicy, LatencyWeights, Load, Mode, Pause,
        PerReplica, Policy, Rules, Select,
    },
    reading::Observed,
};

const WINDOW: Duration = Duration::from_mins(2);

fn now() -> Now {
    Now::new("2026-03-01T12:00:00Z".parse().unwrap(), Duration::from_hours(10))
}

fn rules() -> Rules {
    Rules {
        stabilization_window: Duration::ZERO,
        policies: Vec::new(),
        select: Select::Max,
        tolerance: None,
        max_step: None,
        dwell: Duration::ZERO,
    }
}

fn policy(weights: Weights) -> Policy {
    Policy {
        key: PolicyKey::new("shop", "checkout"),
        uid: "u-1".into(),
        generation: 1,
        target: Target::new("apps/v1", "Deployment", "shop", "checkout"),
        mode: Mode::Active,
        pause: Pause::default(),
        bounds: Bounds { min: 1, max: 100 },
        load: Load { profile: "otel-http".into(), weights },
        objective: None,
        capacity: Capacity {
            per_replica: PerReplica::Declared(100.0),
            redundancy: Band { min: 1.1, max: 1.6 },
        },
        schedules: Vec::new(),
        events: Vec::new(),
        triggers: Vec::new(),
        behaviour: Behaviour { up: rules(), down: rules() },
        fallback: Fallback { after: Duration::from_mins(3), policy: FallbackPolicy::Hold },
        activation: None,
        forecast: crate::policy::Forecasting::default(),
    }
}

fn sample(requests: f64) -> LoadSample {
    LoadSample { window: WINDOW, histogram: None, endpoints: BTreeMap::new(), requests, backlog: None }
}

/// Requests of one latency section of `CudgX`: all at or under `bound` and above the bound before it.
fn timed(requests: f64, bound: f64) -> LoadSample {
    let bounds = [0.01, 0.05, 0.1, 0.5, 1.0, f64::INFINITY];
    let pairs = bounds.map(|b| (b, if b >= bound { requests } else { 0.0 }));
    LoadSample { histogram: Some(Histogram::from_rates(pairs).unwrap()), ..sample(requests) }
}

#[expect(clippy::unnecessary_wraps, reason = "it is what an instance holds")]
fn read(value: LoadSample, reporting: u32, expected: u32) -> Observed<LoadSample> {
    let observed_at = "2026-03-01T11:59:55Z".parse().unwrap();
    Ok(Reading { value, observed_at, coverage: Coverage { reporting, expected } })
}

fn instance(ready: u32, load: Observed<LoadSample>) -> Instance {
    Instance {
        wanted: ready,
        current: ready,
        ready,
        rolling_out: false,
        template: None,
        footprint: None,
        cpu: None,
        version: ObjectVersion { uid: "d-1".into(), resource_version: "7".into() },
        load,
        burst: None,
    }
}

fn workload(weights: Weights, instances: Vec<(&str, Instance)>) -> Workload {
    Workload {
        policy: Arc::new(policy(weights)),
        instances: instances.into_iter().map(|(id, i)| (ClusterId::new(id), Ok(i))).collect(),
        triggers: BTreeMap::new(),
        contenders: Vec::new(),
    }
}

fn latency() -> Weights {
    Weights::Latency(LatencyWeights::default())
}

fn fresh(workload: &Workload) -> Assessment {
    assess(workload, &mut PolicyMemory::default(), now())
}

fn weighted(demand: Option<Demand>) -> Option<f64> {
    demand.map(|d| (d.weighted * 1e6).round() / 1e6)
}

#[test]
fn a_complete_reading_sizes_up_and_down_alike() {
    let got = fresh(&workload(Weights::Plain, vec![("local", instance(10, read(sample(500.0), 10, 10)))]));
    assert_eq!(weighted(got.up), Some(500.0));
    assert_eq!(got.down, got.up);
    assert_eq!(got.per_replica, Some(100.0));
    assert_eq!(got.up.unwrap().age, Duration::from_secs(5));
    assert_eq!((got.doubts, got.no_scale_in, got.burst), (vec![], None, None));
}

#[test]
fn a_few_silent_replicas_count_as_zero_up_and_as_fully_loaded_down() {
    let got = fresh(&workload(Weights::Plain, vec![("local", instance(20, read(sample(500.0), 18, 20)))]));
    assert_eq!(weighted(got.up), Some(500.0));
    assert_eq!(weighted(got.down), Some(700.0));
    assert_eq!(got.doubts, []);
}

#[test]
fn half_of_the_replicas_silent_is_a_doubt_that_forbids_the_way_down() {
    let got = fresh(&workload(Weights::Plain, vec![("local", instance(10, read(sample(500.0), 5, 10)))]));
    assert_eq!(weighted(got.up), Some(500.0));
    assert_eq!(got.down, None);
    let partial = Doubt::Partial(Coverage { reporting: 5, expected: 10 });
    assert_eq!(got.doubts, [("local".to_owned(), partial)]);
}

#[test]
fn unready_replicas_count_as_fully_loaded_on_the_way_down_only() {
    let starting = Instance { current: 13, ..instance(10, read(sample(500.0), 10, 10)) };
    let got = fresh(&workload(Weights::Plain, vec![("local", starting)]));
    assert_eq!(weighted(got.up), Some(500.0));
    assert_eq!(weighted(got.down), Some(800.0));
}

#[test]
fn nobody_can_count_a_silent_replica_whose_capacity_is_not_known() {
    let mut w = workload(Weights::Plain, vec![("local", instance(20, read(sample(500.0), 19, 20)))]);
    Arc::make_mut(&mut w.policy).capacity.per_replica = PerReplica::Learned;
    let got = fresh(&w);
    assert_eq!((got.down, got.per_replica), (None, None));
    assert_eq!(got.doubts.len(), 1);
}

#[test]
fn a_cluster_in_doubt_leaves_what_is_certain_elsewhere_and_forbids_the_way_down() {
    let stale = Doubt::Stale { age: Duration::from_mins(1) };
    let got = fresh(&workload(
        Weights::Plain,
        vec![("east", instance(10, read(sample(500.0), 10, 10))), ("west", instance(10, Err(stale.clone())))],
    ));
    assert_eq!(weighted(got.up), Some(500.0));
    assert_eq!(got.down, None);
    assert_eq!(got.doubts, [("west".to_owned(), stale)]);
}

#[test]
fn nothing_read_anywhere_is_no_demand_at_all() {
    let got = fresh(&workload(Weights::Plain, vec![("local", instance(10, Err(Doubt::TimedOut)))]));
    assert_eq!((got.up, got.down, got.burst), (None, None, None));
}

#[test]
fn loads_of_clusters_add_up_with_the_age_of_the_oldest() {
    let old = Reading {
        observed_at: "2026-03-01T11:59:30Z".parse().unwrap(),
        ..read(sample(300.0), 5, 5).unwrap()
    };
    let got = fresh(&workload(
        Weights::Plain,
        vec![("east", instance(5, read(sample(500.0), 5, 5))), ("west", instance(5, Ok(old)))],
    ));
    let up = got.up.unwrap();
    assert!((up.weighted - 800.0).abs() < 1e-9);
    assert_eq!(up.age, Duration::from_secs(30));
}

#[test]
fn a_target_that_is_not_there_is_no_doubt_about_load() {
    let mut w = workload(Weights::Plain, vec![("east", instance(5, read(sample(500.0), 5, 5)))]);
    w.instances.insert(ClusterId::new("west"), Err(TargetProblem::Missing));
    let got = fresh(&w);
    assert_eq!(got.doubts, []);
    assert_eq!(weighted(got.down), Some(500.0));
}

#[test]
fn a_trigger_in_doubt_forbids_the_way_down() {
    let mut w = workload(Weights::Plain, vec![("local", instance(5, read(sample(500.0), 5, 5)))]);
    w.triggers.insert("backlog".into(), Err(Doubt::EmptyVector));
    let got = fresh(&w);
    assert_eq!((weighted(got.up), got.down), (Some(500.0), None));
    assert_eq!(got.doubts, [("backlog".to_owned(), Doubt::EmptyVector)]);
}

#[test]
fn a_burst_raises_and_its_absence_does_not() {
    // given 100 requests/s over the long window
    let burst = |rate| {
        let short = LoadSample { window: Duration::from_secs(20), ..sample(rate) };
        let quick = Instance { burst: Some(read(short, 5, 5)), ..instance(5, read(sample(100.0), 5, 5)) };
        fresh(&workload(Weights::Plain, vec![("local", quick)]))
    };
    // then 2,600 requests in 20 s are a burst, 2,050 are chance, and 200 lower nothing
    assert_eq!(weighted(burst(130.0).burst), Some(130.0));
    assert_eq!(burst(102.5).burst, None);
    assert_eq!(burst(10.0).burst, None);
    assert_eq!(weighted(burst(10.0).up), Some(100.0));
}

#[test]
fn a_burst_of_light_requests_that_weighs_less_than_the_long_window_raises_nothing() {
    // given 100 requests/s of weight 2 over the long window, and 500 of weight 0.1 in the last 20 s
    let short = LoadSample { window: Duration::from_secs(20), ..timed(500.0, 0.01) };
    let steady = instance(5, read(timed(100.0, 0.1), 5, 5));
    let quick = Instance { burst: Some(read(short, 5, 5)), ..steady };
    let baseline = Some(WeightBaseline { mean: 2.0, at: now().mono, learned: WINDOW });
    let mut memory = PolicyMemory { baseline, ..PolicyMemory::default() };
    let got = assess(&workload(latency(), vec![("local", quick)]), &mut memory, now());
    // then the long window's 200 stand
    assert_eq!((weighted(got.up), got.burst), (Some(200.0), None));
}

#[test]
fn a_short_window_in_doubt_forbids_the_way_down_and_names_its_cluster() {
    let quick = || Instance { burst: Some(Err(Doubt::NotANumber)), ..instance(5, read(sample(9.0), 5, 5)) };
    let one = fresh(&workload(Weights::Plain, vec![("local", quick())]));
    assert_eq!((one.down, one.doubts[0].0.as_str()), (None, "burst"));
    let two = fresh(&workload(Weights::Plain, vec![("east", quick()), ("west", quick())]));
    assert_eq!(two.doubts[1].0, "burst in west");
}

#[test]
fn a_short_window_that_only_counts_requests_is_no_doubt() {
    // given latency weights and a source whose short window has no histogram
    let short = LoadSample { window: Duration::from_secs(20), ..sample(400.0) };
    let steady = instance(5, read(timed(100.0, 0.05), 5, 5));
    let quick = Instance { burst: Some(read(short, 5, 5)), ..steady };
    let got = fresh(&workload(latency(), vec![("local", quick)]));
    // then its requests weigh as those of the long window
    assert_eq!((weighted(got.burst), got.doubts), (Some(200.0), vec![]));
    assert_eq!(weighted(got.down), Some(50.0));
}

#[test]
fn saturation_is_sized_at_half_more_than_the_healthy_weight_and_removes_nothing() {
    // given a service that was learned at 0.5 a request
    let mut memory = PolicyMemory::default();
    let well = workload(latency(), vec![("local", instance(10, read(timed(1_000.0, 0.05), 10, 10)))]);
    let first = assess(&well, &mut memory, now());
    assert_eq!(first.no_scale_in.unwrap().code, ReasonCode::NoBaseline);
    let second = assess(&well, &mut memory, now());
    assert_eq!((second.no_scale_in, weighted(second.up)), (None, Some(500.0)));
    // when all its requests take more than 500 ms
    let ill = workload(latency(), vec![("local", instance(10, read(timed(1_000.0, 1.0), 10, 10)))]);
    let got = assess(&ill, &mut memory, now());
    // then W is 8,000, sized are 750, and the baseline has not moved
    let up = got.up.unwrap();
    assert!((up.raw - 8_000.0).abs() < 1e-6 && (up.weighted - 750.0).abs() < 1e-6 && up.capped);
    assert_eq!(got.no_scale_in.unwrap().code, ReasonCode::WeightCapped);
    assert!((memory.baseline.unwrap().mean - 0.5).abs() < 1e-9);
}

#[test]
fn nothing_is_learned_while_rolling_out_or_with_silent_replicas() {
    let load = || read(timed(1_000.0, 0.05), 10, 10);
    let rolling = Instance { rolling_out: true, ..instance(10, load()) };
    let silent = instance(20, read(timed(1_000.0, 0.05), 15, 20));
    let in_doubt = vec![("east", instance(10, load())), ("west", instance(10, Err(Doubt::TimedOut)))];
    for instances in [vec![("local", rolling)], vec![("local", silent)], in_doubt] {
        let mut memory = PolicyMemory::default();
        let _ = assess(&workload(latency(), instances), &mut memory, now());
        assert_eq!(memory.baseline, None);
    }
}

#[test]
fn one_broken_exporter_of_twenty_stops_neither_learning_nor_the_latency_term() {
    let mut w = workload(latency(), vec![("local", instance(20, read(timed(1_000.0, 0.05), 19, 20)))]);
    Arc::make_mut(&mut w.policy).objective =
        Some(LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) });
    let mut memory = PolicyMemory::default();
    assert_eq!(assess(&w, &mut memory, now()).latency_term, LatencyTerm::Fine);
    assert!((memory.baseline.unwrap().mean - 0.5).abs() < 1e-9);
}

#[test]
fn the_objective_is_judged_over_all_clusters_and_not_in_doubt() {
    // given a slow west and a fast east, at half of the capacity
    let mut w = workload(
        Weights::Plain,
        vec![
            ("east", instance(10, read(timed(500.0, 0.05), 10, 10))),
            ("west", instance(10, read(timed(500.0, 1.0), 10, 10))),
        ],
    );
    Arc::make_mut(&mut w.policy).objective =
        Some(LatencyObjective { quantile: 0.9, target: Duration::from_millis(250) });
    let mut memory = PolicyMemory::default();
    assert_eq!(assess(&w, &mut memory, now()).latency_term, LatencyTerm::NotJudged, "it is watched first");
    let got = assess(&w, &mut memory, Now { mono: now().mono.plus(WINDOW), ..now() });
    // then the 0.9 quantile of all is at 4/5 of the way from 0.5 to 1 s
    assert!((got.latency.unwrap() - 0.9).abs() < 1e-9, "{:?}", got.latency);
    assert!(matches!(got.latency_term, LatencyTerm::ScaleOut { .. }));
    // when one of them rolls out, or a trigger is in doubt, it is shown and not judged
    let mut doubtful = w.clone();
    doubtful.triggers.insert("backlog".into(), Err(Doubt::EmptyVector));
    for i in w.instances.iter_mut().filter_map(|(_, i)| i.as_mut().ok()) {
        i.rolling_out = true;
    }
    for w in [w, doubtful] {
        let got = fresh(&w);
        assert!(got.latency.is_some());
        assert_eq!(got.latency_term, LatencyTerm::NotJudged);
    }
}

#[test]
fn the_capacity_is_learned_from_steady_certain_windows_only() {
    // Given an hour of the same ten replicas; what of it teaches what one of them bears?
    let windows = |instance: Instance, weights: Weights| {
        let mut w = workload(weights, vec![("local", instance)]);
        Arc::make_mut(&mut w.policy).capacity.per_replica = PerReplica::Learned;
        Arc::make_mut(&mut w.policy).objective =
            Some(LatencyObjective { quantile: 0.9, target: Duration::from_millis(250) });
        let mut memory = PolicyMemory::default();
        for minute in 0..=60 {
            let mono = now().mono.plus(Duration::from_mins(minute));
            let _ = assess(&w, &mut memory, Now { mono, ..now() });
        }
        memory.capacity.unwrap().known().windows
    };
    let load = |reporting| read(timed(1_000.0, 0.05), reporting, 10);
    // One sample for each window of two minutes, after the first was seen whole.
    assert_eq!(windows(instance(10, load(10)), Weights::Plain), 29);
    assert_eq!(windows(instance(10, load(10)), latency()), 29, "the baseline is learned first");
    assert_eq!(windows(Instance { rolling_out: true, ..instance(10, load(10)) }, Weights::Plain), 0);
    assert_eq!(windows(instance(10, load(9)), Weights::Plain), 0, "silent");
    assert_eq!(windows(instance(10, Err(Doubt::TimedOut)), Weights::Plain), 0);
    assert_eq!(windows(instance(10, read(timed(1_000.0, 1.0), 10, 10)), Weights::Plain), 0, "overloaded");
    assert_eq!(windows(instance(10, read(timed(0.5, 0.05), 10, 10)), Weights::Plain), 0, "too few to judge");
}

fn any_reading() -> impl Strategy<Value = Observed<LoadSample>> {
    let bound = prop::sample::select(vec![0.01, 0.05, 0.1, 0.5, 1.0]);
    prop_oneof![
        4 => (0.0..1e4_f64, bound, 0..=10_u32)
            .prop_map(|(rate, bound, reporting)| read(timed(rate, bound), reporting, 10)),
        1 => Just(Err(Doubt::TimedOut)),
        1 => Just(Err(Doubt::Stale { age: Duration::from_mins(1) })),
        1 => Just(read(sample(f64::NAN), 10, 10)),
    ]
}

fn any_workload() -> impl Strategy<Value = Workload> {
    let instance = (any_reading(), prop::option::of(any_reading()), 0..15_u32, any::<bool>()).prop_map(
        |(load, burst, current, rolling_out)| {
            Ok(Instance { current, rolling_out, burst, ..instance(10, load) })
        },
    );
    let instance = prop_oneof![6 => instance, 1 => Just(Err(TargetProblem::Missing))];
    let trigger =
        prop_oneof![3 => Just(Ok(Reading::complete(1.0, now().wall))), 1 => Just(Err(Doubt::TimedOut))];
    let weights = prop_oneof![Just(Weights::Plain), Just(latency())];
    let capacity = prop_oneof![Just(PerReplica::Declared(100.0)), Just(PerReplica::Learned)];
    let triggers = prop::collection::btree_map("[a-c]", trigger, 0..2);
    (prop::collection::btree_map("[a-d]", instance, 0..4), triggers, weights, capacity).prop_map(
        |(instances, triggers, weights, capacity)| {
            let mut w = workload(weights, Vec::new());
            w.instances = instances.into_iter().map(|(id, i)| (ClusterId::new(&id), i)).collect();
            w.triggers = triggers;
            Arc::make_mut(&mut w.policy).capacity.per_replica = capacity;
            Arc::make_mut(&mut w.policy).objective =
                Some(LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) });
            w
        },
    )
}

fn any_baseline() -> impl Strategy<Value = Option<WeightBaseline>> {
    let of = |mean| WeightBaseline { mean, at: now().mono, learned: WINDOW };
    prop::option::of((0.1..8.0_f64).prop_map(of))
}

proptest! {
    #[test]
    fn any_doubt_forbids_the_way_down(w in any_workload(), baseline in any_baseline()) {
        let mut memory = PolicyMemory { baseline, ..PolicyMemory::default() };
        let got = assess(&w, &mut memory, now());
        prop_assert!(got.down.is_none() || got.doubts.is_empty(), "{got:?}");
        let unread = w.load_doubts().count() + w.triggers.values().filter(|t| t.is_err()).count();
        prop_assert!(got.doubts.len() >= unread);
    }

    #[test]
    fn down_and_burst_are_never_under_up(w in any_workload(), baseline in any_baseline()) {
        let mut memory = PolicyMemory { baseline, ..PolicyMemory::default() };
        let got = assess(&w, &mut memory, now());
        for other in [got.down, got.burst].into_iter().flatten() {
            prop_assert!(other.weighted >= got.up.unwrap().weighted);
        }
    }

    #[test]
    fn the_guard_holds_over_all_clusters(w in any_workload(), baseline in any_baseline()) {
        let mut memory = PolicyMemory { baseline, ..PolicyMemory::default() };
        let up = assess(&w, &mut memory, now()).up;
        if let (Some(up), Some(b), Weights::Latency(_)) = (up, baseline, &w.policy.load.weights) {
            prop_assert!(up.weighted <= baseline::KAPPA * b.mean * up.requests * (1.0 + 1e-9));
        }
    }

    #[test]
    fn a_silent_replica_that_starts_to_report_never_lowers_the_way_up(
        w in any_workload(), baseline in any_baseline(), more in 0.0..1e3_f64, reporting in 0..10_u32,
        rate in 0.0..1e4_f64, bound in prop::sample::select(vec![0.01, 0.05, 0.1, 0.5, 1.0]),
    ) {
        let with = |sample, reporting| {
            let mut w = w.clone();
            w.instances.insert(ClusterId::new("x"), Ok(instance(10, read(sample, reporting, 10))));
            let mut memory = PolicyMemory { baseline, ..PolicyMemory::default() };
            assess(&w, &mut memory, now()).up.unwrap().weighted
        };
        let silent = with(timed(rate, bound), reporting);
        let heard = with(timed(rate + more, bound), reporting + 1);
        prop_assert!(heard >= silent * (1.0 - 1e-9), "{heard} under {silent}");
    }
}

#[test]
fn replicas_younger_than_the_window_count_as_fully_loaded_on_the_way_down() {
    // Given ten replicas, watched for long,
    let mut memory = PolicyMemory::default();
    let at = |seconds| {
        let Now { wall, mono } = now();
        Now::new(
            wall + jiff::SignedDuration::from_secs(seconds),
            mono.0 + Duration::from_secs(seconds.unsigned_abs()),
        )
    };
    let judged = |ready, rate, memory: &mut _, now| {
        let all = vec![("local", instance(ready, read(sample(rate), ready, ready)))];
        assess(&workload(Weights::Plain, all), memory, now)
    };
    assert_eq!(weighted(judged(10, 900.0, &mut memory, at(0)).down), Some(900.0));
    // when thirty more are ready, and the load that moved to them is not counted yet,
    let dip = judged(40, 225.0, &mut memory, at(600));
    // then the dip raises nothing, and what is not heard counts as fully loaded on the way down.
    assert_eq!(weighted(dip.up), Some(225.0));
    assert_eq!(weighted(dip.down), Some(225.0 + 30.0 * 100.0));
    // When a window and a half has passed, then they are heard.
    let heard = judged(40, 900.0, &mut memory, at(600 + 180));
    assert_eq!(weighted(heard.down), Some(900.0));
}

#[test]
fn a_load_that_can_be_read_again_removes_nothing_before_its_window_is_full() {
    // Given a load that could not be read,
    let mut memory = PolicyMemory::default();
    let later = |seconds: u64| Now { mono: now().mono.plus(Duration::from_secs(seconds)), ..now() };
    let dark = workload(Weights::Plain, vec![("local", instance(10, Err(Doubt::Unreachable)))]);
    assert!(assess(&dark, &mut memory, later(0)).up.is_none());
    // when it can be read again, of a window that is half empty,
    let back = workload(Weights::Plain, vec![("local", instance(10, read(sample(400.0), 10, 10)))]);
    let code = |memory: &mut _, now| assess(&back, memory, now).no_scale_in.map(|reason| reason.code);
    // then nothing may be removed until it has been read for a window and a half.
    assert_eq!(code(&mut memory, later(5)), Some(ReasonCode::WindowNotFilled));
    assert_eq!(code(&mut memory, later(179)), Some(ReasonCode::WindowNotFilled));
    assert_eq!(code(&mut memory, later(180)), None);
}
