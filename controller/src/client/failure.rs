//! A failed call to the API server: what happened, to which object, and what to do.

use std::{error::Error as StdError, fmt};

use super::guard::WriteTimedOut;
use crate::lease::PermitLapsed;

/// What kind of failure it is; the label of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// RBAC or an admission policy says no.
    Forbidden,
    /// The credentials are not accepted.
    Unauthorized,
    /// No such object, or no such kind.
    NotFound,
    /// The object has changed since it was read, or exists already.
    Conflict,
    /// The API server does not accept the object.
    Invalid,
    /// The API server is too busy.
    Busy,
    /// No answer in time; whether a write was done is not known.
    TimedOut,
    /// No connection.
    Unreachable,
    /// This process holds no permit to write.
    PermitLapsed,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Busy => "busy",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::PermitLapsed => "permit_lapsed",
            Self::Other => "other",
        }
    }
}

/// A failed call, told for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Failure {}

impl Failure {
    /// The failure of `verb` on `resource` (both as RBAC names them) of one object.
    pub fn of(error: &kube::Error, verb: &str, resource: &str, object: &dyn fmt::Display) -> Self {
        let (kind, why) = classify(error);
        let text = match kind {
            FailureKind::Forbidden => format!(
                "not allowed to {verb} {resource} ({object}): grant verb \"{verb}\" on \"{resource}\" by RBAC, or ask \
                 the admission policy that refused it: {why}"
            ),
            FailureKind::Unauthorized => format!(
                "the API server does not accept the credentials ({verb} {resource} {object}): renew the token or \
                 certificate: {why}"
            ),
            FailureKind::NotFound => format!("{verb} {resource} {object}: not found: {why}"),
            FailureKind::Conflict => format!("{verb} {resource} {object}: it has changed meanwhile: {why}"),
            FailureKind::Invalid => format!("{verb} {resource} {object}: refused as invalid: {why}"),
            FailureKind::Busy => format!("{verb} {resource} {object}: the API server is too busy: {why}"),
            FailureKind::TimedOut => format!("{verb} {resource} {object}: no answer in time: {why}"),
            FailureKind::Unreachable => {
                format!("{verb} {resource} {object}: no connection to the API server: {why}")
            }
            FailureKind::PermitLapsed | FailureKind::Other => format!("{verb} {resource} {object}: {why}"),
        };
        Self { kind, text }
    }

    /// A call that had no answer in time.
    pub fn timed_out(verb: &str, resource: &str, object: &dyn fmt::Display) -> Self {
        let text = format!("{verb} {resource} {object}: no answer in time");
        Self { kind: FailureKind::TimedOut, text }
    }

    /// Whether the object has changed since it was read, or exists already.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.kind == FailureKind::Conflict
    }
}

fn classify(error: &kube::Error) -> (FailureKind, String) {
    match error {
        kube::Error::Api(status) => {
            let kind = match status.code {
                401 => FailureKind::Unauthorized,
                403 => FailureKind::Forbidden,
                404 => FailureKind::NotFound,
                409 => FailureKind::Conflict,
                400 | 422 => FailureKind::Invalid,
                429 | 503 => FailureKind::Busy,
                504 => FailureKind::TimedOut,
                _ => FailureKind::Other,
            };
            (kind, format!("{} (HTTP {})", status.message, status.code))
        }
        kube::Error::Auth(_) => (FailureKind::Unauthorized, error.to_string()),
        kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => (FailureKind::Unreachable, chain(error)),
        kube::Error::Service(inner) => (service(inner.as_ref()), chain(inner.as_ref())),
        _ => (FailureKind::Other, chain(error)),
    }
}

/// What a layer of the client said: ours by type, the rest is about the connection.
fn service(error: &(dyn StdError + 'static)) -> FailureKind {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if e.is::<PermitLapsed>() {
            return FailureKind::PermitLapsed;
        }
        let timed_out =
            e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut);
        if timed_out || e.is::<WriteTimedOut>() {
            return FailureKind::TimedOut;
        }
        cause = e.source();
    }
    FailureKind::Unreachable
}

/// An error with its causes, each once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn api(code: u16) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure("no", "Reason").with_code(code)))
    }

    #[test]
    fn a_forbidden_call_names_the_verb_and_the_resource_to_grant() {
        let f = Failure::of(&api(403), "update", "deployments/scale", &"shop/cart");
        assert_eq!(f.kind, FailureKind::Forbidden);
        let text = f.to_string();
        assert!(text.contains("grant verb \"update\" on \"deployments/scale\""), "{text}");
        assert!(text.contains("shop/cart"), "{text}");
    }

    #[test]
    fn every_answer_has_its_kind() {
        for (code, kind) in [
            (401, FailureKind::Unauthorized),
            (404, FailureKind::NotFound),
            (409, FailureKind::Conflict),
            (422, FailureKind::Invalid),
            (429, FailureKind::Busy),
            (504, FailureKind::TimedOut),
            (500, FailureKind::Other),
        ] {
            assert_eq!(Failure::of(&api(code), "get", "leases", &"x").kind, kind, "{code}");
        }
    }

    #[test]
    fn a_lapsed_permit_is_told_from_a_broken_connection() {
        let lapsed = kube::Error::Service(Box::new(PermitLapsed));
        assert_eq!(Failure::of(&lapsed, "update", "x", &"y").kind, FailureKind::PermitLapsed);
        let broken = kube::Error::Service("connection refused".into());
        assert_eq!(Failure::of(&broken, "update", "x", &"y").kind, FailureKind::Unreachable);
    }
}
