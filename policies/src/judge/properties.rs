//! What holds for every judgement, whatever the world does.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    fleet::{ClusterState, Contender, Histogram, Instance, LoadSample, ObjectVersion, TargetProblem},
    ids::{PolicyKey, Target},
    policy::{
        Activation, ActivationSignal, Amount, Band, Behaviour, Bounds, Capacity, Fallback, FallbackPolicy,
        LatencyObjective, LatencyWeights, Load, Pause, PerReplica, RateRule, Rules, Select, Trigger,
        TriggerRule, Weights,
    },
    reading::{Coverage, Doubt, Observed, Reading},
};

fn at(seconds: u64) -> Now {
    let wall: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
    let since = jiff::SignedDuration::try_from(Duration::from_secs(seconds)).unwrap();
    Now::new(wall + since, Duration::from_secs(100_000 + seconds))
}

fn sample(rate: f64) -> LoadSample {
    LoadSample {
        window: Duration::from_mins(1),
        histogram: None,
        endpoints: BTreeMap::new(),
        requests: rate,
        backlog: None,
    }
}

fn doubts() -> impl Strategy<Value = Doubt> {
    prop_oneof![
        Just(Doubt::NotYetRead),
        Just(Doubt::AbsentSeries),
        Just(Doubt::NotANumber),
        Just(Doubt::TimedOut),
        Just(Doubt::HttpStatus(500)),
        (0u64..10_000).prop_map(|s| Doubt::Stale { age: Duration::from_secs(s) }),
        (0u32..5).prop_map(|n| Doubt::Partial(Coverage { reporting: n, expected: 5 })),
    ]
}

/// Numbers as a broken source may give them.
fn wild() -> impl Strategy<Value = f64> {
    prop_oneof![8 => 0.0f64..1e5, 1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0), Just(1e300)]]
}

fn loads() -> impl Strategy<Value = Observed<LoadSample>> {
    let histogram =
        proptest::option::of(proptest::collection::vec(wild(), 0..5).prop_map(|rates| Histogram {
            buckets:
                rates.into_iter().zip([0.01, 0.1, 0.5, 1.0, f64::INFINITY]).map(|(r, b)| (b, r)).collect(),
        }));
    let good = (wild(), histogram, proptest::option::of(wild()), 0u32..20, 0u32..20).prop_map(
        |(rate, histogram, backlog, reporting, expected)| {
            Ok(Reading {
                value: LoadSample { histogram, backlog, ..sample(rate) },
                observed_at: at(0).wall,
                coverage: Coverage { reporting, expected },
            })
        },
    );
    prop_oneof![3 => good, 1 => doubts().prop_map(Err)]
}

fn instances() -> impl Strategy<Value = Result<Instance, TargetProblem>> {
    let good = (0u32..60, 0u32..60, 0u32..60, any::<bool>(), loads(), proptest::option::of(loads()), 0u32..9)
        .prop_map(|(wanted, current, ready, rolling_out, load, burst, version)| {
            Ok(Instance {
                wanted,
                current,
                ready,
                rolling_out,
                template: None,
                footprint: None,
                cpu: None,
                version: ObjectVersion { uid: "u".to_owned(), resource_version: version.to_string() },
                load,
                burst,
            })
        });
    let bad = prop_oneof![Just(TargetProblem::Missing), Just(TargetProblem::NotYetSeen)];
    prop_oneof![9 => good, 1 => bad.prop_map(Err)]
}

fn rules() -> impl Strategy<Value = Rules> {
    let amount = prop_oneof![(0u32..300).prop_map(Amount::Percent), (0u32..50).prop_map(Amount::Replicas)];
    let rule =
        (amount, 1u64..600).prop_map(|(amount, s)| RateRule { amount, period: Duration::from_secs(s) });
    let select = prop_oneof![4 => Just(Select::Max), 1 => Just(Select::Min), 1 => Just(Select::Disabled)];
    (0u64..400, proptest::collection::vec(rule, 0..3), select, proptest::option::of(0.0f64..0.5), 0u64..100)
        .prop_map(|(window, policies, select, tolerance, dwell)| Rules {
            stabilization_window: Duration::from_secs(window),
            policies,
            select,
            tolerance,
            max_step: None,
            dwell: Duration::from_secs(dwell),
        })
}

