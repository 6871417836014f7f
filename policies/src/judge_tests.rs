//! Stories of whole judgements: given a workload, when it is judged, then this is desired, for this reason.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use rstest::rstest;

use super::*;
use crate::{
    behaviour::tolerance::HPA_DEFAULT,
    desired::formula,
    fleet::{ClusterState, Contender, Instance, LoadSample, ObjectVersion, TargetProblem},
    ids::{PolicyKey, Target},
    memory::{self, Memory},
    plan::{Applied, Outcome, Plan, Proposed},
    policy::{
        Activation, ActivationSignal, Band, Behaviour, Bounds, Capacity, Fallback, FallbackPolicy, Load,
        Pause, PerReplica, Schedule, Trigger, TriggerRule, Weights,
    },
    reading::{Doubt, Observed, Reading},
    reason::ConditionKind,
};

/// The local cluster.
fn here() -> ClusterId {
    ClusterId::local()
}

/// A moment so many seconds after an arbitrary start; more than a day after the origin of the clock.
fn at(seconds: u64) -> Now {
    let wall: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
    let since = jiff::SignedDuration::try_from(Duration::from_secs(seconds)).unwrap();
    Now::new(wall + since, Duration::from_secs(100_000 + seconds))
}

/// Steady load of so many requests per second, read just now.
fn requests(rate: f64, now: Now) -> Reading<LoadSample> {
    let sample = LoadSample {
        window: Duration::from_mins(1),
        histogram: None,
        endpoints: BTreeMap::new(),
        requests: rate,
        backlog: None,
    };
    Reading::complete(sample, now.wall)
}

/// A policy with a capacity of 100 per replica, a band of 1.1 to 1.6, bounds of 1 to 100.
fn policy() -> Policy {
    Policy {
        key: PolicyKey::new("shop", "checkout"),
        uid: "uid".to_owned(),
        generation: 3,
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
        triggers: Vec::new(),
        behaviour: Behaviour::hpa_default(),
        fallback: Fallback { after: Duration::from_mins(3), policy: FallbackPolicy::Hold },
        activation: None,
    }
}

/// A workload in one cluster, its memory and its world.
struct Scene {
    workload: Workload,
    clusters: BTreeMap<ClusterId, Cluster>,
    freeze: Option<Freeze>,
    memory: Memory,
}

impl Scene {
    fn new(replicas: u32) -> Self {
        Self::of(policy(), replicas)
    }

    fn of(policy: Policy, replicas: u32) -> Self {
        let instance = Instance {
            wanted: replicas,
            current: replicas,
            ready: replicas,
            rolling_out: false,
            version: ObjectVersion { uid: "target".to_owned(), resource_version: "1".to_owned() },
            load: Err(Doubt::NotYetRead),
            burst: None,
        };
        let mut memory = Memory::default();
        memory.policies.insert(policy.key.clone(), PolicyMemory::default());
        Self {
            workload: Workload {
                policy,
                instances: BTreeMap::from([(here(), Ok(instance))]),
                triggers: BTreeMap::new(),
                contenders: Vec::new(),
            },
            clusters: BTreeMap::from([(here(), Cluster { state: ClusterState::Healthy })]),
            freeze: None,
            memory,
        }
    }

    fn instance(&mut self) -> &mut Instance {
        self.workload.instances.get_mut(&here()).unwrap().as_mut().unwrap()
    }

    fn set_replicas(&mut self, n: u32) {
        let instance = self.instance();
        (instance.wanted, instance.current, instance.ready) = (n, n, n);
        let version: u64 = instance.version.resource_version.parse().unwrap();
        instance.version.resource_version = (version + 1).to_string();
    }

    fn judge(&mut self, now: Now) -> (Decision, Vec<Action>) {
        let memory = self.memory.policies.get_mut(&self.workload.policy.key).unwrap();
        judge(&self.workload, self.freeze.as_ref(), &self.clusters, memory, now)
    }

    /// Judges with this load; the readings are fresh.
    fn with_load(&mut self, rate: f64, now: Now) -> (Decision, Vec<Action>) {
        self.instance().load = Ok(requests(rate, now));
        self.judge(now)
    }

