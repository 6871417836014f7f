//! What one replica bears, in weighted requests per second: declared, or learned from how the service did.
//!
//! ```text
//! every tick:  window ──> watch ──> healthy: it bears at least this      ┐
//!                           └────> onset of slowness: it bears less     ├─> day
//! every day:   day ──> does the estimate explain it? ──> trust          │
//!               └────> bounds ──> estimate, by at most 20 % ────────────┘
//! ```
//!
//! A healthy window proves only a *lower* bound, so being over-provisioned teaches nothing and lowers nothing. Only a
//! knee, a window in which latency became unhealthy, says that a replica bears less. A latency that more replicas did
//! not cure is no knee: something else was slow.
//!
//! Until that is trusted, the CPU that a request takes gives an estimate which may add replicas and removes none (see
//! [`cpu`]).
//!
//! The latency term's factor is transient and never enters here: windows are work per ready replica, nothing else.

mod bounds;
pub mod cpu;
mod day;
mod learner;
mod tally;
mod trust;
mod watch;

use serde::Serialize;

use crate::policy::PerReplica;

pub use bounds::Knee;
pub use cpu::{CpuKept, CpuKnown, CpuLearner, Usage};
pub use day::{FULL_DAY, LEAST_WINDOWS};
pub use learner::{Before, Kept, KeptDay, Learner, Outline, Standing};
pub use watch::Window;

/// What is known of the capacity of one replica.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Known {
    /// Weighted requests per second that one replica bears, as used; `None` while nothing may be used.
    pub per_replica: Option<f64>,
    /// Where it comes from.
    pub source: Source,
    /// It was seen to bear at least this; `None` before the first day was learned from.
    pub lower: Option<f64>,
    /// It was seen to be too much; `None` where too few knees were ever seen.
    pub upper: Option<f64>,
    /// How far the learned value was borne out, 0 to 1. 1 where it is declared.
    pub confidence: f64,
    /// Windows of this day that taught what a replica bears.
    pub windows: u32,
    /// Knees that count: of this day, and those that are remembered.
    pub knees: u32,
    /// What is known of the CPU that a request takes; `None` where it was never asked for.
    pub cpu: Option<CpuKnown>,
}

/// Where the capacity of one replica comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Source {
    /// A person declared it.
    Declared,
    /// It was learned, and explained a day that it was not learned from.
    Learned,
    /// It was learned under another template or objective: less of it, until that is learned anew.
    Provisional,
    /// It is estimated by the CPU that a request takes: it may add replicas, and removes none.
    Estimated,
    /// Nothing may be used yet.
    Learning,
}

/// What is known: a declared benchmark as it stands, or what was learned, or until then what the CPU says.
#[must_use]
pub fn known(declared: PerReplica, learner: Option<&Learner>, cpu: Option<&CpuLearner>) -> Known {
    let nothing = Known {
        per_replica: None,
        source: Source::Learning,
        lower: None,
        upper: None,
        confidence: 0.0,
        windows: 0,
        knees: 0,
        cpu: None,
    };
    let seen = learner.map_or(nothing, Learner::known);
    match declared {
        PerReplica::Declared(value) => {
            Known { per_replica: Some(value), source: Source::Declared, confidence: 1.0, ..seen }
        }
        PerReplica::Learned => {
            let cpu = cpu.map(CpuLearner::known);
            let estimate = cpu.and_then(|cpu| cpu.estimate).filter(|_| seen.per_replica.is_none());
            let source = estimate.map_or(seen.source, |_| Source::Estimated);
            Known { per_replica: seen.per_replica.or(estimate), source, cpu, ..seen }
        }
    }
}

/// Whether a number can be work per replica at all: what is outside of this range was not measured.
///
/// A request a century, and a thousand times what the fastest machines answer.
fn is_plausible(work: f64) -> bool {
    (1e-9..=1e12).contains(&work)
}

/// Share of the capacity that is in use: `load / (per_replica × ready)`, the reciprocal of redundancy.
///
/// `None` where there is nothing to divide by: no ready replica, or a capacity of zero.
#[must_use]
pub fn utilisation(load: f64, per_replica: f64, ready: u32) -> Option<f64> {
    let capacity = per_replica * f64::from(ready);
    (capacity > 0.0).then(|| load / capacity)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_capacity_is_taken_as_it_stands() {
        let known = known(PerReplica::Declared(120.0), None, None);
        assert_eq!((known.per_replica, known.source), (Some(120.0), Source::Declared));
    }

    #[test]
    fn a_capacity_to_be_learned_is_not_known_yet() {
        let known = known(PerReplica::Learned, None, None);
        assert_eq!((known.per_replica, known.source), (None, Source::Learning));
    }

    #[test]
    fn utilisation_is_the_reciprocal_of_redundancy_and_unknown_without_replicas() {
        assert_eq!(utilisation(50.0, 10.0, 10), Some(0.5));
        assert_eq!(utilisation(50.0, 10.0, 0), None);
    }
}
