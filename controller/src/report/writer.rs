//! Writes statuses and Events in the background, so that ten thousand of them delay no tick and no scale write.
//!
//! Statuses wait in a map by policy: a newer one replaces an older one that was not written yet. Events wait in a
//! bounded queue; when it is full the oldest are dropped and counted.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, Client, api::PostParams};
use loadline_crds::{ElasticPolicy, ElasticPolicyStatus, SafetyLever, safety_lever};
use loadline_policies::ids::PolicyKey;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use crate::{
    apply::Patience,
    client::{Failure, FailureKind},
};

/// Who writes status, in its managed fields.
pub const FIELD_MANAGER: &str = "loadline-status";

/// Status and Event writes in flight together: enough for 1,000 policies in about a second at a few
/// milliseconds each, few enough to leave the API server to the scale writes.
const CONCURRENCY: usize = 8;

/// Events that wait; a tick over 10,000 policies that all scale keeps the newest.
const MAX_EVENTS: usize = 2_048;

/// A status that waits to be written.
#[derive(Debug, Clone)]
pub struct StatusWrite {
    /// The policy that it was decided on; its UID and resourceVersion make the write conditional.
    pub policy: Arc<ElasticPolicy>,
    /// The resourceVersion to write on: the policy's, or a newer one that our own last write gave.
    pub resource_version: Option<String>,
    /// What to write.
    pub status: ElasticPolicyStatus,
}

/// What became of a status write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It stands; the object's new resourceVersion.
    Done(String),
    /// It did not: tried again after a pause, from what the watch shows then.
    Failed(Patience, String),
}

/// The queue between the reporter and the task that writes.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    results: Mutex<Vec<(PolicyKey, Written)>>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lever: Option<Box<SafetyLever>>,
    statuses: BTreeMap<PolicyKey, StatusWrite>,
    events: VecDeque<Event>,
}

/// One write that is taken from the queue.
enum Job {
    Lever(Box<SafetyLever>),
    Status(PolicyKey, Box<StatusWrite>),
    Event(Box<Event>),
}

/// A poisoned lock holds data that is whole: every section under it is a single push or take.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    /// Queues a status; it replaces one that still waits.
    pub fn status(&self, key: PolicyKey, write: StatusWrite) {
        lock(&self.waiting).statuses.insert(key, write);
        self.filled.notify_one();
    }

    /// Queues the lever with its new status; it replaces one that still waits.
    pub fn lever(&self, lever: SafetyLever) {
        lock(&self.waiting).lever = Some(Box::new(lever));
        self.filled.notify_one();
    }

    /// Queues an Event; says whether an older one had to go.
    pub fn event(&self, event: Event) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.events.push_back(event);
        let full = waiting.events.len() > MAX_EVENTS;
        if full {
            waiting.events.pop_front();
        }
        drop(waiting);
        self.filled.notify_one();
        full
    }

    /// What was written since it was last asked.
    pub fn results(&self) -> Vec<(PolicyKey, Written)> {
        std::mem::take(&mut *lock(&self.results))
    }

    /// Whether a status of this policy still waits.
    pub fn waits(&self, key: &PolicyKey) -> bool {
        lock(&self.waiting).statuses.contains_key(key)
    }

    /// Says what became of a write.
    pub(super) fn settle(&self, key: PolicyKey, written: Written) {
        lock(&self.results).push((key, written));
    }

    /// Drops everything that waits, as if it were written.
    #[cfg(test)]
    pub(super) fn clear(&self) {
        *lock(&self.waiting) = Waiting::default();
    }

    /// How many Events wait.
    #[cfg(test)]
    pub(super) fn waiting_events(&self) -> usize {
        lock(&self.waiting).events.len()
    }

    fn take(&self) -> Option<Job> {
        let mut waiting = lock(&self.waiting);
        if let Some(lever) = waiting.lever.take() {
            return Some(Job::Lever(lever));
        }
        if let Some((key, write)) = waiting.statuses.pop_first() {
            return Some(Job::Status(key, Box::new(write)));
        }
        waiting.events.pop_front().map(|e| Job::Event(Box::new(e)))
    }
}

/// Writes what is queued until `stop`; what still waits then is left to the next leader.
pub async fn run(queue: Arc<Queue>, client: Client, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut flying = FuturesUnordered::new();
    loop {
        while flying.len() < CONCURRENCY {
            let Some(job) = queue.take() else { break };
            flying.push(write(job, client.clone(), Arc::clone(&queue), Arc::clone(&metrics)));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = flying.next(), if !flying.is_empty() => {}
            () = queue.filled.notified(), if flying.len() < CONCURRENCY => {}
        }
    }
}