fn policies() -> impl Strategy<Value = Policy> {
    let weights = prop_oneof![Just(Weights::Plain), Just(Weights::Latency(LatencyWeights::default()))];
    let capacity =
        prop_oneof![4 => (0.1f64..1e3).prop_map(PerReplica::Declared), 1 => Just(PerReplica::Learned)];
    let mode = prop_oneof![4 => Just(Mode::Active), 1 => Just(Mode::Observe), 1 => Just(Mode::Recommend)];
    let pause = (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1))
        .prop_map(|(scale_in, scale_out, all)| Pause { all, scale_in, scale_out, replicas: None });
    let fallback = prop_oneof![Just(FallbackPolicy::Hold), (0u32..80).prop_map(FallbackPolicy::AtLeast)];
    let objective =
        proptest::option::of(Just(LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) }));
    let rule = prop_oneof![
        (0.1f64..1e3).prop_map(TriggerRule::PerReplica),
        (0.1f64..1e3).prop_map(TriggerRule::Target),
    ];
    let triggers = proptest::option::of(rule.prop_map(|rule| Trigger { name: "backlog".to_owned(), rule }));
    let bounds = (1u32..20, 0u32..60).prop_map(|(min, more)| Bounds { min, max: min + more });
    let band = (1.0f64..2.0, 0.05f64..2.0).prop_map(|(min, width)| Band { min, max: min + width });
    let activation = prop::bool::weighted(0.2);
    (
        (bounds, band, weights, capacity, mode, pause),
        (fallback, objective, triggers, activation, rules(), rules()),
    )
        .prop_map(|((bounds, redundancy, weights, per_replica, mode, pause), rest)| {
            let (fallback, objective, triggers, activation, up, down) = rest;
            Policy {
                key: PolicyKey::new("shop", "checkout"),
                uid: "uid".to_owned(),
                generation: 1,
                target: Target::new("apps/v1", "Deployment", "shop", "checkout"),
                mode,
                pause,
                bounds,
                load: Load { profile: "otel-http".to_owned(), weights },
                objective,
                capacity: Capacity { per_replica, redundancy },
                forecast: crate::policy::Forecasting::default(),
                schedules: Vec::new(),
                events: Vec::new(),
                triggers: triggers.into_iter().collect(),
                behaviour: Behaviour { up, down },
                fallback: Fallback { after: Duration::from_mins(1), policy: fallback },
                activation: activation.then_some(Activation {
                    signal: ActivationSignal::Load,
                    above: 1.0,
                    idle_for: Duration::from_secs(30),
                }),
            }
        })
}

/// One tick of an arbitrary world.
#[derive(Debug, Clone)]
struct Tick {
    gap: u64,
    instances: Vec<Result<Instance, TargetProblem>>,
    dark: Vec<bool>,
    trigger: Observed<f64>,
    frozen: bool,
    contended: bool,
}

fn ticks() -> impl Strategy<Value = Tick> {
    let trigger = prop_oneof![
        3 => wild().prop_map(|v| Ok(Reading::complete(v, at(0).wall))),
        1 => doubts().prop_map(Err),
    ];
    (
        1u64..200,
        proptest::collection::vec(instances(), 1..3),
        proptest::collection::vec(prop::bool::weighted(0.1), 3),
        trigger,
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(gap, instances, dark, trigger, frozen, contended)| Tick {
            gap,
            instances,
            dark,
            trigger,
            frozen,
            contended,
        })
}

fn cluster(i: usize) -> ClusterId {
    ClusterId::new(&format!("c{i}"))
}

