//! Writes replicas through `/scale`, if the world is still as it was when it was decided.

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
    core::{ApiResource, DynamicObject},
};
use loadline_policies::{
    fleet::{ObjectVersion, TargetProblem},
    ids::{ClusterId, Target},
    plan::{Outcome, ScaleAction},
};
use tokio::time;

use super::backoff::{Backoff, Patience};
use crate::{
    client::{Failure, FailureKind},
    lease::Permit,
    observe::kubernetes::{Discovery, Kind},
    ports::{Actuator, Clock},
};

/// Owns `spec.replicas` in `metadata.managedFields`.
const FIELD_MANAGER: &str = "loadline";

/// Writes replicas in the operator's own cluster.
pub struct KubeActuator {
    cluster: ClusterId,
    client: Client,
    discovery: Arc<Discovery>,
    permit: Permit,
    clock: Arc<dyn Clock>,
    backoff: Mutex<Backoff<Target>>,
}

/// Why one attempt was not a success.
enum Miss {
    Conflict,
    Failure(Failure),
}

impl KubeActuator {
    /// An actuator; `client` must be guarded by the same `permit`.
    pub fn new(client: Client, discovery: Arc<Discovery>, permit: Permit, clock: Arc<dyn Clock>) -> Self {
        let cluster = ClusterId::local();
        Self { cluster, client, discovery, permit, clock, backoff: Mutex::default() }
    }

    /// Why an action is not even tried now.
    fn not_now(&self, target: &Target) -> Option<String> {
        if let Err(lapsed) = self.permit.window() {
            return Some(lapsed.to_string());
        }
        let backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        backoff.pausing(target, self.clock.now().mono).map(|(pause, why)| {
            format!("tried again in {} s, after: {why}", pause.as_secs().saturating_add(1))
        })
    }

    async fn write(&self, api: &Scales, action: &ScaleAction) -> Outcome {
        let outcome = match api.put(action, &action.version).await {
            Err(Miss::Conflict) => self.write_again(api, action).await,
            other => other.map(|()| Outcome::Done),
        };
        let failure = match outcome {
            Ok(Outcome::Refused(why)) => return self.overtaken(action, why),
            Ok(outcome) => {
                self.lock().succeeded(&action.target);
                return outcome;
            }
            Err(Miss::Failure(failure)) => failure,
            // Somebody writes all the time: what is seen at the next tick is fresher than any retry.
            Err(Miss::Conflict) => {
                return self
                    .overtaken(action, format!("{} changed twice while it was written", action.target));
            }
        };
        let text = failure.to_string();
        match failure.kind {
            FailureKind::PermitLapsed => return Outcome::Skipped(text),
            FailureKind::TimedOut | FailureKind::Unreachable | FailureKind::Busy | FailureKind::Other => {
                self.lock().failed(&action.target, Patience::Short, &text, self.clock.now().mono);
            }
            FailureKind::Forbidden
            | FailureKind::Unauthorized
            | FailureKind::NotFound
            | FailureKind::Conflict
            | FailureKind::Invalid => {
                self.lock().failed(&action.target, Patience::Long, &text, self.clock.now().mono);
                return Outcome::Refused(text);
            }
        }
        Outcome::Failed(text)
    }

    /// Somebody else changed the target meanwhile.
    fn overtaken(&self, action: &ScaleAction, why: String) -> Outcome {
        self.lock().failed(&action.target, Patience::Brief, &why, self.clock.now().mono);
        Outcome::Refused(why)
    }

    /// After a conflict: once more, if nothing that was decided on has changed (a label did, or a status).
    async fn write_again(&self, api: &Scales, action: &ScaleAction) -> Result<Outcome, Miss> {
        let scale = api.get(action).await?;
        let uid = scale.metadata.uid.unwrap_or_default();
        if uid != action.version.uid {
            return Ok(Outcome::Refused(format!("{} was deleted and made again", action.target)));
        }
        let replicas = scale.spec.and_then(|s| s.replicas).unwrap_or(0);
        if u32::try_from(replicas) != Ok(action.from) {
            return Ok(Outcome::Refused(format!(
                "{} has {replicas} replicas now, not the {} that this was decided on",
                action.target, action.from
            )));
        }
        let resource_version = scale.metadata.resource_version.unwrap_or_default();
        api.put(action, &ObjectVersion { uid, resource_version }).await?;
        Ok(Outcome::Done)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Backoff<Target>> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Actuator for KubeActuator {
    async fn scale(&self, action: &ScaleAction) -> Outcome {
        if action.cluster != self.cluster {
            return Outcome::Refused(format!("the cluster {} is not one of this operator's", action.cluster));
        }
        if let Some(why) = self.not_now(&action.target) {
            return Outcome::Skipped(why);
        }
        // A kind that is not watched is looked up: that may take no longer than the write itself.
        let kind = Kind::of(&action.target);
        let looked_up = time::timeout(self.permit.write_timeout(), self.discovery.scalable(&kind)).await;
        match looked_up.unwrap_or(Err(TargetProblem::NotYetSeen)) {
            Ok(resource) => {
                let api = Scales::new(&self.client, &action.target.namespace, &resource);
                self.write(&api, action).await
            }
            Err(TargetProblem::NotYetSeen) => {
                Outcome::Failed(format!("the API server did not say how to scale a {}", action.target.kind))
            }
            Err(TargetProblem::Forbidden) => Outcome::Refused(format!(
                "{} is of a kind that is not in scaleTargets, or that the operator may not read: add it there",
                action.target
            )),
            Err(problem) => Outcome::Refused(format!("{}: {problem:?}", action.target)),
        }
    }
}

/// The scales of one kind in one namespace.
struct Scales {
    api: Api<DynamicObject>,
    resource: String,
}

impl Scales {
    fn new(client: &Client, namespace: &str, resource: &ApiResource) -> Self {
        let api = Api::namespaced_with(client.clone(), namespace, resource);
        Self { api, resource: format!("{}/scale", resource.plural) }
    }

    async fn put(&self, action: &ScaleAction, version: &ObjectVersion) -> Result<(), Miss> {
        let scale = Scale {
            metadata: ObjectMeta {
                name: Some(action.target.name.to_string()),
                namespace: Some(action.target.namespace.to_string()),
                uid: Some(version.uid.clone()),
                resource_version: Some(version.resource_version.clone()),
                ..ObjectMeta::default()
            },
            // What a policy may ask for is far below i32::MAX.
            spec: Some(ScaleSpec { replicas: i32::try_from(action.to).ok() }),
            status: None,
        };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let answer = self.api.replace_scale(&action.target.name, &params, &scale).await;
        answer.map(|_| ()).map_err(|error| self.miss(&error, "update", action))
    }

    async fn get(&self, action: &ScaleAction) -> Result<Scale, Miss> {
        self.api.get_scale(&action.target.name).await.map_err(|error| self.miss(&error, "get", action))
    }

    fn miss(&self, error: &kube::Error, verb: &str, action: &ScaleAction) -> Miss {
        let failure = Failure::of(error, verb, &self.resource, &action.target);
        if failure.is_conflict() { Miss::Conflict } else { Miss::Failure(failure) }
    }
}

#[cfg(test)]
mod tests;
