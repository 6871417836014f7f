//! Cards as they look.

use std::time::Duration;

use loadline_policies::{
    capacity::{Known, Source},
    fleet::Totals,
    ids::{ByCluster, ClusterId},
    plan::Proposal,
    reading::Doubt,
    reason::{Reason, ReasonCode},
};

use super::{super::overview, *};

fn condition(kind: ConditionKind, status: bool, reason: &'static str, message: &str) -> Condition {
    Condition { kind, status: Some(status), reason, message: message.to_owned() }
}

fn calm() -> Decision {
    Decision {
        generation: 3,
        mode: Some(Mode::Active),
        replicas: Totals { wanted: 12, current: 12, ready: 12 },
        demand: Some(Demand {
            weighted: 860.0,
            raw: 860.0,
            requests: 860.0,
            interpolated: 0.02,
            capped: false,
            age: Duration::from_secs(3),
        }),
        per_replica: Some(100.0),
        capacity: None,
        endpoints_weighed: None,
        redundancy: Some(1.395),
        latency: Some(0.118),
        forecast: None,
        lead: ByCluster::new(),
        proposals: vec![Proposal { source: "load".into(), replicas: 10 }],
        desired: 12,
        placement: ByCluster::from_iter([(ClusterId::local(), 12)]),
        ready: ByCluster::from_iter([(ClusterId::local(), 9)]),
        shortfall: 0,
        doubts: Vec::new(),
        reasons: vec![Reason::new(
            ReasonCode::InsideBand,
            "redundancy 1.40 is inside the band of 1.10 to 1.60",
        )],
        conditions: vec![
            condition(ConditionKind::Ready, true, "Ready", ""),
            condition(ConditionKind::DataFresh, true, "Fresh", ""),
            condition(ConditionKind::ScalingLimited, false, "NotLimited", ""),
        ],
        wake_at: None,
    }
}

fn overloaded_in_doubt() -> Decision {
    Decision {
        replicas: Totals { wanted: 12, current: 12, ready: 7 },
        demand: Some(Demand {
            weighted: 1_240.0,
            raw: 3_900.0,
            requests: 980.0,
            interpolated: 0.31,
            capped: true,
            age: Duration::from_secs(21),
        }),
        redundancy: Some(0.565),
        latency: Some(1.9),
        forecast: None,
        lead: ByCluster::new(),
        proposals: vec![
            Proposal { source: "load".into(), replicas: 14 },
            Proposal { source: "schedule lunch".into(), replicas: 16 },
        ],
        desired: 16,
        wake_at: Some(Mono(Duration::from_secs(42))),
        doubts: vec![("local".into(), Doubt::Stale { age: Duration::from_secs(21) })],
        reasons: vec![
            Reason::new(
                ReasonCode::Schedule,
                "the schedule lunch keeps at least 16 replicas until 13:30 Asia/Shanghai",
            ),
            Reason::new(
                ReasonCode::Doubt,
                "local: the newest sample is 21 s old; nothing is removed before it is fresh again",
            ),
        ],
        conditions: vec![
            condition(ConditionKind::Ready, true, "Ready", ""),
            condition(ConditionKind::DataFresh, false, "Stale", "the newest sample of local is 21 s old"),
        ],
        ..calm()
    }
}

fn draw(decision: &Decision, paper: Paper) -> String {
    let course: Vec<f64> = (0..30).map(|i| 400.0 + 20.0 * f64::from(i)).collect();
    card(
        &Card {
            policy: &PolicyKey::new("shop", "checkout"),
            decision,
            at: Mono(Duration::ZERO),
            band: Some(Band { min: 1.1, max: 1.6 }),
            bounds: Some(Bounds { min: 3, max: 400 }),
            objective: Some(LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) }),
            course: &course,
        },
        paper,
    )
}

#[test]
fn a_calm_workload_is_short_to_read() {
    insta::assert_snapshot!(draw(&calm(), Paper::plain()));
}

#[test]
fn an_overloaded_workload_says_what_is_wrong_and_what_is_in_doubt() {
    insta::assert_snapshot!(draw(&overloaded_in_doubt(), Paper::plain()));
}

#[test]
fn a_narrow_terminal_gets_a_narrow_card() {
    let text = draw(&overloaded_in_doubt(), Paper { width: 48, colours: false });
    insta::assert_snapshot!(text);
}

#[test]
fn colours_change_nothing_but_colours() {
    let plain = draw(&overloaded_in_doubt(), Paper::plain());
    let mut coloured = draw(&overloaded_in_doubt(), Paper { colours: true, ..Paper::plain() });
    assert_ne!(plain, coloured);
    for code in ["0", "1", "2", "31", "32", "33", "36"] {
        coloured = coloured.replace(&format!("\x1b[{code}m"), "");
    }
    let trimmed: Vec<_> = coloured.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n") + "\n", plain);
}

#[test]
fn a_learned_capacity_says_how_it_is_known() {
    let known = |source, per_replica, lower, upper| Known {
        per_replica,
        source,
        lower,
        upper,
        confidence: 0.5,
        windows: 12,
        knees: 0,
        cpu: None,
    };
    let row = |known| {
        let text = draw(&Decision { capacity: Some(known), ..calm() }, Paper::plain());
        let rows: Vec<_> = text.lines().filter(|l| l.trim_start().starts_with("capacity")).collect();
        rows.first().map(|row| row.trim().to_owned())
    };
    insta::assert_snapshot!(
        [
            row(known(Source::Learned, Some(118.0), Some(118.0), Some(131.0))),
            row(known(Source::Learned, Some(40.0), Some(40.0), None)),
            row(known(Source::Learning, None, None, None)),
            row(known(Source::Estimated, Some(70.0), None, None)),
            row(known(Source::Declared, Some(100.0), None, None)),
        ]
        .map(|row| row.unwrap_or_else(|| "(none)".to_owned()))
        .join("\n")
    );
}

#[test]
fn an_invalid_policy_still_has_a_card() {
    let decision = Decision {
        mode: None,
        demand: None,
        per_replica: None,
        redundancy: None,
        latency: None,
        forecast: None,
        lead: ByCluster::new(),
        proposals: Vec::new(),
        reasons: vec![Reason::new(ReasonCode::InvalidSpec, "spec.bounds: min 5 is above max 3; swap them")],
        conditions: vec![condition(
            ConditionKind::Ready,
            false,
            "InvalidSpec",
            "spec.bounds: min 5 is above max 3",
        )],
        ..calm()
    };
    insta::assert_snapshot!(draw(&decision, Paper::plain()));
}

#[test]
fn the_overview_shows_first_what_needs_a_person() {
    let (calm, doubtful) = (calm(), Decision { conditions: Vec::new(), ..overloaded_in_doubt() });
    let (cart, checkout) = (PolicyKey::new("shop", "cart"), PolicyKey::new("shop", "checkout"));
    insta::assert_snapshot!(overview(
        [(&cart, &calm), (&checkout, &doubtful)],
        Paper { width: 100, colours: false }
    ));
}
