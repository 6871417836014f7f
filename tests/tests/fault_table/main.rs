//! The fault table: a workload in its band on a real control plane, a real Prometheus and the real operator; then
//! something breaks. In every row
//!
//! - replicas never fall because of doubt (the API server's audit log is the evidence),
//! - the condition names the cause,
//! - the loop recovers by itself.
//!
//! `telemetry` breaks Prometheus and what it says; `control` breaks the API server, the objects, and the peace with
//! other writers. The rows of each share one stage and take turns on it.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

mod control;
mod stage;
mod telemetry;
mod witness;
