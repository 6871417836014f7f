//! What is known offline of the kinds that Kubernetes itself has: which can be scaled.

use super::{object::group, suggest};

/// Kinds with a `/scale` subresource in the groups that Kubernetes itself has.
const SCALABLE: [(&str, &str); 4] =
    [("apps", "Deployment"), ("apps", "ReplicaSet"), ("apps", "StatefulSet"), ("", "ReplicationController")];

/// Kinds without one that people try.
const OTHERS: [(&str, &str); 8] = [
    ("apps", "DaemonSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("", "ConfigMap"),
    ("", "Node"),
    ("", "Pod"),
    ("", "Service"),
    ("autoscaling", "HorizontalPodAutoscaler"),
];

/// What is wrong with a kind as a scale target, with the way to fix it; `None` when nothing is known to be.
pub(super) fn problem(api_version: &str, kind: &str) -> Option<(String, String)> {
    let group = group(api_version);
    if SCALABLE.contains(&(group, kind)) {
        return None;
    }
    if OTHERS.contains(&(group, kind)) {
        let fix = "name a workload with replicas, for example a Deployment";
        return Some((format!("a {kind} has no scale subresource"), fix.to_owned()));
    }
    let ours = SCALABLE.iter().chain(&OTHERS).any(|(g, _)| *g == group);
    if !ours {
        return None;
    }
    let known = SCALABLE.iter().filter(|(g, _)| *g == group).map(|(_, k)| *k);
    Some((
        format!("there is no kind {kind} with a scale subresource in {api_version}"),
        suggest::fix(kind, known),
    ))
}
