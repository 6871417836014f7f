//! The emulated services: traffic in, counters of each pod out. Knows no clock: time is given.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use jiff::Timestamp;
use loadline_chaos::world::{
    Shape, rate,
    service::{Queue, ServiceModel, ServiceState},
};
use tokio::time::Instant;

/// Upper bounds of the histogram in seconds, as OpenTelemetry's HTTP conventions advise for
/// `http.server.request.duration`; `+Inf` comes after them.
pub(super) const BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// A workload of a cluster, by the name of its Deployment or StatefulSet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Workload {
    /// A workload by its parts.
    #[must_use]
    pub fn new(cluster: &str, namespace: &str, name: &str) -> Self {
        Self { cluster: cluster.into(), namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}/{}", self.cluster, self.namespace, self.name)
    }
}

/// What kind of object owns the pods of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    #[default]
    Deployment,
    StatefulSet,
}

/// What goes on in a workload.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Seen {
    /// Requests per second that are offered.
    pub offered: f64,
    /// Requests per second that are turned away.
    pub rejected: f64,
    /// Ready pods.
    pub ready: u32,
    /// Pods that exist and are not ready: starting, or without room.
    pub starting: u32,
    /// Work offered over what the ready pods can do; infinite without any.
    pub utilisation: f64,
    /// 99th percentile of latency, seconds.
    pub p99: f64,
    /// Requests or messages that wait.
    pub backlog: f64,
}

impl Seen {
    /// Capacity of the ready pods over the offered work; infinite when nothing is offered.
    #[must_use]
    pub fn redundancy(&self) -> f64 {
        1.0 / self.utilisation
    }
}

/// What went on in a workload at one moment of its record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Seconds since the record began.
    pub at: f64,
    /// What was seen.
    pub seen: Seen,
}

/// All emulated services, and the pods of all workloads.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    pub(super) services: BTreeMap<Workload, Service>,
    pods: HashMap<Workload, Pods>,
    stepped: Option<Instant>,
}

/// The pods of a workload.
#[derive(Debug, Default)]
struct Pods {
    kind: Kind,
    ready: BTreeSet<Arc<str>>,
    starting: BTreeSet<Arc<str>>,
}

/// One emulated service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) kind: Kind,
    pub(super) model: ServiceModel,
    traffic: Shape,
    since: Instant,
    state: ServiceState,
    pub(super) pods: BTreeMap<Arc<str>, Counters>,
    /// Share of the pods that do not report.
    silent: f64,
    pub(super) messages: Messages,
    seen: Seen,
    /// Since when each step is recorded, and the record.
    record: Option<(Instant, Vec<Moment>)>,
}

/// Counters of one pod since it became ready.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Counters {
    /// Cumulative counts at or under each of [`BOUNDS`], then all.
    pub(super) buckets: [f64; BOUNDS.len() + 1],
    /// Seconds that all requests took together.
    pub(super) sum: f64,
    /// CPU seconds.
    pub(super) cpu: f64,
}

/// Counters of a queue, which lives without its consumers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Messages {
    /// Messages that came.
    pub(super) published: f64,
    /// Messages that were worked off.
    pub(super) consumed: f64,
    /// Messages that wait.
    pub(super) waiting: f64,
}

impl Service {
    /// The pods that report.
    pub(super) fn reporting(&self) -> impl Iterator<Item = (&Arc<str>, &Counters)> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a pod count")]
        #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 pods")]
        let silent = (self.pods.len() as f64 * self.silent).ceil() as usize;
        self.pods.iter().skip(silent)
    }

    /// Whether messages wait for it outside of its pods.
    pub(super) fn is_queue(&self) -> bool {
        self.model.queue == Queue::Backlog
    }

    fn step(&mut self, pods: Option<&Pods>, now: Instant, wall: Timestamp, dt: f64) {
        self.kind = pods.map_or(self.kind, |p| p.kind);
        self.pods.retain(|pod, _| pods.is_some_and(|p| p.ready.contains(pod)));
        for pod in pods.iter().flat_map(|p| &p.ready) {
            if !self.pods.contains_key(pod) {
                self.pods.insert(Arc::clone(pod), Counters::default());
            }
        }
        let count = u32::try_from(self.pods.len()).unwrap_or(u32::MAX);
        let offered = rate(&self.traffic, now.duration_since(self.since), wall);
        let served = self.model.serve(offered, count, dt, &mut self.state);
        self.messages.published += offered * dt;
        self.messages.consumed += served.served * dt;
        self.messages.waiting = self.state.backlog;
        self.seen = Seen {
            offered,
            rejected: served.rejected,
            ready: count,
            starting: pods.map_or(0, |p| u32::try_from(p.starting.len()).unwrap_or(u32::MAX)),
            utilisation: served.utilisation,
            p99: served.latency.quantile(0.99),
            backlog: self.state.backlog,
        };
        if let Some((since, moments)) = &mut self.record {
            moments.push(Moment { at: now.duration_since(*since).as_secs_f64(), seen: self.seen });
        }
        let share = 1.0 / f64::from(count.max(1));
        let answered = (served.served + served.rejected) * dt * share;
        let mut shares = [1.0; BOUNDS.len() + 1];
        for (share, count) in shares.iter_mut().zip(served.latency.counts(&BOUNDS)) {
            *share = count;
        }
        let (seconds, cpu) = (served.latency.mean() * answered, served.cpu_seconds * share);
        for counters in self.pods.values_mut() {
            for (bucket, share) in counters.buckets.iter_mut().zip(shares) {
                *bucket += share * answered;
            }
            counters.sum += seconds;
            counters.cpu += cpu;
        }
    }
}

