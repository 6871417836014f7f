//! Stories of reports: what is written, and what is not.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use loadline_crds::elastic_policy::{
    ElasticPolicyStatus, ForecastStatus, ForecastTrust, LatencyTryPhase, LatencyTryStatus, PersonFloorStatus,
    ReplicaChange, WeightBaselineStatus,
};
use loadline_policies::{
    fleet::{ObjectVersion, Totals},
    forecast::trust::Trust,
    ids::{ByCluster, ClusterId, Target},
    lead_time::{LeadTime, Learned},
    load::endpoint_weights::EndpointLearner,
    memory::{PolicyMemory, TryPhase},
    now::Now,
    plan::{AppliedAction, Decision, Demand, ScaleAction},
    policy::{EndpointWeights, Mode},
    reason::{Condition, ConditionKind, Reason, ReasonCode},
};

use super::{status::remembered, *};
use crate::apply::Patience;

fn now(seconds: i64) -> Now {
    let wall = "2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap();
    let passed = Duration::from_secs(u64::try_from(seconds).unwrap());
    Now::new(wall.checked_add(passed).unwrap(), Duration::from_secs(10_000) + passed)
}

fn decision(desired: u32, load: f64, fresh: bool) -> Decision {
    Decision {
        generation: 1,
        mode: Some(Mode::Active),
        replicas: Totals { wanted: 3, current: 3, ready: 3 },
        demand: Some(Demand {
            weighted: load,
            raw: load,
            requests: load,
            interpolated: 0.0,
            capped: false,
            age: Duration::ZERO,
        }),
        per_replica: Some(100.0),
        capacity: None,
        endpoints_weighed: None,
        redundancy: Some(300.0 / load),
        latency: None,
        forecast: None,
        lead: ByCluster::new(),
        proposals: Vec::new(),
        desired,
        placement: ByCluster::from_iter([(ClusterId::local(), desired)]),
        ready: ByCluster::from_iter([(ClusterId::local(), 3)]),
        shortfall: 0,
        doubts: Vec::new(),
        reasons: vec![Reason::new(ReasonCode::InsideBand, format!("load is {load}"))],
        conditions: vec![Condition {
            kind: ConditionKind::DataFresh,
            status: Some(fresh),
            reason: if fresh { "Fresh" } else { "Stale" },
            message: String::new(),
        }],
        wake_at: None,
    }
}

fn policy() -> Arc<ElasticPolicy> {
    let text = "{apiVersion: loadline.dev/v1alpha1, kind: ElasticPolicy,
      metadata: {name: checkout, namespace: shop, uid: u1, resourceVersion: '7', generation: 1},
      spec: {target: {apiVersion: apps/v1, kind: Deployment, name: web}, bounds: {min: 1, max: 9},
      load: {profile: otel-http}}}";
    Arc::new(serde_yaml::from_str(text).unwrap())
}

fn plan(at: Now, decision: Decision, actions: Vec<AppliedAction>) -> Plan<Applied> {
    let key = PolicyKey::new("shop", "checkout");
    Plan { at, actions, decisions: BTreeMap::from([(key, decision)]), wake_at: None }
}

/// Between two writes of what changes by itself.
const PACE: Duration = Duration::from_mins(1);

struct Desk {
    reporter: Reporter,
    queue: Arc<Queue>,
    key: PolicyKey,
}

impl Desk {
    fn new() -> Self {
        let queue = Arc::new(Queue::default());
        let reporter =
            Reporter::new(Arc::default(), Arc::clone(&queue), View::default(), "pod-1".into(), PACE);
        Self { reporter, queue, key: PolicyKey::new("shop", "checkout") }
    }

    /// Reports, and says whether a status waits to be written now.
    fn report(&mut self, plan: Plan<Applied>) -> bool {
        self.queue.clear();
        self.reporter.report(plan, &[policy()], &Memory::default(), true);
        self.queue.waits(&self.key)
    }
}

#[test]
fn an_unchanged_world_writes_once_and_a_moving_load_alone_never() {
    let mut desk = Desk::new();
    assert!(
        desk.report(plan(now(0), decision(3, 200.0, true), Vec::new())),
        "given: the first report is written"
    );
    for second in (5..600).step_by(5) {
        let load = 200.0 + f64::from(i32::try_from(second).unwrap() % 7);
        let written = desk.report(plan(now(second), decision(3, load, true), Vec::new()));
        assert!(!written, "then: nothing is written at {second} s");
    }
}

