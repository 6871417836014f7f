//! Watches the pods of a cluster: which are ready, and whose they are.

use std::path::PathBuf;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use super::{
    Shared,
    fleet::{Kind, Workload},
};
use crate::cluster::client;

/// Keeps the fleet's pods of one cluster; an API server that is away leaves them as they are.
pub(super) async fn watch(cluster: String, kubeconfig: PathBuf, state: Shared) {
    let client = match client(&cluster, &kubeconfig).await {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "the emulator does not see the cluster's pods"),
    };
    let config = watcher::Config::default();
    let mut events = watcher(Api::<Pod>::all(client), config).default_backoff().boxed();
    let mut listed = Vec::new();
    loop {
        match events.try_next().await {
            Ok(Some(event)) => take(&cluster, event, &mut listed, &state),
            Ok(None) => return,
            // The stream backs off and lists again by itself.
            Err(error) => tracing::debug!(%error, cluster, "the watch of the pods broke"),
        }
    }
}

fn take(
    cluster: &str,
    event: watcher::Event<Pod>,
    listed: &mut Vec<(Workload, Kind, String, bool)>,
    state: &Shared,
) {
    match event {
        watcher::Event::Init => listed.clear(),
        watcher::Event::InitApply(pod) => {
            if let Some((workload, kind)) = owner(cluster, &pod)
                && !is_going(&pod)
            {
                listed.push((workload, kind, pod.name_any(), is_ready(&pod)));
            }
        }
        watcher::Event::InitDone => state.lock().fleet.replace(cluster, std::mem::take(listed)),
        watcher::Event::Apply(pod) => {
            if let Some((workload, kind)) = owner(cluster, &pod) {
                let fleet = &mut state.lock().fleet;
                if is_going(&pod) {
                    fleet.pod_gone(&workload, &pod.name_any());
                } else {
                    fleet.pod(&workload, kind, &pod.name_any(), is_ready(&pod));
                }
            }
        }
        watcher::Event::Delete(pod) => {
            if let Some((workload, _)) = owner(cluster, &pod) {
                state.lock().fleet.pod_gone(&workload, &pod.name_any());
            }
        }
    }
}

/// The workload of a pod: its StatefulSet, or the Deployment whose ReplicaSet it belongs to.
fn owner(cluster: &str, pod: &Pod) -> Option<(Workload, Kind)> {
    let owner = pod.owner_references().iter().find(|o| o.controller == Some(true))?;
    let (name, kind) = match owner.kind.as_str() {
        "ReplicaSet" => {
            let hash = pod.labels().get("pod-template-hash")?;
            (owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?, Kind::Deployment)
        }
        "StatefulSet" => (owner.name.as_str(), Kind::StatefulSet),
        _ => return None,
    };
    Some((Workload::new(cluster, pod.metadata.namespace.as_deref()?, name), kind))
}

/// Being deleted, or ended for good: it serves nothing any more.
fn is_going(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.any(|c| c.type_ == "Ready" && c.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(kind: &str, owner: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "p", "namespace": "shop", "labels": { "pod-template-hash": "5d4f" },
                "ownerReferences": [
                    { "apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": "u", "controller": true },
                ],
            },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_belongs_to_the_deployment_of_its_replica_set() {
        let of = |kind, name| owner("hub", &pod(kind, name)).map(|(w, k)| (w.name.to_string(), k));
        assert_eq!(of("ReplicaSet", "my-web-5d4f"), Some(("my-web".into(), Kind::Deployment)));
        assert_eq!(of("StatefulSet", "db"), Some(("db".into(), Kind::StatefulSet)));
        assert_eq!(of("Job", "nightly"), None);
    }

    #[test]
    fn a_ready_pod_that_is_deleted_is_on_its_way() {
        let mut pod = pod("StatefulSet", "db");
        assert!(is_ready(&pod) && !is_going(&pod));
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now());
        pod.metadata.deletion_timestamp = Some(now);
        assert!(is_going(&pod));
    }
}
