//! What the world shows, what can be written to it, and what it tells of itself.

use std::time::Duration;

use loadline_policies::ids::{ClusterId, Target};

use super::workload::Instance;

/// A scale target as an API server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `spec.replicas`.
    pub wanted: u32,
    /// Pods that exist.
    pub current: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// Whether a roll-out is under way.
    pub rolling_out: bool,
    /// Which template the pods are made of by now: it moves with every roll-out.
    pub template: u64,
    /// CPU that one pod asks for, in thousandths of a core.
    pub cpu_request: u32,
    /// UID of the object; another one after it was deleted and made again.
    pub uid: String,
    /// Moves with every change of what is shown.
    pub resource_version: String,
}

impl Seen {
    pub(super) fn of(target: &Target, instance: &Instance) -> Option<Self> {
        Some(Self {
            wanted: instance.wanted?,
            current: instance.pods.current(),
            ready: instance.pods.ready(),
            rolling_out: instance.pods.rolling_out(),
            template: instance.pods.template(),
            cpu_request: instance.pods.cpu_request(),
            uid: uid(target, instance.made),
            resource_version: instance.version.to_string(),
        })
    }
}

/// The UID of the object that was made the `made`th time.
pub(super) fn uid(target: &Target, made: u32) -> String {
    format!("{}-{}-{}-{made}", target.namespace, target.kind, target.name).to_lowercase()
}

/// A write of replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub cluster: ClusterId,
    /// What.
    pub target: Target,
    /// Replicas that the writer saw.
    pub from: u32,
    /// Replicas that it wants.
    pub to: u32,
    /// UID that it saw.
    pub uid: String,
    /// resourceVersion that it saw.
    pub resource_version: String,
}

/// Why a write was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cluster's API server does not answer.
    #[error("the API server does not answer")]
    Unreachable,
    /// There is no such object.
    #[error("the object does not exist")]
    Missing,
    /// The object is not as the writer saw it.
    #[error("conflict: the object has changed since it was read (replicas now {wanted})")]
    Conflict {
        /// Replicas that it has now.
        wanted: u32,
    },
}

/// Something that happened by itself or by a fault, not by the controller under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Time since the start of the world.
    pub at: Duration,
    /// `namespace/name` of the workload, or nothing for the whole world.
    pub workload: Option<String>,
    /// One sentence.
    pub text: String,
}
