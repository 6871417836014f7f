//! A scenario file: a story, the world in which it plays, what goes wrong, and what must come of it.
//!
//! The files lie in `chaos/scenarios/`; the runner, which knows the policies' type and the production loop, is
//! the controller's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{config::WorldConfig, fault::Fault};

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scenario {
    /// The name of its file without `.yaml`.
    pub name: String,
    /// What happens and what a careful operator does about it, for a person.
    pub story: String,
    /// Seed of the world.
    #[serde(default = "first_seed")]
    pub seed: u64,
    /// How long it lasts.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub duration: Duration,
    /// Time between two looks of the operator.
    #[serde(
        default = "usual_sync",
        with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required"
    )]
    pub sync: Duration,
    /// The world.
    pub world: WorldConfig,
    /// `ElasticPolicy` objects, as they would be applied.
    pub policies: Vec<serde_yaml::Value>,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What must come of it; a scenario without expectations proves nothing and is refused.
    pub expect: Vec<Expectation>,
}

const fn first_seed() -> u64 {
    1
}

const fn usual_sync() -> Duration {
    Duration::from_secs(5)
}

/// What must come of a scenario. Times are since its start; `from` and `to` include their ends.
///
/// That doubt never lowers and that bounds hold is checked in every sync of every scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Expectation {
    /// No write lowers the replicas.
    NeverLowered {
        /// `namespace/name` of the policy.
        policy: String,
        /// From when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        from: Duration,
        /// Until when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        to: Duration,
    },
    /// A condition stands at some moment.
    Condition {
        /// `namespace/name` of the policy.
        policy: String,
        /// Its type, for example `DataFresh`.
        #[serde(rename = "type")]
        kind: String,
        /// `True`, `False` or `Unknown`.
        status: String,
        /// Its reason, if it matters.
        #[serde(default)]
        reason: Option<String>,
        /// From when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        from: Duration,
        /// At the latest so long after `from`.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        within: Duration,
    },
    /// `spec.replicas` lies in a range the whole time.
    Replicas {
        /// `namespace/name` of the policy.
        policy: String,
        /// From when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        from: Duration,
        /// Until when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        to: Duration,
        /// Never fewer.
        #[serde(default)]
        at_least: Option<u32>,
        /// Never more.
        #[serde(default)]
        at_most: Option<u32>,
    },
    /// `spec.replicas` reaches a number.
    ScaleOut {
        /// `namespace/name` of the policy.
        policy: String,
        /// From when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        from: Duration,
        /// At the latest so long after `from`.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        within: Duration,
        /// The number.
        at_least: u32,
    },
    /// The operator writes no more often than this in all.
    NoFlap {
        /// `namespace/name` of the policy.
        policy: String,
        /// So many writes.
        max_transitions: u32,
    },
    /// At least one write has this outcome.
    Outcome {
        /// `namespace/name` of the policy.
        policy: String,
        /// `done`, `refused`, `failed` or `skipped`.
        outcome: String,
        /// From when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        from: Duration,
        /// Until when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        to: Duration,
    },
    /// The decision gives this reason at some moment.
    Reason {
        /// `namespace/name` of the policy.
        policy: String,
        /// Its code, for example `Person`.
        code: String,
        /// From when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        from: Duration,
        /// Until when.
        #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
        to: Duration,
    },
    /// Of all requests to a workload at least so many are answered.
    Served {
        /// `namespace/name` of the workload.
        workload: String,
        /// Percent.
        percent: f64,
    },
}
