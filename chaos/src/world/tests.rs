//! Stories of whole worlds.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use loadline_policies::{
    ids::{ClusterId, Target},
    now::Mono,
};

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn shop() -> Target {
    Target::new("apps/v1", "Deployment", "shop", "checkout")
}

fn local() -> ClusterId {
    ClusterId::local()
}

/// Four replicas of 100 requests/s each, asked for 200; new pods start within about 20 s.
fn config() -> WorldConfig {
    serde_yaml::from_str(
        "
        workloads:
        - namespace: shop
          name: checkout
          replicas: {local: 4}
          service: {capacity: 100}
          traffic: {shape: {kind: Constant, rate: 200}, noise: 0.03}
        ",
    )
    .unwrap()
}

fn fault(at: u64, lasts: u64, kind: FaultKind) -> Fault {
    Fault { at: s(at), lasts: s(lasts), workload: None, cluster: None, fault: kind }
}

fn world(faults: Vec<Fault>) -> World {
    World::new(config(), faults, 1)
}

fn seen(world: &World) -> Seen {
    world.observe().get(&(local(), shop())).cloned().expect("the target exists")
}

fn write(world: &World, to: u32) -> Write {
    let seen = seen(world);
    Write {
        cluster: local(),
        target: shop(),
        from: seen.wanted,
        to,
        uid: seen.uid,
        resource_version: seen.resource_version,
    }
}

fn load(world: &World) -> Answer<Rates> {
    world.load(&local(), &shop(), s(60))
}

/// Everything that a controller could see of half an hour, as text.
fn diary(seed: u64, stride: u64) -> String {
    let faults = vec![
        fault(120, 60, FaultKind::PodKill { percent: 50 }),
        fault(300, 300, FaultKind::PodsSilent { percent: 30 }),
        fault(700, 0, FaultKind::RollOut),
        fault(900, 120, FaultKind::ApiConflict { percent: 50 }),
    ];
    let mut config = config();
    config.workloads[0].traffic.random_bursts_per_day = 200.0;
    let mut world = World::new(config, faults, seed);
    let mut text = String::new();
    for t in (0..1800).step_by(30) {
        for at in (t..t + 30).step_by(usize::try_from(stride).unwrap()) {
            world.step(Mono(s(at)));
        }
        world.step(Mono(s(t + 30)));
        let order = write(&world, 3 + u32::try_from(t / 30 % 4).unwrap());
        let outcome = world.apply(&order);
        writeln!(text, "{:?} {:?} {:?} {outcome:?}", world.observe(), load(&world), world.pulse(&shop()))
            .unwrap();
    }
    write!(text, "{:?} {:?}", world.stats(&shop()), world.take_events()).unwrap();
    text
}

#[test]
fn the_same_seed_gives_the_same_run_to_the_byte() {
    assert_eq!(diary(7, 5), diary(7, 5));
    assert_ne!(diary(7, 5), diary(8, 5));
}

#[test]
fn how_often_somebody_looks_does_not_change_what_happens() {
    assert_eq!(diary(7, 30), diary(7, 1));
}

#[test]
fn a_world_with_enough_replicas_serves_everybody() {
    let mut world = world(Vec::new());
    world.step(Mono(s(3600)));
    let stats = world.stats(&shop()).unwrap();
    assert!(stats.rejected <= 0.0, "{stats:?}");
    assert!((stats.served / stats.offered - 1.0).abs() < 0.01, "{stats:?}");
    assert!((stats.replica_seconds - 4.0 * 3600.0).abs() < 1e-6);
}

#[test]
fn a_write_is_taken_once_and_changes_the_version() {
    let mut world = world(Vec::new());
    let order = write(&world, 8);
    assert_eq!(world.apply(&order), Ok(()));
    assert_eq!(world.apply(&order), Err(Refusal::Conflict { wanted: 8 }), "the version has moved on");
    world.step(Mono(s(600)));
    assert_eq!((seen(&world).wanted, seen(&world).ready), (8, 8));
}

#[test]
fn a_dark_cluster_shows_what_was_seen_last_and_takes_no_write() {
    let mut world =
        world(vec![fault(60, 60, FaultKind::ApiDark), fault(70, 0, FaultKind::ScaleByHand { to: 2 })]);
    world.step(Mono(s(90)));
    assert_eq!(seen(&world).wanted, 4);
    assert_eq!(world.apply(&write(&world, 5)), Err(Refusal::Unreachable));
    world.step(Mono(s(121)));
    assert_eq!(seen(&world).wanted, 2);
}