    /// Judges, writes what was decided, and lets the watch show it.
    fn live(&mut self, rate: f64, now: Now) -> Decision {
        let (decision, actions) = self.with_load(rate, now);
        self.apply(actions, now, Outcome::Done);
        decision
    }

    fn apply(&mut self, actions: Vec<Action>, now: Now, outcome: Outcome) {
        let to = actions.first().map(|Action::Scale(a)| a.to);
        let outcomes = actions.iter().map(|_| outcome.clone()).collect();
        let plan = Plan::<Proposed> { at: now, actions, decisions: BTreeMap::new(), wake_at: None };
        let plan: Plan<Applied> = plan.applied(outcomes);
        memory::record(&mut self.memory, &plan);
        if let (Some(to), Outcome::Done) = (to, outcome) {
            self.set_replicas(to);
        }
    }

    /// As if it had been judged for longer than a stabilisation window, with this load.
    fn settled_at(replicas: u32, rate: f64) -> Self {
        let mut scene = Self::new(replicas);
        scene.with_load(rate, at(0));
        scene
    }
}

fn to(actions: &[Action]) -> Option<u32> {
    actions.first().map(|Action::Scale(action)| action.to)
}

fn code(decision: &Decision) -> ReasonCode {
    decision.reasons[0].code
}

fn condition(decision: &Decision, kind: ConditionKind) -> (Option<bool>, &'static str) {
    decision.conditions.iter().find(|c| c.kind == kind).map(|c| (c.status, c.reason)).unwrap()
}

#[test]
fn load_over_the_band_scales_out_at_once_and_says_why() {
    let (decision, actions) = Scene::new(5).with_load(545.0, at(0));
    assert_eq!(to(&actions), Some(6));
    assert_eq!(
        decision.reasons[0].text,
        "Redundancy 0.92 is below 1.1: 545 weighted requests/s on 5 replicas ready of 100 each need 6."
    );
    assert_eq!(decision.redundancy.map(|r| (r * 100.0).round()), Some(92.0));
    assert_eq!(condition(&decision, ConditionKind::Ready), (Some(true), "LoopClosed"));
    assert_eq!(condition(&decision, ConditionKind::ScalingActive), (Some(true), "Active"));
}

#[test]
fn load_in_the_band_writes_nothing() {
    let (decision, actions) = Scene::new(6).with_load(480.0, at(0));
    assert_eq!((decision.desired, actions.len()), (6, 0));
    assert_eq!(code(&decision), ReasonCode::InsideBand);
}

#[test]
fn load_under_the_band_scales_in_only_after_a_whole_window() {
    // Given a process that just started and sees far too many replicas.
    let mut scene = Scene::new(20);
    let (decision, actions) = scene.with_load(500.0, at(0));
    assert!(actions.is_empty());
    assert_eq!(code(&decision), ReasonCode::Stabilized);
    assert_eq!(decision.wake_at, Some(at(300).mono));
    for seconds in (5..300).step_by(5) {
        assert!(scene.with_load(500.0, at(seconds)).1.is_empty());
    }
    // When the window is over, and has seen nothing but the low load: but it recommended to hold in that time.
    let mut written = None;
    for seconds in (300..=600).step_by(5) {
        written = written.or(to(&scene.with_load(500.0, at(seconds)).1));
    }
    // Then it goes to the middle of the band: 500 × 1.35 / 100.
    assert_eq!(written, Some(7));
}

#[rstest]
#[case::below_min(1, Bounds { min: 2, max: 10 }, 2, ReasonCode::AtMin)]
#[case::above_max(6, Bounds { min: 1, max: 5 }, 5, ReasonCode::AtMax)]
fn bounds_are_kept_at_once_even_without_data(
    #[case] replicas: u32,
    #[case] bounds: Bounds,
    #[case] expected: u32,
    #[case] reason: ReasonCode,
) {
    let mut scene = Scene::of(Policy { bounds, ..policy() }, replicas);
    let (decision, actions) = scene.judge(at(0));
    assert_eq!(to(&actions), Some(expected));
    assert_eq!(code(&decision), reason);
}

#[test]
fn more_than_max_is_told_as_a_limit() {
    let mut scene = Scene::of(Policy { bounds: Bounds { min: 1, max: 8 }, ..policy() }, 8);
    let (decision, actions) = scene.with_load(2_000.0, at(0));
    assert!(actions.is_empty());
    assert_eq!(code(&decision), ReasonCode::AtMax);
    assert_eq!(condition(&decision, ConditionKind::ScalingLimited), (Some(true), "AtMax"));
}

