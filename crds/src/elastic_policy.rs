//! `ElasticPolicy`: keep this workload's redundancy in this band, between these bounds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::{
    apis::meta::v1::{Condition, Time},
    util::intstr::IntOrString,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::ApiDuration;

/// Keeps the redundancy of one workload in a band, between bounds.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(group = "loadline.dev", version = "v1alpha1", kind = "ElasticPolicy", namespaced)]
#[kube(status = "ElasticPolicyStatus", shortname = "ep", category = "loadline")]
#[serde(rename_all = "camelCase")]
pub struct ElasticPolicySpec {
    /// The workload: any object of this namespace with a `/scale` subresource.
    pub target: TargetRef,
    /// How much Loadline may do.
    #[serde(default)]
    pub mode: Mode,
    /// Never fewer and never more replicas than this.
    pub bounds: Bounds,
    /// How load is read and weighed.
    pub load: Load,
    /// The promise to the users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// What one replica bears, and how much redundancy to keep.
    #[serde(default)]
    pub capacity: Capacity,
    /// How demand is forecast.
    #[serde(default)]
    pub forecast: Forecast,
    /// Known peaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// Extra signals, by the user's own queries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// How fast replicas may change.
    #[serde(default)]
    pub behaviour: Behaviour,
    /// What to do without data.
    #[serde(default)]
    pub fallback: Fallback,
    /// Scale to zero and back; needed when `bounds.min` is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
}

/// The workload that is scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// For example `apps/v1`.
    pub api_version: String,
    /// For example `Deployment`.
    pub kind: String,
    /// Name of the object, in the policy's namespace.
    pub name: String,
}

/// How much Loadline may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Measure only.
    Observe,
    /// Decide and report, write nothing.
    Recommend,
    /// Decide and write.
    #[default]
    Active,
}

/// Replica bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Bounds {
    /// Fewest replicas; 0 needs `activation`.
    pub min: i32,
    /// Most replicas.
    pub max: i32,
}

/// How load is read and weighed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// A telemetry profile of the operator's configuration, for example `otel-http`.
    pub profile: String,
    /// How this workload's series are found; the profile's own way when absent.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub selector: Option<SeriesMatch>,
    /// How requests are weighed; each counts 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
}

/// How a workload's series are found; exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeriesMatch {
    /// Series with all these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Series of this route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Series of this service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// How requests are weighed; exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Weights {
    /// By latency section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyWeights>,
    /// By endpoint: weight of one request; endpoints that are not named count 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<BTreeMap<String, f64>>,
}

/// Latency sections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatencyWeights {
    /// Borders between sections, ascending.
    #[serde(default = "cudgx_cuts")]
    pub cuts: Vec<ApiDuration>,
    /// Weight of a request in each section: one more than cuts.
    #[serde(default = "cudgx_factors")]
    pub factors: Vec<f64>,
}

/// The cuts of CudgX, which `cudgx_factors` belong to.
fn cudgx_cuts() -> Vec<ApiDuration> {
    [10, 50, 100, 500].map(|ms| ApiDuration(std::time::Duration::from_millis(ms))).to_vec()
}

fn cudgx_factors() -> Vec<f64> {
    vec![0.1, 0.5, 2.0, 4.0, 8.0]
}

impl Default for LatencyWeights {
    fn default() -> Self {
        Self { cuts: cudgx_cuts(), factors: cudgx_factors() }
    }
}

/// The promise to the users.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// A quantile of latency.
    pub latency: LatencyObjective,
}

/// "This quantile stays at or under this target."
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatencyObjective {
    /// Between 0 and 1, for example 0.99.
    pub quantile: f64,
    /// For example `250ms`.
    pub target: ApiDuration,
}

/// What one replica bears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// `Learned`, or the benchmark of one replica in weighted requests per second (a whole number, or a
    /// decimal as a string).
    #[serde(default = "learned")]
    pub per_replica: IntOrString,
    /// The band of redundancy that is kept.
    #[serde(default)]
    pub redundancy: Redundancy,
}

fn learned() -> IntOrString {
    IntOrString::String("Learned".to_owned())
}

impl Default for Capacity {
    fn default() -> Self {
        Self { per_replica: learned(), redundancy: Redundancy::default() }
    }
}

