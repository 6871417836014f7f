//! The operator's configuration: one YAML file, read once, resolved into values that need no further check.
//!
//! ```text
//! file -> raw (serde, unknown fields refused) -> Config (validated; every complaint at once)
//! ```
//!
//! Secrets are not in it: they are files (mounted Secrets) that the file names, re-read when they change.

mod cpu;
mod error;
mod pattern;
mod profile;
mod profiles;
mod raw;
mod source;

use std::{path::Path, time::Duration};

pub use cpu::CpuCounter;
pub use error::{Complaint, ConfigError};
pub use pattern::{Place, Template};
pub use profile::{DefaultMatch, Identity, LatencyHistogram, Profile, Series, WorkloadPlaces, fill};
pub use profiles::Profiles;
pub use source::{Auth, ClientCertificate, Headers, Reach, Source, Windows};

use error::Complaints;
use loadline_crds::elastic_policy::MAX_TRIGGERS;

/// The longest time between two ticks. The decisions take more than two minutes without a look for an absence,
/// after which a whole window must be seen before anything is removed.
const LONGEST_SYNC: Duration = Duration::from_mins(1);

/// What the operator is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Time between two ticks, when nothing calls for one earlier.
    pub sync: Duration,
    /// What telemetry calls the cluster that the operator runs in: the value of `clusterLabel` there, or the
    /// `cluster` of its source.
    pub cluster: String,
    /// Where load and triggers are read.
    pub sources: Vec<Source>,
    /// How kinds of telemetry are read, by name: the built-in ones and the user's.
    pub profiles: Profiles,
    /// The kinds that are watched and may be scaled.
    pub scale_targets: Vec<TargetKind>,
    /// What a policy's own queries may cost.
    pub triggers: TriggerBudget,
    /// How often status may be written.
    pub status: StatusWrites,
}

/// A kind with a `/scale` subresource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetKind {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
}

/// What a policy's own queries may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerBudget {
    /// The label that is enforced in every selector, with the policy's namespace as its value.
    pub namespace_label: String,
    /// The source that answers triggers; where absent, the one with a cluster label, else the first.
    pub source: Option<String>,
    /// Most triggers of one policy that are asked.
    pub max_per_policy: usize,
    /// Most triggers of one namespace that are asked.
    pub max_per_namespace: usize,
    /// How long one trigger may take.
    pub timeout: Duration,
    /// How many triggers are asked at the same time.
    pub concurrency: usize,
}

/// How often status may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusWrites {
    /// At least this long between two writes of one object, but for a change of a decision or condition.
    pub min_interval: Duration,
}

impl Config {
    /// Reads and resolves a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, is not YAML of this shape, or says something that cannot be; the message
    /// names each field and how to mend it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|e| e.at(path))
    }

    /// Resolves a configuration from its text.
    ///
    /// # Errors
    /// As [`Config::load`], without a path.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        // An empty file (or one of comments only) is YAML's null: the defaults.
        let raw: Option<raw::RawConfig> =
            serde_yaml::from_str(text).map_err(|e| ConfigError::parse(e.to_string()))?;
        let mut complaints = Complaints::default();
        let config = resolve(raw.unwrap_or_default(), &mut complaints);
        complaints.into_result(config)
    }
}

impl Default for Config {
    /// The built-in profiles, Deployments and StatefulSets, no source.
    fn default() -> Self {
        resolve(raw::RawConfig::default(), &mut Complaints::default())
    }
}

fn resolve(raw: raw::RawConfig, complaints: &mut Complaints) -> Config {
    let raw::RawConfig { sync, cluster, sources, profiles, scale_targets, triggers, status } = raw;
    if sync.0 < Duration::from_secs(1) {
        complaints.add("sync", format!("{sync} is too short"), "write at least 1s");
    }
    if sync.0 > LONGEST_SYNC {
        complaints.add("sync", format!("{sync} is too long"), "write at most 1m; 5s is usual");
    }
    if cluster.is_empty() {
        complaints.add(
            "cluster",
            "it is empty".into(),
            "write what your telemetry calls this cluster, or leave it out",
        );
    }
    let sources = source::resolve(sources, &cluster, complaints);
    let profiles = Profiles::resolve(profiles, complaints);
    let triggers = resolve_triggers(triggers, &sources, complaints);
    let scale_targets =
        scale_targets.into_iter().map(|t| TargetKind { api_version: t.api_version, kind: t.kind }).collect();
    let status = StatusWrites { min_interval: status.min_interval.0 };
    Config { sync: sync.0, cluster, sources, profiles, scale_targets, triggers, status }
}

fn resolve_triggers(raw: raw::RawTriggers, sources: &[Source], complaints: &mut Complaints) -> TriggerBudget {
    let raw::RawTriggers { namespace_label, source, max_per_policy, max_per_namespace, timeout, concurrency } =
        raw;
    if !pattern::is_label(&namespace_label) {
        complaints.add(
            "triggers.namespaceLabel",
            format!("{namespace_label:?} is not a label name"),
            "write a Prometheus label such as namespace or k8s_namespace_name",
        );
    }
    if let Some(name) = source.as_deref().filter(|name| !sources.iter().any(|s| s.name == **name)) {
        complaints.add(
            "triggers.source",
            format!("there is no source {name:?}"),
            "write the name of one of `sources`",
        );
    }
    if max_per_policy > MAX_TRIGGERS {
        complaints.add(
            "triggers.maxPerPolicy",
            format!("{max_per_policy} is more than a policy may have"),
            "write at most 8",
        );
    }
    if timeout.0.is_zero() {
        complaints.add("triggers.timeout", "0s leaves no time to answer".into(), "write for example 2s");
    }
    if concurrency == 0 {
        complaints.add("triggers.concurrency", "0 lets no query through".into(), "write at least 1");
    }
    TriggerBudget {
        namespace_label,
        source,
        max_per_policy,
        max_per_namespace,
        timeout: timeout.0,
        concurrency: concurrency.max(1),
    }
}

#[cfg(test)]
mod tests;
