//! What a telemetry source would answer about one workload in one cluster: late, in windows, and with lies.
//!
//! ```text
//! steps ──sum──> counters ──every scrape──> samples ──after the delay──> rates over a window ──faults──> Answer
//! ```

use std::{collections::VecDeque, time::Duration};

use super::{
    config::{MeasuredAt, TelemetryConfig},
    fault::FaultKind,
    service::{Served, ServiceModel},
};

/// What a telemetry source says, truthfully or not.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer<T> {
    /// Numbers; they may be NaN, infinite, negative, old or wrong.
    Value(T),
    /// The answer holds series of others, none of this workload.
    Absent,
    /// The answer is empty.
    Empty,
    /// No answer that could be read.
    Failed(Failure),
}

/// Why there is no answer that could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// An HTTP error.
    Http(u16),
    /// Nothing within the time-out.
    TimedOut,
    /// No connection.
    Unreachable,
    /// Something else than was asked for.
    WrongShape,
}

/// Rates of one workload in one cluster over a window, as they were told.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// The window that they are over.
    pub window: Duration,
    /// Answers per second.
    pub requests: f64,
    /// `(upper bound in seconds, cumulative answers/s)`; the last bound is infinite.
    pub histogram: Vec<(f64, f64)>,
    /// Answers per second by endpoint.
    pub endpoints: Vec<(String, f64)>,
    /// CPU cores used.
    pub cpu: f64,
    /// Requests or messages that wait.
    pub backlog: f64,
    /// Time of the newest sample since the start of the world.
    pub observed_at: Duration,
    /// Pods whose newest sample is in it; `None` when it was not measured at the pods.
    pub reporting: Option<u32>,
}

/// The counters of one workload in one cluster and their scrapes.
#[derive(Debug, Clone)]
pub(super) struct Scraper {
    bounds: Vec<f64>,
    running: Counters,
    scrapes: VecDeque<Scrape>,
    last_scrape: Duration,
}

/// What was counted since the last scrape.
#[derive(Debug, Clone, Default)]
struct Counters {
    seconds: f64,
    arrivals: f64,
    answers: f64,
    buckets: Vec<f64>,
    cpu: f64,
}

/// One scrape: what was counted since the one before it.
#[derive(Debug, Clone)]
struct Scrape {
    at: Duration,
    counted: Counters,
    backlog: f64,
    reporting: u32,
    expected: u32,
}

impl Scrape {
    /// Pods that report, of `ready` ones. A pod is scraped from its start on, so one that became Ready after
    /// this scrape reports as likely as the others.
    fn reporting(&self, ready: u32) -> u32 {
        let newly = u64::from(ready.saturating_sub(self.expected));
        let share =
            if self.expected > 0 { (u64::from(self.reporting), u64::from(self.expected)) } else { (1, 1) };
        self.reporting.saturating_add(u32::try_from(newly * share.0 / share.1).unwrap_or(u32::MAX))
    }
}

impl Scraper {
    pub(super) fn new(config: &TelemetryConfig) -> Self {
        let mut bounds = config.bounds.clone();
        bounds.push(f64::INFINITY);
        Self { bounds, running: Counters::default(), scrapes: VecDeque::new(), last_scrape: Duration::ZERO }
    }

    /// Counts one step of `dt` seconds.
    pub(super) fn count(&mut self, arrivals: f64, served: &Served, dt: f64) {
        let answers = (served.served + served.rejected) * dt;
        self.running.seconds += dt;
        self.running.arrivals += arrivals * dt;
        self.running.answers += answers;
        self.running.cpu += served.cpu_seconds;
        self.running.buckets.resize(self.bounds.len(), 0.0);
        if answers > 0.0 {
            for (sum, share) in self.running.buckets.iter_mut().zip(served.latency.counts(&self.bounds)) {
                *sum += answers * share;
            }
        }
    }

    /// Scrapes when it is time to.
    pub(super) fn scrape(&mut self, now: Duration, config: &TelemetryConfig, pods: Scraped, backlog: f64) {
        if now < self.last_scrape.saturating_add(config.scrape) {
            return;
        }
        self.last_scrape = now;
        let counted = std::mem::take(&mut self.running);
        let part = match pods {
            // Nobody scraped: what was counted shows in no sample.
            Scraped { stopped: true, .. } | Scraped { expected: 0, entry: false, .. } => return,
            Scraped { entry: true, .. } => 1.0,
            Scraped { reporting, expected, .. } => f64::from(reporting) / f64::from(expected),
        };
        let keep = config.window.max(config.burst_window).saturating_add(config.scrape);
        while self.scrapes.front().is_some_and(|old| old.at.saturating_add(keep) < now) {
            self.scrapes.pop_front();
        }
        self.scrapes.push_back(Scrape {
            at: now,
            counted: counted.times(part),
            backlog,
            reporting: pods.reporting,
            expected: pods.expected,
        });
    }

