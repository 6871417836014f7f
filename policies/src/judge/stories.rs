//! Stories of whole judgements: given a workload, when it is judged, then this is desired, for this reason.

use std::time::Duration;

use rstest::rstest;

use super::{scene::*, *};
use crate::{
    behaviour::tolerance::HPA_DEFAULT,
    desired::formula,
    fleet::{Contender, TargetProblem},
    plan::Outcome,
    policy::{
        Activation, ActivationSignal, Behaviour, Bounds, Fallback, FallbackPolicy, PerReplica, Schedule,
        Trigger, TriggerRule,
    },
    reading::{Doubt, Observed, Reading},
    reason::ConditionKind,
};

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
    // When the window is over, and has seen nothing but the low load,
    let written = to(&scene.with_load(500.0, at(300)).1);
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

#[test]
fn an_outage_that_leaves_the_window_half_empty_removes_nothing_even_without_stabilisation() {
    // Given a policy that scales in at once, a steady load, and telemetry that was away for ten minutes,
    let mut behaviour = Behaviour::hpa_default();
    behaviour.down.stabilization_window = Duration::ZERO;
    let mut scene = Scene::of(Policy { behaviour, ..policy() }, 12).watched_for_long();
    assert!(scene.with_load(1_000.0, at(0)).1.is_empty());
    scene.instance().load = Err(Doubt::Unreachable);
    scene.judge(at(600));
    // when it is back, with a window of a minute that fills,
    for seconds in (5u32..90).step_by(5) {
        let (decision, actions) =
            scene.with_load(1_000.0 * f64::from(seconds).min(60.0) / 60.0, at(600 + u64::from(seconds)));
        // then nothing is removed, and it is told why.
        assert!(actions.is_empty(), "after {seconds} s: {decision:?}");
        assert!(seconds > 40 || code(&decision) == ReasonCode::WindowNotFilled, "{decision:?}");
    }
    // When the load really is low after that, it counts.
    assert_eq!(to(&scene.with_load(500.0, at(690)).1), Some(7));
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
    let mut scene = Scene::of(Policy { triggers, behaviour, ..policy() }, 10).watched_for_long();
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
        |s| s.policy().pause.scale_in = true,
        |s| s.policy().behaviour.down.select = crate::policy::Select::Disabled,
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
        (|s| s.policy().pause.all = true, "Paused"),
        (|s| s.policy().mode = Mode::Recommend, "ModeRecommend"),
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
    scene.policy().capacity.per_replica = PerReplica::Learned;
    let (decision, actions) = scene.with_load(5_000.0, at(0));
    assert!(actions.is_empty());
    assert_eq!((decision.mode, decision.desired), (Some(Mode::Observe), 5));
    assert_eq!(condition(&decision, ConditionKind::CapacityKnown), (Some(false), "NoObjective"));
    assert_eq!(condition(&decision, ConditionKind::Ready), (Some(false), "CapacityUnknown"));
    // With an objective there is something to learn from.
    scene.policy().objective =
        Some(crate::policy::LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) });
    let (decision, _) = scene.with_load(5_000.0, at(5));
    assert_eq!(condition(&decision, ConditionKind::CapacityKnown), (Some(false), "Learning"));
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
    for seconds in (0..300).step_by(60) {
        assert_eq!(scene.with_load(800.0, at(seconds)).0.desired, 10);
    }
    scene.instance().load = Err(Doubt::Unreachable);
    let (early, _) = scene.judge(at(300));
    assert_eq!((early.desired, early.wake_at), (10, Some(at(480).mono)));
    assert_eq!(scene.judge(at(390)).0.desired, 10);
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

#[test]
fn a_policy_whose_bounds_begin_at_one_never_goes_to_zero() {
    let mut scene = sleeper();
    scene.policy().bounds.min = 1;
    scene.instance().load = Ok(requests(0.0, at(0)));
    for seconds in (0..1_000).step_by(5) {
        assert_eq!(queue(&mut scene, 0.0, at(seconds)).0.desired, 1);
    }
    // Nor does it stay there, whoever put it there.
    scene.set_replicas(0);
    assert_eq!(to(&queue(&mut scene, 0.0, at(1_000)).1), Some(1));
}

#[test]
fn a_target_that_was_away_is_not_one_without_data() {
    // Given a fallback of exactly 5 after three minutes, and a target that was deleted,
    let fallback = Fallback { after: Duration::from_mins(3), policy: FallbackPolicy::Static(5) };
    let mut scene = Scene::of(Policy { fallback, ..policy() }, 20).watched_for_long();
    let there = scene.workload.instances.clone();
    scene.workload.instances.insert(here(), Err(TargetProblem::Missing));
    for seconds in (0..600).step_by(60) {
        assert!(scene.judge(at(seconds)).1.is_empty());
    }
    // when it is made again with 20 replicas that have no series yet, then they stay for those three minutes.
    scene.workload.instances = there;
    scene.instance().load = Err(Doubt::AbsentSeries);
    assert_eq!(scene.judge(at(600)).0.desired, 20);
    assert_eq!(scene.judge(at(700)).0.desired, 20);
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
    scene.memory.policies.values_mut().for_each(|m| **m = PolicyMemory::default());
    assert!(scene.judge(at(1_000)).1.is_empty());
}
