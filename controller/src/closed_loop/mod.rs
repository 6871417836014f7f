//! `loadline simulate`: a back-test of a policy on a recorded load, against other autoscalers.
//!
//! ```text
//! CSV ─ trace ─ grid ─> closed loop ─ every 15 s ─> strategy (hpa, cudgx, loadline) ─> replicas
//!                            └─ pods: ready a lead time after they are asked for
//!                            └─ score: elasticity metrics of the SPEC research group
//! ```
//!
//! The loop, its feeds and its metrics are those of elasticity.md §6: steps of 15 s; the metric is the mean of the
//! four steps before the last two; a scale-in cancels pods that are not ready first. `loadline` runs the production
//! tick and sees only the past.

mod accuracy;
mod grid;
mod loadline;
mod pods;
mod run;
mod score;
mod strategy;
mod trace;

pub use self::{
    accuracy::{Accuracy, Influence},
    grid::{Grid, Noise},
    run::{Course, Simulated, Simulation},
    score::Score,
    strategy::{Strategy, UnknownStrategy},
    trace::{Repair, Trace, TraceError},
};

use std::time::Duration;

/// Length of a step: HPA's sync period, and the scrape interval that is usual with it.
pub const STEP: Duration = Duration::from_secs(15);
/// [`STEP`] in seconds.
const STEP_SECONDS: u32 = 15;
/// Steps of a day.
pub const STEPS_OF_A_DAY: usize = (86_400 / STEP_SECONDS) as usize;
