//! The metrics of the operator, in the OpenMetrics format.
//!
//! Counters are pre-set to 0 for every label that an alert reads, so that an alert on their rate sees the first
//! increase. Series by policy are kept for at most [`MAX_POLICY_SERIES`] policies.

mod capacity;
mod changing;
mod forecast;
mod history;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use loadline_policies::{
    now::Mono,
    plan::{Applied, Decision, Plan},
    reason::{Condition, ConditionKind},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use self::changing::Changing;
use super::aftermath::OUTAGES;
use crate::client::Call;

/// Series by policy are bounded: the first so many in alphabetical order have their own.
pub const MAX_POLICY_SERIES: usize = 1_000;

/// Tick steps and decision lag: from a millisecond to half a minute.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The steps of a tick.
pub const STEPS: &[&str] = &["observe", "read", "tick", "apply", "report"];

type Float = Gauge<f64, AtomicU64>;
type Counts<L> = Changing<L, i64, AtomicI64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Settled {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct State {
    condition: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Of {
    namespace: String,
    policy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Problem {
    namespace: String,
    policy: String,
    condition: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Api {
    verb: &'static str,
    resource: String,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    steps: Family<Step, Histogram, fn() -> Histogram>,
    lag: Histogram,
    ticks: Counter,
    actions: Family<Settled, Counter>,
    statuses: Family<Settled, Counter>,
    events: Family<Settled, Counter>,
    dropped_events: Counter,
    policies: Gauge,
    conditions: Counts<State>,
    problems: Counts<Problem>,
    data_age: Float,
    /// When the oldest reading of the last tick that had any was taken.
    oldest_reading: Mutex<Option<Mono>>,
    queries: Counter,
    queries_per_tick: Gauge,
    leader: Gauge,
    desired: Counts<Of>,
    ready: Counts<Of>,
    redundancy: Changing<Of, f64, AtomicU64>,
    load: Changing<Of, f64, AtomicU64>,
    endpoints: Changing<Of, i64, AtomicI64>,
    forecasts: forecast::Forecasts,
    history: history::History,
    capacities: capacity::Capacities,
    calls: Family<Api, Counter>,
    /// Queries answered so far, to count those of a tick.
    seen_queries: AtomicU64,
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS.iter().copied())
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("loadline"),
            steps: Family::new_with_constructor(seconds),
            lag: seconds(),
            ticks: Counter::default(),
            actions: Family::default(),
            statuses: Family::default(),
            events: Family::default(),
            dropped_events: Counter::default(),
            policies: Gauge::default(),
            conditions: Changing::default(),
            problems: Changing::default(),
            data_age: Float::default(),
            oldest_reading: Mutex::default(),
            queries: Counter::default(),
            queries_per_tick: Gauge::default(),
            leader: Gauge::default(),
            desired: Changing::default(),
            ready: Changing::default(),
            redundancy: Changing::default(),
            load: Changing::default(),
            endpoints: Changing::default(),
            forecasts: forecast::Forecasts::default(),
            history: history::History::default(),
            capacities: capacity::Capacities::default(),
            calls: Family::default(),
            seen_queries: AtomicU64::default(),
        };
        metrics.preset().registered()
    }
}

impl Metrics {
    /// Sets to 0 what alerts read.
    fn preset(self) -> Self {
        for step in STEPS {
            drop(self.steps.get_or_create(&Step { step }));
        }
        for outcome in ["done", "skipped", "refused", "failed"] {
            drop(self.actions.get_or_create(&Settled { outcome }));
        }
        for outcome in ["done", "conflict", "forbidden"] {
            drop(self.statuses.get_or_create(&Settled { outcome }));
            drop(self.events.get_or_create(&Settled { outcome }));
        }
        self
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        let build: Family<Build, Gauge> = Family::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        r.register("build_info", "Version of the binary", build);
        r.register_with_unit(
            "tick_step_duration",
            "Time of each step of a tick",
            Unit::Seconds,
            self.steps.clone(),
        );
        r.register_with_unit(
            "decision_lag",
            "From the telemetry's answer to the sending of a scale write that was done",
            Unit::Seconds,
            self.lag.clone(),
        );
        r.register("ticks", "Ticks", self.ticks.clone());
        r.register("actions", "Scale actions by outcome", self.actions.clone());
        r.register("status_writes", "Status writes by outcome", self.statuses.clone());
        r.register("events", "Event writes by outcome", self.events.clone());
        r.register("events_dropped", "Events dropped because too many waited", self.dropped_events.clone());
        r.register("policies", "ElasticPolicies seen", self.policies.clone());
        r.register(
            "policy_conditions",
            "Policies by condition and its status",
            self.conditions.family.clone(),
        );
        r.register(
            "policy_problem",
            "1 for each condition of a policy that asks for a person, and why",
            self.problems.family.clone(),
        );
        r.register_with_unit(
            "data_age",
            "Age of the oldest reading that the last tick used; when none could be read, of the last ones",
            Unit::Seconds,
            self.data_age.clone(),
        );
        r.register("telemetry_queries", "Queries sent to telemetry sources", self.queries.clone());
        r.register("telemetry_queries_per_tick", "Queries of the last tick", self.queries_per_tick.clone());
        r.register("leader", "1 while this process may write", self.leader.clone());
        r.register("desired_replicas", "Replicas wanted, by policy", self.desired.family.clone());
        r.register("ready_replicas", "Replicas ready, by policy", self.ready.family.clone());
        r.register(
            "redundancy",
            "Capacity of the ready replicas over the load, by policy",
            self.redundancy.family.clone(),
        );
        r.register("weighted_qps", "Weighted requests per second, by policy", self.load.family.clone());
        r.register(
            "endpoints_weighed",
            "Endpoints with a learned weight in use, by policy that is to learn them",
            self.endpoints.family.clone(),
        );
        self.forecasts.register(r);
        self.history.register(r);
        self.capacities.register(r);
        r.register("api_calls", "Calls to API servers by verb, resource and code", self.calls.clone());
        self
    }

    /// Those of the past of the load.
    #[must_use]
    pub const fn history(&self) -> &history::History {
        &self.history
    }

    /// The time that one step of a tick took.
    pub fn step(&self, step: &'static str, took: Duration) {
        self.steps.get_or_create(&Step { step }).observe(took.as_secs_f64());
    }

    /// From the telemetry's answer to a write sent.
    pub fn lag(&self, lag: Duration) {
        self.lag.observe(lag.as_secs_f64());
    }

    /// Whether this process may write.
    pub fn leading(&self, leading: bool) {
        self.leader.set(i64::from(leading));
    }

    /// The number of queries sent since the start of the process; the difference is those of this tick.
    pub fn queries(&self, total: u64) {
        let before = self.seen_queries.swap(total, Ordering::Relaxed);
        let new = total.saturating_sub(before);
        self.queries.inc_by(new);
        self.queries_per_tick.set(i64::try_from(new).unwrap_or(i64::MAX));
    }

    /// A status write and what became of it.
    pub fn status_write(&self, outcome: &'static str) {
        self.statuses.get_or_create(&Settled { outcome }).inc();
    }

    /// An Event write and what became of it.
    pub fn event(&self, outcome: &'static str) {
        self.events.get_or_create(&Settled { outcome }).inc();
    }

    /// An Event that had to go.
    pub fn event_dropped(&self) {
        self.dropped_events.inc();
    }

    /// A call to an API server.
    pub fn call(&self, call: Call) {
        let code = call.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        self.calls.get_or_create(&Api { verb: call.verb, resource: call.resource, code }).inc();
    }

    /// A plan that was applied.
    pub fn plan(&self, plan: &Plan<Applied>) {
        self.ticks.inc();
        for applied in &plan.actions {
            self.actions.get_or_create(&Settled { outcome: applied.outcome.label() }).inc();
        }
        self.policies.set(i64::try_from(plan.decisions.len()).unwrap_or(i64::MAX));
        self.age_of_data(plan);
        self.count_conditions(plan);
        self.name_problems(plan);
        self.by_policy(plan);
    }

    /// When nothing could be read, what was read last grows older: 0 would say that it is fresh.
    fn age_of_data(&self, plan: &Plan<Applied>) {
        let mut read = self.oldest_reading.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = plan.decisions.values().filter_map(|d| d.demand).map(|d| d.age).max();
        let now = plan.at.mono;
        *read = match (oldest, *read) {
            (Some(age), _) => Some(now.minus(age)),
            // There is nothing to be read for no policy.
            (None, _) if plan.decisions.is_empty() => None,
            (None, before) => Some(before.unwrap_or(now)),
        };
        self.data_age.set(read.map_or(0.0, |at| now.since(at).as_secs_f64()));
    }

    fn name_problems(&self, plan: &Plan<Applied>) {
        let problems = plan.decisions.iter().flat_map(|(key, decision)| {
            decision.conditions.iter().filter(|c| is_problem(c)).map(|c| Problem {
                namespace: key.namespace.to_string(),
                policy: key.name.to_string(),
                condition: c.kind.to_string(),
                reason: c.reason,
            })
        });
        self.problems.show(problems.take(MAX_POLICY_SERIES).map(|problem| (problem, 1)).collect());
    }

    fn count_conditions(&self, plan: &Plan<Applied>) {
        let mut counts = BTreeMap::<(ConditionKind, &'static str), i64>::new();
        for condition in plan.decisions.values().flat_map(|d| &d.conditions) {
            let status = match condition.status {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            *counts.entry((condition.kind, status)).or_default() += 1;
        }
        let states = counts.into_iter();
        let state =
            |((kind, status), n): ((ConditionKind, _), _)| (State { condition: kind.to_string(), status }, n);
        self.conditions.show(states.map(state).collect());
    }

    fn by_policy(&self, plan: &Plan<Applied>) {
        let judged: Vec<(Of, &Decision)> = plan
            .decisions
            .iter()
            .take(MAX_POLICY_SERIES)
            .filter(|(_, decision)| decision.mode.is_some())
            .map(|(key, decision)| {
                (Of { namespace: key.namespace.to_string(), policy: key.name.to_string() }, decision)
            })
            .collect();
        self.desired.show(each(&judged, |d| Some(i64::from(d.desired))));
        self.ready.show(each(&judged, |d| Some(i64::from(d.replicas.ready))));
        self.redundancy.show(each(&judged, |d| d.redundancy.filter(|r| r.is_finite())));
        self.load.show(each(&judged, |d| d.demand.map(|demand| demand.weighted)));
        self.endpoints.show(each(&judged, |d| d.endpoints_weighed.map(i64::from)));
        self.forecasts.show(&judged);
        self.capacities.show(&judged);
    }

    /// Everything, as a scraper reads it.
    ///
    /// # Errors
    /// Never in practice: writing into a string does not fail.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The receiver of the meter of API calls.
    #[must_use]
    pub fn recorder(self: &Arc<Self>) -> crate::client::Record {
        let metrics = Arc::clone(self);
        crate::client::Record::new(move |call| metrics.call(call))
    }
}

/// A number of each policy, where it has one.
fn each<N>(judged: &[(Of, &Decision)], number: impl Fn(&Decision) -> Option<N>) -> BTreeMap<Of, N> {
    judged.iter().filter_map(|(of, decision)| Some((of.clone(), number(decision)?))).collect()
}

/// Whether a condition asks for a person. A policy that only observes, or is paused, was told to; one that cannot
/// write because of an outage was not.
fn is_problem(condition: &Condition) -> bool {
    use ConditionKind as Kind;
    match condition.kind {
        Kind::Ready | Kind::DataFresh | Kind::CapacityKnown => condition.status == Some(false),
        Kind::Contested | Kind::ScalingLimited | Kind::LatencyNotCapacityBound => {
            condition.status == Some(true)
        }
        Kind::ScalingActive => OUTAGES.contains(&condition.reason),
        Kind::ForecastTrusted => false,
    }
}

#[cfg(test)]
mod tests;
