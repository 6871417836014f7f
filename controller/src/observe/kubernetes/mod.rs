//! The objects of a cluster, kept in memory by watches.
//!
//! ```text
//! ElasticPolicy, SafetyLever ──────┐
//! Deployment, StatefulSet, … ──────┼─ follow ─> Store ─┐
//! HPA, ScaledObject (if there) ────┘                   ├─> objects(): one snapshot, no network
//! other kinds: discovery + GET /scale ─> Polled ───────┘
//! ```
//!
//! `changed()` wakes the loop for what a person or another controller did: a policy edited, a lever pulled, a
//! target that appeared, went away or was scaled by hand, another scaler. It is a queue of one: any number of
//! changes between two ticks is one wake-up.

mod discovery;
mod owners;
mod partial;
mod polled;
mod scalers;
mod store;
mod template;
mod watch;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use kube::{
    Api, Client, ResourceExt as _,
    core::{ApiResource, DeserializeGuard},
};
use loadline_crds::{ElasticPolicy, SafetyLever, SafetyLeverSpec};
use loadline_policies::{
    fleet::{Outage, TargetProblem},
    ids::{ClusterId, PolicyKey, Target},
};
use tokio::{
    sync::{Notify, watch::Receiver},
    task::JoinSet,
};

pub use self::{
    discovery::{Discovery, Kind},
    owners::watch_owners,
};
use self::{
    partial::Workload,
    polled::Polled,
    scalers::Scalers,
    store::{Store, Trouble},
};
use crate::{
    lease::Permit,
    ports::{FleetSource, Objects, TargetView},
    runtime::Watched,
};

/// A policy as it is in the cache: the object, or why it cannot be read as one.
type Policy = Result<Arc<ElasticPolicy>, Arc<str>>;
type Lever = Arc<SafetyLever>;

/// The objects of one cluster.
pub struct KubeFleet {
    cluster: ClusterId,
    policies: Arc<Store<Policy>>,
    levers: Arc<Store<Lever>>,
    workloads: BTreeMap<Kind, Arc<Store<TargetSeen>>>,
    scalers: Scalers,
    polled: Arc<Polled>,
    standing: Standing,
    changed: Arc<Notify>,
}

/// Whether this process may write to the cluster, and if not, what is in the way.
pub struct Standing {
    /// The right to write.
    pub permit: Permit,
    /// What keeps the lease from being renewed.
    pub outage: Receiver<Option<Outage>>,
}

impl Standing {
    /// The outage that keeps this process from writing. One failed renewal does not: the permit outlives it.
    fn cut(&self) -> Option<Outage> {
        if self.permit.is_valid() { None } else { self.outage.borrow().clone() }
    }

    /// Tells `changed` when an outage begins and when it is over.
    async fn tell(mut outage: Receiver<Option<Outage>>, changed: Arc<Notify>) {
        while outage.changed().await.is_ok() {
            changed.notify_one();
        }
    }
}

/// A target in the cache; small, because there may be ten thousand.
type TargetSeen = Result<TargetView, TargetProblem>;

impl KubeFleet {
    /// Begins to watch; the tasks end when `tasks` is dropped. `every` is how often kinds that cannot be
    /// watched are read.
    pub fn watch(
        watch: &Client,
        read: &Client,
        discovery: Arc<Discovery>,
        kinds: &[Kind],
        every: Duration,
        standing: Standing,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        let policies = Arc::new(Store::new("ElasticPolicy"));
        tasks.spawn(watch::follow(
            Api::<DeserializeGuard<ElasticPolicy>>::all(watch.clone()),
            Arc::clone(&policies),
            policy,
            policy_changed,
            Arc::clone(&changed),
        ));
        let levers = Arc::new(Store::new("SafetyLever"));
        tasks.spawn(watch::follow(
            Api::<DeserializeGuard<SafetyLever>>::all(watch.clone()),
            Arc::clone(&levers),
            lever,
            |_, _| true,
            Arc::clone(&changed),
        ));
        let mut workloads = BTreeMap::new();
        for kind in kinds {
            let Some(resource) = partial::resource(kind) else { continue };
            let store = Arc::new(Store::new(&kind.kind));
            tasks.spawn(watch::follow(
                workload_api(watch, &resource),
                Arc::clone(&store),
                |object: Workload| object.seen(),
                target_changed,
                Arc::clone(&changed),
            ));
            workloads.insert(kind.clone(), store);
        }
        let scalers = Scalers::watch(watch, &changed, tasks);
        let polled = Arc::new(Polled::new(read.clone(), discovery, Arc::clone(&changed)));
        tasks.spawn(Arc::clone(&polled).run(every));
        tasks.spawn(Standing::tell(standing.outage.clone(), Arc::clone(&changed)));
        Self { cluster: ClusterId::local(), policies, levers, workloads, scalers, polled, standing, changed }
    }

