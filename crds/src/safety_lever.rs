//! `SafetyLever`: one per cluster, freezes automation or stops all chaos, with a reason.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Freezes automation or stops all chaos. There is one, named `default`.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(group = "loadline.dev", version = "v1alpha1", kind = "SafetyLever", status = "SafetyLeverStatus")]
#[serde(rename_all = "camelCase")]
pub struct SafetyLeverSpec {
    /// Stops every automatic change: replicas, levels and weights stay as they are. People still may act.
    #[serde(default)]
    pub freeze: bool,
    /// Reverts every running experiment and blocks new ones.
    #[serde(default)]
    pub stop_chaos: bool,
    /// Why; shown wherever something is held because of this.
    pub reason: String,
    /// When the lever lets go by itself; without it, it holds until a person changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// What the operator made of the lever.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SafetyLeverStatus {
    /// The generation that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Frozen`, `ChaosStopped`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