#[test]
fn a_jump_is_limited_by_the_rate_rules_and_comes_back_when_they_allow_more() {
    let mut scene = Scene::new(10);
    let first = scene.live(10_000.0, at(0));
    assert_eq!(first.desired, 20);
    assert_eq!(condition(&first, ConditionKind::ScalingLimited), (Some(true), "RateLimited"));
    let second = scene.live(10_000.0, at(5));
    assert_eq!((second.desired, second.wake_at), (20, Some(at(15).mono)));
    assert_eq!(scene.live(10_000.0, at(15)).desired, 40);
}

#[test]
fn what_cannot_be_read_never_lowers_and_is_named() {
    let mut scene = Scene::settled_at(20, 500.0);
    scene.instance().load = Err(Doubt::TimedOut);
    let (decision, actions) = scene.judge(at(1_000));
    assert!(actions.is_empty());
    assert_eq!(code(&decision), ReasonCode::Doubt);
    assert_eq!(condition(&decision, ConditionKind::DataFresh), (Some(false), "TimedOut"));
    assert_eq!(condition(&decision, ConditionKind::Ready), (Some(false), "NoData"));
}

fn backlog(name: &str, rule: TriggerRule) -> Trigger {
    Trigger { name: name.to_owned(), rule }
}

#[rstest]
#[case::one_broken_and_another_says_up(Err(Doubt::Stale { age: Duration::from_mins(1) }), 2_000.0, 20)]
#[case::one_broken_and_another_says_down(Err(Doubt::AbsentSeries), 100.0, 10)]
#[case::both_say_down(Ok(Reading::complete(450.0, at(0).wall)), 300.0, 5)]
fn a_broken_trigger_stops_scale_in_only(
    #[case] signal: Observed<f64>,
    #[case] rate: f64,
    #[case] expected: u32,
) {
    let triggers = vec![backlog("backlog", TriggerRule::PerReplica(100.0))];
    let mut behaviour = Behaviour::hpa_default();
    behaviour.down.stabilization_window = Duration::ZERO;
    let mut scene = Scene::of(Policy { triggers, behaviour, ..policy() }, 10);
    scene.workload.triggers.insert("backlog".to_owned(), signal);
    assert_eq!(scene.with_load(rate, at(0)).0.desired, expected);
}

#[test]
fn a_trigger_raises_by_its_own_arithmetic() {
    let formula = formula::compile("value / 10.0 + values.rate").unwrap();
    let rules = [
        ("backlog", TriggerRule::PerReplica(200.0), 1_500.0),
        ("rate", TriggerRule::Target(20.0), 18.0),
        ("custom", TriggerRule::Formula(formula.into()), -1.0),
    ];
    let triggers = rules.iter().map(|(name, rule, _)| backlog(name, rule.clone())).collect();
    let mut scene = Scene::of(Policy { triggers, ..policy() }, 5);
    for (name, _, value) in &rules {
        scene.workload.triggers.insert((*name).to_owned(), Ok(Reading::complete(*value, at(0).wall)));
    }
    // 1500 / 200 = 7.5; 18 of 20 is within HPA's tolerance; a negative value is a doubt.
    assert!((HPA_DEFAULT - 0.1).abs() < f64::EPSILON);
    let (decision, actions) = scene.with_load(400.0, at(0));
    assert_eq!(to(&actions), Some(8));
    assert_eq!(decision.doubts, [("custom".to_owned(), Doubt::Negative)]);
    let proposals: Vec<_> = decision.proposals.iter().map(|p| (p.source.as_str(), p.replicas)).collect();
    assert_eq!(proposals, [("load", 5), ("trigger backlog", 8), ("trigger rate", 5)]);
}

#[test]
fn a_roll_out_a_missing_baseline_or_a_pause_keeps_what_there_is() {
    for change in [
        (|s: &mut Scene| s.instance().rolling_out = true) as fn(&mut Scene),
        |s| s.workload.policy.pause.scale_in = true,
        |s| s.workload.policy.behaviour.down.select = crate::policy::Select::Disabled,
    ] {
        let mut scene = Scene::new(20);
        change(&mut scene);
        for seconds in (0..1_000).step_by(50) {
            assert!(scene.with_load(100.0, at(seconds)).1.is_empty());
        }
    }
}

