//! What is known of the capacity of one replica, as it stands in status; a new leader goes on from here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one replica bears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityStatus {
    /// Weighted requests per second that one replica bears, as used; absent while nothing may be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_replica: Option<f64>,
    /// Where it comes from.
    pub source: CapacitySource,
    /// Since when it comes from there.
    pub since: Time,
    /// How far it was borne out, 0 to 1; 1 where it is declared.
    pub confidence: f64,
    /// What was learned, also where a declared number is used instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedCapacity>,
    /// What the CPU that requests take says of it, until it is learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuCapacity>,
}

/// Where the capacity of one replica comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CapacitySource {
    /// spec.capacity.perReplica.
    Declared,
    /// It was learned, and explained a day that it was not learned from.
    Learned,
    /// Four fifths of what was learned under another template or objective, until that is learned anew.
    Provisional,
    /// It is estimated by the CPU that requests take: replicas are added by it, and none removed.
    Estimated,
    /// Nothing may be used yet.
    Learning,
}

/// An estimate of what one replica bears: what makes it use its share of the CPU that it asks for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CpuCapacity {
    /// Weighted requests per second that one replica is estimated to bear; absent while nothing may be estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<f64>,
    /// CPU seconds of 1,000 weighted requests; absent until that explained windows that it was not learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_thousand: Option<f64>,
    /// CPU cores of a replica that does nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<f64>,
    /// The share of its CPU request that a replica is to use.
    pub target_utilisation: f64,
    /// Identity of the images that it was learned under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub images: Option<String>,
    /// Why there was no estimate when this was written: NoRequest, Learning, Idle, or a reason of DataFresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub missing: Option<String>,
}

/// What was learned of the capacity of one replica, in weighted requests per second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LearnedCapacity {
    /// The estimate; absent before the first day was learned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<f64>,
    /// How far it may be used.
    pub standing: LearnedStanding,
    /// One replica was seen to bear this with healthy latency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lower_bound: Option<f64>,
    /// One replica was seen to become slow at this; absent where too few knees were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper_bound: Option<f64>,
    /// Days on which the estimate was tested; older ones fade.
    pub tested_days: f64,
    /// Those of them that it explained.
    pub explained_days: f64,
    /// Identity of the images and resources of the pod template that it was learned under; absent where no template is
    /// seen, and then a new one is not noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub template: Option<String>,
    /// What was learned before the template or the objective changed, while the standing is Provisional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CapacityBefore>,
    /// Onsets of slowness that are remembered, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub knees: Vec<CapacityKnee>,
    /// The day that is under way, as of the last whole hour or so.
    #[serde(default)]
    pub day: CapacityDay,
}

/// How far a learned capacity may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LearnedStanding {
    /// Not at all.
    #[default]
    Learning,
    /// With caution.
    Provisional,
    /// As it is.
    Learned,
}

/// What was learned before the template changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityBefore {
    /// Weighted requests per second of one replica.
    pub per_replica: f64,
    /// Identity of the template; rolled back to it, this is used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub template: Option<String>,
}

/// An onset of slowness.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityKnee {
    /// Weighted requests per second and ready replica.
    pub work: f64,
    /// Whether more replicas were tried, and cured it.
    #[serde(default)]
    pub cured: bool,
    /// Days that have passed since.
    #[serde(default)]
    pub days: i32,
}

/// A day of evidence.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityDay {
    /// Minutes of it that have passed, of 1440.
    pub minutes: i32,
    /// Its highest healthy windows, ascending; what is lower counts as the lowest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub healthy: Vec<CapacityWindows>,
    /// Its onsets of slowness, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub knees: Vec<CapacityKnee>,
}

/// Healthy windows of about the same work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityWindows {
    /// Weighted requests per second and ready replica.
    pub work: f64,
    /// How many windows.
    pub windows: i32,
}
