//! `SafetyLever`: one per cluster, freezes automation or stops all chaos, with a reason.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of the one lever of a cluster.
pub const NAME: &str = "default";

/// Freezes automation or stops all chaos, with a reason. There is one in a cluster, named default.
///
/// "loadline freeze --reason …" pulls it and "loadline unfreeze" lets it go.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "loadline.dev",
    version = "v1alpha1",
    kind = "SafetyLever",
    status = "SafetyLeverStatus",
    shortname = "lever",
    category = "loadline",
    doc = "Freezes automation or stops all chaos, with a reason. There is one in a cluster, named default.",
    validation = Rule::new("self.metadata.name == 'default'")
        .message("there is one lever in a cluster: name it default"),
    printcolumn = r#"{"name":"Freeze","type":"boolean","jsonPath":".spec.freeze","description":"Whether automation is frozen"}"#,
    printcolumn = r#"{"name":"Held","type":"string","jsonPath":".status.conditions[?(@.type=='Frozen')].status","description":"Whether the operator holds"}"#,
    printcolumn = r#"{"name":"Stop-Chaos","type":"boolean","jsonPath":".spec.stopChaos","description":"Whether chaos is stopped"}"#,
    printcolumn = r#"{"name":"Expires","type":"string","jsonPath":".spec.expiresAt","description":"When it lets go by itself"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".spec.reason","description":"Why"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct SafetyLeverSpec {
    /// Stops every automatic change: replicas, levels and weights stay as they are. People still may act.
    #[serde(default)]
    pub freeze: bool,
    /// Reverts every running experiment and blocks new ones.
    #[serde(default)]
    pub stop_chaos: bool,
    /// Why; shown wherever something is held because of this.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = ("self.trim() != ''",
        "the reason is blank: say why, so that whoever finds it knows, for example INC-4711, payment provider is down"))]
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
    /// Frozen: whether the operator holds, since when, and which process of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
