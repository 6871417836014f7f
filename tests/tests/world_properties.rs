//! The whole production tick over the simulated fleet, under random schedules of faults.
//!
//! Each case is a world of three workloads (plain requests, latency-weighted requests, a queue with a trigger of
//! its own), each with its own schedule of faults and a forecast that begins with full trust. A failing case is shrunk,
//! printed, and its seed kept in `tests/proptest-regressions/world_properties.txt`, from where it is tried first in every
//! later run (`tests/broken` shows that it is). `PROPTEST_CASES` sets how many cases are run.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::{collections::BTreeSet, fmt::Write as _, sync::OnceLock, time::Duration};

use jiff::Timestamp;

use loadline_chaos::world::{
    Fault, FaultKind, MeasuredAt, Shape, Signal, Step, Traffic, WorkloadConfig, World, WorldConfig,
    service::{Queue, ServiceModel},
};
use loadline_controller::{ports::Clock as _, simulated::Drive};
use loadline_crds::ElasticPolicy;
use loadline_policies::{
    forecast::{Forecaster, trust::Trust},
    ids::PolicyKey,
    plan::{Applied, Decision, Plan},
    reason::ConditionKind,
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

const SYNC: Duration = Duration::from_secs(5);
/// Faults begin and end before this.
const TROUBLE: u64 = 1_200;
/// After the trouble so long is left to recover: a stabilisation window, start-up times, and some air.
const RECOVERY: u64 = 600;
/// Cases of each property unless `PROPTEST_CASES` says otherwise; three schedules each.
const CASES: u32 = 300;
/// Requests per second that one replica is declared to bear; it really bears 1.4 times that.
const PER_REPLICA: f64 = 100.0;

/// What is random about a workload.
#[derive(Debug, Clone)]
struct Fate {
    replicas: u32,
    loads: Vec<(u64, f64)>,
    faults: Vec<Fault>,
}

fn seconds(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_secs)
}

fn metric_fault() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        Just(FaultKind::MetricsAbsent),
        Just(FaultKind::MetricsEmpty),
        Just(FaultKind::MetricsNotANumber),
        Just(FaultKind::MetricsInfinite),
        Just(FaultKind::MetricsNegative),
        Just(FaultKind::MetricsStale),
        (400_u16..600).prop_map(|status| FaultKind::MetricsHttpError { status }),
        Just(FaultKind::MetricsTimeOut),
        Just(FaultKind::MetricsUnreachable),
        Just(FaultKind::MetricsWrongShape),
        (1_u32..=100).prop_map(|percent| FaultKind::PodsSilent { percent }),
        (1_u32..100).prop_map(|percent| FaultKind::MetricsLow { percent }),
    ]
}

fn world_fault() -> impl Strategy<Value = FaultKind> {
    prop_oneof![
        (1_u32..=100).prop_map(|percent| FaultKind::PodKill { percent }),
        Just(FaultKind::RollOut),
        (0_u32..30).prop_map(|to| FaultKind::ScaleByHand { to }),
        Just(FaultKind::TargetDeleted),
        Just(FaultKind::ApiDark),
        (1_u32..=100).prop_map(|percent| FaultKind::ApiConflict { percent }),
        (2.0..20.0_f64).prop_map(|factor| FaultKind::ServiceSlow { factor }),
        (0.1..4.0_f64).prop_map(|factor| FaultKind::LoadSurge { factor }),
    ]
}

fn fault(kind: impl Strategy<Value = FaultKind>) -> impl Strategy<Value = Fault> {
    (seconds(0..TROUBLE - 300), seconds(5..300), kind).prop_map(|(at, lasts, fault)| Fault {
        at,
        lasts,
        workload: None,
        cluster: None,
        fault,
    })
}

fn fate(kind: impl Strategy<Value = FaultKind>) -> impl Strategy<Value = Fate> {
    let loads = prop::collection::vec((0..TROUBLE, 0.0..2_000.0_f64), 1..5);
    (1_u32..25, loads, prop::collection::vec(fault(kind), 1..6)).prop_map(|(replicas, mut loads, faults)| {
        loads.sort_by_key(|(at, _)| *at);
        Fate { replicas, loads, faults }
    })
}