impl Fleet {
    pub(super) fn serve(&mut self, workload: &Workload, model: ServiceModel, traffic: Shape, now: Instant) {
        if let Some(service) = self.services.get_mut(workload) {
            (service.model, service.traffic, service.since) = (model, traffic, now);
            return;
        }
        let service = Service {
            kind: Kind::default(),
            model,
            traffic,
            since: now,
            state: ServiceState::default(),
            pods: BTreeMap::new(),
            silent: 0.0,
            messages: Messages::default(),
            seen: Seen::default(),
            record: None,
        };
        self.services.insert(workload.clone(), service);
    }

    pub(super) fn offer(&mut self, workload: &Workload, traffic: Shape, now: Instant) -> bool {
        let service = self.services.get_mut(workload);
        service.map(|s| (s.traffic, s.since) = (traffic, now)).is_some()
    }

    pub(super) fn silence(&mut self, workload: &Workload, share: f64) -> bool {
        self.services.get_mut(workload).map(|s| s.silent = share.clamp(0.0, 1.0)).is_some()
    }

    pub(super) fn seen(&self, workload: &Workload) -> Option<Seen> {
        self.services.get(workload).map(|s| s.seen)
    }

    /// Moves every service on to `now`.
    pub(super) fn step(&mut self, now: Instant) {
        let dt = self.stepped.map_or(0.0, |before| now.duration_since(before).as_secs_f64());
        self.stepped = Some(now);
        let wall = Timestamp::now();
        for (workload, service) in &mut self.services {
            service.step(self.pods.get(workload), now, wall, dt);
        }
    }

    pub(super) fn record(&mut self, workload: &Workload, now: Instant) -> bool {
        self.services.get_mut(workload).map(|s| s.record = Some((now, Vec::new()))).is_some()
    }

    pub(super) fn recorded(&self, workload: &Workload) -> Vec<Moment> {
        let record = self.services.get(workload).and_then(|s| s.record.as_ref());
        record.map(|(_, moments)| moments.clone()).unwrap_or_default()
    }

    /// A pod exists, and is ready or not.
    pub(super) fn pod(&mut self, workload: &Workload, kind: Kind, pod: &str, ready: bool) {
        let pods = self.pods.entry(workload.clone()).or_default();
        pods.kind = kind;
        let (to, from) =
            if ready { (&mut pods.ready, &mut pods.starting) } else { (&mut pods.starting, &mut pods.ready) };
        from.remove(pod);
        if !to.contains(pod) {
            to.insert(pod.into());
        }
    }

    /// A pod is gone, or on its way.
    pub(super) fn pod_gone(&mut self, workload: &Workload, pod: &str) {
        if let Some(pods) = self.pods.get_mut(workload) {
            pods.ready.remove(pod);
            pods.starting.remove(pod);
            if pods.ready.is_empty() && pods.starting.is_empty() {
                self.pods.remove(workload);
            }
        }
    }

