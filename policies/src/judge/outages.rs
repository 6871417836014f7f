//! Stories of outages: the API server goes away under a workload that needs replicas.

use super::{scene::*, *};
use crate::{
    fleet::{ClusterState, Outage, OutageCause},
    reason::ConditionKind,
};

fn outage(cause: OutageCause) -> ClusterState {
    let detail = "get leases loadline/loadline: no answer in time".to_owned();
    ClusterState::Cut(Outage { since: at(0).wall, cause, detail })
}

/// The workload of these stories, while its cluster is in this state.
fn scene(state: ClusterState) -> Scene {
    let mut scene = Scene::settled_at(5, 400.0);
    scene.clusters.insert(here(), Cluster { state });
    scene
}

fn message(decision: &Decision) -> String {
    let of = |c: &&crate::reason::Condition| c.kind == ConditionKind::ScalingActive;
    decision.conditions.iter().find(of).unwrap().message.clone()
}

#[test]
fn an_outage_names_its_cause_and_leaves_the_recommendation() {
    for (cause, reason, said) in [
        (OutageCause::NoAnswer, "APIServerAway", "has not answered since 10:00:00 UTC"),
        (OutageCause::LeaseRefused, "LeaseNotRenewed", "no answer in time"),
    ] {
        let (decision, actions) = scene(outage(cause)).with_load(545.0, at(20));
        assert!(actions.is_empty(), "{reason}");
        assert_eq!(decision.desired, 6, "{reason}");
        assert_eq!(condition(&decision, ConditionKind::ScalingActive), (Some(false), reason));
        assert_eq!(condition(&decision, ConditionKind::Ready), (Some(true), "LoopClosed"));
        assert!(message(&decision).contains(said), "{}", message(&decision));
        assert!(decision.reasons[0].text.contains("Loadline would set 6 replicas"), "{decision:?}");
    }
}

#[test]
fn the_condition_stays_the_same_as_long_as_the_outage_does() {
    let mut scene = scene(outage(OutageCause::NoAnswer));
    let early = message(&scene.with_load(545.0, at(20)).0);
    assert_eq!(early, message(&scene.with_load(620.0, at(900)).0));
}

#[test]
fn the_first_tick_after_an_outage_writes_what_was_wanted() {
    let mut scene = scene(outage(OutageCause::NoAnswer));
    assert!(scene.with_load(545.0, at(20)).1.is_empty());
    scene.clusters.insert(here(), Cluster { state: ClusterState::Healthy });
    assert_eq!(to(&scene.with_load(545.0, at(25)).1), Some(6));
}

#[test]
fn what_only_reports_keeps_its_own_condition() {
    let mut scene = scene(outage(OutageCause::NoAnswer));
    scene.policy().mode = Mode::Recommend;
    let (decision, _) = scene.with_load(545.0, at(20));
    assert_eq!(condition(&decision, ConditionKind::ScalingActive), (Some(false), "ModeRecommend"));
}
