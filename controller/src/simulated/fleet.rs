//! The adapter: a world behind the controller's ports.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt as _;
use loadline_chaos::world::{Refusal, Seen, World, Write};
use loadline_crds::{ElasticPolicy, ElasticPolicyStatus, SafetyLever};
use loadline_policies::{
    fleet::{Footprint, ObjectVersion, TargetProblem},
    ids::{ClusterId, Target},
    now::Now,
    plan::{Outcome, ScaleAction},
};

use super::reading;
use crate::ports::{Actuator, Clock, FleetSource, LoadAsk, Objects, Readings, TargetView, Telemetry};

/// A simulated fleet and the policies that govern it; clones share one world.
#[derive(Debug, Clone)]
pub struct SimulatedFleet {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    world: World,
    policies: Vec<Arc<ElasticPolicy>>,
    lever: Option<Arc<SafetyLever>>,
}

impl SimulatedFleet {
    /// A fleet over this world; policies without UID or generation get them, as an API server would give.
    #[must_use]
    pub fn new(world: World, policies: impl IntoIterator<Item = ElasticPolicy>) -> Self {
        let policies = policies.into_iter().map(|policy| Arc::new(admit(policy))).collect();
        Self { inner: Arc::new(Mutex::new(Inner { world, policies, lever: None })) }
    }

    /// Does something with the world itself: lets time go on, injects a fault, looks at what really happened.
    pub fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.lock().world)
    }

    /// Writes the statuses that are given, as the API server keeps them.
    pub(super) fn report(&self, status: impl Fn(&ElasticPolicy) -> Option<ElasticPolicyStatus>) {
        for policy in &mut self.lock().policies {
            if let Some(status) = status(policy) {
                Arc::make_mut(policy).status = Some(status);
            }
        }
    }

    /// Deletes a policy, as a person would in the middle of everything; whether there was one.
    #[must_use]
    pub fn delete_policy(&self, namespace: &str, name: &str) -> bool {
        let policies = &mut self.lock().policies;
        let before = policies.len();
        policies.retain(|p| p.namespace().as_deref() != Some(namespace) || p.name_any() != name);
        policies.len() < before
    }

    /// Pulls, changes or removes the safety lever.
    pub fn set_lever(&self, lever: Option<SafetyLever>) {
        self.lock().lever = lever.map(Arc::new);
    }

    // A panic while the lock was held is a failed test already; the world itself is still whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn admit(mut policy: ElasticPolicy) -> ElasticPolicy {
    let metadata = &mut policy.metadata;
    let namespace = metadata.namespace.get_or_insert_with(|| "default".to_owned());
    let uid = format!("{namespace}-{}", metadata.name.as_deref().unwrap_or_default());
    metadata.uid.get_or_insert(uid);
    metadata.generation.get_or_insert(1);
    policy
}

impl Clock for SimulatedFleet {
    fn now(&self) -> Now {
        self.lock().world.now()
    }
}

impl FleetSource for SimulatedFleet {
    fn objects(&self) -> Objects {
        let inner = self.lock();
        let mut seen: HashMap<(ClusterId, Target), _> =
            inner.world.observe().into_iter().map(|(key, seen)| (key, Ok(view(seen)))).collect();
        let found: HashSet<Target> = seen.keys().map(|(_, target)| target.clone()).collect();
        for target in inner.policies.iter().map(|policy| target(policy)).filter(|t| !found.contains(t)) {
            seen.insert((ClusterId::local(), target), Err(TargetProblem::Missing));
        }
        Objects {
            policies: inner.policies.clone(),
            lever: inner.lever.clone(),
            targets: seen,
            ..Objects::default()
        }
    }
}

fn target(policy: &ElasticPolicy) -> Target {
    let to = &policy.spec.target;
    Target::new(&to.api_version, &to.kind, policy.namespace().as_deref().unwrap_or_default(), &to.name)
}

fn view(seen: Seen) -> TargetView {
    TargetView {
        wanted: seen.wanted,
        current: seen.current,
        ready: seen.ready,
        rolling_out: seen.rolling_out,
        template: Some(seen.template),
        // A roll-out is another image.
        footprint: Some(Footprint { images: seen.template, cpu_request: Some(seen.cpu_request) }),
        version: ObjectVersion { uid: seen.uid, resource_version: seen.resource_version },
    }
}

impl Telemetry for SimulatedFleet {
    async fn read(&self, asks: &[LoadAsk], now: Now) -> Readings {
        reading::all(&self.lock().world, asks, now)
    }
}

impl Actuator for SimulatedFleet {
    async fn scale(&self, action: &ScaleAction) -> Outcome {
        let write = Write {
            cluster: action.cluster.clone(),
            target: action.target.clone(),
            from: action.from,
            to: action.to,
            uid: action.version.uid.clone(),
            resource_version: action.version.resource_version.clone(),
        };
        match self.lock().world.apply(&write) {
            Ok(()) => Outcome::Done,
            Err(refusal @ Refusal::Unreachable) => Outcome::Failed(refusal.to_string()),
            Err(refusal @ (Refusal::Missing | Refusal::Conflict { .. })) => {
                Outcome::Refused(refusal.to_string())
            }
        }
    }
}