    /// Truthful rates over `window`, as of the newest sample that can be read now, with `ready` pods by now.
    pub(super) fn rates(
        &self,
        now: Duration,
        window: Duration,
        config: &TelemetryConfig,
        model: &ServiceModel,
        (at, ready): (MeasuredAt, u32),
    ) -> Option<Rates> {
        let seen = now.checked_sub(config.delay)?;
        // A range query looks back from now, not from the newest sample.
        let from = now.saturating_sub(window.saturating_add(config.delay));
        let samples = || self.scrapes.iter().filter(|s| s.at <= seen && s.at > from);
        let newest = samples().next_back()?;
        let mut sum = Counters { buckets: vec![0.0; self.bounds.len()], ..Counters::default() };
        for sample in samples() {
            sum.add(&sample.counted);
        }
        // As rate() does: what was counted over the whole window, which is extrapolated to by about a scrape and
        // no further. A window that is partly empty reads as less load.
        let whole = window.saturating_sub(config.scrape).as_secs_f64();
        let seconds = sum.seconds.max(whole).max(f64::MIN_POSITIVE);
        // Arrivals are what a gateway or a queue sees; pods see what they answer.
        let requests = match at {
            MeasuredAt::Entry => sum.arrivals / seconds,
            MeasuredAt::Pods => sum.answers / seconds,
        };
        Some(Rates {
            window,
            requests,
            histogram: self.bounds.iter().zip(&sum.buckets).map(|(b, n)| (*b, n / seconds)).collect(),
            endpoints: model.by_endpoint(requests).map(|(name, rate)| (name.to_owned(), rate)).collect(),
            cpu: sum.cpu / seconds,
            backlog: newest.backlog,
            observed_at: newest.at,
            reporting: (at == MeasuredAt::Pods).then(|| newest.reporting(ready)),
        })
    }
}

/// Who could be scraped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scraped {
    /// Pods whose samples arrive.
    pub(super) reporting: u32,
    /// Pods that are ready.
    pub(super) expected: u32,
    /// The numbers come from an entry or exporter, not from the pods.
    pub(super) entry: bool,
    /// Nothing is scraped at all.
    pub(super) stopped: bool,
}

impl Scraped {
    /// Who can be scraped of `ready` pods under these faults.
    pub(super) fn under<'a>(faults: impl Iterator<Item = &'a FaultKind>, ready: u32, at: MeasuredAt) -> Self {
        let mut scraped =
            Self { reporting: ready, expected: ready, entry: at == MeasuredAt::Entry, stopped: false };
        for fault in faults {
            match fault {
                FaultKind::MetricsStale => scraped.stopped = true,
                FaultKind::PodsSilent { percent } => {
                    let silent = ready.saturating_mul((*percent).min(100)).div_ceil(100);
                    scraped.reporting = scraped.reporting.min(ready.saturating_sub(silent));
                }
                _ => {}
            }
        }
        scraped
    }
}

impl Counters {
    fn times(self, part: f64) -> Self {
        Self {
            seconds: self.seconds,
            arrivals: self.arrivals * part,
            answers: self.answers * part,
            buckets: self.buckets.into_iter().map(|n| n * part).collect(),
            cpu: self.cpu * part,
        }
    }

    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.arrivals += other.arrivals;
        self.answers += other.answers;
        self.cpu += other.cpu;
        for (sum, n) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += n;
        }
    }
}

/// What the source says under these faults instead of `truth`.
///
/// A source that cannot answer at all hides every lie about single values.
pub(super) fn told<'a, T: Twist>(
    truth: Option<T>,
    faults: impl Iterator<Item = &'a FaultKind> + Clone,
) -> Answer<T> {
    let failure = faults.clone().find_map(|fault| match fault {
        FaultKind::MetricsHttpError { status } => Some(Failure::Http(*status)),
        FaultKind::MetricsTimeOut => Some(Failure::TimedOut),
        FaultKind::MetricsUnreachable => Some(Failure::Unreachable),
        FaultKind::MetricsWrongShape => Some(Failure::WrongShape),
        _ => None,
    });
    if let Some(failure) = failure {
        return Answer::Failed(failure);
    }
    if faults.clone().any(|fault| matches!(fault, FaultKind::MetricsEmpty)) {
        return Answer::Empty;
    }
    let Some(mut value) = truth else { return Answer::Absent };
    for fault in faults {
        match fault {
            FaultKind::MetricsAbsent => return Answer::Absent,
            FaultKind::MetricsNotANumber => value.twist(&|_| f64::NAN),
            FaultKind::MetricsInfinite => value.twist(&|_| f64::INFINITY),
            FaultKind::MetricsNegative => value.twist(&|x| -1.0 - x),
            FaultKind::MetricsLow { percent } => value.twist(&|x| x * f64::from(*percent) / 100.0),
            _ => {}
        }
    }
    Answer::Value(value)
}

