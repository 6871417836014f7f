//! Kinds that cannot be watched as a known type: their `/scale` is read, for the targets that policies name. Kinds that
//! are not in `scaleTargets` end here too, and are refused.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use kube::{Api, Client, core::DynamicObject};
use loadline_policies::{
    fleet::{ObjectVersion, TargetProblem},
    ids::Target,
};
use tokio::{sync::Notify, time};

use super::{
    TargetSeen,
    discovery::{Discovery, Kind},
    partial::count,
};
use crate::{
    client::{Failure, FailureKind},
    ports::TargetView,
};

/// How many are read at the same time: enough for hundreds a second, few enough for the API server.
const CONCURRENCY: usize = 8;

/// The targets that are read instead of watched.
pub(super) struct Polled {
    client: Client,
    discovery: Arc<Discovery>,
    changed: Arc<Notify>,
    wanted: Notify,
    seen: Mutex<HashMap<Target, TargetSeen>>,
}

impl Polled {
    /// Nothing is wanted yet.
    pub(super) fn new(client: Client, discovery: Arc<Discovery>, changed: Arc<Notify>) -> Self {
        Self { client, discovery, changed, wanted: Notify::new(), seen: Mutex::default() }
    }

    /// What was last read of a target.
    pub(super) fn get(&self, target: &Target) -> TargetSeen {
        self.lock().get(target).cloned().unwrap_or(Err(TargetProblem::NotYetSeen))
    }

    /// Says which targets to read from now on; a new one is read at once.
    pub(super) fn want<'a>(&self, targets: impl Iterator<Item = &'a Target>) {
        let targets: HashSet<&Target> = targets.collect();
        let mut seen = self.lock();
        seen.retain(|target, _| targets.contains(target));
        let before = seen.len();
        for target in targets {
            seen.entry(target.clone()).or_insert(Err(TargetProblem::NotYetSeen));
        }
        if seen.len() > before {
            self.wanted.notify_one();
        }
    }

    /// Reads everything that is wanted, for ever.
    pub(super) async fn run(self: Arc<Self>, every: Duration) {
        let mut due = time::interval(every);
        due.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = due.tick() => {}
                () = self.wanted.notified() => {}
            }
            let targets: Vec<Target> = self.lock().keys().cloned().collect();
            stream::iter(targets).for_each_concurrent(CONCURRENCY, |target| self.refresh(target)).await;
        }
    }

    async fn refresh(&self, target: Target) {
        let now = self.read(&target).await;
        let mut seen = self.lock();
        let Some(before) = seen.get_mut(&target) else { return };
        // An API server that is away takes nothing back that was seen: fail static.
        if now == Err(TargetProblem::NotYetSeen) {
            return;
        }
        let is_change = super::target_changed(Some(before), Some(&now));
        *before = now;
        drop(seen);
        if is_change {
            self.changed.notify_one();
        }
    }

    async fn read(&self, target: &Target) -> TargetSeen {
        let resource = self.discovery.scalable(&Kind::of(target)).await?;
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &target.namespace, &resource);
        let scale = api.get_scale(&target.name).await.map_err(|error| {
            let failure = Failure::of(&error, "get", &format!("{}/scale", resource.plural), target);
            problem(&failure)
        })?;
        let status = scale.status.unwrap_or_default();
        Ok(TargetView {
            wanted: count(scale.spec.and_then(|s| s.replicas)),
            current: count(Some(status.replicas)),
            // `/scale` does not tell ready replicas: all that exist count as ready.
            ready: count(Some(status.replicas)),
            rolling_out: false,
            version: ObjectVersion {
                uid: scale.metadata.uid.unwrap_or_default(),
                resource_version: scale.metadata.resource_version.unwrap_or_default(),
            },
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Target, TargetSeen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn problem(failure: &Failure) -> TargetProblem {
    match failure.kind {
        FailureKind::NotFound => TargetProblem::Missing,
        FailureKind::Forbidden | FailureKind::Unauthorized => TargetProblem::Forbidden,
        _ => {
            tracing::debug!(error = %failure, "the scale of a target could not be read");
            TargetProblem::NotYetSeen
        }
    }
}
