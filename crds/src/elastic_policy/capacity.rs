//! What one replica bears, how much redundancy is kept, and the promise to the users.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::status::ForecastTrust;
use crate::duration::ApiDuration;

/// The promise to the users.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Objective {
    /// A quantile of latency.
    pub latency: LatencyObjective,
}

/// "This quantile stays at or under this target."
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatencyObjective {
    /// Between 0 and 1, for example 0.99.
    #[x_kube(validation = ("self > 0.0 && self < 1.0",
        "this is no quantile: write a number between 0 and 1, for example 0.99 and not 99"))]
    pub quantile: f64,
    /// For example 250ms.
    #[x_kube(validation = ("duration(self) > duration('0s')", "0s is no latency: write more, for example 250ms"))]
    pub target: ApiDuration,
}

/// What one replica bears.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capacity {
    /// Learned, or the benchmark of one replica in weighted requests per second: a whole number, or a decimal
    /// as a string ("12.5"). Until it is declared or learned, the policy only observes. It is learned from healthy
    /// latency, so Learned needs objective.latency.
    #[serde(default = "learned")]
    #[x_kube(validation = ("string(self) == 'Learned' || (string(self).size() <= 20 && string(self).matches('^[0-9]+([.][0-9]+)?$') && double(string(self)) > 0.0)",
        "this is no capacity of a replica: write Learned, or the requests per second that it bears, a whole number above 0 or a decimal in quotes, for example \"12.5\""))]
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.min >= 1.0 && self.min < self.max")
    .message("1.0 is exactly at the benchmark: make redundancy.min at least 1.0, and redundancy.max more than min")
    .field_path(".min"))]
pub struct Redundancy {
    /// Below this, scale out.
    #[serde(default = "least")]
    #[schemars(range(min = 0, max = 100))]
    pub min: f64,
    /// Above this, scale in.
    #[serde(default = "most")]
    #[schemars(range(min = 0, max = 100))]
    pub max: f64,
}

/// A tenth of head-room: what a service needs to bear the noise of its own load.
fn least() -> f64 {
    1.1
}

/// Far enough above [`least`] that a band holds several replicas even of a small workload, so that replicas
/// do not come and go with the noise.
fn most() -> f64 {
    1.6
}

impl Default for Redundancy {
    fn default() -> Self {
        Self { min: least(), max: most() }
    }
}

/// How demand is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Quantile of the forecast maximum that capacity is kept for.
    #[serde(default = "quantile")]
    #[x_kube(validation = ("self > 0.0 && self < 1.0",
        "this is no quantile: write a number between 0 and 1, for example 0.95 and not 95"))]
    pub quantile: f64,
    /// How much of the past is read from the telemetry for a new forecast; two weeks hold every weekday twice.
    #[serde(default = "history")]
    #[x_kube(validation = ("duration(self) >= duration('48h') && duration(self) <= duration('336h')",
        "trust takes two days of history, and a forecast remembers two weeks: use 48h to 336h"))]
    pub history: ApiDuration,
    /// The most that the forecast may do, whatever it has earned: to introduce it step by step, or to switch it off.
    #[serde(default = "full")]
    pub max_trust: ForecastTrust,
}

fn full() -> ForecastTrust {
    ForecastTrust::Full
}

fn quantile() -> f64 {
    0.95
}

fn history() -> ApiDuration {
    ApiDuration::secs(336 * 3600)
}

impl Default for Forecast {
    fn default() -> Self {
        Self { quantile: quantile(), history: history(), max_trust: full() }
    }
}
