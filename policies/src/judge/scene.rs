//! A workload in a world of one cluster, for the stories of judgements.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::*;
use crate::{
    fleet::{Instance, LoadSample, ObjectVersion},
    ids::{PolicyKey, Target},
    memory::{self, Memory},
    now::Mono,
    plan::{Applied, Outcome, Plan, Proposed},
    policy::{Band, Behaviour, Bounds, Capacity, Fallback, FallbackPolicy, Load, Pause, PerReplica, Weights},
    reading::{Doubt, Reading},
    reason::ConditionKind,
};

/// The local cluster.
pub(super) fn here() -> ClusterId {
    ClusterId::local()
}

/// A moment so many seconds after an arbitrary start; more than a day after the origin of the clock.
pub(super) fn at(seconds: u64) -> Now {
    let wall: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
    let since = jiff::SignedDuration::try_from(Duration::from_secs(seconds)).unwrap();
    Now::new(wall + since, Duration::from_secs(100_000 + seconds))
}

/// Steady load of so many requests per second, read just now.
pub(super) fn requests(rate: f64, now: Now) -> Reading<LoadSample> {
    requests_over(Duration::from_mins(1), rate, now)
}

/// Load over a window.
pub(super) fn requests_over(window: Duration, rate: f64, now: Now) -> Reading<LoadSample> {
    let sample =
        LoadSample { window, histogram: None, endpoints: BTreeMap::new(), requests: rate, backlog: None };
    Reading::complete(sample, now.wall)
}

/// A policy with a capacity of 100 per replica, a band of 1.1 to 1.6, bounds of 1 to 100.
pub(super) fn policy() -> Policy {
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
        events: Vec::new(),
        triggers: Vec::new(),
        behaviour: Behaviour::hpa_default(),
        fallback: Fallback { after: Duration::from_mins(3), policy: FallbackPolicy::Hold },
        activation: None,
        forecast: crate::policy::Forecasting::default(),
    }
}

/// A workload in one cluster, its memory and its world.
pub(super) struct Scene {
    pub(super) workload: Workload,
    pub(super) clusters: BTreeMap<ClusterId, Cluster>,
    pub(super) freeze: Option<Freeze>,
    pub(super) memory: Memory,
}

impl Scene {
    pub(super) fn new(replicas: u32) -> Self {
        Self::of(policy(), replicas)
    }

    pub(super) fn of(policy: Policy, replicas: u32) -> Self {
        let instance = Instance {
            wanted: replicas,
            current: replicas,
            ready: replicas,
            rolling_out: false,
            template: None,
            footprint: None,
            cpu: None,
            version: ObjectVersion { uid: "target".to_owned(), resource_version: "1".to_owned() },
            load: Err(Doubt::NotYetRead),
            burst: None,
        };
        let mut memory = Memory::default();
        memory.policies.insert(policy.key.clone(), Box::default());
        Self {
            workload: Workload {
                policy: Arc::new(policy),
                instances: ByCluster::from_iter([(here(), Ok(instance))]),
                triggers: BTreeMap::new(),
                contenders: Vec::new(),
            },
            clusters: BTreeMap::from([(here(), Cluster { state: ClusterState::Healthy })]),
            freeze: None,
            memory,
        }
    }

    pub(super) fn policy(&mut self) -> &mut Policy {
        Arc::make_mut(&mut self.workload.policy)
    }

    pub(super) fn instance(&mut self) -> &mut Instance {
        self.workload.instances.get_mut(&here()).unwrap().as_mut().unwrap()
    }

    pub(super) fn set_replicas(&mut self, n: u32) {
        let instance = self.instance();
        (instance.wanted, instance.current, instance.ready) = (n, n, n);
        let version: u64 = instance.version.resource_version.parse().unwrap();
        instance.version.resource_version = (version + 1).to_string();
    }

    pub(super) fn judge(&mut self, now: Now) -> (Decision, Vec<Action>) {
        let memory = self.memory.policies.get_mut(&self.workload.policy.key).unwrap();
        judge(&self.workload, self.freeze.as_ref(), &self.clusters, memory, now)
    }

    /// Judges with this load; the readings are fresh.
    pub(super) fn with_load(&mut self, rate: f64, now: Now) -> (Decision, Vec<Action>) {
        self.instance().load = Ok(requests(rate, now));
        self.judge(now)
    }

    /// Judges, writes what was decided, and lets the watch show it.
    pub(super) fn live(&mut self, rate: f64, now: Now) -> Decision {
        let (decision, actions) = self.with_load(rate, now);
        self.apply(actions, now, Outcome::Done);
        decision
    }

    pub(super) fn apply(&mut self, actions: Vec<Action>, now: Now, outcome: Outcome) {
        let to = actions.first().map(|Action::Scale(a)| a.to);
        let outcomes = actions.iter().map(|_| outcome.clone()).collect();
        let plan = Plan::<Proposed> { at: now, actions, decisions: BTreeMap::new(), wake_at: None };
        let plan: Plan<Applied> = plan.applied(outcomes);
        memory::record(&mut self.memory, &plan);
        if let (Some(to), Outcome::Done) = (to, outcome) {
            self.set_replicas(to);
        }
    }

    /// As if this process had watched it for a day.
    pub(super) fn watched_for_long(mut self) -> Self {
        self.memory.policies.values_mut().for_each(|memory| {
            memory.uid = "uid".to_owned();
            memory.first_seen = Some(Mono::default());
        });
        self
    }

    /// As if it had been judged for longer than a stabilisation window, with this load.
    pub(super) fn settled_at(replicas: u32, rate: f64) -> Self {
        let mut scene = Self::new(replicas);
        scene.with_load(rate, at(0));
        scene
    }
}

pub(super) fn to(actions: &[Action]) -> Option<u32> {
    actions.first().map(|Action::Scale(action)| action.to)
}

pub(super) fn code(decision: &Decision) -> ReasonCode {
    decision.reasons[0].code
}

pub(super) fn condition(decision: &Decision, kind: ConditionKind) -> (Option<bool>, &'static str) {
    decision.conditions.iter().find(|c| c.kind == kind).map(|c| (c.status, c.reason)).unwrap()
}