    /// All pods of a cluster, after its watch began anew: whose, of which kind, their name, whether ready.
    pub(super) fn replace(&mut self, cluster: &str, pods: Vec<(Workload, Kind, String, bool)>) {
        self.pods.retain(|workload, _| &*workload.cluster != cluster);
        for (workload, kind, pod, ready) in pods {
            self.pod(&workload, kind, &pod, ready);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn model() -> ServiceModel {
        serde_yaml::from_str("{capacity: 100}").unwrap()
    }

    fn run(fleet: &mut Fleet, start: Instant, seconds: u64) {
        for i in 0..=seconds * 4 {
            fleet.step(start + Duration::from_millis(250) * u32::try_from(i).unwrap());
        }
    }

    #[test]
    fn the_pods_share_the_load_evenly_and_count_all_of_it() {
        let (mut fleet, web, start) = (Fleet::default(), Workload::new("hub", "shop", "web"), Instant::now());
        for pod in ["web-a", "web-b", "web-c", "web-d"] {
            fleet.pod(&web, Kind::Deployment, pod, true);
        }
        fleet.serve(&web, model(), Shape::Constant { rate: 200.0 }, start);
        run(&mut fleet, start, 60);
        let totals: Vec<f64> = fleet.services[&web].pods.values().map(|c| c.buckets[14]).collect();
        assert_eq!(totals.len(), 4);
        assert!(totals.iter().all(|t| (t - 3_000.0).abs() < 1.0), "{totals:?}");
        let seen = fleet.seen(&web).unwrap();
        assert!((seen.utilisation - 0.5).abs() < 1e-9 && (seen.redundancy() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_new_pod_counts_from_zero_and_a_gone_one_reports_no_more() {
        let (mut fleet, web, start) = (Fleet::default(), Workload::new("hub", "shop", "web"), Instant::now());
        fleet.pod(&web, Kind::Deployment, "old", true);
        fleet.serve(&web, model(), Shape::Constant { rate: 10.0 }, start);
        run(&mut fleet, start, 10);
        fleet.pod(&web, Kind::Deployment, "new", true);
        fleet.pod_gone(&web, "old");
        fleet.step(start + Duration::from_secs(11));
        let service = &fleet.services[&web];
        assert_eq!(service.pods.keys().map(|k| &**k).collect::<Vec<_>>(), ["new"]);
        assert!(service.pods["new"].buckets[14] < 11.0);
    }

    #[test]
    fn a_record_tells_load_ready_and_starting_pods_over_time() {
        let (mut fleet, web, start) = (Fleet::default(), Workload::new("hub", "shop", "web"), Instant::now());
        fleet.pod(&web, Kind::Deployment, "a", true);
        fleet.pod(&web, Kind::Deployment, "b", false);
        fleet.serve(&web, model(), Shape::Constant { rate: 50.0 }, start);
        assert!(fleet.record(&web, start));
        run(&mut fleet, start, 1);
        fleet.pod(&web, Kind::Deployment, "b", true);
        fleet.step(start + Duration::from_secs(2));
        let moments = fleet.recorded(&web);
        let (first, last) = (moments.first().unwrap(), moments.last().unwrap());
        assert_eq!((first.seen.ready, first.seen.starting), (1, 1));
        assert_eq!((last.seen.ready, last.seen.starting), (2, 0));
        assert!((last.at - 2.0).abs() < 1e-9 && (last.seen.redundancy() - 4.0).abs() < 1e-9);
    }

    #[test]
    fn silent_pods_serve_but_do_not_report() {
        let (mut fleet, web, start) = (Fleet::default(), Workload::new("hub", "shop", "web"), Instant::now());
        for pod in ["a", "b", "c"] {
            fleet.pod(&web, Kind::Deployment, pod, true);
        }
        fleet.serve(&web, model(), Shape::Constant { rate: 30.0 }, start);
        assert!(fleet.silence(&web, 0.5));
        run(&mut fleet, start, 10);
        let service = &fleet.services[&web];
        assert_eq!(service.reporting().count(), 1, "half of three, rounded up, is silent");
        assert!((service.seen.utilisation - 0.1).abs() < 1e-9);
    }

    #[test]
    fn messages_pile_up_without_consumers() {
        let (mut fleet, jobs, start) =
            (Fleet::default(), Workload::new("hub", "shop", "jobs"), Instant::now());
        let model = ServiceModel { queue: Queue::Backlog, ..model() };
        fleet.serve(&jobs, model, Shape::Constant { rate: 50.0 }, start);
        run(&mut fleet, start, 10);
        let messages = fleet.services[&jobs].messages;
        assert!((messages.waiting - 500.0).abs() < 1e-6 && messages.consumed < 1e-9, "{messages:?}");
    }

    #[test]
    fn a_new_list_of_pods_forgets_those_that_are_not_in_it() {
        let mut fleet = Fleet::default();
        let (web, other) = (Workload::new("hub", "shop", "web"), Workload::new("far", "shop", "web"));
        fleet.pod(&web, Kind::Deployment, "gone", true);
        fleet.pod(&other, Kind::Deployment, "elsewhere", true);
        fleet.replace("hub", vec![(web.clone(), Kind::StatefulSet, "here".to_owned(), true)]);
        assert_eq!(fleet.pods[&web].ready.iter().map(|p| &**p).collect::<Vec<_>>(), ["here"]);
        assert!(fleet.pods.contains_key(&other));
    }
}