fn judged(policy: &Policy, tick: &Tick, memory: &mut PolicyMemory, now: Now) -> (Decision, Vec<Action>) {
    let instances = tick.instances.iter().cloned().enumerate().map(|(i, x)| (cluster(i), x)).collect();
    let state = |dark: bool| if dark { ClusterState::Dark } else { ClusterState::Healthy };
    let clusters =
        tick.dark.iter().enumerate().map(|(i, dark)| (cluster(i), Cluster { state: state(*dark) })).collect();
    let triggers = policy.triggers.iter().map(|t| (t.name.clone(), tick.trigger.clone())).collect();
    let contender = Contender { kind: "ScaledObject".to_owned(), name: "x".to_owned() };
    let contenders = if tick.contended { vec![contender] } else { Vec::new() };
    let workload = Workload { policy: Arc::new(policy.clone()), instances, triggers, contenders };
    let freeze = tick.frozen.then(|| Freeze { reason: "test".to_owned() });
    judge(&workload, freeze.as_ref(), &clusters, memory, now)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The world changes arbitrarily from tick to tick, also under our hands; writes happen or do not.
    #[test]
    fn no_world_breaks_a_judgement(policy in policies(), ticks in proptest::collection::vec(ticks(), 1..20)) {
        let (mut memory, mut seconds) = (PolicyMemory::default(), 0);
        for tick in ticks {
            seconds += tick.gap;
            let now = at(seconds);
            let window = policy.behaviour.down.stabilization_window;
            let young = memory.first_seen.map_or(Duration::ZERO, |first| now.mono.since(first)) < window;
            let (decision, actions) = judged(&policy, &tick, &mut memory, now);
            let Bounds { min, max } = policy.bounds;
            let lower = min;

            // Every decision has a reason, and every condition a short message.
            prop_assert!(!decision.reasons.is_empty());
            prop_assert!(decision.conditions.iter().all(|c| c.message.chars().count() <= 1024));
            prop_assert!(decision.wake_at.is_none_or(|at| at > now.mono));
            prop_assert!(decision.redundancy.is_none_or(|r| r >= 0.0));

            let writes = policy.mode == Mode::Active && !policy.pause.all && !tick.frozen && !tick.contended;
            prop_assert!(writes || actions.is_empty());
            if actions.is_empty() { continue; }

            // What is written is inside the bounds, unless a direction is paused.
            let kept_out = (policy.pause.scale_out && decision.desired < min)
                || (policy.pause.scale_in && decision.desired > max);
            prop_assert!(kept_out || (lower..=max).contains(&decision.desired));

            // Dark clusters are not written; shares of several never exceed what is desired.
            for Action::Scale(action) in &actions {
                let i = (0..3).find(|i| cluster(*i) == action.cluster).unwrap();
                prop_assert!(!tick.dark[i]);
                prop_assert!(action.from != action.to);
            }

            // Nothing is removed in doubt; only the upper bound is kept at once.
            let current = decision.replicas.wanted;
            let rolling = tick.instances.iter().flatten().any(|i| i.rolling_out);
            let unseen = tick.instances.iter().any(Result::is_err);
            let forbidden = !decision.doubts.is_empty() || rolling || unseen || young;
            if forbidden {
                prop_assert!(decision.desired >= current.min(max), "{:?}", decision);
            }
            if policy.pause.scale_in {
                prop_assert!(decision.desired >= current, "{:?}", decision);
            }
        }
    }

    /// Two worlds that differ in the load alone: the one with more load never gets fewer replicas.
    #[test]
    fn more_load_never_gets_fewer_replicas(
        policy in policies(), replicas in 1u32..60, a in 0.0f64..1e4, b in 0.0f64..1e4, later in 0u64..1_000,
    ) {
        let decided = |rate: f64| {
            let mut memory = PolicyMemory::default();
            let tick = |rate: f64, now: Now| steady(replicas, rate, now);
            judged(&policy, &tick(a.min(b), at(0)), &mut memory, at(0));
            judged(&policy, &tick(rate, at(later)), &mut memory, at(later)).0.desired
        };
        let policy_is_asleep = policy.activation.is_some();
        prop_assume!(!policy_is_asleep);
        prop_assert!(decided(a.min(b)) <= decided(a.max(b)));
    }

    /// A constant load: replicas move in one direction, and then nothing is written any more.
    #[test]
    fn a_constant_load_settles_and_stays(
        policy in policies(), start in 1u32..60, rate in 0.0f64..5e3,
    ) {
        let policy = Policy {
            pause: Pause::default(),
            activation: None,
forecast: crate::policy::Forecasting::default(),
            triggers: Vec::new(),
            load: Load { weights: Weights::Plain, ..policy.load },
            behaviour: Behaviour {
                up: Rules { select: Select::Max, dwell: Duration::ZERO, ..policy.behaviour.up },
                down: Rules { select: Select::Max, dwell: Duration::ZERO, ..policy.behaviour.down },
            },
            ..policy
        };
        let (mut memory, mut replicas, mut written) = (PolicyMemory::default(), start, Vec::new());
        for seconds in (0..6_000).step_by(15) {
            let now = at(seconds);
            let (decision, actions) = judged(&policy, &steady(replicas, rate, now), &mut memory, now);
            if let Some(Action::Scale(action)) = actions.first() {
                written.push(i64::from(action.to) - i64::from(action.from));
                crate::memory::record_change(&mut memory, now.mono, i64::from(action.to) - i64::from(replicas));
                memory.last_wanted.insert(cluster(0), action.to);
                replicas = decision.desired;
            }
        }
        // A start outside of the bounds is one move of its own.
        let inside = start.clamp(policy.bounds.min, policy.bounds.max);
        let after_bounds = usize::from(inside != start);
        let moves: Vec<_> = written.iter().skip(after_bounds).map(|d| d.signum()).collect();
        prop_assert!(moves.windows(2).all(|w| w[0] == w[1]), "{:?}", written);
    }
}

