//! Signals beside the load: schedules, triggers, and what wakes a workload from zero.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::MAX_REPLICAS;
use crate::duration::ApiDuration;

/// A known peak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Name, unique in the policy.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z]([a-z0-9_-]*[a-z0-9])?$')",
        "this is no name: write lower-case letters, digits, dashes and underscores, for example lunch"))]
    pub name: String,
    /// Cron expression of the start: minute hour day month weekday, for example "30 11 * * 1-5".
    #[schemars(length(min = 1, max = 100))]
    pub start: String,
    /// How long the peak lasts, from its start on.
    #[x_kube(validation = ("duration(self) > duration('0s')", "0s is no time at all: write how long the peak lasts, for example 2h"))]
    pub duration: ApiDuration,
    /// IANA time zone, for example Asia/Shanghai.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// At least so many replicas while it lasts.
    #[schemars(range(min = 1, max = MAX_REPLICAS))]
    pub min: i32,
    /// The floor rises linearly over this long before the start; without it, in one step at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<ApiDuration>,
}

/// A known multiple of the usual load between two moments: a sale, a broadcast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.from < self.to",
    "the event is over before it begins: let to be later than from, for example from 2026-11-27T08:00:00Z to 2026-11-28T00:00:00Z"))]
pub struct Event {
    /// Name, unique in the policy.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z]([a-z0-9_-]*[a-z0-9])?$')",
        "this is no name: write lower-case letters, digits, dashes and underscores, for example black-friday"))]
    pub name: String,
    /// It begins, for example 2026-11-27T08:00:00Z. Replicas are asked for early enough to be ready then.
    pub from: Time,
    /// It is over.
    pub to: Time,
    /// How many times the usual load at the same time of the day, which is the mean of the last seven days.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub multiple: f64,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// An extra signal: a query, and exactly one rule that makes replicas of its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.perReplica), has(self.target), has(self.formula)].filter(given, given).size() == 1",
    "exactly one of perReplica, target and formula makes replicas of the value: keep one"))]
pub struct Trigger {
    /// Name, unique in the policy; formulas read the value as values.NAME, the value of
    /// a name with a dash by the name in quotes and square brackets.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z]([a-z0-9_-]*[a-z0-9])?$')",
        "this is no name: write lower-case letters, digits, dashes and underscores, for example backlog"))]
    pub name: String,
    /// PromQL that gives one number. The policy's namespace is enforced in every selector. Every selector must
    /// find a sample: while the series of one are gone, the trigger is in doubt, also with "or vector(0)", and
    /// nothing is scaled in by it.
    #[schemars(length(min = 1, max = 2048))]
    pub query: String,
    /// Replicas = value / perReplica (the AverageValue of HPA).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self > 0.0", "it must be above 0: write the value that one replica bears"))]
    pub per_replica: Option<f64>,
    /// Replicas = ready replicas × value / target (the Value of HPA).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("self > 0.0", "it must be above 0: write the value that is aimed at"))]
    pub target: Option<f64>,
    /// A CEL expression over value, values, ready and replicas (all doubles) that gives the replicas wanted,
    /// for example math.ceil(value / 200.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub formula: Option<String>,
}

/// Scale to zero and back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    /// The trigger that wakes the workload; its series must exist without the workload. Without it, the load
    /// itself wakes it (gateway and queue profiles only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub trigger: Option<String>,
    /// Active while the signal is above this.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub above: f64,
    /// Back to zero only after the signal was at or under above for this long.
    #[serde(default = "idle_for")]
    #[x_kube(validation = ("duration(self) > duration('0s')", "0s is no time at all: write how long it must be idle, for example 5m"))]
    pub idle_for: ApiDuration,
}

fn idle_for() -> ApiDuration {
    ApiDuration::secs(300)
}
