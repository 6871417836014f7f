//! The shell: observe -> translate -> tick -> apply -> report, and the command line around it.
//!
//! ```text
//! observe/   Prometheus, the cluster's objects           (I/O)
//! translate/ custom resources -> domain values           (pure)
//! tick       calls `loadline_policies`                   (pure)
//! history/   the past of the load, in the background    (I/O)
//! apply/     writes the plan under the write permit      (I/O)
//! report/    status, conditions, Events, metrics, view   (I/O)
//! ```

pub mod admin;
pub mod apply;
pub mod cli;
pub mod client;
pub mod closed_loop;
pub mod config;
pub mod history;
pub mod lease;
pub mod lint;
pub mod observe;
pub mod operator;
pub mod ports;
pub mod report;
pub mod runtime;
pub mod simulated;
pub mod telemetry;
pub mod tick;
pub mod translate;