#[test]
fn what_forbids_to_write_leaves_the_recommendation() {
    type Change = fn(&mut Scene);
    let barriers: [(Change, &str); 5] = [
        (|s| s.freeze = Some(Freeze { reason: "incident 42".to_owned() }), "Frozen"),
        (|s| s.workload.policy.pause.all = true, "Paused"),
        (|s| s.workload.policy.mode = Mode::Recommend, "ModeRecommend"),
        (
            |s| {
                let kind = "HorizontalPodAutoscaler".to_owned();
                s.workload.contenders.push(Contender { kind, name: "checkout".to_owned() });
            },
            "OtherScaler",
        ),
        (|s| s.clusters.clear(), "ClustersDark"),
    ];
    for (change, reason) in barriers {
        let mut scene = Scene::new(5);
        change(&mut scene);
        let (decision, actions) = scene.with_load(545.0, at(0));
        assert!(actions.is_empty(), "{reason}");
        assert_eq!(decision.desired, 6, "{reason}");
        assert_eq!(condition(&decision, ConditionKind::ScalingActive), (Some(false), reason));
        assert!(decision.reasons[0].text.contains("Loadline would set 6 replicas"), "{decision:?}");
    }
}

#[test]
fn unknown_capacity_only_observes() {
    let mut scene = Scene::new(5);
    scene.workload.policy.capacity.per_replica = PerReplica::Learned;
    let (decision, actions) = scene.with_load(5_000.0, at(0));
    assert!(actions.is_empty());
    assert_eq!((decision.mode, decision.desired), (Some(Mode::Observe), 5));
    assert_eq!(condition(&decision, ConditionKind::CapacityKnown), (Some(false), "CapacityUnknown"));
}

#[rstest]
#[case(TargetProblem::Missing, Some(false), "TargetMissing")]
#[case(TargetProblem::NotScalable, Some(false), "TargetNotScalable")]
#[case(TargetProblem::Forbidden, Some(false), "TargetForbidden")]
#[case(TargetProblem::NotYetSeen, None, "TargetNotYetSeen")]
fn a_target_that_cannot_be_scaled_is_a_condition(
    #[case] problem: TargetProblem,
    #[case] status: Option<bool>,
    #[case] reason: &str,
) {
    let mut scene = Scene::new(5);
    scene.workload.instances.insert(here(), Err(problem));
    let (decision, actions) = scene.judge(at(0));
    assert!(actions.is_empty());
    assert_eq!(condition(&decision, ConditionKind::Ready), (status, reason));
}

#[test]
fn an_invalid_policy_is_told_with_every_complaint() {
    let complaints = vec!["spec.bounds.min: is over max".to_owned(), "spec.load: no".to_owned()];
    let decision = refuse(&InvalidPolicy { generation: 7, complaints });
    assert_eq!(code(&decision), ReasonCode::InvalidSpec);
    assert!(decision.reasons[0].text.contains("spec.load: no"));
    assert_eq!(condition(&decision, ConditionKind::Ready), (Some(false), "InvalidSpec"));
}

#[test]
fn our_own_write_is_not_foreign_although_the_watch_is_late() {
    // Given a write from 5 to 6 that the API server confirmed.
    let mut scene = Scene::new(5);
    let (_, actions) = scene.with_load(545.0, at(0));
    scene.apply(actions, at(0), Outcome::Done);
    // When the watch still shows 5 at the old resourceVersion, then nothing is written again.
    let instance = scene.instance();
    (instance.wanted, instance.version.resource_version) = (5, "1".to_owned());
    let (decision, actions) = scene.with_load(545.0, at(5));
    assert!(actions.is_empty());
    assert_eq!(decision.replicas.wanted, 6);
    // When it shows 6, then all is well.
    scene.set_replicas(6);
    let (decision, actions) = scene.with_load(545.0, at(10));
    assert!(actions.is_empty());
    assert_eq!(condition(&decision, ConditionKind::Contested), (Some(false), "Uncontested"));
}

