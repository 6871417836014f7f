//! The metrics of the operator, in the OpenMetrics format.
//!
//! Counters are pre-set to 0 for every label that an alert reads, so that an alert on their rate sees the first
//! increase. Series by policy are kept for at most [`MAX_POLICY_SERIES`] policies.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use loadline_policies::{
    plan::{Applied, Decision, Plan},
    reason::{Condition, ConditionKind},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::client::Call;

/// Series by policy are bounded: the first so many in alphabetical order have their own.
pub const MAX_POLICY_SERIES: usize = 1_000;

/// Tick steps and decision lag: from a millisecond to half a minute.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The steps of a tick.
pub const STEPS: &[&str] = &["observe", "translate", "tick", "apply", "report"];

type Float = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Settled {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    condition: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
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
    conditions: Family<State, Gauge>,
    problems: Family<Problem, Gauge>,
    data_age: Float,
    queries: Counter,
    queries_per_tick: Gauge,
    leader: Gauge,
    desired: Family<Of, Gauge>,
    ready: Family<Of, Gauge>,
    redundancy: Family<Of, Float>,
    load: Family<Of, Float>,
    calls: Family<Api, Counter>,
    /// Queries answered so far, to count those of a tick.
    seen_queries: AtomicU64,
    /// The problems of the last plan, to take away those that are no longer.
    seen_problems: Mutex<BTreeSet<Problem>>,
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
            conditions: Family::default(),
            problems: Family::default(),
            data_age: Float::default(),
            queries: Counter::default(),
            queries_per_tick: Gauge::default(),
            leader: Gauge::default(),
            desired: Family::default(),
            ready: Family::default(),
            redundancy: Family::default(),
            load: Family::default(),
            calls: Family::default(),
            seen_queries: AtomicU64::default(),
            seen_problems: Mutex::default(),
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
            "From the telemetry's answer to the scale write confirmed",
            Unit::Seconds,
            self.lag.clone(),
        );
        r.register("ticks", "Ticks", self.ticks.clone());
        r.register("actions", "Scale actions by outcome", self.actions.clone());
        r.register("status_writes", "Status writes by outcome", self.statuses.clone());
        r.register("events", "Event writes by outcome", self.events.clone());
        r.register("events_dropped", "Events dropped because too many waited", self.dropped_events.clone());
        r.register("policies", "ElasticPolicies seen", self.policies.clone());
        r.register("policy_conditions", "Policies by condition and its status", self.conditions.clone());
        r.register(
            "policy_problem",
            "1 for each condition of a policy that asks for a person, and why",
            self.problems.clone(),
        );
        r.register_with_unit(
            "data_age",
            "Age of the oldest reading that the last tick used",
            Unit::Seconds,
            self.data_age.clone(),
        );
        r.register("telemetry_queries", "Queries sent to telemetry sources", self.queries.clone());
        r.register("telemetry_queries_per_tick", "Queries of the last tick", self.queries_per_tick.clone());
        r.register("leader", "1 while this process may write", self.leader.clone());
        r.register("desired_replicas", "Replicas wanted, by policy", self.desired.clone());
        r.register("ready_replicas", "Replicas ready, by policy", self.ready.clone());
        r.register(
            "redundancy",
            "Capacity of the ready replicas over the load, by policy",
            self.redundancy.clone(),
        );
        r.register("weighted_qps", "Weighted requests per second, by policy", self.load.clone());
        r.register("api_calls", "Calls to API servers by verb, resource and code", self.calls.clone());
        self
    }

    /// The time that one step of a tick took.
    pub fn step(&self, step: &'static str, took: Duration) {
        self.steps.get_or_create(&Step { step }).observe(took.as_secs_f64());
    }

    /// From the telemetry's answer to the writes done.
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
        let ages = plan.decisions.values().filter_map(|d| d.demand).map(|d| d.age.as_secs_f64());
        self.data_age.set(ages.fold(0.0, f64::max));
        self.count_conditions(plan);
        self.name_problems(plan);
        self.by_policy(plan);
    }

    /// Only what changed is touched: a scrape in the middle must not see a problem blink, which would start the
    /// waiting time of its alert anew.
    fn name_problems(&self, plan: &Plan<Applied>) {
        let now: BTreeSet<Problem> = plan
            .decisions
            .iter()
            .flat_map(|(key, decision)| {
                decision.conditions.iter().filter(|c| is_problem(c)).map(|c| Problem {
                    namespace: key.namespace.to_string(),
                    policy: key.name.to_string(),
                    condition: c.kind.to_string(),
                    reason: c.reason,
                })
            })
            .take(MAX_POLICY_SERIES)
            .collect();
        let mut seen = self.seen_problems.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in seen.difference(&now) {
            self.problems.remove(gone);
        }
        for new in now.difference(&seen) {
            self.problems.get_or_create(new).set(1);
        }
        *seen = now;
    }

    fn count_conditions(&self, plan: &Plan<Applied>) {
        let mut counts = std::collections::BTreeMap::<(ConditionKind, &'static str), i64>::new();
        for condition in plan.decisions.values().flat_map(|d| &d.conditions) {
            let status = match condition.status {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            *counts.entry((condition.kind, status)).or_default() += 1;
        }
        self.conditions.clear();
        for ((kind, status), n) in counts {
            self.conditions.get_or_create(&State { condition: kind.to_string(), status }).set(n);
        }
    }

    fn by_policy(&self, plan: &Plan<Applied>) {
        for family in [&self.desired, &self.ready] {
            family.clear();
        }
        for family in [&self.redundancy, &self.load] {
            family.clear();
        }
        for (key, decision) in plan.decisions.iter().take(MAX_POLICY_SERIES) {
            let of = Of { namespace: key.namespace.to_string(), policy: key.name.to_string() };
            self.one_policy(&of, decision);
        }
    }

    fn one_policy(&self, of: &Of, decision: &Decision) {
        if decision.mode.is_none() {
            return;
        }
        self.desired.get_or_create(of).set(i64::from(decision.desired));
        self.ready.get_or_create(of).set(i64::from(decision.replicas.ready));
        if let Some(redundancy) = decision.redundancy.filter(|r| r.is_finite()) {
            self.redundancy.get_or_create(of).set(redundancy);
        }
        if let Some(demand) = decision.demand {
            self.load.get_or_create(of).set(demand.weighted);
        }
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

/// Whether a condition asks for a person. A policy that only observes, or is paused, was told to.
fn is_problem(condition: &Condition) -> bool {
    use ConditionKind as Kind;
    match condition.kind {
        Kind::Ready | Kind::DataFresh | Kind::CapacityKnown => condition.status == Some(false),
        Kind::Contested | Kind::ScalingLimited | Kind::LatencyNotCapacityBound => {
            condition.status == Some(true)
        }
        Kind::ScalingActive | Kind::ForecastTrusted => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use loadline_policies::{
        fleet::{Fleet, InvalidPolicy},
        ids::PolicyKey,
        memory::Memory,
        now::Now,
    };

    use super::*;
    use crate::tick::tick;

    /// The plan for these policies, each of which is not valid.
    fn plan_of_invalid(names: &[&str]) -> Plan<Applied> {
        let invalid =
            |name: &&str| (PolicyKey::new("shop", name), InvalidPolicy { generation: 1, complaints: vec![] });
        let fleet = Fleet {
            now: Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO),
            freeze: None,
            clusters: BTreeMap::new(),
            workloads: BTreeMap::new(),
            invalid: names.iter().map(invalid).collect(),
        };
        tick(&fleet, &mut Memory::default()).applied(Vec::new())
    }

    #[test]
    fn a_problem_names_its_policy_for_as_long_as_it_lasts() {
        let line = |policy: &str| {
            format!(
                "loadline_policy_problem{{namespace=\"shop\",policy=\"{policy}\",condition=\"Ready\",\
                 reason=\"InvalidSpec\"}} 1\n"
            )
        };
        let metrics = Metrics::default();
        metrics.plan(&plan_of_invalid(&["cart", "checkout"]));
        let text = metrics.text().unwrap();
        assert!(text.contains(&line("cart")) && text.contains(&line("checkout")), "{text}");
        metrics.plan(&plan_of_invalid(&["checkout"]));
        let text = metrics.text().unwrap();
        assert!(!text.contains(&line("cart")) && text.contains(&line("checkout")), "{text}");
        metrics.plan(&plan_of_invalid(&[]));
        assert!(!metrics.text().unwrap().contains("loadline_policy_problem{"));
    }

    #[test]
    fn what_alerts_read_is_there_before_anything_happens() {
        let text = Metrics::default().text().unwrap();
        for line in [
            "loadline_actions_total{outcome=\"failed\"} 0",
            "loadline_status_writes_total{outcome=\"conflict\"} 0",
            "loadline_leader 0",
            "loadline_tick_step_duration_seconds_count{step=\"tick\"} 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn queries_of_a_tick_are_the_difference() {
        let metrics = Metrics::default();
        metrics.queries(5);
        metrics.queries(12);
        let text = metrics.text().unwrap();
        assert!(text.contains("loadline_telemetry_queries_per_tick 7"), "{text}");
        assert!(text.contains("loadline_telemetry_queries_total 12"), "{text}");
    }
}