/// The workloads of a case by name, in the order of their fates.
const NAMES: [&str; 3] = ["plain", "weighted", "queue"];

fn world(fates: &[Fate; 3], seed: u64) -> World {
    let workloads = NAMES.iter().zip(fates).map(|(name, fate)| {
        let steps = fate.loads.iter().map(|(at, rate)| Step { at: Duration::from_secs(*at), rate: *rate });
        let mut service = ServiceModel::plain(1.4 * PER_REPLICA);
        let queue = *name == "queue";
        if queue {
            service.queue = Queue::Backlog;
        }
        WorkloadConfig {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: "shop".to_owned(),
            name: (*name).to_owned(),
            replicas: [("local".to_owned(), fate.replicas)].into(),
            pod_cpu: 1.0,
            start_up: loadline_chaos::world::StartUp::default(),
            service,
            traffic: Traffic { noise: 0.05, ..Traffic::plain(Shape::Steps { steps: steps.collect() }) },
            measured_at: if queue { MeasuredAt::Entry } else { MeasuredAt::Pods },
            objective: loadline_chaos::world::Objective::default(),
        }
    });
    let mut config: WorldConfig = serde_yaml::from_str("{workloads: [], resolution: 5s}").unwrap();
    config.workloads = workloads.collect();
    config.signals = [("lag".to_owned(), Signal::Backlog { workload: "shop/queue".to_owned() })].into();
    let faults = NAMES.iter().zip(fates).flat_map(|(name, fate)| {
        let hits = format!("shop/{name}");
        fate.faults.iter().map(move |fault| Fault { workload: Some(hits.clone()), ..fault.clone() })
    });
    World::new(config, faults.collect(), seed)
}

/// A forecaster with full trust: of four days, between 300 and 700 requests per second, that end at a Unix time.
///
/// The loads of a case know nothing of them, so it soon says too much or too little: it must not cost capacity either.
fn trusted(end: i64) -> Forecaster {
    static LEARNED: OnceLock<(i64, Forecaster)> = OnceLock::new();
    let (learned, forecaster) = LEARNED.get_or_init(|| {
        let mut forecaster = Forecaster::new(5, 0.95, 0);
        for second in (end - 4 * 86_400..=end).step_by(60) {
            #[expect(clippy::cast_precision_loss, reason = "seconds of a day, and of a few minutes")]
            let (day, noise) = (second.rem_euclid(86_400) as f64 / 86_400.0, (second % 420) as f64 / 420.0);
            let load = 500.0 - 200.0 * (std::f64::consts::TAU * day).cos() + 20.0 * noise;
            forecaster.remember(Timestamp::from_second(second).unwrap(), load);
        }
        (end, forecaster)
    });
    assert_eq!(*learned, end, "all worlds begin at the same time");
    let trust = forecaster.forecast(Timestamp::from_second(end).unwrap()).map(|forecast| forecast.trust);
    assert_eq!(trust, Some(Trust::Full));
    forecaster.clone()
}

fn policies() -> Vec<ElasticPolicy> {
    let policy = |name: &str, rest: &str| {
        let yaml = format!(
            "
            apiVersion: loadline.dev/v1alpha1
            kind: ElasticPolicy
            metadata: {{namespace: shop, name: {name}}}
            spec:
              target: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}
              bounds: {{min: 2, max: 60}}
              capacity: {{perReplica: {PER_REPLICA}}}
              {rest}
            "
        );
        serde_yaml::from_str(&yaml).unwrap()
    };
    vec![
        policy(
            "plain",
            "load: {profile: otel-http}\n              objective: {latency: {quantile: 0.99, target: 250ms}}",
        ),
        policy(
            "weighted",
            "load: {profile: otel-http, weights: {latency: {cuts: [10ms, 50ms, 100ms, 500ms], factors: [0.1, 0.5, 2, 4, 8]}}}",
        ),
        policy(
            "queue",
            "load: {profile: queue-kafka}\n              triggers: [{name: lag, query: lag, perReplica: 5000}]",
        ),
    ]
}