#[test]
fn a_changed_decision_and_a_turned_condition_are_written_at_once() {
    let mut desk = Desk::new();
    desk.report(plan(now(0), decision(3, 200.0, true), Vec::new()));
    assert!(desk.report(plan(now(5), decision(4, 350.0, true), Vec::new())));
    assert!(desk.report(plan(now(10), decision(4, 350.0, false), Vec::new())));
    assert!(!desk.report(plan(now(15), decision(4, 350.0, false), Vec::new())));
}

#[test]
fn a_standby_queues_nothing() {
    let mut desk = Desk::new();
    let plan = plan(now(0), decision(3, 200.0, true), Vec::new());
    desk.reporter.report(plan, &[policy()], &Memory::default(), false);
    assert!(!desk.queue.waits(&desk.key));
}

#[test]
fn a_condition_keeps_its_transition_time_until_it_turns() {
    let first = status::of(&decision(3, 200.0, true), None, None, &ElasticPolicyStatus::default(), now(0));
    let later = status::of(&decision(3, 200.0, true), None, None, &first, now(60));
    assert_eq!(later.conditions, first.conditions);
    let turned = status::of(&decision(3, 200.0, false), None, None, &later, now(120));
    assert_eq!(turned.conditions[0].last_transition_time, Time(now(120).wall));
}

#[test]
fn a_sentence_that_changes_by_itself_is_written_at_the_configured_pace() {
    // Given a message that counts, so that it is another one every tick.
    let counting = |second: i64| {
        let mut decision = decision(3, 200.0, false);
        decision.conditions[0].message = format!("for {second} s");
        plan(now(second), decision, Vec::new())
    };
    let mut desk = Desk::new();
    let written: Vec<i64> = (0..=150).step_by(5).filter(|second| desk.report(counting(*second))).collect();
    assert_eq!(written, [0, 60, 120]);
}

#[test]
fn a_status_that_cannot_be_written_is_tried_again_after_longer_and_longer_pauses() {
    let mut desk = Desk::new();
    let mut tried = Vec::new();
    for second in 0..120 {
        if desk.report(plan(now(second), decision(3, 200.0, true), Vec::new())) {
            tried.push(second);
            desk.queue.settle(desk.key.clone(), Written::Failed(Patience::Long, "forbidden".into()));
        }
    }
    assert!((5..=8).contains(&tried.len()), "1, 2, 4, … up to 60 s: {tried:?}");
    // When it can be written at last, then it is, once.
    desk.queue.settle(desk.key.clone(), Written::Done("8".into()));
    let later = (120..400).filter(|s| desk.report(plan(now(*s), decision(3, 200.0, true), Vec::new())));
    assert!(later.count() <= 1);
}

#[test]
fn what_turned_is_told_once_however_often_the_status_is_tried() {
    let mut desk = Desk::new();
    desk.report(plan(now(0), decision(3, 200.0, true), Vec::new()));
    desk.queue.settle(desk.key.clone(), Written::Done("8".into()));
    let mut told = 0;
    for second in 5..60 {
        desk.report(plan(now(second), decision(3, 200.0, false), Vec::new()));
        told += desk.queue.waiting_events();
        desk.queue.settle(desk.key.clone(), Written::Failed(Patience::Brief, "conflict".into()));
    }
    assert_eq!(told, 1);
}

#[test]
fn a_write_that_keeps_failing_is_told_now_and_then_and_its_success_at_once() {
    let mut desk = Desk::new();
    let mut told = |second: i64, outcome: Outcome| {
        desk.report(plan(now(second), decision(3, 200.0, true), vec![scaled(outcome)]));
        desk.queue.waiting_events()
    };
    let refused = || Outcome::Refused("changed twice".into());
    let of_ten_minutes: usize = (0..600).step_by(5).map(|second| told(second, refused())).sum();
    assert_eq!(of_ten_minutes, 1);
    assert_eq!(told(600, refused()), 1, "it still does");
    assert_eq!(told(605, Outcome::Done), 1);
    assert_eq!(told(610, refused()), 1, "and again after a success");
}