async fn write(job: Job, client: Client, queue: Arc<Queue>, metrics: Arc<Metrics>) {
    match job {
        Job::Lever(lever) => write_lever(*lever, client, &metrics).await,
        Job::Status(key, write) => {
            let written = write_status(&key, *write, client, &metrics).await;
            queue.settle(key, written);
        }
        Job::Event(event) => write_event(&event, client, &metrics).await,
    }
}

async fn write_status(key: &PolicyKey, write: StatusWrite, client: Client, metrics: &Metrics) -> Written {
    let api: Api<ElasticPolicy> = Api::namespaced(client, &key.namespace);
    let mut object = ElasticPolicy { status: Some(write.status), ..write.policy.as_ref().clone() };
    object.metadata.resource_version = write.resource_version;
    object.metadata.managed_fields = None;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.replace_status(&key.name, &params, &object).await {
        Ok(object) => {
            metrics.status_write("done");
            let version = object.metadata.resource_version;
            version.map_or_else(|| Written::Failed(Patience::Long, "no version".to_owned()), Written::Done)
        }
        Err(error) => {
            let failure = Failure::of(&error, "update", "elasticpolicies/status", key);
            metrics.status_write(failure.kind.label());
            if matches!(failure.kind, FailureKind::Conflict | FailureKind::NotFound) {
                tracing::debug!(policy = %key, error = %failure, "status not written: the policy changed");
            } else {
                tracing::warn!(policy = %key, error = %failure, "status not written");
            }
            Written::Failed(patience(failure.kind), failure.to_string())
        }
    }
}

async fn write_lever(mut lever: SafetyLever, client: Client, metrics: &Metrics) {
    let api: Api<SafetyLever> = Api::all(client);
    lever.metadata.managed_fields = None;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.replace_status(safety_lever::NAME, &params, &lever).await {
        Ok(_) => metrics.status_write("done"),
        Err(error) => {
            let failure = Failure::of(&error, "update", "safetylevers/status", &safety_lever::NAME);
            metrics.status_write(failure.kind.label());
            // Somebody pulled it or let it go meanwhile: the watch brings what it is now.
            if failure.is_conflict() {
                tracing::debug!(error = %failure, "status of the lever not written: the lever changed");
            } else {
                tracing::warn!(error = %failure, "status of the lever not written");
            }
        }
    }
}

/// How long a status waits that could not be written.
const fn patience(kind: FailureKind) -> Patience {
    match kind {
        FailureKind::Conflict | FailureKind::NotFound | FailureKind::PermitLapsed => Patience::Brief,
        FailureKind::TimedOut | FailureKind::Unreachable | FailureKind::Busy | FailureKind::Other => {
            Patience::Short
        }
        FailureKind::Forbidden | FailureKind::Unauthorized | FailureKind::Invalid => Patience::Long,
    }
}

async fn write_event(event: &Event, client: Client, metrics: &Metrics) {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client, &namespace);
    match api.create(&PostParams::default(), event).await {
        Ok(_) => metrics.event("done"),
        Err(error) => {
            let failure = Failure::of(&error, "create", "events.events.k8s.io", &namespace);
            metrics.event(failure.kind.label());
            tracing::warn!(namespace, error = %failure, "event not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(desired: i32) -> StatusWrite {
        let policy: ElasticPolicy = serde_yaml::from_str(
            "{apiVersion: loadline.dev/v1alpha1, kind: ElasticPolicy, metadata: {name: checkout},
              spec: {target: {apiVersion: apps/v1, kind: Deployment, name: web}, bounds: {min: 1, max: 2},
              load: {profile: otel-http}}}",
        )
        .unwrap();
        StatusWrite {
            policy: Arc::new(policy),
            resource_version: Some("1".into()),
            status: ElasticPolicyStatus { desired_replicas: Some(desired), ..ElasticPolicyStatus::default() },
        }
    }

    #[test]
    fn a_newer_status_replaces_one_that_waits() {
        let queue = Queue::default();
        let key = PolicyKey::new("shop", "checkout");
        queue.status(key.clone(), status(3));
        queue.status(key, status(5));
        let Some(Job::Status(_, write)) = queue.take() else { panic!("a status waits") };
        assert_eq!(write.status.desired_replicas, Some(5));
        assert!(queue.take().is_none());
    }

    #[test]
    fn a_full_queue_drops_the_oldest_event_and_says_so() {
        let queue = Queue::default();
        let event = |n: usize| Event { note: Some(n.to_string()), ..Event::default() };
        assert!((0..MAX_EVENTS).all(|n| !queue.event(event(n))));
        assert!(queue.event(event(MAX_EVENTS)));
        let Some(Job::Event(oldest)) = queue.take() else { panic!("an event waits") };
        assert_eq!(oldest.note.as_deref(), Some("1"));
    }
}