/// The last syncs, in which everything must have come right; a pod that became Ready just now is not scraped
/// yet, which is a doubt for a moment, so one good sync of them is enough.
const LAST: u64 = 60;

/// How a case ended.
struct End {
    drive: Drive,
    plan: Plan<Applied>,
    /// Policies without any doubt and with fresh data in one of the last syncs.
    recovered: BTreeSet<String>,
}

/// Plays a case to its end, checking the promises in every sync.
fn play(fates: &[Fate; 3], seed: u64) -> Result<End, TestCaseError> {
    let mut drive = Drive::new(world(fates, seed), policies(), SYNC);
    let start = drive.fleet().now().wall.as_second();
    for name in NAMES {
        drive.foresee(PolicyKey::new("shop", name), trusted(start));
    }
    let mut recovered = BTreeSet::new();
    loop {
        let plan = drive.advance();
        let broken = drive.broken(&plan);
        prop_assert!(broken.is_empty(), "at {} s: {broken:?}\n{}", plan.at.mono.0.as_secs(), told(&plan));
        prop_assert_eq!(plan.decisions.len(), NAMES.len(), "every policy is decided in every sync");
        let now = plan.at.mono.0.as_secs();
        if now > TROUBLE + RECOVERY - LAST {
            let well = plan.decisions.iter().filter(|(_, d)| d.doubts.is_empty() && is_fresh(d));
            recovered.extend(well.map(|(key, _)| key.to_string()));
        }
        if now >= TROUBLE + RECOVERY {
            return Ok(End { drive, plan, recovered });
        }
    }
}

fn told(plan: &Plan<Applied>) -> String {
    let mut text = String::new();
    for (key, decision) in &plan.decisions {
        let reasons: Vec<_> = decision.reasons.iter().map(|reason| reason.text.as_str()).collect();
        writeln!(text, "{key}: {:?} -> {}: {reasons:?}", decision.replicas, decision.desired).unwrap();
    }
    text
}

fn is_fresh(decision: &Decision) -> bool {
    decision.conditions.iter().any(|c| c.kind == ConditionKind::DataFresh && c.status == Some(true))
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES);
    // The usual place is found beside a lib.rs, and there is none above this file.
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/world_properties.txt");
    ProptestConfig {
        cases,
        max_shrink_iters: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Metrics lie in every way and at any time: nothing is removed in doubt, bounds hold, and once the truth
    /// is told again the data is fresh and there is capacity for the load.
    #[test]
    fn lying_metrics_never_cost_capacity(
        fates in [fate(metric_fault()), fate(metric_fault()), fate(metric_fault())], seed in any::<u64>(),
    ) {
        let End { drive, plan, recovered } = play(&fates, seed)?;
        prop_assert!(recovered.len() == NAMES.len(), "only {recovered:?} have recovered\n{}", told(&plan));
        let short = drive.fleet().with(|world| {
            let pulse = |t: &_| world.pulse(t).map(|pulse| (t.to_string(), pulse));
            world.targets().filter_map(pulse).find(|(_, pulse)| pulse.utilisation > 1.0)
        });
        prop_assert!(short.is_none(), "not enough capacity at the end: {short:?}\n{}", told(&plan));
    }

    /// Whatever goes wrong in the world and in the metrics at the same time: no panic, nothing is removed in
    /// doubt, bounds hold.
    #[test]
    fn nothing_is_removed_in_doubt_whatever_else_goes_wrong(
        fates in [
            fate(prop_oneof![metric_fault(), world_fault()]),
            fate(prop_oneof![metric_fault(), world_fault()]),
            fate(prop_oneof![metric_fault(), world_fault()]),
        ],
        seed in any::<u64>(),
    ) {
        let End { plan, recovered, .. } = play(&fates, seed)?;
        prop_assert!(recovered.len() == NAMES.len(), "only {recovered:?} have recovered\n{}", told(&plan));
    }
}
