//! The assessment: what load there is, what of it is certain, and what that allows.

use serde::Serialize;

use crate::{
    capacity,
    fleet::{Instance, Workload},
    latency::LatencyTerm,
    load::weighted::{Weighed, weigh},
    memory::PolicyMemory,
    now::Now,
    plan::Demand,
    reading::Doubt,
    reason::Reason,
};

/// What the load of a workload asks for and allows, over all its clusters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assessment {
    /// Load for sizing up: the sum of what is certain, silent replicas count as zero. `None` when nothing
    /// usable was read.
    pub up: Option<Demand>,
    /// Load for sizing down: silent and unready replicas count as fully loaded. `None` when any reading is in
    /// doubt: then nothing may be removed.
    pub down: Option<Demand>,
    /// A statistically significant burst of the short window, when it is above `up`. It may only raise.
    pub burst: Option<Demand>,
    /// Weighted requests per second that one replica bears; `None` while unknown.
    pub per_replica: Option<f64>,
    /// The measured quantile of the latency objective, in seconds.
    pub latency: Option<f64>,
    /// What latency asks for on top of the load.
    pub latency_term: LatencyTerm,
    /// Why nothing may be removed although every reading is fresh.
    pub no_scale_in: Option<Reason>,
    /// What is in doubt: the signal (cluster, `burst`, trigger name) and why.
    pub doubts: Vec<(String, Doubt)>,
}

/// Assesses the load of a workload.
#[must_use]
pub fn assess(workload: &Workload, _memory: &mut PolicyMemory, now: Now) -> Assessment {
    let per_replica = capacity::per_replica(workload.policy.capacity.per_replica);
    let weights = &workload.policy.load.weights;
    let mut doubts = Vec::new();
    let mut up: Option<Demand> = None;
    let mut full = 0.0;
    for (cluster, instance) in &workload.instances {
        let Ok(instance) = instance else { continue };
        match weighed(instance, weights) {
            Ok(work) => {
                let age = instance.load.as_ref().map_or(std::time::Duration::ZERO, |r| r.age(now.wall));
                up = Some(add(up, work, age));
                let silent = instance.load.as_ref().map_or(0, |r| r.coverage.silent());
                let unready = instance.current.saturating_sub(instance.ready);
                full += f64::from(silent.saturating_add(unready)) * per_replica.unwrap_or(f64::INFINITY);
            }
            Err(doubt) => doubts.push((cluster.to_string(), doubt)),
        }
    }
    for (name, trigger) in &workload.triggers {
        if let Err(doubt) = trigger {
            doubts.push((name.clone(), doubt.clone()));
        }
    }
    let down = up.filter(|_| doubts.is_empty() && full.is_finite()).map(|d| Demand {
        weighted: d.weighted + full,
        raw: d.raw + full,
        ..d
    });
    Assessment {
        up,
        down,
        burst: None,
        per_replica,
        latency: None,
        latency_term: LatencyTerm::NotJudged,
        no_scale_in: None,
        doubts,
    }
}

fn weighed(instance: &Instance, weights: &crate::policy::Weights) -> Result<Weighed, Doubt> {
    instance.load.as_ref().map_err(Clone::clone).and_then(|reading| weigh(&reading.value, weights))
}

fn add(sum: Option<Demand>, work: Weighed, age: std::time::Duration) -> Demand {
    let (raw, requests, age) = sum.map_or((work.weighted, work.requests, age), |d| {
        (d.raw + work.weighted, d.requests + work.requests, d.age.max(age))
    });
    Demand { weighted: raw, raw, requests, interpolated: work.share_interpolated(), capped: false, age }
}
