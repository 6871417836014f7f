//! Kinds that cannot be watched as a known type: their `/scale` is read, for the targets that policies name. Kinds that
//! are not in `scaleTargets` end here too, and are refused.
//!
//! `/scale` tells neither which replicas are ready nor whether two templates run side by side, so the object itself is
//! read too, as a list of one (the operator may list these kinds, but get none): by convention its status has
//! `readyReplicas` and more, as a Deployment's. Of one that does not say, a roll-out cannot be ruled out.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::autoscaling::v1::Scale;
use kube::{Api, Client, api::ListParams, core::DynamicObject};
use loadline_policies::{
    fleet::{ObjectVersion, TargetProblem},
    ids::Target,
};
use serde_json::Value;
use tokio::{sync::Notify, time};

use super::{
    TargetSeen,
    discovery::{Discovery, Kind},
    partial::count,
    template,
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
            problem(&Failure::of(&error, "get", &format!("{}/scale", resource.plural), target))
        })?;
        let one = ListParams::default().fields(&format!("metadata.name={}", target.name));
        let listed = api
            .list(&one)
            .await
            .map_err(|error| problem(&Failure::of(&error, "list", &resource.plural, target)))?;
        let object = listed.items.into_iter().next().ok_or(TargetProblem::Missing)?;
        seen(scale, &object)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Target, TargetSeen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `/scale` and the object itself tell together.
fn seen(scale: Scale, object: &DynamicObject) -> TargetSeen {
    if object.metadata.deletion_timestamp.is_some() {
        return Err(TargetProblem::Deleting);
    }
    let current = count(scale.status.map(|s| s.replicas));
    let of_status = |field: &str| object.data.get("status").and_then(|status| status.get(field));
    let number = |field: &str| of_status(field).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    // Go leaves a count of 0 out: who has none ready looks like who does not say.
    let ready = number("readyReplicas").or((current == 0).then_some(0));
    let two_templates = number("updatedReplicas").is_some_and(|updated| updated < current);
    let template = object.data.pointer("/spec/template").and_then(template::of);
    Ok(TargetView {
        wanted: count(scale.spec.and_then(|s| s.replicas)),
        current,
        ready: ready.unwrap_or(current),
        template: template.map(|t| t.identity),
        footprint: template.map(|t| t.footprint),
        rolling_out: ready.is_none() || two_templates || is_behind(object, of_status("observedGeneration")),
        version: ObjectVersion {
            uid: scale.metadata.uid.unwrap_or_default(),
            resource_version: scale.metadata.resource_version.unwrap_or_default(),
        },
    })
}

/// Whether the object's controller has not taken in its present spec. Some write the number as text (Argo Rollouts).
fn is_behind(object: &DynamicObject, observed: Option<&Value>) -> bool {
    let observed = observed.and_then(|n| n.as_i64().or_else(|| n.as_str()?.parse().ok()));
    observed.is_some_and(|observed| object.metadata.generation.is_some_and(|now| now > observed))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rollout(status: &Value) -> TargetView {
        let scale = json!({"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {"replicas": 5},
            "status": {"replicas": 5}});
        let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "cart", "namespace": "shop", "generation": 3}, "status": status});
        let read = (serde_json::from_value(scale).unwrap(), serde_json::from_value(object).unwrap());
        seen(read.0, &read.1).unwrap()
    }

    #[test]
    fn unready_replicas_of_a_kind_that_is_not_watched_are_seen() {
        let view = rollout(
            &json!({"replicas": 5, "readyReplicas": 2, "updatedReplicas": 5, "observedGeneration": "3"}),
        );
        assert_eq!((view.wanted, view.current, view.ready, view.rolling_out), (5, 5, 2, false));
    }

    #[test]
    fn so_is_its_roll_out() {
        let rolls = |status: Value| rollout(&status).rolling_out;
        assert!(rolls(json!({"readyReplicas": 5, "updatedReplicas": 1})));
        assert!(rolls(json!({"readyReplicas": 5, "observedGeneration": 2})), "a number");
        assert!(rolls(json!({"readyReplicas": 5, "observedGeneration": "2"})), "a text");
        assert!(!rolls(json!({"readyReplicas": 5})), "what a kind does not have tells nothing");
    }

    #[test]
    fn its_template_is_seen_where_it_has_one() {
        assert_eq!(rollout(&json!({})).template, None);
        let read = |image: &str| {
            let object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {},
                "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}});
            let object = serde_json::from_value(object).unwrap();
            seen(Scale::default(), &object).unwrap().template
        };
        assert!(read("cart:1").is_some());
        assert_ne!(read("cart:1"), read("cart:2"));
    }

    #[test]
    fn of_a_kind_that_does_not_tell_who_is_ready_nothing_is_removed() {
        let view = rollout(&json!({"phase": "Running"}));
        assert_eq!((view.ready, view.rolling_out), (5, true));
    }
}