/// One thing that forbids to remove replicas.
#[derive(Debug, Clone)]
enum Forbids {
    DoubtfulLoad(Doubt),
    DoubtfulBurst(Doubt),
    DoubtfulTrigger(Doubt),
    RollOut,
    UnseenCluster,
    DarkCluster,
    Frozen,
    Contender,
    Paused,
    PausedScaleIn,
    Disabled,
    NotActive(Mode),
    UnknownCapacity,
    NoBaseline,
}

fn forbids() -> impl Strategy<Value = Forbids> {
    prop_oneof![
        doubts().prop_map(Forbids::DoubtfulLoad),
        doubts().prop_map(Forbids::DoubtfulBurst),
        doubts().prop_map(Forbids::DoubtfulTrigger),
        Just(Forbids::RollOut),
        Just(Forbids::UnseenCluster),
        Just(Forbids::DarkCluster),
        Just(Forbids::Frozen),
        Just(Forbids::Contender),
        Just(Forbids::Paused),
        Just(Forbids::PausedScaleIn),
        Just(Forbids::Disabled),
        Just(Forbids::NotActive(Mode::Observe)),
        Just(Forbids::NotActive(Mode::Recommend)),
        Just(Forbids::UnknownCapacity),
        Just(Forbids::NoBaseline),
    ]
}

impl Forbids {
    fn apply(&self, policy: &mut Policy, tick: &mut Tick) {
        let instance = tick.instances[0].as_mut().unwrap();
        match self {
            Self::DoubtfulLoad(doubt) => instance.load = Err(doubt.clone()),
            Self::DoubtfulBurst(doubt) => instance.burst = Some(Err(doubt.clone())),
            Self::DoubtfulTrigger(doubt) => tick.trigger = Err(doubt.clone()),
            Self::RollOut => instance.rolling_out = true,
            Self::UnseenCluster => tick.instances.push(Err(TargetProblem::NotYetSeen)),
            Self::DarkCluster => tick.dark = vec![true],
            Self::Frozen => tick.frozen = true,
            Self::Contender => tick.contended = true,
            Self::Paused => policy.pause.all = true,
            Self::PausedScaleIn => policy.pause.scale_in = true,
            Self::Disabled => policy.behaviour.down.select = Select::Disabled,
            Self::NotActive(mode) => policy.mode = *mode,
            Self::UnknownCapacity => policy.capacity.per_replica = PerReplica::Learned,
            // By latency, and no baseline was learned.
            Self::NoBaseline => policy.load.weights = Weights::Latency(LatencyWeights::default()),
        }
    }
}

