//! How load is read and weighed.

use std::{collections::BTreeMap, time::Duration};

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::ApiDuration;

/// How load is read and weighed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// A telemetry profile of the operator's configuration, for example otel-http: it says which series hold
    /// the offered load and how they are mapped to workloads.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = ("self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",
        "this is no name of a profile: write lower-case letters, digits and dashes, for example otel-http"))]
    pub profile: String,
    /// How this workload's series are found. Without it, as the profile says.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub selector: Option<SeriesMatch>,
    /// How requests are weighed. Without it, every request counts 1, and capacity.perReplica is in plain
    /// requests per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
}

/// How a workload's series are found; exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.labels), has(self.route), has(self.service)].filter(given, given).size() == 1",
    "exactly one of labels, route and service is needed: keep one, or remove match to find series as the profile says"))]
pub struct SeriesMatch {
    /// Series of the policy's namespace with all these labels; each must be one that the profile groups by. A
    /// profile without a label for the namespace takes none, unless it is one of queues, which know no namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 8,
        "additionalProperties" = {"type": "string", "minLength": 1, "maxLength": 253}))]
    #[x_kube(validation = ("self.all(name, name.size() <= 63 && name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",
        "this is no name of a label: write letters, digits and underscores as Prometheus does, for example http_route"))]
    pub labels: Option<BTreeMap<String, String>>,
    /// Series of this route, for a gateway's profile: its name without the namespace, which is the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub route: Option<String>,
    /// Series of this service: its name without the namespace, which is the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service: Option<String>,
}

/// How requests are weighed; exactly one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.latency), has(self.endpoints), has(self.learned)].filter(given, given).size() == 1",
    "exactly one of latency, endpoints and learned is needed: keep one, or remove weights to count every request as 1"))]
pub struct Weights {
    /// By latency section: slower requests cost more. An empty object takes the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencyWeights>,
    /// By endpoint: the weight of one request, for example {"GET /cart": 0.6, "POST /order": 4}. Endpoints
    /// that are not named count 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 64,
        "additionalProperties" = {"type": "number", "minimum": 0, "maximum": 1_000_000}))]
    pub endpoints: Option<BTreeMap<String, f64>>,
    /// Endpoints: what a request weighs is learned from the CPU that it takes, so that the mean request weighs one. Until
    /// days have borne it out, every request counts 1. The profile must tell endpoints apart and say how CPU is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedWeights>,
}

/// What weights are learned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LearnedWeights {
    /// Of endpoints.
    Endpoints,
}

/// Latency sections. The defaults are those of CudgX, the tool that this measure comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.factors.size() == self.cuts.size() + 1")
        .message("there must be one more factor than cuts, since n cuts make n + 1 sections: add or remove a factor")
        .field_path(".factors"),
    validation = Rule::new("self.cuts.all(c, duration(c) > duration('0s')) && self.cuts.map(c, duration(c)).isSorted() && self.cuts.all(c, self.cuts.exists_one(d, duration(d) == duration(c)))")
        .message("the cuts do not ascend from above 0s: list each longer than the one before, for example [10ms, 50ms, 100ms, 500ms]")
        .field_path(".cuts")
)]
pub struct LatencyWeights {
    /// Borders between sections, ascending.
    #[serde(default = "cuts")]
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub cuts: Vec<ApiDuration>,
    /// Weight of a request in each section: one more than cuts.
    #[serde(default = "factors")]
    #[schemars(length(min = 2, max = 17), inner(range(min = 0, max = 1_000)),
        extend("x-kubernetes-list-type" = "atomic"))]
    pub factors: Vec<f64>,
}

/// The cuts of CudgX.
fn cuts() -> Vec<ApiDuration> {
    [10, 50, 100, 500].map(|ms| ApiDuration(Duration::from_millis(ms))).to_vec()
}

/// The factors of CudgX, for its [`cuts`].
fn factors() -> Vec<f64> {
    vec![0.1, 0.5, 2.0, 4.0, 8.0]
}

impl Default for LatencyWeights {
    fn default() -> Self {
        Self { cuts: cuts(), factors: factors() }
    }
}
