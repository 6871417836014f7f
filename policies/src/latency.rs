//! The latency term: what to do when latency is over its target although the load is not.

use serde::Serialize;

/// What latency asks for on top of the load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum LatencyTerm {
    /// Latency is within its objective.
    Fine,
    /// Latency is over its target while utilisation is not high: one replica bears less than was declared.
    /// Size by `per_replica / factor`.
    ScaleOut {
        /// How much the capacity of one replica is over-estimated, above 1.
        factor: f64,
    },
    /// More replicas were tried and brought no better latency: add none for its sake.
    Futile,
    /// No objective, no histogram, too few requests, a roll-out, or doubt.
    NotJudged,
}