/// Numbers that a lie can change, all in the same way.
pub(super) trait Twist {
    /// Changes every number.
    fn twist(&mut self, lie: &dyn Fn(f64) -> f64);
}

impl Twist for Rates {
    fn twist(&mut self, lie: &dyn Fn(f64) -> f64) {
        self.requests = lie(self.requests);
        self.cpu = lie(self.cpu);
        self.backlog = lie(self.backlog);
        self.histogram.iter_mut().for_each(|(_, rate)| *rate = lie(*rate));
        self.endpoints.iter_mut().for_each(|(_, rate)| *rate = lie(*rate));
    }
}

impl Twist for Gauge {
    fn twist(&mut self, lie: &dyn Fn(f64) -> f64) {
        self.value = lie(self.value);
    }
}

/// The value of a policy's own query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gauge {
    /// The number.
    pub value: f64,
    /// Time of its newest sample since the start of the world.
    pub observed_at: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::service::ServiceState;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A minute of 100 requests/s on four pods, scraped every 5 s under a fault.
    fn minute(fault: Option<&FaultKind>) -> (Scraper, TelemetryConfig, ServiceModel) {
        let (config, model) = (TelemetryConfig::default(), ServiceModel::plain(100.0));
        let (mut scraper, mut state) = (Scraper::new(&config), ServiceState::default());
        for t in 1..=60 {
            scraper.count(100.0, &model.serve(100.0, 4, 1.0, &mut state), 1.0);
            scraper.scrape(s(t), &config, Scraped::under(fault.into_iter(), 4, MeasuredAt::Pods), 0.0);
        }
        (scraper, config, model)
    }

    fn rates(of: &(Scraper, TelemetryConfig, ServiceModel), now: u64) -> Option<Rates> {
        of.0.rates(s(now), s(60), &of.1, &of.2, (MeasuredAt::Pods, 4))
    }

    #[test]
    fn a_healthy_scrape_tells_the_truth_of_a_moment_ago() {
        let read = rates(&minute(None), 60).unwrap();
        assert!((read.requests - 100.0).abs() < 1e-9, "{}", read.requests);
        assert_eq!(
            (read.observed_at, read.reporting),
            (s(55), Some(4)),
            "the newest scrape is not visible yet"
        );
        assert!((read.histogram.last().unwrap().1 - 100.0).abs() < 1e-9);
    }

    #[test]
    fn silent_pods_take_their_requests_with_them() {
        let read = rates(&minute(Some(&FaultKind::PodsSilent { percent: 50 })), 60).unwrap();
        assert!((read.requests - 50.0).abs() < 1e-9);
        assert_eq!(read.reporting, Some(2));
    }

    #[test]
    fn rates_grow_old_and_vanish_when_nothing_is_scraped() {
        let world = minute(None);
        assert_eq!(rates(&world, 100).unwrap().observed_at, s(60));
        assert_eq!(rates(&world, 200), None);
    }

    #[test]
    fn each_lie_is_told_in_its_own_way() {
        let truth = || Some(Gauge { value: 5.0, observed_at: s(1) });
        let say = |fault: FaultKind| told(truth(), [&fault].into_iter());
        assert_eq!(say(FaultKind::MetricsAbsent), Answer::Absent);
        assert_eq!(say(FaultKind::MetricsEmpty), Answer::Empty);
        assert_eq!(say(FaultKind::MetricsHttpError { status: 503 }), Answer::Failed(Failure::Http(503)));
        assert_eq!(say(FaultKind::MetricsTimeOut), Answer::Failed(Failure::TimedOut));
        let value = |fault| match say(fault) {
            Answer::Value(gauge) => gauge.value,
            other => panic!("{other:?}"),
        };
        assert!(value(FaultKind::MetricsNotANumber).is_nan());
        assert!(value(FaultKind::MetricsInfinite).is_infinite());
        assert!(value(FaultKind::MetricsNegative) < 0.0);
        assert!((value(FaultKind::MetricsLow { percent: 20 }) - 1.0).abs() < 1e-12);
        assert!((value(FaultKind::RollOut) - 5.0).abs() < 1e-12, "not a fault of telemetry");
    }
}
