//! Scale targets, trimmed while they are read: ten thousand of them are kept in memory.

use std::{borrow::Cow, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::{
    Resource,
    core::{ApiResource, DynamicResourceScope, GroupVersionKind},
};
use loadline_policies::fleet::{ObjectVersion, TargetProblem};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{TargetSeen, discovery::Kind, template};
use crate::ports::TargetView;

/// The kinds whose objects all have the fields of [`WorkloadSpec`] and [`WorkloadStatus`].
const WATCHED: [(&str, &str, &str); 3] = [
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("apps/v1", "ReplicaSet", "replicasets"),
];

/// How a kind is addressed, if it is one that can be watched as a [`Workload`].
pub(super) fn resource(kind: &Kind) -> Option<ApiResource> {
    let (api_version, name, plural) =
        WATCHED.iter().find(|(v, k, _)| *v == kind.api_version && *k == kind.kind)?;
    let (group, version) = api_version.split_once('/')?;
    Some(ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, name), plural))
}

/// An object of which only the metadata that is needed, one `spec` and one `status` are read.
///
/// Everything is optional, so that reading cannot fail for what an API server holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "S: DeserializeOwned + Default, T: DeserializeOwned + Default")]
pub(super) struct Partial<S, T> {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: S,
    #[serde(default)]
    pub(super) status: T,
}

/// What is needed of the metadata; the rest (labels, annotations, managed fields) is skipped while reading.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    deletion_timestamp: Option<Time>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let Metadata { name, namespace, uid, resource_version, generation, deletion_timestamp } =
        Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        generation,
        deletion_timestamp,
        ..ObjectMeta::default()
    })
}

impl<S, T> Resource for Partial<S, T>
where
    S: fmt::Debug,
    T: fmt::Debug,
{
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(dt: &ApiResource) -> Cow<'_, str> {
        dt.kind.as_str().into()
    }

    fn group(dt: &ApiResource) -> Cow<'_, str> {
        dt.group.as_str().into()
    }

    fn version(dt: &ApiResource) -> Cow<'_, str> {
        dt.version.as_str().into()
    }

    fn plural(dt: &ApiResource) -> Cow<'_, str> {
        dt.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A Deployment, StatefulSet or ReplicaSet.
pub(super) type Workload = Partial<WorkloadSpec, WorkloadStatus>;

/// What is read of a workload's `spec`.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct WorkloadSpec {
    replicas: Option<i32>,
    #[serde(default, deserialize_with = "template::read")]
    template: Option<template::Seen>,
}

/// What is read of a workload's `status`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkloadStatus {
    replicas: Option<i32>,
    ready_replicas: Option<i32>,
    updated_replicas: Option<i32>,
    observed_generation: Option<i64>,
    current_revision: Option<String>,
    update_revision: Option<String>,
}

impl Workload {
    /// The workload as a scale target.
    pub(super) fn seen(self) -> TargetSeen {
        let Self { metadata, spec, status } = self;
        if metadata.deletion_timestamp.is_some() {
            return Err(TargetProblem::Deleting);
        }
        let current = count(status.replicas);
        // Two templates at once: fewer updated than there are. A StatefulSet that is not rolling out names
        // one revision twice; a ReplicaSet has one template only and tells nothing.
        let two_templates = status.updated_replicas.is_some_and(|updated| count(Some(updated)) < current)
            && (status.update_revision.is_none() || status.update_revision != status.current_revision);
        let behind = metadata.generation.unwrap_or(0) > status.observed_generation.unwrap_or(0);
        Ok(TargetView {
            // The API server fills the default of 1 in.
            wanted: spec.replicas.map_or(1, |r| count(Some(r))),
            current,
            ready: count(status.ready_replicas),
            rolling_out: behind || two_templates,
            template: spec.template.map(|t| t.identity),
            footprint: spec.template.map(|t| t.footprint),
            version: ObjectVersion {
                uid: metadata.uid.unwrap_or_default(),
                resource_version: metadata.resource_version.unwrap_or_default(),
            },
        })
    }
}

/// A count of the API as a number of ours; the API does not write negative ones.
pub(super) fn count(n: Option<i32>) -> u32 {
    u32::try_from(n.unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(status: &str) -> TargetSeen {
        let text = format!(
            r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"cart","namespace":"shop",
            "uid":"u","resourceVersion":"7","generation":3,"labels":{{"a":"b"}},"managedFields":[{{"x":1}}]}},
            "spec":{{"replicas":5,"selector":{{"matchLabels":{{"a":"b"}}}}}},"status":{status}}}"#
        );
        serde_json::from_str::<Workload>(&text).unwrap().seen()
    }

    #[test]
    fn a_deployment_is_read_without_what_is_not_needed() {
        let seen = deployment(
            r#"{"replicas":5,"readyReplicas":4,"updatedReplicas":5,"observedGeneration":3,"conditions":[]}"#,
        );
        let version = ObjectVersion { uid: "u".into(), resource_version: "7".into() };
        assert_eq!(
            seen,
            Ok(TargetView {
                wanted: 5,
                current: 5,
                ready: 4,
                rolling_out: false,
                template: None,
                footprint: None,
                version,
            })
        );
    }

    #[test]
    fn a_new_image_shows_and_a_restart_by_hand_does_not() {
        let with = |image: &str, annotation: &str| {
            let text = format!(
                r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"cart"}},"spec":{{"replicas":5,
                "template":{{"metadata":{{"annotations":{{"restartedAt":"{annotation}"}}}},
                "spec":{{"containers":[{{"name":"app","image":"{image}"}}]}}}}}},"status":{{}}}}"#
            );
            serde_json::from_str::<Workload>(&text).unwrap().seen().unwrap().template
        };
        assert!(with("cart:1", "").is_some());
        assert_eq!(with("cart:1", ""), with("cart:1", "now"));
        assert_ne!(with("cart:1", ""), with("cart:2", ""));
    }

    #[test]
    fn a_roll_out_shows_by_generation_or_by_two_templates() {
        let rolling = |status: &str| deployment(status).unwrap().rolling_out;
        assert!(rolling(r#"{"replicas":5,"updatedReplicas":5,"observedGeneration":2}"#));
        assert!(rolling(r#"{"replicas":5,"updatedReplicas":2,"observedGeneration":3}"#));
        assert!(!rolling(r#"{"replicas":2,"updatedReplicas":2,"observedGeneration":3}"#), "a scale-up");
        assert!(
            !rolling(
                r#"{"replicas":5,"updatedReplicas":0,"observedGeneration":3,"currentRevision":"a","updateRevision":"a"}"#
            ),
            "a StatefulSet at rest"
        );
    }

    #[test]
    fn an_object_without_status_is_not_ready_and_rolling_out() {
        let seen = deployment("{}").unwrap();
        assert_eq!((seen.ready, seen.rolling_out), (0, true));
    }

    #[test]
    fn the_watched_kinds_are_addressed_by_their_plural() {
        let kind = Kind { api_version: "apps/v1".into(), kind: "StatefulSet".into() };
        assert_eq!(resource(&kind).map(|r| r.plural), Some("statefulsets".to_owned()));
        let other = Kind { api_version: "argoproj.io/v1alpha1".into(), kind: "Rollout".into() };
        assert_eq!(resource(&other), None);
    }
}
