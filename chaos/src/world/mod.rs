//! The simulated fleet: services, clusters, traffic and telemetry that lies, all moved by one seed.
//!
//! ```text
//!              faults ─────────────┬──────────────────┐
//! traffic ─> workloads (pods on nodes, queues) ─> telemetry ─> load(), signal()
//!                 ^        └─────────────> observe()
//!                 └── apply(write): refused on conflict, dark API server, missing object
//! ```
//!
//! Synchronous and pure: time goes on only by [`World::step`], chance comes only from the seed, and the same
//! seed with the same calls gives the same run to the byte. It knows no port of the controller.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use loadline_policies::{
    ids::{ClusterId, Target},
    now::{Mono, Now},
};

mod chance;
mod cluster;
mod config;
mod event;
mod fault;
mod pods;
pub mod scenario;
pub mod service;
mod telemetry;
#[cfg(test)]
mod tests;
mod traffic;
mod unfold;
mod workload;

pub use config::{
    ClusterConfig, MeasuredAt, Objective, Signal, StartUp, TelemetryConfig, WorkloadConfig, WorldConfig,
};
pub use event::{Event, Refusal, Seen, Write};
pub use fault::{Fault, FaultKind, names};
pub use telemetry::{Answer, Failure, Gauge, Rates};
pub use traffic::{Burst, Peak, Shape, Step, Traffic, rate};
pub use workload::{Pulse, Stats};

use chance::{Chance, Topic};
use cluster::Cluster;
use workload::{Moment, Workload};

/// A whole simulated fleet.
#[derive(Debug, Clone)]
pub struct World {
    config: WorldConfig,
    elapsed: Duration,
    clusters: BTreeMap<ClusterId, Cluster>,
    workloads: Vec<Workload>,
    faults: unfold::Schedule,
    chance: Chance,
    /// What was last seen of clusters that are dark now.
    remembered: BTreeMap<ClusterId, BTreeMap<Target, Seen>>,
    events: Vec<Event>,
}

impl World {
    /// A world at its first moment, every wanted pod that fits already ready.
    ///
    /// A workload in a cluster that the configuration does not have is nowhere.
    #[must_use]
    pub fn new(config: WorldConfig, faults: Vec<Fault>, seed: u64) -> Self {
        let mut clusters: BTreeMap<ClusterId, Cluster> =
            config.clusters.iter().map(|(name, c)| (ClusterId::new(name), Cluster::new(c))).collect();
        let workloads = config
            .workloads
            .iter()
            .enumerate()
            .map(|(index, w)| Workload::new(w, &config.telemetry, &mut clusters, (seed, index)))
            .collect();
        Self {
            elapsed: Duration::ZERO,
            clusters,
            workloads,
            faults: unfold::Schedule::new(faults),
            chance: Chance::new(seed, Topic::Faults, 0),
            remembered: BTreeMap::new(),
            events: Vec::new(),
            config,
        }
    }

    /// What it was made of.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The time in it: wall time, and time since its start as the monotonic reading.
    #[must_use]
    pub fn now(&self) -> Now {
        Now::new(self.wall(self.elapsed), self.elapsed)
    }

    /// The wall time that is `since_start` after the start.
    #[must_use]
    pub fn wall(&self, since_start: Duration) -> Timestamp {
        let gap = jiff::SignedDuration::try_from(since_start).unwrap_or(jiff::SignedDuration::MAX);
        self.config.start.saturating_add(gap).unwrap_or(Timestamp::MAX)
    }

    /// Lets time go on to `now`, step by step; nothing happens when `now` is not later.
    pub fn step(&mut self, now: Mono) {
        let resolution = self.config.resolution.max(Duration::from_millis(1));
        while let Some(next) = self.elapsed.checked_add(resolution).filter(|next| *next <= now.0) {
            self.elapsed = next;
            self.unfold();
            let moment = Moment {
                now: next,
                wall: self.wall(next),
                dt: resolution,
                telemetry: &self.config.telemetry,
                faults: self.faults.active(),
            };
            for workload in &mut self.workloads {
                workload.advance(&moment, &mut self.clusters);
            }
        }
    }

    /// What an API server shows of every target now; a dark cluster shows what was last seen of it.
    #[must_use]
    pub fn observe(&self) -> BTreeMap<(ClusterId, Target), Seen> {
        let live = self.clusters.keys().filter(|id| !self.remembered.contains_key(*id));
        let live =
            live.flat_map(|id| self.seen_in(id).map(move |(target, seen)| ((id.clone(), target), seen)));
        let dark = self.remembered.iter().flat_map(|(id, seen)| {
            seen.iter().map(move |(target, seen)| ((id.clone(), target.clone()), seen.clone()))
        });
        live.chain(dark).collect()
    }