/// A write of five replicas in place of three, and what became of it.
fn scaled(outcome: Outcome) -> AppliedAction {
    AppliedAction {
        action: Action::Scale(ScaleAction {
            policy: PolicyKey::new("shop", "checkout"),
            cluster: ClusterId::local(),
            target: Target::new("apps/v1", "Deployment", "shop", "web"),
            from: 3,
            accepted: 3,
            to: 5,
            version: ObjectVersion { uid: "x".into(), resource_version: "1".into() },
            reason: Reason::new(ReasonCode::BelowBand, "more load"),
        }),
        outcome,
    }
}

#[test]
fn only_writes_that_were_done_stand_in_recent_changes() {
    let of = |outcome| changes(&plan(now(0), decision(5, 400.0, true), vec![scaled(outcome)]));
    assert_eq!(of(Outcome::Done).into_values().collect::<Vec<_>>(), [(3, 5)]);
    assert!(of(Outcome::Failed("reset".into())).is_empty());
}

#[test]
fn what_must_survive_a_restart_comes_back_from_status() {
    let status = ElasticPolicyStatus {
        recent_changes: vec![ReplicaChange { at: Time(now(0).wall), from: 3, to: 5 }],
        person_floor: Some(PersonFloorStatus { replicas: 6, from: Some(4), until: Time(now(200).wall) }),
        weight_baseline: Some(WeightBaselineStatus { mean: 0.6, at: Time(now(0).wall) }),
        idle_since: Some(Time(now(10).wall)),
        latency_try: Some(LatencyTryStatus {
            phase: LatencyTryPhase::Growing,
            factor: 1.5,
            replicas: 17,
            limit: 30,
            utilisation: 0.4,
        }),
        observed_generation: Some(7),
        ..ElasticPolicyStatus::default()
    };
    let memory = remembered(&status, now(100));
    assert_eq!(memory.changes.iter().map(|c| (c.at, c.delta)).collect::<Vec<_>>(), [(now(0).mono, 2)]);
    assert_eq!(memory.person_floor.map(|f| (f.replicas, f.from, f.until)), Some((6, 4, now(200).mono)));
    assert_eq!(memory.idle_since, None, "nobody looked while no process ran");
    let kept = memory.latency.unwrap();
    assert_eq!(kept.phase, TryPhase::Easing);
    assert!((kept.replicas - 17.0).abs() < 1e-9 && (kept.factor - 1.5).abs() < 1e-9);
    assert_eq!(memory.generation, 7);
    assert!(memory.baseline.is_some_and(|b| (b.mean - 0.6).abs() < 1e-9));
    assert!(memory.first_seen.is_none(), "the stabilisation window starts anew");
}

#[test]
fn the_longest_sentences_fit_the_schema_and_sixteen_kib() {
    let mut long = decision(3, 200.0, true);
    long.reasons = vec![Reason::new(ReasonCode::InsideBand, "ü".repeat(5_000))];
    long.conditions = (0..8)
        .map(|_| Condition {
            kind: ConditionKind::Ready,
            status: None,
            reason: "InvalidSpec",
            message: "ü".repeat(5_000),
        })
        .collect();
    let status = status::of(&long, None, None, &ElasticPolicyStatus::default(), now(0));
    assert!(status.reason.as_ref().is_some_and(|r| r.len() <= 1024));
    assert!(serde_json::to_string(&status).unwrap().len() < 16 * 1024);
}

#[test]
fn more_changes_than_status_keeps_count_no_less() {
    // Given twenty removals of one replica and a raise among them,
    let mut status = ElasticPolicyStatus::default();
    let mut replicas = 40;
    for i in 0..21 {
        let to = if i == 10 { replicas + 3 } else { replicas - 1 };
        let change = Some((replicas, to));
        status = status::of(&decision(to, 400.0, true), None, change, &status, now(i));
        replicas = to;
    }
    // then status keeps ten entries, and a new leader counts all that was removed and all that was added.
    assert_eq!(status.recent_changes.len(), 10);
    let memory = remembered(&status, now(100));
    let sum = |up: bool| memory.changes.iter().map(|c| c.delta).filter(|d| (*d > 0) == up).sum::<i64>();
    assert_eq!((sum(false), sum(true)), (-20, 3));
}

