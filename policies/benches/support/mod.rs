//! A fleet of workloads as a tick sees it, for the benchmarks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use loadline_policies::{
    fleet::{Cluster, ClusterState, Histogram, Instance, LoadSample, ObjectVersion, Workload},
    ids::{ByCluster, ClusterId, PolicyKey, Target},
    now::Now,
    policy::{
        Band, Behaviour, Bounds, Capacity, Fallback, FallbackPolicy, Forecasting, LatencyObjective,
        LatencyWeights, Load, Mode, Pause, PerReplica, Policy, Weights,
    },
    reading::Reading,
};

/// Weighted requests per second of one replica.
pub(crate) const PER_REPLICA: f64 = 100.0;

/// A moment, as seconds since 1970.
pub(crate) fn at(second: i64) -> Now {
    let mono = u64::try_from(second).map(Duration::from_secs).unwrap_or_default();
    Now::new(Timestamp::from_second(second).unwrap_or_default(), mono)
}

/// The one cluster.
pub(crate) fn clusters() -> BTreeMap<ClusterId, Cluster> {
    BTreeMap::from([(ClusterId::local(), Cluster { state: ClusterState::Healthy })])
}

/// A histogram as OpenTelemetry's HTTP semantic conventions give it: 14 bounds and `+Inf`.
fn histogram(rate: f64) -> Histogram {
    let bounds =
        [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, f64::INFINITY];
    let buckets = bounds.iter().map(|bound: &f64| (*bound, rate * (1.0 - (-bound * 30.0).exp()))).collect();
    Histogram { buckets }
}

/// Sets the load of a workload, in requests per second, as it is seen now.
pub(crate) fn offer(workload: &mut Workload, rate: f64, now: Now) {
    let sample = LoadSample {
        window: Duration::from_mins(1),
        histogram: Some(histogram(rate)),
        endpoints: BTreeMap::new(),
        requests: rate,
        backlog: None,
    };
    for instance in workload.instances.iter_mut().filter_map(|(_, seen)| seen.as_mut().ok()) {
        instance.load = Ok(Reading::complete(sample.clone(), now.wall));
        instance.burst = Some(Ok(Reading::complete(sample.clone(), now.wall)));
    }
}

/// Gives a workload so many replicas, all of them ready.
pub(crate) fn scale(workload: &mut Workload, replicas: u32) {
    for instance in workload.instances.iter_mut().filter_map(|(_, seen)| seen.as_mut().ok()) {
        (instance.wanted, instance.current, instance.ready) = (replicas, replicas, replicas);
    }
}

/// A workload of 3 to 22 replicas under 100 to 1,099 requests per second.
pub(crate) fn workload(number: u32, now: Now) -> Workload {
    let name = format!("service-{number}");
    let instance = Instance {
        wanted: 0,
        current: 0,
        ready: 0,
        rolling_out: false,
        template: None,
        footprint: None,
        cpu: None,
        version: ObjectVersion { uid: name.clone(), resource_version: "1".to_owned() },
        load: Err(loadline_policies::reading::Doubt::NotYetRead),
        burst: None,
    };
    let mut workload = Workload {
        policy: Arc::new(policy(&name)),
        instances: ByCluster::from_iter([(ClusterId::local(), Ok(instance))]),
        triggers: BTreeMap::new(),
        contenders: Vec::new(),
    };
    scale(&mut workload, 3 + number % 20);
    offer(&mut workload, 100.0 + f64::from(number % 1_000), now);
    workload
}

fn policy(name: &str) -> Policy {
    Policy {
        key: PolicyKey::new("bench", name),
        uid: name.to_owned(),
        generation: 1,
        target: Target::new("apps/v1", "Deployment", "bench", name),
        mode: Mode::Active,
        pause: Pause::default(),
        bounds: Bounds { min: 1, max: 400 },
        load: Load { profile: "otel-http".to_owned(), weights: Weights::Latency(LatencyWeights::default()) },
        objective: Some(LatencyObjective { quantile: 0.99, target: Duration::from_millis(250) }),
        capacity: Capacity {
            per_replica: PerReplica::Declared(PER_REPLICA),
            redundancy: Band { min: 1.1, max: 1.6 },
        },
        schedules: Vec::new(),
        events: Vec::new(),
        triggers: Vec::new(),
        behaviour: Behaviour::hpa_default(),
        fallback: Fallback { after: Duration::from_mins(3), policy: FallbackPolicy::Hold },
        activation: None,
        forecast: Forecasting::default(),
    }
}
