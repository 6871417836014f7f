//! The API server's audit log as evidence: who wrote which replicas, and when.
//!
//! A watch may miss what was there for a moment; the audit log has every write that the API server answered.

use std::{fs, io, path::PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::Cluster;

/// The audit log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the audit log {path}: {source}; start the cluster with Options::audited")]
pub struct AuditError {
    /// The file.
    path: PathBuf,
    /// Why.
    source: io::Error,
}

/// One successful write of a workload's replicas, or of anything else of it that left them as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaWrite {
    /// When the API server had received it.
    pub at: Timestamp,
    /// Whether it went through `/scale`, with the field manager of the operator.
    pub by_loadline: bool,
    /// `spec.replicas` afterwards.
    pub replicas: u32,
}

/// The writes of one Deployment, in the order in which they were answered.
///
/// # Errors
/// When the log cannot be read.
pub fn replica_writes(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Vec<ReplicaWrite>, AuditError> {
    Ok(read(cluster)?.lines().filter_map(|line| replica_write(line, namespace, name)).collect())
}

/// When the operator tried to write the replicas of one Deployment and was refused, because the object had changed
/// since it was seen (409).
///
/// # Errors
/// When the log cannot be read.
pub fn conflicts(cluster: &Cluster, namespace: &str, name: &str) -> Result<Vec<Timestamp>, AuditError> {
    Ok(read(cluster)?.lines().filter_map(|line| conflict(line, namespace, name)).collect())
}

fn read(cluster: &Cluster) -> Result<String, AuditError> {
    let path = cluster.audit_log();
    fs::read_to_string(&path).map_err(|source| AuditError { path, source })
}

/// A line of the log about an attempt to write one Deployment.
struct Attempt {
    event: Value,
    /// The HTTP status of the answer.
    answered: u64,
    at: Timestamp,
    by_loadline: bool,
}

impl Attempt {
    fn of(line: &str, namespace: &str, name: &str) -> Option<Self> {
        // Most lines are about something else: look before parsing.
        if !line.contains("\"deployments\"") || !line.contains(name) {
            return None;
        }
        let event: Value = serde_json::from_str(line).ok()?;
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let is_it = text("/objectRef/resource") == Some("deployments")
            && text("/objectRef/namespace") == Some(namespace)
            && text("/objectRef/name") == Some(name)
            && matches!(text("/verb"), Some("create" | "update" | "patch"));
        if !is_it {
            return None;
        }
        let by_loadline = text("/objectRef/subresource") == Some("scale")
            && text("/requestURI").is_some_and(|uri| uri.contains("fieldManager=loadline"));
        let answered = event.pointer("/responseStatus/code").and_then(Value::as_u64)?;
        let at = text("/requestReceivedTimestamp")?.parse().ok()?;
        Some(Self { event, answered, at, by_loadline })
    }
}

/// The write that a line tells of, if it is one of this Deployment.
fn replica_write(line: &str, namespace: &str, name: &str) -> Option<ReplicaWrite> {
    let Attempt { event, answered, at, by_loadline } = Attempt::of(line, namespace, name)?;
    if !(200..300).contains(&answered) {
        return None;
    }
    let replicas = event.pointer("/responseObject/spec/replicas")?.as_u64()?;
    Some(ReplicaWrite { at, by_loadline, replicas: u32::try_from(replicas).ok()? })
}

/// When the operator lost a race for this Deployment, if a line tells of one.
fn conflict(line: &str, namespace: &str, name: &str) -> Option<Timestamp> {
    let attempt = Attempt::of(line, namespace, name)?;
    (attempt.by_loadline && attempt.answered == 409).then_some(attempt.at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(code: u16, subresource: &str, uri: &str) -> String {
        json!({
            "verb": "update", "requestURI": uri, "requestReceivedTimestamp": "2026-03-01T12:00:00.000000Z",
            "objectRef": {
                "resource": "deployments", "namespace": "shop", "name": "cart", "subresource": subresource,
            },
            "responseStatus": {"code": code}, "responseObject": {"spec": {"replicas": 5}},
        })
        .to_string()
    }

    #[test]
    fn a_write_tells_who_made_it() {
        let ours =
            replica_write(&line(200, "scale", "/scale?&fieldManager=loadline"), "shop", "cart").unwrap();
        assert_eq!((ours.by_loadline, ours.replicas), (true, 5));
        let others =
            replica_write(&line(200, "scale", "/scale?fieldManager=kubectl"), "shop", "cart").unwrap();
        assert!(!others.by_loadline);
    }

    #[test]
    fn a_conflict_is_an_attempt_of_the_operator_that_lost() {
        let lost = |code, uri| conflict(&line(code, "scale", uri), "shop", "cart").is_some();
        assert!(lost(409, "/scale?fieldManager=loadline"));
        assert!(!lost(409, "/scale?fieldManager=kubectl"));
        assert!(!lost(200, "/scale?fieldManager=loadline"));
    }

    #[test]
    fn what_was_refused_or_is_of_another_is_no_write() {
        assert_eq!(replica_write(&line(409, "scale", "/scale"), "shop", "cart"), None);
        assert_eq!(replica_write(&line(200, "scale", "/scale"), "pay", "cart"), None);
        assert_eq!(replica_write("not JSON, of \"deployments\" and cart", "shop", "cart"), None);
    }
}
