//! Every policy of the library lives through two hours of rising and falling load in the simulated fleet.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by panicking")]

use std::{fs, path::Path, time::Duration};

use loadline_chaos::world::{
    MeasuredAt, Shape, Signal, Step, Traffic, WorkloadConfig, World, WorldConfig, service,
};
use loadline_controller::{simulated::Drive, translate};
use loadline_crds::ElasticPolicy;
use loadline_policies::policy::{Mode, PerReplica, Policy, Weights};

const QUIET: u64 = 1_800;
const BUSY: u64 = 3_600;
const END: u64 = 7_200;

/// A workload that fits the policy: its replicas bear a little more than was declared, and the load is first
/// three, then twelve, then again three times what one of them is declared to bear.
fn world(object: &ElasticPolicy, policy: &Policy) -> World {
    let PerReplica::Declared(per_replica) = policy.capacity.per_replica else {
        panic!("{} declares no capacity", policy.key)
    };
    let steps = [(0, 3.0), (QUIET, 12.0), (BUSY, 3.0)];
    let queue = policy.load.profile.starts_with("queue");
    let mut service = service::ServiceModel::plain(1.3 * per_replica);
    if let Weights::Endpoints(weights) = &policy.load.weights {
        let endpoint =
            |(name, cost): (&String, &f64)| service::Endpoint { name: name.clone(), share: 1.0, cost: *cost };
        service.endpoints = weights.iter().map(endpoint).collect();
    }
    let one = per_replica / service.mean_cost();
    let step = |(at, times)| Step { at: Duration::from_secs(at), rate: one * times };
    service.queue = if queue { service::Queue::Backlog } else { service::Queue::default() };
    let mut config: WorldConfig = serde_yaml::from_str("{workloads: []}").unwrap();
    config.workloads.push(WorkloadConfig {
        api_version: policy.target.api_version.to_string(),
        kind: policy.target.kind.to_string(),
        namespace: policy.target.namespace.to_string(),
        name: policy.target.name.to_string(),
        replicas: [("local".to_owned(), policy.bounds.min)].into(),
        pod_cpu: 1.0,
        start_up: loadline_chaos::world::StartUp::default(),
        service,
        traffic: Traffic { noise: 0.03, ..Traffic::plain(Shape::Steps { steps: steps.map(step).to_vec() }) },
        measured_at: if queue || policy.bounds.min == 0 { MeasuredAt::Entry } else { MeasuredAt::Pods },
        objective: loadline_chaos::world::Objective::default(),
    });
    let workload = format!("{}/{}", policy.target.namespace, policy.target.name);
    for trigger in &object.spec.triggers {
        config.signals.insert(trigger.query.clone(), Signal::Backlog { workload: workload.clone() });
    }
    World::new(config, Vec::new(), 1)
}

/// The policy's wish at the end of each part of the run.
fn wishes(object: &ElasticPolicy, policy: &Policy) -> [u32; 3] {
    let mut drive = Drive::new(world(object, policy), [object.clone()], Duration::from_secs(5));
    let mut wishes = [0; 3];
    loop {
        let plan = drive.advance();
        assert_eq!(drive.broken(&plan), [], "{}", policy.key);
        let decision =
            plan.decisions.get(&policy.key).unwrap_or_else(|| panic!("{} is not decided", policy.key));
        assert_eq!(decision.mode, Some(policy.mode), "{}: {:?}", policy.key, decision.reasons);
        assert!(policy.mode == Mode::Active || plan.actions.is_empty(), "{} may not write", policy.key);
        let part = match plan.at.mono.0.as_secs() {
            ..QUIET => 0,
            QUIET..BUSY => 1,
            _ => 2,
        };
        if let Some(wish) = wishes.get_mut(part) {
            *wish = decision.desired;
        }
        if plan.at.mono.0.as_secs() >= END {
            return wishes;
        }
    }
}

#[test]
fn every_policy_of_the_library_follows_its_load() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/library");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let object: ElasticPolicy = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let policy = translate::policy(&object).unwrap_or_else(|complaints| panic!("{complaints:?}"));
        let [quiet, busy, after] = wishes(&object, &policy);
        let name = path.display();
        assert!(busy > quiet, "{name}: {quiet} replicas for the quiet load, {busy} for four times as much");
        if policy.mode == Mode::Active {
            assert!(after < busy, "{name}: {busy} replicas for the busy load, {after} for a quarter of it");
        }
        seen += 1;
    }
    assert!(seen >= 6, "only {seen} policies in the library");
}