#[test]
fn a_write_that_failed_on_the_way_back_is_recognised_when_it_shows() {
    let mut scene = Scene::new(10);
    let (_, actions) = scene.with_load(10_000.0, at(0));
    scene.apply(actions, at(0), Outcome::Failed("timeout".to_owned()));
    scene.set_replicas(20);
    // It counts against the rate rule, and not as foreign.
    let (decision, actions) = scene.with_load(10_000.0, at(5));
    assert!(actions.is_empty());
    assert_eq!(code(&decision), ReasonCode::RateLimited);
}

#[test]
fn scaling_up_by_hand_is_a_floor_for_one_window() {
    // Given a workload that needs 6, settled there.
    let mut scene = Scene::settled_at(7, 500.0);
    for seconds in (5..=600).step_by(5) {
        assert!(scene.with_load(500.0, at(seconds)).1.is_empty());
    }
    // When a person scales to 15, then 15 stays for five minutes, and the reason says who.
    scene.set_replicas(15);
    let (decision, actions) = scene.with_load(500.0, at(605));
    assert!(actions.is_empty());
    assert!(decision.reasons.iter().any(|r| r.code == ReasonCode::Person), "{:?}", decision.reasons);
    let mut went = None;
    for seconds in (610..=1_300).step_by(5) {
        if let Some(n) = to(&scene.with_load(500.0, at(seconds)).1) {
            went = went.or(Some((seconds, n)));
        }
    }
    assert_eq!(went, Some((905, 7)));
}

#[test]
fn scaling_down_by_hand_is_restored_with_a_reason() {
    let mut scene = Scene::settled_at(7, 500.0);
    scene.set_replicas(2);
    let (decision, actions) = scene.with_load(500.0, at(5));
    assert_eq!(to(&actions), Some(7));
    assert_eq!(code(&decision), ReasonCode::Person);
    // The same low value does not count twice while the write is on its way.
    for seconds in [10, 15, 20, 25] {
        assert_eq!(to(&scene.with_load(500.0, at(seconds)).1), Some(7));
    }
}

#[test]
fn three_foreign_changes_in_ten_minutes_are_a_contest_until_it_is_quiet() {
    let mut scene = Scene::settled_at(7, 500.0);
    for seconds in [10, 20, 30] {
        scene.set_replicas(2);
        let (_, actions) = scene.with_load(500.0, at(seconds));
        scene.apply(actions, at(seconds), Outcome::Done);
    }
    scene.set_replicas(2);
    let (decision, actions) = scene.with_load(500.0, at(40));
    assert!(actions.is_empty());
    assert_eq!(code(&decision), ReasonCode::Contested);
    assert_eq!(condition(&decision, ConditionKind::Contested), (Some(true), "ForeignWrites"));
    // Quiet for ten minutes: Loadline writes again.
    assert!(scene.with_load(500.0, at(600)).1.is_empty());
    assert_eq!(to(&scene.with_load(500.0, at(640)).1), Some(6));
}

#[test]
fn a_schedule_is_a_floor_and_leaves_when_it_ends() {
    let schedule = Schedule {
        name: "lunch".to_owned(),
        cron: "0 11 * * *".parse().unwrap(),
        duration: Duration::from_hours(1),
        time_zone: jiff::tz::TimeZone::UTC,
        min: 8,
        ramp: Duration::ZERO,
    };
    let mut scene = Scene::of(Policy { schedules: vec![schedule], ..policy() }, 7);
    let (before, _) = scene.with_load(500.0, at(3_595));
    assert_eq!((before.desired, before.wake_at), (7, Some(at(3_600).mono)));
    let during = scene.live(500.0, at(3_600));
    assert_eq!((during.desired, code(&during)), (8, ReasonCode::Schedule));
    for seconds in (3_605..7_200).step_by(60) {
        assert_eq!(scene.live(300.0, at(seconds)).desired, 8);
    }
    assert_eq!(scene.live(300.0, at(7_200)).desired, 4);
}