    /// Rates of a workload in a cluster over `window`, as the telemetry source tells them now.
    #[must_use]
    pub fn load(&self, cluster: &ClusterId, target: &Target, window: Duration) -> Answer<Rates> {
        let truth = self.workload(target).and_then(|w| {
            let instance = w.instances.get(cluster)?;
            let (telemetry, model) = (&self.config.telemetry, &w.config.service);
            let who = (w.config.measured_at, instance.pods.ready());
            instance.scraper.rates(self.elapsed, window, telemetry, model, who)
        });
        telemetry::told(truth, self.moment().hitting(cluster, target))
    }

    /// The value of a policy's own query, as the telemetry source tells it now.
    ///
    /// Faults of single workloads do not hit it, faults of the whole source do. A query that the
    /// configuration does not know has no series.
    #[must_use]
    pub fn signal(&self, query: &str) -> Answer<Gauge> {
        let truth = self.config.signals.get(query).and_then(|signal| self.gauge(signal));
        let faults = self.faults.active().iter().filter(|f| f.workload.is_none() && f.cluster.is_none());
        telemetry::told(truth, faults.map(|f| &f.fault))
    }

    /// Writes replicas, as an API server would.
    ///
    /// # Errors
    /// [`Refusal`] when the cluster is dark, the object is gone or another one, or a newer version exists.
    pub fn apply(&mut self, write: &Write) -> Result<(), Refusal> {
        if self.remembered.contains_key(&write.cluster) {
            return Err(Refusal::Unreachable);
        }
        let conflicts = self.faults.active().iter().filter(|f| f.hits(&write.cluster, &write.target));
        let percent = conflicts.filter_map(|f| match f.fault {
            FaultKind::ApiConflict { percent } => Some(percent),
            _ => None,
        });
        let collides = percent.max().is_some_and(|p| self.chance.uniform() * 100.0 < f64::from(p));
        let workload =
            self.workloads.iter_mut().find(|w| w.target == write.target).ok_or(Refusal::Missing)?;
        let instance = workload.instances.get_mut(&write.cluster).ok_or(Refusal::Missing)?;
        let wanted = instance.wanted.ok_or(Refusal::Missing)?;
        let version = (event::uid(&write.target, instance.made), instance.version.to_string());
        if collides || version != (write.uid.clone(), write.resource_version.clone()) || wanted != write.from
        {
            return Err(Refusal::Conflict { wanted });
        }
        match write.to.cmp(&wanted) {
            std::cmp::Ordering::Greater => workload.stats.raises += 1,
            std::cmp::Ordering::Less => workload.stats.cuts += 1,
            std::cmp::Ordering::Equal => {}
        }
        instance.wanted = Some(write.to);
        instance.touch();
        Ok(())
    }

    /// How a workload is doing.
    #[must_use]
    pub fn pulse(&self, target: &Target) -> Option<Pulse> {
        self.workload(target).map(|w| w.pulse)
    }

    /// What became of a workload's requests since the start.
    #[must_use]
    pub fn stats(&self, target: &Target) -> Option<Stats> {
        self.workload(target).map(|w| w.stats)
    }

    /// The targets that it holds, in the order of the configuration.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.workloads.iter().map(|w| &w.target)
    }

    /// The faults that are in effect.
    #[must_use]
    pub fn active_faults(&self) -> &[Fault] {
        self.faults.active()
    }

    /// What happened since this was last asked, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn workload(&self, target: &Target) -> Option<&Workload> {
        self.workloads.iter().find(|w| w.target == *target)
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            now: self.elapsed,
            wall: self.wall(self.elapsed),
            dt: self.config.resolution,
            telemetry: &self.config.telemetry,
            faults: self.faults.active(),
        }
    }

    fn seen_in<'a>(&'a self, cluster: &'a ClusterId) -> impl Iterator<Item = (Target, Seen)> + 'a {
        self.workloads.iter().filter_map(|w| {
            let instance = w.instances.get(cluster)?;
            Some((w.target.clone(), Seen::of(&w.target, instance)?))
        })
    }

    fn gauge(&self, signal: &Signal) -> Option<Gauge> {
        let of = |name: &str, pick: fn(&Rates) -> f64| {
            let workload = self.workloads.iter().find(|w| names(name, &w.target))?;
            let (telemetry, model) = (&self.config.telemetry, &workload.config.service);
            let mut rates = workload.instances.values().filter_map(|i| {
                i.scraper.rates(
                    self.elapsed,
                    telemetry.burst_window,
                    telemetry,
                    model,
                    (MeasuredAt::Entry, 0),
                )
            });
            let first = rates.next()?;
            let start = Gauge { value: pick(&first), observed_at: first.observed_at };
            Some(rates.fold(start, |sum, r| Gauge {
                value: sum.value + pick(&r),
                observed_at: sum.observed_at.min(r.observed_at),
            }))
        };
        match signal {
            Signal::Backlog { workload } => of(workload, |r| r.backlog),
            Signal::Offered { workload } => of(workload, |r| r.requests),
            Signal::Constant { value } => Some(Gauge { value: *value, observed_at: self.elapsed }),
        }
    }
}
