//! One workload: its object and pods in every cluster, its traffic, what became of its users' requests.

use std::{collections::BTreeMap, time::Duration};

use loadline_policies::ids::{ClusterId, Target};

use super::{
    chance::{Chance, Topic},
    cluster::Cluster,
    config::{TelemetryConfig, WorkloadConfig},
    fault::{Fault, FaultKind},
    pods::Pods,
    service::{ServiceModel, ServiceState},
    telemetry::{Scraped, Scraper},
    traffic::Source,
};

/// What became of the requests of one workload, and at what price; counted from the start of the world.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Requests that were offered.
    pub offered: f64,
    /// Requests that were answered.
    pub served: f64,
    /// Requests that were turned away.
    pub rejected: f64,
    /// Time in which the objective was broken or anybody was turned away.
    pub violated: Duration,
    /// Seconds of wanted replicas: what is paid for.
    pub replica_seconds: f64,
    /// Seconds of ready replicas.
    pub ready_seconds: f64,
    /// The highest load so far, requests per second.
    pub peak: f64,
    /// Writes that raised the replicas.
    pub raises: u32,
    /// Writes that lowered them.
    pub cuts: u32,
}

/// How a workload is doing in the last step; over all clusters.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pulse {
    /// Requests per second that are offered.
    pub offered: f64,
    /// Requests per second that are turned away.
    pub rejected: f64,
    /// The objective's quantile of latency, seconds.
    pub latency: f64,
    /// Work over what the ready replicas can do.
    pub utilisation: f64,
    /// Replicas wanted.
    pub wanted: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Pods that fit on no node.
    pub pending: u32,
}

/// A workload of the world.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) config: WorkloadConfig,
    pub(super) target: Target,
    pub(super) instances: BTreeMap<ClusterId, Instance>,
    pub(super) stats: Stats,
    pub(super) pulse: Pulse,
    source: Source,
}

/// The object and pods of a workload in one cluster.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    /// `spec.replicas`; `None` while the object does not exist.
    pub(super) wanted: Option<u32>,
    pub(super) pods: Pods,
    pub(super) scraper: Scraper,
    /// How often the object was made: part of its UID.
    pub(super) made: u32,
    pub(super) version: u64,
    /// What the version stands for: it moves when this does.
    shown: (Option<u32>, u32, u32, bool),
    queue: ServiceState,
}

/// The moment and the faults of one step.
pub(super) struct Moment<'a> {
    pub(super) now: Duration,
    pub(super) wall: jiff::Timestamp,
    pub(super) dt: Duration,
    pub(super) telemetry: &'a TelemetryConfig,
    pub(super) faults: &'a [Fault],
}

impl Moment<'_> {
    /// The faults that hit one workload in one cluster.
    pub(super) fn hitting<'b>(
        &'b self,
        cluster: &'b ClusterId,
        target: &'b Target,
    ) -> impl Iterator<Item = &'b FaultKind> + Clone {
        self.faults.iter().filter(move |fault| fault.hits(cluster, target)).map(|fault| &fault.fault)
    }
}

impl Workload {
    pub(super) fn new(
        config: &WorkloadConfig,
        telemetry: &TelemetryConfig,
        clusters: &mut BTreeMap<ClusterId, Cluster>,
        (seed, index): (u64, usize),
    ) -> Self {
        let mut instances = BTreeMap::new();
        for (place, (name, &wanted)) in config.replicas.iter().enumerate() {
            let id = ClusterId::new(name);
            let Some(cluster) = clusters.get_mut(&id) else { continue };
            // A stream for each place of each workload: 64 clusters are more than any scenario has.
            let mut pods = Pods::new(config, Chance::new(seed, Topic::Pods, index * 64 + place));
            pods.begin(wanted, cluster);
            instances.insert(id, Instance::new(wanted, pods, telemetry));
        }
        Self {
            config: config.clone(),
            target: config.target(),
            instances,
            stats: Stats::default(),
            pulse: Pulse::default(),
            source: Source::new(&config.traffic, seed, index),
        }
    }

