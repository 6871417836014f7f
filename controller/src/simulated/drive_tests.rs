//! The drive notices broken promises, and survives what happens to its policies and to itself.

use loadline_chaos::world::{Fault, FaultKind};
use loadline_crds::SafetyLever;
use loadline_policies::{
    fleet::ObjectVersion,
    ids::{ClusterId, Target},
    plan::{AppliedAction, ScaleAction},
    reason::{Reason, ReasonCode},
};

use super::*;

/// Ten replicas of 100 requests/s each for a load of 300: four would do.
fn drive(faults: Vec<Fault>) -> Drive {
    let config = "
        workloads:
        - namespace: shop
          name: checkout
          replicas: {local: 10}
          service: {capacity: 140}
          traffic: {shape: {kind: Constant, rate: 300}, noise: 0.02}
    ";
    let policy = "
        apiVersion: loadline.dev/v1alpha1
        kind: ElasticPolicy
        metadata: {namespace: shop, name: checkout}
        spec:
          target: {apiVersion: apps/v1, kind: Deployment, name: checkout}
          bounds: {min: 3, max: 40}
          load: {profile: otel-http}
          capacity: {perReplica: 100}
    ";
    let world = World::new(serde_yaml::from_str(config).unwrap(), faults, 1);
    Drive::new(world, [serde_yaml::from_str(policy).unwrap()], Duration::from_secs(5))
}

fn key() -> PolicyKey {
    PolicyKey::new("shop", "checkout")
}

fn target() -> Target {
    Target::new("apps/v1", "Deployment", "shop", "checkout")
}

fn cut(from: u32, to: u32) -> AppliedAction {
    let action = Action::Scale(ScaleAction {
        policy: key(),
        cluster: ClusterId::local(),
        target: target(),
        from,
        accepted: from,
        to,
        version: ObjectVersion { uid: String::new(), resource_version: String::new() },
        reason: Reason::new(ReasonCode::AboveBand, "made up"),
    });
    AppliedAction { action, outcome: Outcome::Done }
}

fn wanted(drive: &Drive) -> u32 {
    drive.fleet().with(|world| world.pulse(&target()).unwrap().wanted)
}

/// Drives on for so many minutes; the replicas at the end.
fn minutes(drive: &mut Drive, minutes: u32) -> u32 {
    for _ in 0..minutes * 12 {
        let plan = drive.advance();
        assert_eq!(drive.broken(&plan), []);
    }
    wanted(drive)
}

#[test]
fn a_cut_in_doubt_is_a_broken_promise() {
    let silence = FaultKind::MetricsEmpty;
    let fault = Fault {
        at: Duration::from_mins(1),
        lasts: Duration::from_mins(10),
        workload: None,
        cluster: None,
        fault: silence,
    };
    let mut drive = drive(vec![fault]);
    minutes(&mut drive, 2);
    let mut plan = drive.advance();
    assert_eq!(drive.broken(&plan), []);
    plan.actions.push(cut(10, 9));
    assert!(matches!(drive.broken(&plan)[..], [Invariant::LoweredInDoubt { from: 10, to: 9, .. }]));
}

#[test]
fn a_cut_on_good_data_is_none() {
    let mut drive = drive(Vec::new());
    minutes(&mut drive, 2);
    let mut plan = drive.advance();
    plan.actions.push(cut(10, 9));
    assert_eq!(drive.broken(&plan), []);
}

#[test]
fn replicas_outside_the_bounds_are_a_broken_promise() {
    let mut drive = drive(Vec::new());
    let mut plan = drive.advance();
    plan.decisions.get_mut(&key()).unwrap().desired = 41;
    assert!(matches!(drive.broken(&plan)[..], [Invariant::OutOfBounds { desired: 41, max: 40, .. }]));
}

#[test]
fn a_restarted_operator_removes_nothing_before_it_has_seen_a_whole_window() {
    let mut drive = drive(Vec::new());
    minutes(&mut drive, 4);
    drive.restart();
    assert_eq!(minutes(&mut drive, 4), 10);
    assert!(minutes(&mut drive, 10) < 10);
}

#[test]
fn a_policy_that_is_deleted_leaves_its_workload_as_it_is() {
    let mut drive = drive(Vec::new());
    minutes(&mut drive, 4);
    assert!(drive.fleet().delete_policy("shop", "checkout"));
    let plan = drive.advance();
    assert!(plan.decisions.is_empty() && plan.actions.is_empty());
    assert_eq!(minutes(&mut drive, 10), 10);
}

#[test]
fn a_frozen_fleet_stays_as_it_is_until_the_lever_lets_go() {
    let mut drive = drive(Vec::new());
    let lever = "
        apiVersion: loadline.dev/v1alpha1
        kind: SafetyLever
        metadata: {name: default}
        spec: {freeze: true, reason: a test}
    ";
    drive.fleet().set_lever(Some(serde_yaml::from_str::<SafetyLever>(lever).unwrap()));
    assert_eq!(minutes(&mut drive, 15), 10);
    drive.fleet().set_lever(None);
    assert!(minutes(&mut drive, 10) < 10);
}