/// A band of redundancy: capacity of the ready replicas over weighted load; 1.0 is exactly at the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redundancy {
    /// Below this, scale out.
    pub min: f64,
    /// Above this, scale in.
    pub max: f64,
}

impl Default for Redundancy {
    fn default() -> Self {
        Self { min: 1.1, max: 1.6 }
    }
}

/// How demand is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Quantile of the forecast maximum that capacity is kept for.
    pub quantile: f64,
    /// How much history is used.
    pub history: ApiDuration,
}

impl Default for Forecast {
    fn default() -> Self {
        Self { quantile: 0.95, history: ApiDuration::secs(336 * 3600) }
    }
}

/// A known peak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Name, unique in the policy.
    pub name: String,
    /// Cron expression of the start (minute hour day month weekday).
    pub start: String,
    /// How long it holds.
    pub duration: ApiDuration,
    /// IANA time zone, for example `Asia/Shanghai`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// At least so many replicas.
    pub min: i32,
    /// The floor rises linearly over this long before the start; a step when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp: Option<ApiDuration>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// An extra signal: a query and exactly one rule that makes replicas of its value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Name, unique in the policy; usable in formulas.
    pub name: String,
    /// PromQL that gives one number; the policy's namespace is enforced in every selector.
    pub query: String,
    /// Replicas = value / perReplica (AverageValue).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_replica: Option<f64>,
    /// Replicas = ready replicas × value / target (Value).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// CEL over `value`, `values`, `ready` and `replicas` that gives the replicas wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
}

/// How fast replicas may change; HPA v2's shape and meaning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behaviour {
    /// On the way up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// On the way down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

/// The rules of one direction; what is absent keeps its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Up: the lowest recommendation of this window counts (default 0s). Down: the highest (default 5m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilization_window: Option<ApiDuration>,
    /// Rate rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<ScalingPolicy>>,
    /// Which of them counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// Relative change that is too small to act on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// At most this many replicas in one write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_step: Option<i32>,
    /// At least this long between two writes of this direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell: Option<ApiDuration>,
}

/// One rate rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Percent of the replicas at the start of the period, or a number of replicas.
    #[serde(rename = "type")]
    pub kind: ScalingPolicyType,
    /// How much.
    pub value: i32,
    /// The period.
    pub period: ApiDuration,
}

/// The unit of a rate rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScalingPolicyType {
    /// Percent of the replicas at the start of the period.
    Percent,
    /// A number of replicas.
    Replicas,
}

/// Which of the rate rules counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SelectPolicy {
    /// The one that allows the largest change.
    Max,
    /// The one that allows the smallest change.
    Min,
    /// This direction is switched off.
    Disabled,
}

/// What to do without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// How long without data before it counts.
    #[serde(default = "fallback_after")]
    pub after: ApiDuration,
    /// What then.
    #[serde(default)]
    pub policy: FallbackPolicy,
    /// For `AtLeast` and `Static`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
}

fn fallback_after() -> ApiDuration {
    ApiDuration::secs(180)
}

impl Default for Fallback {
    fn default() -> Self {
        Self { after: fallback_after(), policy: FallbackPolicy::default(), replicas: None }
    }
}

/// What to do when there has been no data for long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FallbackPolicy {
    /// Keep what is there.
    #[default]
    Hold,
    /// At least `replicas`; never fewer than there are.
    AtLeast,
    /// Exactly `replicas`, up or down.
    Static,
}

/// Scale to zero and back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Activation {
    /// The trigger that wakes the workload; the load itself when absent (entry and queue profiles only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// Active while the signal is above this.
    #[serde(default)]
    pub above: f64,
    /// Back to zero after the signal was at or under `above` for this long.
    #[serde(default = "idle_for")]
    pub idle_for: ApiDuration,
}

fn idle_for() -> ApiDuration {
    ApiDuration::secs(300)
}

/// What the operator made of the policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ElasticPolicyStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Replicas wanted by Loadline; in `Recommend` the recommendation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// `spec.replicas` of the target when this was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,
    /// The decisive reason of the last decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Last changes that were written, newest last; they keep the rate rules across a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent_changes: Vec<ReplicaChange>,
    /// Conditions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// One change of replicas that was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaChange {
    /// When.
    pub at: Time,
    /// From how many.
    pub from: i32,
    /// To how many.
    pub to: i32,
}
