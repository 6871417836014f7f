//! Load: from what was read of a workload to the weighted demand that it is sized by.
//!
//! ```text
//! per cluster                                    over all clusters
//! (le, rate) pairs -> Histogram ┐
//! endpoint rates ───────────────┼─> weigh ──┬─> sum ─> κ guard ─> up    silent replicas count as zero
//! arrivals, backlog ────────────┘           │      └───────────> down  silent and unready: fully loaded
//! short window ─────────────────────────────┴─> 3 σ of Poisson ─> burst  may only raise
//! latency quantile of the merged histograms ────> latency term
//! ```
//!
//! Silent stands here also for replicas so young that the window has not seen them whole (see [`settling`]).
//!
//! Doubt is asymmetric: what is certain may raise the demand, and any doubt at all forbids to lower it.

mod assess;
pub mod awaited;
pub mod baseline;
pub mod burst;
pub mod endpoint_weights;
mod footprint;
mod foresight;
pub mod histogram;
pub mod settling;
pub mod weighted;

pub use assess::{Assessment, assess};
pub use foresight::{adopt, horizon, phase};