    fn target(&self, target: &Target) -> TargetSeen {
        let Some(store) = self.workloads.get(&Kind::of(target)) else { return self.polled.get(target) };
        let key = (Arc::clone(&target.namespace), Arc::clone(&target.name));
        match (store.get(&key), store.is_synced(), store.trouble()) {
            (Some(seen), ..) => seen,
            (None, _, Some(Trouble::Forbidden)) => Err(TargetProblem::Forbidden),
            (None, _, Some(Trouble::UnknownKind)) => Err(TargetProblem::UnknownKind),
            (None, false, _) => Err(TargetProblem::NotYetSeen),
            (None, true, _) => Err(TargetProblem::Missing),
        }
    }
}

impl Watched for KubeFleet {
    async fn changed(&self) {
        self.changed.notified().await;
    }

    fn missing(&self) -> Vec<String> {
        // A kind that the operator may not read, or that does not exist, is not waited for: the policies
        // that need it say so.
        let excused = |t| matches!(t, Some(Trouble::Forbidden | Trouble::UnknownKind));
        let mut missing = Vec::new();
        let mut check = |kind: &str, synced: bool| {
            if !synced {
                missing.push(kind.to_owned());
            }
        };
        check(self.policies.kind(), self.policies.is_synced());
        check(self.levers.kind(), self.levers.is_synced());
        for store in self.workloads.values() {
            check(store.kind(), store.is_synced() || excused(store.trouble()));
        }
        for store in self.scalers.stores() {
            check(store.kind(), store.is_synced() || excused(store.trouble()));
        }
        missing
    }
}

impl FleetSource for KubeFleet {
    fn objects(&self) -> Objects {
        let mut objects = Objects { contenders: self.scalers.contenders(), ..Objects::default() };
        self.policies.each(|(namespace, name), policy| match policy {
            Ok(policy) => objects.policies.push(Arc::clone(policy)),
            Err(problem) => {
                objects.malformed.insert(PolicyKey::new(namespace, name), problem.to_string());
            }
        });
        objects.lever = self.levers.get(&("".into(), loadline_crds::safety_lever::NAME.into()));
        let mut targets = HashMap::with_capacity(objects.policies.len());
        for policy in &objects.policies {
            let target = target_of(policy);
            let seen = self.target(&target);
            targets.insert((self.cluster.clone(), target), seen);
        }
        let watched = |t: &Target| self.workloads.contains_key(&Kind::of(t));
        self.polled.want(targets.keys().map(|(_, target)| target).filter(|t| !watched(t)));
        objects.targets = targets;
        objects.outages.extend(self.standing.cut().map(|outage| (self.cluster.clone(), outage)));
        objects
    }
}

/// The target of a policy: always in the policy's own namespace.
fn target_of(policy: &ElasticPolicy) -> Target {
    let target = &policy.spec.target;
    let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
    Target::new(&target.api_version, &target.kind, namespace, &target.name)
}

fn workload_api(client: &Client, resource: &ApiResource) -> Api<Workload> {
    Api::all_with(client.clone(), resource)
}

/// Makes a policy small: what `kubectl apply` and the API server keep for themselves is larger than the rest.
fn policy(object: DeserializeGuard<ElasticPolicy>) -> Policy {
    let mut policy = object.0.map_err(|invalid| Arc::from(invalid.error))?;
    policy.metadata.managed_fields = None;
    policy.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
    Ok(Arc::new(policy))
}

/// A lever that cannot be read holds: it was made to stop something.
fn lever(object: DeserializeGuard<SafetyLever>) -> Arc<SafetyLever> {
    Arc::new(object.0.unwrap_or_else(|invalid| SafetyLever {
        metadata: invalid.metadata,
        spec: SafetyLeverSpec {
            freeze: true,
            stop_chaos: true,
            reason: format!("the SafetyLever cannot be read, so it holds: {}; apply it again", invalid.error),
            expires_at: None,
        },
        status: None,
    }))
}

/// Whether a change of a policy is somebody's edit; our own writes of status are not.
fn policy_changed(before: Option<&Policy>, after: Option<&Policy>) -> bool {
    let input = |p: &Policy| match p {
        Ok(p) => Ok((p.metadata.uid.clone(), p.metadata.generation, p.metadata.annotations.clone())),
        Err(problem) => Err(Arc::clone(problem)),
    };
    before.map(input) != after.map(input)
}

/// Whether a change of a target is not just its pods coming up: those are seen at the next tick.
fn target_changed(before: Option<&TargetSeen>, after: Option<&TargetSeen>) -> bool {
    let essence = |t: &TargetSeen| match t {
        Ok(view) => Ok((view.version.uid.clone(), view.wanted)),
        Err(problem) => Err(problem.clone()),
    };
    before.map(essence) != after.map(essence)
}
