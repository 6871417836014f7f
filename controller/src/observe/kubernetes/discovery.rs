//! Discovery: which resource a kind is, and whether it can and may be scaled.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::{
    Client,
    core::{ApiResource, GroupVersion, GroupVersionKind},
};
use loadline_policies::{fleet::TargetProblem, ids::Target, now::Mono};

use super::partial;
use crate::{
    client::{Failure, FailureKind},
    ports::Clock,
};

/// A kind by its API version and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
}

impl Kind {
    /// The kind of a target.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        Self { api_version: target.api_version.to_string(), kind: target.kind.to_string() }
    }
}

/// How long an answer is kept. A kind that is there stays; one that is not may be installed any time.
const KNOWN_FOR: Duration = Duration::from_mins(10);
const UNKNOWN_FOR: Duration = Duration::from_secs(30);

type Answer = Result<ApiResource, TargetProblem>;

/// Finds the resource of a kind, and remembers.
pub struct Discovery {
    client: Client,
    clock: Arc<dyn Clock>,
    /// The configuration's `scaleTargets`: nothing else is scaled, whatever RBAC would allow.
    listed: BTreeSet<Kind>,
    known: Mutex<HashMap<Kind, (Mono, Answer)>>,
}

impl Discovery {
    /// Nothing is known yet but the kinds that every API server has. Only `listed` kinds may be scaled.
    pub fn new(client: Client, clock: Arc<dyn Clock>, listed: impl IntoIterator<Item = Kind>) -> Self {
        Self { client, clock, listed: listed.into_iter().collect(), known: Mutex::default() }
    }

    /// The resource of a kind that has `/scale` and is listed.
    ///
    /// # Errors
    /// The kind is unknown, cannot or may not be scaled, or the API server did not say.
    pub async fn scalable(&self, kind: &Kind) -> Answer {
        let resource = self.resource(kind).await?;
        if self.listed.contains(kind) { Ok(resource) } else { Err(TargetProblem::Forbidden) }
    }

    async fn resource(&self, kind: &Kind) -> Answer {
        if let Some(resource) = partial::resource(kind) {
            return Ok(resource);
        }
        let now = self.clock.now().mono;
        if let Some((at, answer)) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(kind) {
            let kept = if answer.is_ok() { KNOWN_FOR } else { UNKNOWN_FOR };
            if now.since(*at) < kept {
                return answer.clone();
            }
        }
        let answer = self.ask(kind).await;
        if answer != Err(TargetProblem::NotYetSeen) {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(kind.clone(), (now, answer.clone()));
        }
        answer
    }

    async fn ask(&self, kind: &Kind) -> Answer {
        let version: GroupVersion = kind.api_version.parse().map_err(|_| TargetProblem::UnknownKind)?;
        let list = if version.group.is_empty() {
            self.client.list_core_api_resources(&version.version).await
        } else {
            self.client.list_api_group_resources(&kind.api_version).await
        };
        let list =
            list.map_err(|error| problem(&Failure::of(&error, "get", "discovery", &kind.api_version)))?;
        let named = |name: &str| list.resources.iter().any(|r| r.name == name);
        let found = list.resources.iter().find(|r| r.kind == kind.kind && !r.name.contains('/'));
        let resource = found.ok_or(TargetProblem::UnknownKind)?;
        if !named(&format!("{}/scale", resource.name)) {
            return Err(TargetProblem::NotScalable);
        }
        let gvk = GroupVersionKind::gvk(&version.group, &version.version, &kind.kind);
        Ok(ApiResource::from_gvk_with_plural(&gvk, &resource.name))
    }
}

/// What a failed discovery says about the target.
fn problem(failure: &Failure) -> TargetProblem {
    match failure.kind {
        FailureKind::NotFound => TargetProblem::UnknownKind,
        FailureKind::Forbidden | FailureKind::Unauthorized => TargetProblem::Forbidden,
        _ => {
            tracing::debug!(error = %failure, "discovery did not answer");
            TargetProblem::NotYetSeen
        }
    }
}