#[test]
fn learned_weights_survive_a_restart_and_leave_room_in_status() {
    // Given as many endpoints as are told apart, with names as long as status bears,
    let by_name =
        (0..64).map(|n| (format!("GET /{n:02}/{}", "x".repeat(80)), 0.123 + f64::from(n))).collect();
    let used = EndpointWeights { by_name, others: 0.987 };
    let weights = Some(Box::new(EndpointLearner::restored(used.clone())));
    let memory = PolicyMemory { endpoint_weights: weights, ..PolicyMemory::default() };
    let decision = decision(3, 200.0, true);
    let plain = status::of(&decision, None, None, &ElasticPolicyStatus::default(), now(0));
    let told = status::of(&decision, Some(&memory), None, &plain, now(0));
    assert_eq!(status::urgency(&plain, &told), status::Urgency::Soon);
    let text = serde_json::to_string(&told).unwrap();
    assert!(text.len() < 9 << 10, "{} bytes", text.len());
    // when a new process reads it, then requests weigh exactly what they did.
    let again = remembered(&serde_json::from_str(&text).unwrap(), now(60));
    assert_eq!(again.endpoint_weights.unwrap().in_use(), Some(&used));
}

#[test]
fn a_learned_lead_time_survives_a_restart_and_a_second_more_is_no_write() {
    // Given that replicas were seen to take three minutes,
    let lead = |p95| {
        let p50 = Duration::from_secs(150);
        let learned = Learned { p50, p95: Duration::from_secs(p95), samples: 20 };
        Decision { lead: ByCluster::from_iter([(ClusterId::local(), learned)]), ..decision(3, 200.0, true) }
    };
    let of = |decision: &Decision, previous: &ElasticPolicyStatus| {
        status::of(decision, None, None, previous, now(0))
    };
    let first = of(&lead(180), &ElasticPolicyStatus::default());
    // when a new leader reads it, then it looks as far ahead as the old one did.
    let memory = remembered(&first, now(60));
    let learned = memory.lead.get(&ClusterId::local()).and_then(LeadTime::learned).unwrap();
    assert_eq!((learned.p50.as_secs(), learned.p95.as_secs(), learned.samples), (150, 180, 20));
    assert_eq!(status::urgency(&first, &of(&lead(181), &first)), status::Urgency::None);
    assert_eq!(status::urgency(&first, &of(&lead(300), &first)), status::Urgency::Soon);
}

#[test]
fn trust_outlives_a_restart_also_while_the_past_is_read_again() {
    // Given a status that says that the forecast was trusted in full,
    let trusted = ForecastStatus {
        trust: ForecastTrust::Full,
        earned: None,
        candidate: "ridge".to_owned(),
        soon: Some(400.0),
        hold: Some(420.0),
        skill: Some(0.4),
        calibration: Some(0.95),
    };
    let before = ElasticPolicyStatus { forecast: Some(trusted), ..ElasticPolicyStatus::default() };
    // when a new leader takes it up, then the trust stands in,
    let memory = remembered(&before, now(0));
    assert_eq!(memory.awaited.and_then(|a| a.stands_in(now(60).mono)), Some(Trust::Full));
    // and a status of that time keeps it, so that the next leader knows it too.
    let kept = status::of(&decision(3, 100.0, true), Some(&memory), None, &before, now(60));
    assert_eq!(kept.forecast, before.forecast);
    // When a person has lowered the ceiling meanwhile, then status says what acts, and what was earned.
    let mut lowered = remembered(&before, now(0));
    lowered.awaited.iter_mut().for_each(|awaited| awaited.most = Trust::ScaleOutOnly);
    let held = status::of(&decision(3, 100.0, true), Some(&lowered), None, &before, now(60));
    let forecast = held.forecast.as_ref().unwrap();
    assert_eq!((forecast.trust, forecast.earned), (ForecastTrust::ScaleOutOnly, Some(ForecastTrust::Full)));
    assert_eq!(status::urgency(&before, &held), Urgency::Now);
    // The next leader knows what was earned, not only what may act.
    let memory = remembered(&held, now(0));
    assert_eq!(memory.awaited.map(|awaited| awaited.trust), Some(Trust::Full));
    // When the past has not come for too long, then status says what is forecast now: nothing.
    let late = status::of(&decision(3, 100.0, true), Some(&memory), None, &before, now(3_600));
    assert_eq!(late.forecast, None);
    assert_eq!(status::urgency(&before, &late), Urgency::Now);
}
