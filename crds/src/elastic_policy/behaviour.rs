//! How fast replicas may change, and what happens without data.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MAX_REPLICAS;
use crate::duration::ApiDuration;

/// How fast replicas may change; HPA v2's shape and meaning.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behaviour {
    /// On the way up. By default no stabilisation, and the larger of 300 % and 10 replicas in 15s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingRules>,
    /// On the way down. By default a stabilisation window of 5m, and 100 % in 15s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingRules>,
}

impl Behaviour {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The rules of one direction; what is absent keeps its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingRules {
    /// Up: the lowest recommendation of this window counts (default 0s). Down: the highest (default 5m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("duration(self) <= duration('1h')",
        "this is too long: write at most 1h, since a longer memory holds replicas for a peak that is long over"))]
    pub stabilization_window: Option<ApiDuration>,
    /// Rate rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub policies: Option<Vec<ScalingPolicy>>,
    /// Which of the rate rules counts: the one that allows the largest change (Max, the default), the smallest
    /// (Min), or none (Disabled: this direction is switched off).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select_policy: Option<SelectPolicy>,
    /// Relative change that is too small to act on, 0.1 for 10 %. Without it, triggers use 0.1 as HPA does,
    /// and the load none: the redundancy band is its tolerance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub tolerance: Option<f64>,
    /// At most this many replicas in one write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_REPLICAS))]
    pub max_step: Option<i32>,
    /// At least this long between two writes of this direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell: Option<ApiDuration>,
}

/// One rate rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScalingPolicy {
    /// Percent of the replicas at the start of the period, or a number of replicas.
    #[serde(rename = "type")]
    pub kind: ScalingPolicyType,
    /// How much; above 0. selectPolicy Disabled switches a direction off.
    #[schemars(range(min = 1, max = MAX_REPLICAS))]
    pub value: i32,
    /// The period; above 0s and at most 30m, as in HPA.
    #[x_kube(validation = ("duration(self) > duration('0s') && duration(self) <= duration('30m')",
        "this is no possible period: write more than 0s and at most 30m, for example 15s"))]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.policy == 'Hold') != has(self.replicas)")
    .message("AtLeast and Static need replicas, and Hold takes none: set replicas to what a usual day needs, or remove it")
    .field_path(".replicas"))]
pub struct Fallback {
    /// How long without data before it counts.
    #[serde(default = "after")]
    #[x_kube(validation = ("duration(self) > duration('0s')", "0s is no time at all: write how long to wait for data, for example 3m"))]
    pub after: ApiDuration,
    /// What then. Hold keeps what is there; AtLeast raises to replicas and never lowers; Static sets exactly
    /// replicas, up or down.
    #[serde(default)]
    pub policy: FallbackPolicy,
    /// For AtLeast and Static.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_REPLICAS))]
    pub replicas: Option<i32>,
}

/// Three minutes: longer than a restart of Prometheus, shorter than most start-up times plus a peak's rise.
fn after() -> ApiDuration {
    ApiDuration::secs(180)
}

impl Default for Fallback {
    fn default() -> Self {
        Self { after: after(), policy: FallbackPolicy::default(), replicas: None }
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
