//! How far the past of the load was read.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::Settled;
use crate::history::read::Step;

/// Metrics of the history room.
#[derive(Debug, Default)]
pub struct History {
    waiting: Gauge,
    policies: Family<Settled, Counter>,
    queries: Counter,
    failures: Counter,
    points: Counter,
    reading: Counter<f64, AtomicU64>,
    learning: Counter<f64, AtomicU64>,
}

impl History {
    pub(super) fn register(&self, r: &mut Registry) {
        for outcome in ["newest", "loaded", "empty", "failed"] {
            drop(self.policies.get_or_create(&Settled { outcome }));
        }
        r.register(
            "history_waiting_policies",
            "Policies whose past is being read or learned",
            self.waiting.clone(),
        );
        r.register(
            "history_policies",
            "Policies of which the newest days were learned (newest), all of the past was (loaded), nothing is there \
             (empty), or it could not be read and is tried again (failed)",
            self.policies.clone(),
        );
        r.register("history_queries", "Range queries for the past that were answered", self.queries.clone());
        r.register("history_failures", "Spans of the past that could not be read", self.failures.clone());
        r.register("history_points", "Points of the past that were read", self.points.clone());
        r.register_with_unit("history_reading", "Time of the queries", Unit::Seconds, self.reading.clone());
        r.register_with_unit(
            "history_learning",
            "Time of learning, on one thread",
            Unit::Seconds,
            self.learning.clone(),
        );
    }

    /// A span was read, or could not be.
    pub fn step(&self, step: &Step) {
        self.reading.inc_by(step.took.as_secs_f64());
        match &step.result {
            Ok((queries, points)) => {
                self.queries.inc_by(*queries);
                self.points.inc_by(u64::try_from(*points).unwrap_or(u64::MAX));
            }
            Err(_) => drop(self.failures.inc()),
        }
    }

    /// A policy's past was learned in so long.
    pub fn learned(&self, took: Duration) {
        self.learning.inc_by(took.as_secs_f64());
    }

    /// What became of a policy: `newest`, `loaded`, `empty` or `failed`.
    pub fn policy(&self, outcome: &'static str) {
        self.policies.get_or_create(&Settled { outcome }).inc();
    }

    /// So many policies wait.
    pub fn waiting(&self, policies: usize) {
        self.waiting.set(i64::try_from(policies).unwrap_or(i64::MAX));
    }
}