#[test]
fn a_deleted_target_comes_back_as_another_object() {
    let mut world = world(vec![fault(60, 60, FaultKind::TargetDeleted)]);
    let order = write(&world, 5);
    world.step(Mono(s(90)));
    assert!(world.observe().is_empty());
    assert_eq!(world.apply(&order), Err(Refusal::Missing));
    world.step(Mono(s(130)));
    assert_ne!(seen(&world).uid, order.uid);
    assert_eq!(seen(&world).wanted, 4);
}

#[test]
fn a_conflict_storm_refuses_every_write() {
    let mut world = world(vec![fault(10, 60, FaultKind::ApiConflict { percent: 100 })]);
    world.step(Mono(s(20)));
    assert_eq!(world.apply(&write(&world, 5)), Err(Refusal::Conflict { wanted: 4 }));
    world.step(Mono(s(80)));
    assert_eq!(world.apply(&write(&world, 5)), Ok(()));
}

#[test]
fn killed_pods_hurt_until_they_are_replaced() {
    let mut world = world(vec![fault(60, 0, FaultKind::PodKill { percent: 75 })]);
    world.step(Mono(s(61)));
    let pulse = world.pulse(&shop()).unwrap();
    assert_eq!((pulse.ready, pulse.wanted), (1, 4));
    assert!(pulse.utilisation > 1.5, "{pulse:?}");
    world.step(Mono(s(600)));
    assert_eq!(world.pulse(&shop()).unwrap().ready, 4);
    assert!(world.stats(&shop()).unwrap().violated > Duration::ZERO);
}

#[test]
fn a_lost_node_takes_its_pods_and_comes_back_empty() {
    let mut config = config();
    config.clusters = BTreeMap::from([("local".to_owned(), ClusterConfig { nodes: 2, node_cpu: 2.0 })]);
    let mut world = World::new(config, vec![fault(60, 600, FaultKind::NodeLoss { nodes: 1 })], 1);
    world.step(Mono(s(300)));
    let pulse = world.pulse(&shop()).unwrap();
    assert_eq!((pulse.ready, pulse.pending), (2, 2), "no room for the pods of the lost node");
    world.step(Mono(s(900)));
    assert_eq!(world.pulse(&shop()).unwrap().ready, 4);
}

#[test]
fn a_fighting_writer_comes_back_again_and_again() {
    let mut world = world(vec![fault(60, 120, FaultKind::ScaleFight { to: 2 })]);
    world.step(Mono(s(60)));
    assert_eq!(seen(&world).wanted, 2);
    world.apply(&write(&world, 6)).unwrap();
    world.step(Mono(s(91)));
    assert_eq!(seen(&world).wanted, 2);
}

#[test]
fn a_slow_dependency_costs_latency_and_no_cpu() {
    let mut world = world(vec![fault(60, 600, FaultKind::ServiceSlow { factor: 8.0 })]);
    world.step(Mono(s(50)));
    let before = world.pulse(&shop()).unwrap();
    world.step(Mono(s(120)));
    let during = world.pulse(&shop()).unwrap();
    assert!(during.latency > 5.0 * before.latency, "{before:?} {during:?}");
    assert!(during.utilisation < 1.0);
}

#[test]
fn a_query_of_its_own_reads_the_backlog_of_a_consumer() {
    let mut config = config();
    config.workloads[0].service.queue = service::Queue::Backlog;
    config.workloads[0].traffic = Traffic::plain(Shape::Constant { rate: 600.0 });
    config.signals = [("lag".to_owned(), Signal::Backlog { workload: "shop/checkout".into() })].into();
    let mut world = World::new(config, Vec::new(), 1);
    world.step(Mono(s(100)));
    match world.signal("lag") {
        Answer::Value(gauge) => assert!((gauge.value - 19_000.0).abs() < 1_100.0, "{gauge:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.signal("unknown"), Answer::Absent);
}

#[test]
fn ten_thousand_workloads_live_through_a_minute() {
    let one = config().workloads.remove(0);
    let workloads = (0..10_000).map(|i| WorkloadConfig { name: format!("w{i}"), ..one.clone() }).collect();
    let clusters = BTreeMap::from([("local".to_owned(), ClusterConfig { nodes: 2_000, node_cpu: 32.0 })]);
    let mut world = World::new(WorldConfig { clusters, workloads, ..config() }, Vec::new(), 1);
    world.step(Mono(s(60)));
    assert_eq!(world.observe().len(), 10_000);
    assert!(world.observe().values().all(|seen| seen.ready == 4));
}

#[test]
fn a_mistyped_field_is_named() {
    let wrong = "{workloads: [{name: a, service: {capacity: 1, capcity: 2}, traffic: {shape: {kind: Constant, rate: 1}}}]}";
    let error = serde_yaml::from_str::<WorldConfig>(wrong).unwrap_err().to_string();
    assert!(error.contains("capcity"), "{error}");
}
