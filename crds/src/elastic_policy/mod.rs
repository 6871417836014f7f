//! `ElasticPolicy`: keep this workload's redundancy in this band, between these bounds.

mod behaviour;
mod capacity;
mod capacity_status;
mod load;
mod signals;
mod status;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use behaviour::{
    Behaviour, Fallback, FallbackPolicy, ScalingPolicy, ScalingPolicyType, ScalingRules, SelectPolicy,
};
pub use capacity::{Capacity, Forecast, LatencyObjective, Objective, Redundancy};
pub use capacity_status::{
    CapacityBefore, CapacityDay, CapacityKnee, CapacitySource, CapacityStatus, CapacityWindows, CpuCapacity,
    LearnedCapacity, LearnedStanding,
};
pub use load::{LatencyWeights, LearnedWeights, Load, SeriesMatch, Weights};
pub use signals::{Activation, Event, Schedule, Trigger};
pub use status::{
    ClusterStatus, ElasticPolicyStatus, EndpointWeightsStatus, ForecastStatus, ForecastTrust,
    LatencyTryPhase, LatencyTryStatus, LeadTimeStatus, LoadStatus, PersonFloorStatus, ReplicaChange,
    WeightBaselineStatus, quantised,
};

/// Most replicas that a policy may name anywhere: the pods that a Kubernetes cluster is built for are
/// 150,000, so a larger number is a slip of the keyboard.
pub const MAX_REPLICAS: i32 = 100_000;

/// Most triggers of a policy: each is a query of its own at every sync, and a namespace has a budget of 100.
pub const MAX_TRIGGERS: usize = 8;

/// Keeps the redundancy of one workload in a band, between bounds: reads the offered load, weighs it,
/// compares it with what one replica bears, and scales the workload before its users notice.
///
/// The shortest useful policy is target, bounds and load.profile. Unknown fields are dropped silently by the
/// API server when a client asks for that; kubectl refuses them (--validate=strict is its default), and
/// "loadline lint" names the field that was meant.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "loadline.dev",
    version = "v1alpha1",
    kind = "ElasticPolicy",
    namespaced,
    status = "ElasticPolicyStatus",
    shortname = "elp",
    category = "loadline",
    doc = "Keeps the redundancy of one workload in a band, between bounds.",
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode","description":"How much Loadline may do"}"#,
    printcolumn = r#"{"name":"Target","type":"string","jsonPath":".spec.target.name","description":"The workload that is scaled"}"#,
    printcolumn = r#"{"name":"Min","type":"integer","jsonPath":".spec.bounds.min","description":"Fewest replicas"}"#,
    printcolumn = r#"{"name":"Max","type":"integer","jsonPath":".spec.bounds.max","description":"Most replicas"}"#,
    printcolumn = r#"{"name":"Current","type":"integer","jsonPath":".status.currentReplicas","description":"Replicas that the target asks for"}"#,
    printcolumn = r#"{"name":"Desired","type":"integer","jsonPath":".status.desiredReplicas","description":"Replicas that Loadline wants"}"#,
    printcolumn = r#"{"name":"Redundancy","type":"number","jsonPath":".status.load.redundancy","description":"Capacity of the ready replicas over the weighted load; 1.0 is exactly at the benchmark"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status","description":"Whether the loop is closed"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.reason","priority":1,"description":"Why it wants so many replicas"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.bounds.min > 0 || has(self.activation)")
        .message("bounds.min 0 needs activation, which says what wakes the workload again: add activation, or set bounds.min to 1 or more")
        .field_path(".bounds.min"),
    validation = Rule::new("!has(self.schedules) || self.schedules.all(s, s.min <= self.bounds.max)")
        .message("the min of a schedule is more than bounds.max, so it can never be reached: lower it, or raise bounds.max")
        .field_path(".schedules"),
    validation = Rule::new("!has(self.fallback) || !has(self.fallback.replicas) || self.fallback.replicas <= self.bounds.max")
        .message("fallback.replicas is more than bounds.max: lower it, or raise bounds.max")
        .field_path(".fallback.replicas"),
    validation = Rule::new("!has(self.activation) || !has(self.activation.trigger) || (has(self.triggers) && self.triggers.exists(t, t.name == self.activation.trigger))")
        .message("activation.trigger names no trigger: name one of triggers, or remove it to wake by the load itself")
        .field_path(".activation.trigger")
)]
pub struct ElasticPolicySpec {
    /// The workload: any object of this namespace with a scale subresource. The operator must be allowed to
    /// scale its kind (chart value scaleTargets; Deployments and StatefulSets by default).
    pub target: TargetRef,
    /// How much Loadline may do. Observe measures only; Recommend decides and reports, and writes nothing;
    /// Active decides and writes.
    #[serde(default)]
    pub mode: Mode,
    /// Never fewer and never more replicas than this.
    pub bounds: Bounds,
    /// How load is read and weighed.
    pub load: Load,
    /// The promise to the users. When latency breaks it although the replicas are not busy, capacity was
    /// over-estimated, and replicas are added for as long as that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// What one replica bears, and how much redundancy to keep.
    #[serde(default)]
    pub capacity: Capacity,
    /// How demand is forecast. A forecast acts only after it has earned trust.
    #[serde(default)]
    pub forecast: Forecast,
    /// Known peaks: at least so many replicas from a cron time on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub schedules: Vec<Schedule>,
    /// Known multiples of the usual load: a sale, a broadcast. They take a history of the load; until there is one,
    /// nothing is removed while they last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub events: Vec<Event>,
    /// Extra signals, by your own queries. The largest of all signals counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_TRIGGERS), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub triggers: Vec<Trigger>,
    /// How fast replicas may change; the shape and meaning of the HorizontalPodAutoscaler's behavior.
    #[serde(default, skip_serializing_if = "Behaviour::is_default")]
    pub behaviour: Behaviour,
    /// What to do when there has been no data for long.
    #[serde(default)]
    pub fallback: Fallback,
    /// Scale to zero and back; needed when bounds.min is 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
}

/// The workload that is scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// Group and version, for example apps/v1.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?$')",
        "this is no API version: write group and version as kubectl api-resources shows them, for example apps/v1"))]
    pub api_version: String,
    /// Kind, for example Deployment.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[A-Z][A-Za-z0-9]*$')",
        "this is no kind: write it as kubectl api-resources shows it, for example Deployment"))]
    pub kind: String,
    /// Name of the object, in the policy's namespace.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
        "this is no name of an object: write lower-case letters, digits, dots and dashes, for example checkout"))]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.min <= self.max")
    .message("bounds.min is more than bounds.max: make min at most max")
    .field_path(".min"))]
pub struct Bounds {
    /// Fewest replicas; 0 needs activation.
    #[schemars(range(min = 0, max = MAX_REPLICAS))]
    pub min: i32,
    /// Most replicas.
    #[schemars(range(min = 1, max = MAX_REPLICAS))]
    pub max: i32,
}
