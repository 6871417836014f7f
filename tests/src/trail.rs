//! The API server's audit log as evidence: who wrote what, when, and who held the lease then.

use std::{fs, io, path::Path};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// One write that the API server accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// When the API server took the request in.
    pub received: Timestamp,
    /// When it had done it.
    pub done: Timestamp,
    /// Who asked.
    pub user: String,
    /// For example `update deployments/scale shop/checkout`.
    pub what: String,
    /// For a lease: who holds it after this write; empty when it was released.
    pub holder: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<Reference>,
    response_status: Option<Status>,
    response_object: Option<Value>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Reference {
    resource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    subresource: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    code: u16,
}

/// Every accepted write of the log, in the order in which they were done.
///
/// # Errors
/// When the log cannot be read.
pub fn writes(log: &Path) -> io::Result<Vec<Write>> {
    let text = fs::read_to_string(log)?;
    // The last line may be half written; requests that are not about an object have no reference.
    let mut writes: Vec<Write> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).filter_map(write).collect();
    writes.sort_by_key(|w| w.done);
    Ok(writes)
}

fn write(line: Line) -> Option<Write> {
    let Reference { resource, namespace, name, subresource } = line.object_ref?;
    let accepted = line.response_status.is_some_and(|s| (200..300).contains(&s.code));
    if line.stage != "ResponseComplete" || !accepted || ["get", "list", "watch"].contains(&line.verb.as_str())
    {
        return None;
    }
    let holder = (resource == "leases").then(|| {
        let object = line.response_object.unwrap_or_default();
        object.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default().to_owned()
    });
    let resource = subresource.map_or_else(|| resource.clone(), |sub| format!("{resource}/{sub}"));
    Some(Write {
        received: line.request_received_timestamp,
        done: line.stage_timestamp,
        user: line.user.username,
        what: format!("{} {resource} {namespace}/{name}", line.verb),
        holder,
    })
}

/// The writes of these users, other than to leases, that began while another process held the lease, or nobody.
///
/// A process holds the lease under its user's name (after the last colon) and a suffix. `writes` must be in the
/// order in which they were done.
#[must_use]
pub fn without_the_lease<'a>(writes: &'a [Write], users: &[&str]) -> Vec<&'a Write> {
    let leases: Vec<(&Write, &str)> = writes.iter().filter_map(|w| Some((w, w.holder.as_deref()?))).collect();
    let holder_at = |moment: Timestamp| {
        leases.iter().take_while(|(w, _)| w.done <= moment).last().map(|(_, holder)| *holder)
    };
    let belongs = |holder: &str, user: &str| {
        let name = user.rsplit(':').next().unwrap_or(user);
        holder.strip_prefix(name).is_some_and(|rest| rest.starts_with('_'))
    };
    writes
        .iter()
        .filter(|w| w.holder.is_none() && users.contains(&w.user.as_str()))
        .filter(|w| !holder_at(w.received).is_some_and(|holder| belongs(holder, &w.user)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn scale(user: &str, second: i64) -> Write {
        let what = "update deployments/scale shop/web".to_owned();
        Write { received: at(second), done: at(second), user: user.to_owned(), what, holder: None }
    }

    fn lease(holder: &str, second: i64) -> Write {
        let (user, holder) = (holder.to_owned(), Some(holder.to_owned()));
        Write { received: at(second), done: at(second), user, what: "update leases".to_owned(), holder }
    }

    #[test]
    fn only_writes_of_somebody_else_than_the_holder_are_found() {
        let (a, b) = ("system:serviceaccount:s:op-a", "system:serviceaccount:s:op-b");
        let log = [
            scale(a, 1),
            lease("op-a_1", 2),
            scale(a, 3),
            scale("admin", 4),
            lease("op-b_9", 5),
            scale(b, 6),
            scale(a, 7),
            lease("", 8),
            scale(b, 9),
        ];
        let found: Vec<_> = without_the_lease(&log, &[a, b]).iter().map(|w| w.received.as_second()).collect();
        assert_eq!(found, [1, 7, 9]);
    }

    #[test]
    fn a_line_of_the_log_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let line = r#"{"kind":"Event","level":"RequestResponse","stage":"ResponseComplete","verb":"update",
            "user":{"username":"system:serviceaccount:s:op-a","groups":[]},
            "objectRef":{"resource":"leases","namespace":"s","name":"loadline","apiVersion":"v1"},
            "responseStatus":{"metadata":{},"code":200},"responseObject":{"spec":{"holderIdentity":"op-a_1"}},
            "requestReceivedTimestamp":"2026-03-01T12:00:00.1Z","stageTimestamp":"2026-03-01T12:00:00.2Z"}"#;
        std::fs::write(&path, line.replace('\n', " ") + "\n{\"half").unwrap();
        let read = writes(&path).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].holder.as_deref(), Some("op-a_1"));
        assert_eq!(read[0].what, "update leases s/loadline");
    }
}
