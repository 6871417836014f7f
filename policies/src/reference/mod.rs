//! Reference models: what other autoscalers do with the same inputs, to compare Loadline with.
//!
//! They decide nothing in production. `loadline simulate` runs them as baselines, and their published vectors
//! hold the code that they share with production (`behaviour`, the arithmetic of `desired::trigger`).

pub mod cudgx;
pub mod hpa;