/// A policy that scales in freely, after a window of so many seconds.
fn free(window: u64) -> Policy {
    let mut behaviour = Behaviour::hpa_default();
    behaviour.down.stabilization_window = Duration::from_secs(window);
    Policy {
        key: PolicyKey::new("shop", "checkout"),
        uid: "uid".to_owned(),
        generation: 1,
        target: Target::new("apps/v1", "Deployment", "shop", "checkout"),
        mode: Mode::Active,
        pause: Pause::default(),
        bounds: Bounds { min: 1, max: 100 },
        load: Load { profile: "otel-http".to_owned(), weights: Weights::Plain },
        objective: None,
        capacity: Capacity {
            per_replica: PerReplica::Declared(100.0),
            redundancy: Band { min: 1.1, max: 1.6 },
        },
        schedules: Vec::new(),
        events: Vec::new(),
        triggers: vec![Trigger { name: "backlog".to_owned(), rule: TriggerRule::PerReplica(100.0) }],
        behaviour,
        fallback: Fallback { after: Duration::from_mins(1), policy: FallbackPolicy::AtLeast(2) },
        activation: None,
        forecast: crate::policy::Forecasting::default(),
    }
}

/// When a scale-in is written, if it is, of a workload that is far too large; forbidden from `onset` on.
fn removed_at(
    policy: &Policy,
    (replicas, rate): (u32, f64),
    forbidden: Option<(&Forbids, u64)>,
    until: u64,
) -> Option<u64> {
    let mut memory = PolicyMemory::default();
    (0..until).step_by(5).find(|seconds| {
        let mut policy = policy.clone();
        let mut tick = steady(replicas, rate, at(*seconds));
        tick.trigger = Ok(Reading::complete(0.0, at(*seconds).wall));
        if let Some((forbids, _)) = forbidden.filter(|(_, onset)| seconds >= onset) {
            forbids.apply(&mut policy, &mut tick);
        }
        let (_, actions) = judged(&policy, &tick, &mut memory, at(*seconds));
        actions.iter().any(|Action::Scale(action)| action.to < action.from)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The same world scales in, and does not while any single thing forbids it.
    #[test]
    fn nothing_is_removed_while_anything_forbids_it(
        window in 0u64..300, replicas in 10u32..60, spare in 0.0f64..0.5, forbids in forbids(), onset in 0u64..600,
    ) {
        let (policy, world) = (free(window), (replicas, f64::from(replicas) * 100.0 * spare));
        // Of the rate and of the scale-in.
        let window = window.max(90);
        let until = 2 * window + 20;
        let free_at = removed_at(&policy, world, None, until);
        // Never before a whole window was seen; and it does happen, so that the rest can fail.
        prop_assert!(free_at.is_some_and(|at| at >= window), "{:?}", free_at);
        let onset = onset.min(free_at.unwrap_or_default());
        prop_assert_eq!(removed_at(&policy, world, Some((&forbids, onset)), until + 600), None);
    }
}

/// A world of one healthy cluster with a steady load and every replica ready.
fn steady(replicas: u32, rate: f64, now: Now) -> Tick {
    Tick {
        gap: 0,
        instances: vec![Ok(Instance {
            wanted: replicas,
            current: replicas,
            ready: replicas,
            rolling_out: false,
            template: None,
            footprint: None,
            cpu: None,
            version: ObjectVersion { uid: "u".to_owned(), resource_version: "1".to_owned() },
            load: Ok(Reading::complete(sample(rate), now.wall)),
            burst: None,
        })],
        dark: vec![false],
        trigger: Err(Doubt::NotYetRead),
        frozen: false,
        contended: false,
    }
}