#[rstest]
#[case::hold(FallbackPolicy::Hold, 10)]
#[case::at_least_more(FallbackPolicy::AtLeast(15), 15)]
#[case::at_least_fewer(FallbackPolicy::AtLeast(5), 10)]
#[case::exactly_fewer(FallbackPolicy::Static(5), 5)]
fn the_fallback_counts_after_its_time(#[case] fallback: FallbackPolicy, #[case] expected: u32) {
    let fallback = Fallback { after: Duration::from_mins(3), policy: fallback };
    let mut scene = Scene::of(Policy { fallback, ..policy() }, 10);
    scene.with_load(800.0, at(0));
    scene.instance().load = Err(Doubt::Unreachable);
    let (early, _) = scene.judge(at(300));
    assert_eq!((early.desired, early.wake_at), (10, Some(at(480).mono)));
    let (late, _) = scene.judge(at(480));
    assert_eq!((late.desired, code(&late)), (expected, ReasonCode::Fallback));
}

fn sleeper() -> Scene {
    let activation = Activation {
        signal: ActivationSignal::Trigger("queue".to_owned()),
        above: 5.0,
        idle_for: Duration::from_mins(5),
    };
    let triggers = vec![backlog("queue", TriggerRule::PerReplica(100.0))];
    let bounds = Bounds { min: 0, max: 10 };
    Scene::of(Policy { activation: Some(activation), triggers, bounds, ..policy() }, 1)
}

fn queue(scene: &mut Scene, value: f64, now: Now) -> (Decision, Vec<Action>) {
    scene.workload.triggers.insert("queue".to_owned(), Ok(Reading::complete(value, now.wall)));
    scene.judge(now)
}

#[test]
fn it_sleeps_after_the_idle_time_and_wakes_at_the_first_sign() {
    let mut scene = sleeper();
    scene.instance().load = Ok(requests(0.0, at(0)));
    for seconds in (0..300).step_by(5) {
        assert!(queue(&mut scene, 3.0, at(seconds)).1.is_empty());
    }
    let (decision, actions) = queue(&mut scene, 3.0, at(300));
    assert_eq!((to(&actions), code(&decision)), (Some(0), ReasonCode::Idle));
    scene.apply(actions, at(300), Outcome::Done);
    // At zero its own telemetry is gone, and that is no doubt.
    scene.instance().load = Err(Doubt::AbsentSeries);
    let (decision, actions) = queue(&mut scene, 3.0, at(305));
    assert!(actions.is_empty());
    assert_eq!(condition(&decision, ConditionKind::DataFresh), (Some(true), "AtZero"));
    let (decision, actions) = queue(&mut scene, 6.0, at(310));
    assert_eq!((to(&actions), code(&decision)), (Some(1), ReasonCode::Activated));
}

#[test]
fn doubt_neither_wakes_it_nor_sends_it_to_sleep() {
    let mut scene = sleeper();
    scene.instance().load = Ok(requests(0.0, at(0)));
    for seconds in (0..1_000).step_by(100) {
        scene.workload.triggers.insert("queue".to_owned(), Err(Doubt::TimedOut));
        assert!(scene.judge(at(seconds)).1.is_empty());
    }
    scene.set_replicas(0);
    scene.memory.policies.values_mut().for_each(|m| *m = PolicyMemory::default());
    assert!(scene.judge(at(1_000)).1.is_empty());
}

#[test]
fn paused_replicas_are_held_exactly() {
    let mut scene = Scene::new(10);
    scene.workload.policy.pause.replicas = Some(3);
    let (decision, actions) = scene.with_load(5_000.0, at(0));
    assert_eq!((to(&actions), code(&decision)), (Some(3), ReasonCode::Paused));
    assert_eq!(condition(&decision, ConditionKind::ScalingActive), (Some(false), "PausedAtReplicas"));
}

#[test]
fn a_policy_made_anew_starts_with_an_empty_memory_and_one_restored_keeps_its_changes() {
    let now = at(0);
    let mut restored = PolicyMemory::default();
    let recent = now.wall - jiff::SignedDuration::from_secs(5);
    memory::restore(&mut restored, &[(recent, 10)], now);
    let mut scene = Scene::new(20);
    scene.memory.policies.values_mut().for_each(|m| *m = restored.clone());
    // The restored change counts against the rate rule.
    assert!(scene.with_load(10_000.0, now).1.is_empty());
    // Another object by the same name does not inherit it.
    scene.workload.policy.uid = "another".to_owned();
    assert_eq!(to(&scene.with_load(10_000.0, now).1), Some(40));
}
