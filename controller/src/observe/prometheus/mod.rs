//! Telemetry from Prometheus: grouped queries, their answers, and what is doubtful in them.

pub mod answer;
pub mod pod_owners;
pub mod promql;
pub mod query;
