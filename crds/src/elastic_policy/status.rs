//! What the operator made of a policy. Numbers are quantised, so that noise causes no write.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Mode, capacity_status::CapacityStatus};

/// What the operator made of the policy. Live values are in the metrics; here is what was decided, and what
/// a new leader must know.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ElasticPolicyStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How much Loadline does: Observe while the capacity of one replica is unknown, else spec.mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Replicas that Loadline wants over all clusters; where it does not write, its recommendation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Replicas that the target asked for when this was written, over all clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,
    /// Replicas that were ready when this was written, over all clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// The decisive reason of the last decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// When the last decision was made that changed anything here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_decision_time: Option<Time>,
    /// The load at the last decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadStatus>,
    /// The target in each cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub clusters: Vec<ClusterStatus>,
    /// Last changes that were written, newest last; they keep the rate rules across a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub recent_changes: Vec<ReplicaChange>,
    /// A floor that a person set by scaling up by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person_floor: Option<PersonFloorStatus>,
    /// Since when the activation signal has been at or under its threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_since: Option<Time>,
    /// Mean weight of one request at healthy latency: what an overloaded service's weights are held against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_baseline: Option<WeightBaselineStatus>,
    /// What requests weigh by endpoint, as learned; absent while all weigh 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_weights: Option<EndpointWeightsStatus>,
    /// What was found out about latency by trying more replicas; absent while latency asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_try: Option<LatencyTryStatus>,
    /// What one replica bears, and what was learned of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<CapacityStatus>,
    /// What is forecast, and how far it is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastStatus>,
    /// Ready, ScalingActive, ScalingLimited, DataFresh, ForecastTrusted, CapacityKnown, Contested,
    /// LatencyNotCapacityBound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The load at a decision; three significant digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadStatus {
    /// Offered requests per second, weighted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighted_qps: Option<f64>,
    /// Offered requests per second, each counted 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qps: Option<f64>,
    /// Weighted requests per second that one replica bears, as used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_replica: Option<f64>,
    /// Capacity of the ready replicas over the weighted load; 1.0 is exactly at the benchmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redundancy: Option<f64>,
}

/// The target in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Name of the cluster; "local" is the operator's own.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Replicas that Loadline wants there.
    pub desired: i32,
    /// Replicas that are ready there.
    pub ready: i32,
    /// How long replicas take to become ready there; absent until enough were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_time: Option<LeadTimeStatus>,
}

/// How long replicas take from being asked for to being ready. A new leader goes on from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeadTimeStatus {
    /// Half of them were ready within so many seconds.
    pub p50_seconds: i32,
    /// Nineteen of twenty were. The forecast looks at least this far ahead.
    pub p95_seconds: i32,
    /// Replicas that this was learned from, 64 at most.
    pub samples: i32,
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

/// A floor that a person set by scaling up by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PersonFloorStatus {
    /// At least so many replicas.
    pub replicas: i32,
    /// Replicas before; whoever takes the floor back may go as low as this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    /// Until then.
    pub until: Time,
}

/// Mean weight of one request at healthy latency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightBaselineStatus {
    /// Mean weight.
    pub mean: f64,
    /// When it was last moved.
    pub at: Time,
}

/// What requests weigh by endpoint, as learned from the CPU that they take; the mean request weighs 1. A new leader goes on
/// with these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointWeightsStatus {
    /// Of endpoints that are told apart; three significant digits.
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = {"type": "number", "minimum": 0}))]
    pub endpoints: BTreeMap<String, f64>,
    /// Of all others.
    pub others: f64,
}

/// The forecast at a decision, and how far it is trusted. A new leader goes on with this trust.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastStatus {
    /// How much it may do: what it has earned, and not more than spec.forecast.maxTrust.
    pub trust: ForecastTrust,
    /// What it has earned, where spec.forecast.maxTrust holds it to less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earned: Option<ForecastTrust>,
    /// Whose forecast it is: ridge, naive, holt, seasonal-day, seasonal-week or median.
    #[schemars(length(max = 63))]
    pub candidate: String,
    /// The weighted requests per second that the time until new replicas are ready stays under, with the probability
    /// of spec.forecast.quantile; three significant digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soon: Option<f64>,
    /// The same of the next half hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<f64>,
    /// How much smaller its loss is than the last value's, over two days: 0 is as good, 1 is perfect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skill: Option<f64>,
    /// Share of the windows of two days that it covered, 0 to 1: to be held against spec.forecast.quantile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<f64>,
}

/// How much a forecast may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ForecastTrust {
    /// Nothing: it is only compared with what comes.
    Shadow,
    /// It says what it would do.
    Recommend,
    /// It adds replicas, and keeps those that it needs.
    ScaleOutOnly,
    /// It decides in both directions, in the place of head-room.
    Full,
}

/// What was found out about latency by trying more replicas. A new leader goes on from here: without it, the
/// replicas that helped would be removed after its first window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatencyTryStatus {
    /// Where the try stands.
    pub phase: LatencyTryPhase,
    /// By how much the capacity of one replica is over-estimated: 1 is not at all.
    pub factor: f64,
    /// Replicas that it wants for latency's sake.
    pub replicas: i32,
    /// Never more than this for latency's sake.
    pub limit: i32,
    /// Utilisation, 0 to 1, when the last step began.
    pub utilisation: f64,
}

/// Where a try of more replicas for latency stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LatencyTryPhase {
    /// Replicas are being added, to see whether they help.
    Growing,
    /// They helped; what was added goes back over hours.
    Easing,
    /// A quarter more replicas brought nothing.
    Futile,
}

/// A number as it stands in status: three significant digits, so that noise causes no write. `None` for
/// what JSON cannot hold.
#[must_use]
pub fn quantised(x: f64) -> Option<f64> {
    // The shortest decimal of three digits reads better than a multiplication's 0.30000000000000004.
    if x.is_finite() { format!("{x:.2e}").parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_kept_of_every_size() {
        for (x, kept) in
            [(1_234.56, 1_230.0), (0.012_345, 0.012_3), (-9.996, -10.0), (0.0, 0.0), (42.0, 42.0)]
        {
            assert_eq!(quantised(x), Some(kept), "{x}");
        }
        assert_eq!(quantised(f64::NAN), None);
        assert_eq!(quantised(f64::INFINITY), None);
    }
}