    /// Lives through one step.
    pub(super) fn advance(&mut self, moment: &Moment<'_>, clusters: &mut BTreeMap<ClusterId, Cluster>) {
        let mut offered = self.source.next(moment.now, moment.wall, moment.dt);
        for (id, instance) in &mut self.instances {
            if let Some(cluster) = clusters.get_mut(id) {
                instance.pods.advance(moment.now, instance.wanted.unwrap_or(0), cluster);
                instance.touch();
            }
        }
        for fault in moment
            .faults
            .iter()
            .filter(|f| f.workload.as_deref().is_none_or(|w| super::fault::names(w, &self.target)))
        {
            if let FaultKind::LoadSurge { factor } = fault.fault {
                offered *= factor.max(0.0);
            }
        }
        self.serve(offered, moment);
    }

    fn serve(&mut self, offered: f64, moment: &Moment<'_>) {
        let Self { config, target, instances, stats, pulse, .. } = self;
        let dt = moment.dt.as_secs_f64();
        let ready: u32 = instances.values().map(|i| i.pods.ready()).sum();
        let places = instances.len().max(1);
        let mut sum = Pulse { offered, ready, ..Pulse::default() };
        let mut violated = false;
        for (id, instance) in instances.iter_mut() {
            // Requests go where replicas are ready; without any, evenly to nowhere.
            #[expect(clippy::cast_precision_loss, reason = "a handful of clusters")]
            let even = 1.0 / places as f64;
            let part = if ready > 0 { f64::from(instance.pods.ready()) / f64::from(ready) } else { even };
            let model = slowed(&config.service, moment.hitting(id, target));
            let arrivals = offered * part;
            let served = model.serve(arrivals, instance.pods.ready(), dt, &mut instance.queue);
            instance.scraper.count(arrivals, &served, dt);
            let pods = Scraped::under(moment.hitting(id, target), instance.pods.ready(), config.measured_at);
            instance.scraper.scrape(moment.now, moment.telemetry, pods, instance.queue.backlog);

            let answered = served.served + served.rejected > 0.0;
            let objective = config.objective;
            let kept = served.latency.share_within(objective.target.as_secs_f64()) >= objective.quantile;
            violated |= served.rejected > 0.0 || (answered && !kept);
            if answered {
                sum.latency = sum.latency.max(served.latency.quantile(objective.quantile));
            }
            sum.rejected += served.rejected;
            sum.utilisation = sum.utilisation.max(served.utilisation);
            sum.wanted = sum.wanted.saturating_add(instance.wanted.unwrap_or(0));
            sum.pending = sum.pending.saturating_add(instance.pods.pending());
            stats.served += served.served * dt;
            stats.rejected += served.rejected * dt;
        }
        stats.offered += offered * dt;
        stats.peak = stats.peak.max(offered);
        stats.replica_seconds += f64::from(sum.wanted) * dt;
        stats.ready_seconds += f64::from(ready) * dt;
        if violated {
            stats.violated = stats.violated.saturating_add(moment.dt);
        }
        *pulse = sum;
    }
}

impl Instance {
    fn new(wanted: u32, pods: Pods, telemetry: &TelemetryConfig) -> Self {
        let mut instance = Self {
            wanted: Some(wanted),
            pods,
            scraper: Scraper::new(telemetry),
            made: 1,
            version: 1,
            shown: (None, 0, 0, false),
            queue: ServiceState::default(),
        };
        instance.touch();
        instance
    }

    /// Moves the resourceVersion if anything that the object shows has changed.
    pub(super) fn touch(&mut self) {
        let shown = (self.wanted, self.pods.current(), self.pods.ready(), self.pods.rolling_out());
        if shown != self.shown {
            self.shown = shown;
            self.version += 1;
        }
    }
}

fn slowed<'a>(
    model: &'a ServiceModel,
    faults: impl Iterator<Item = &'a FaultKind>,
) -> std::borrow::Cow<'a, ServiceModel> {
    let factor: f64 = faults
        .filter_map(|f| if let FaultKind::ServiceSlow { factor } = f { Some(factor) } else { None })
        .product();
    if (factor - 1.0).abs() < f64::EPSILON || factor <= 0.0 {
        return std::borrow::Cow::Borrowed(model);
    }
    let mut slow = model.clone();
    slow.latency.median *= factor;
    slow.latency.p99 *= factor;
    std::borrow::Cow::Owned(slow)
}
