//! Loadline in the closed loop: the production tick over a fleet of one workload.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use loadline_policies::{
    fleet::{Cluster, ClusterState, Fleet, Instance, LoadSample, ObjectVersion, Workload},
    forecast::Forecast,
    ids::{ByCluster, ClusterId},
    memory::{self, Memory},
    now::Now,
    plan::{Action, Outcome},
    policy::Policy,
    reading::{Coverage, Doubt, Observed, Reading},
};

use super::{
    accuracy::Points,
    strategy::{Scaler, View},
};
use crate::tick::tick;

/// How old the newest sample of [`View::metric`] is.
const AGE: Duration = Duration::from_secs(30);
/// What [`View::metric`] is the mean of.
const WINDOW: Duration = Duration::from_mins(1);

/// The production decisions, with their memory.
pub(super) struct LoadlineScaler {
    fleet: Fleet,
    memory: Memory,
    start: Timestamp,
    points: Points,
}

impl LoadlineScaler {
    /// `start` is the time of the first step: schedules are judged by it.
    pub(super) fn new(policy: Policy, start: Timestamp) -> Self {
        let key = policy.key.clone();
        let points = Points::new(policy.forecast.quantile);
        let workload = Workload {
            policy: Arc::new(policy),
            instances: ByCluster::new(),
            triggers: BTreeMap::new(),
            contenders: Vec::new(),
        };
        let fleet = Fleet {
            now: Now::new(start, Duration::ZERO),
            freeze: None,
            clusters: BTreeMap::from([(ClusterId::local(), Cluster { state: ClusterState::Healthy })]),
            workloads: BTreeMap::from([(key, workload)]),
            invalid: BTreeMap::new(),
        };
        Self { fleet, memory: Memory::default(), start, points }
    }
}

impl Scaler for LoadlineScaler {
    fn decide(&mut self, view: &View<'_>) -> u32 {
        let mono = view.now();
        let wall = self.start.checked_add(mono.0).unwrap_or(self.start);
        self.fleet.now = Now { wall, mono };
        let instance = Instance {
            wanted: view.spec,
            current: view.spec,
            ready: view.ready,
            rolling_out: false,
            template: None,
            footprint: None,
            cpu: None,
            // Every write gives a new one, so that a write is seen to have arrived.
            version: ObjectVersion { uid: String::new(), resource_version: view.step().to_string() },
            load: load(view, wall),
            burst: None,
        };
        for workload in self.fleet.workloads.values_mut() {
            workload.instances = ByCluster::from_iter([(ClusterId::local(), Ok(instance.clone()))]);
        }
        let plan = tick(&self.fleet, &mut self.memory);
        let wanted = plan.actions.first().map_or(view.spec, |Action::Scale(scale)| scale.to);
        let done = plan.actions.iter().map(|_| Outcome::Done).collect();
        memory::record(&mut self.memory, &plan.applied(done));
        if let Some(metric) = view.metric() {
            self.points.see(wall, metric);
        }
        wanted
    }

    fn forecast(&self) -> Option<Forecast> {
        let mut forecasters = self.memory.policies.values().filter_map(|policy| policy.forecaster.as_ref());
        forecasters.next()?.forecast(self.fleet.now.wall)
    }

    fn wape(&self, from: i64) -> [Option<f64>; 2] {
        self.points.wape(from)
    }
}

fn load(view: &View<'_>, wall: Timestamp) -> Observed<LoadSample> {
    let requests = view.metric().ok_or(Doubt::AbsentSeries)?;
    Ok(Reading {
        value: LoadSample {
            window: WINDOW,
            histogram: None,
            endpoints: BTreeMap::new(),
            requests,
            backlog: None,
        },
        observed_at: wall.checked_sub(AGE).unwrap_or(wall),
        coverage: Coverage::full(view.ready.max(1)),
    })
}
