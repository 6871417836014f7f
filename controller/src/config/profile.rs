//! A profile: how one kind of telemetry is read, and which workload a series belongs to.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    cpu::CpuCounter,
    error::Complaints,
    pattern::{Place, check_label, is_metric},
    raw::{
        RawDefaultMatch, RawHistogram, RawIdentity, RawPlace, RawProfile, RawSeries, RawUnit, RawWorkload,
    },
};

/// How one kind of telemetry is read.
#[derive(Debug, Clone)]
pub struct Profile {
    /// What policies call it.
    pub name: String,
    /// For people: where this telemetry comes from, and what it needs.
    pub description: String,
    /// Written from documentation, not proven against the real thing.
    pub experimental: bool,
    /// Exists without the workload's own pods (an entry, a queue), so it may wake a workload from zero.
    pub independent: bool,
    /// Latency of requests.
    pub histogram: Option<LatencyHistogram>,
    /// Offered requests, where the histogram does not count them all; for a queue the arrivals.
    pub requests: Option<Series>,
    /// Requests that were turned away and that `requests` (or the histogram) does not count.
    pub rejected: Option<Series>,
    /// Messages that wait.
    pub backlog: Option<Series>,
    /// CPU seconds of the workloads; absent where nobody is known to count them.
    pub cpu: Option<Box<CpuCounter>>,
    /// Which workload a series belongs to.
    pub identity: Identity,
}

/// A latency histogram of the classic kind (`_bucket`, `_count`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyHistogram {
    /// Name without `_bucket`.
    pub metric: String,
    /// Label matchers, comma separated; empty for none.
    pub matchers: String,
    /// How many of the unit of `le` make a second: 1 or 1,000.
    pub per_second: u32,
}

/// A counter or gauge, or PromQL where the telemetry needs arithmetic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Series {
    /// One metric: counters are rated, gauges are read, both are summed.
    Metric {
        /// Its name.
        name: String,
        /// Label matchers, comma separated; empty for none.
        matchers: String,
    },
    /// PromQL over `$by` (the labels to group by), `$window` and `$cluster` (`, label` or nothing).
    Expression(String),
}

/// Which workload a series belongs to.
#[derive(Debug, Clone)]
pub struct Identity {
    /// How a policy without `load.match` finds its series.
    pub default: DefaultMatch,
    /// The label with the workload's namespace. Absent where the telemetry does not know it, or where the
    /// places below hold it.
    pub namespace: Option<String>,
    /// The telemetry knows no namespaces (a queue's broker), and whoever may write this configuration lets the
    /// policies of every namespace read the series of all.
    pub any_namespace: bool,
    /// Where the workload's name stands.
    pub workload: Option<WorkloadPlaces>,
    /// The label with the pod's name, which the operator's index maps to the pod's owner.
    pub pod: Option<String>,
    /// Where the route's name stands.
    pub route: Option<Place>,
    /// Where the service's name stands.
    pub service: Option<Place>,
    /// Further labels that `load.match.labels` may name.
    pub labels: Vec<String>,
    /// The label that tells those who report apart.
    pub replica: String,
    /// The label with the endpoint.
    pub endpoint: Option<String>,
}

/// How a policy without `load.match` finds its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultMatch {
    /// By the workload's name.
    Workload,
    /// By the workload's pods.
    Pod,
    /// By the route that is named as the workload.
    Route,
    /// By the service that is named as the workload.
    Service,
}

/// Where the workload's name stands.
#[derive(Debug, Clone)]
pub enum WorkloadPlaces {
    /// In one place for every kind.
    Any(Place),
    /// By kind of the target.
    ByKind(BTreeMap<String, Place>),
}

impl WorkloadPlaces {
    /// The place for a kind.
    #[must_use]
    pub fn of(&self, kind: &str) -> Option<&Place> {
        match self {
            Self::Any(place) => Some(place),
            Self::ByKind(kinds) => kinds.get(kind),
        }
    }

    /// All places.
    pub fn all(&self) -> impl Iterator<Item = &Place> {
        let (any, kinds) = match self {
            Self::Any(place) => (Some(place), None),
            Self::ByKind(kinds) => (None, Some(kinds.values())),
        };
        any.into_iter().chain(kinds.into_iter().flatten())
    }
}

impl Identity {
    /// See [`Profile::match_labels`].
    #[must_use]
    pub fn match_labels(&self) -> Option<BTreeSet<&str>> {
        if self.namespace.is_none() && !self.any_namespace {
            return None;
        }
        let places =
            self.workload.iter().flat_map(WorkloadPlaces::all).chain(&self.route).chain(&self.service);
        let labels = self.labels.iter().chain(&self.namespace).chain(places.map(|place| &place.label));
        Some(labels.map(String::as_str).collect())
    }
}

impl Profile {
    /// The metric whose sample times stand for all others, with its matchers.
    ///
    /// Validation makes sure that there is one.
    #[must_use]
    pub fn sampled(&self) -> Option<(String, &str)> {
        match (&self.requests, &self.histogram, &self.backlog) {
            (Some(Series::Metric { name, matchers }), _, _) => Some((name.clone(), matchers)),
            (_, Some(h), _) => Some((format!("{}_count", h.metric), &h.matchers)),
            (_, _, Some(Series::Metric { name, matchers })) => Some((name.clone(), matchers)),
            _ => None,
        }
    }

    /// Labels that `load.match.labels` may name; `None` where none may, because nothing would keep a policy to
    /// the series of its own namespace.
    #[must_use]
    pub fn match_labels(&self) -> Option<BTreeSet<&str>> {
        self.identity.match_labels()
    }

    pub(super) fn resolve(raw: RawProfile, field: &str, complaints: &mut Complaints) -> Self {
        let common = raw.matchers;
        let at = |part: &str| format!("{field}.{part}");
        let mut series = |part: &str, s: Option<RawSeries>| {
            s.and_then(|s| resolve_series(s, &common, &at(part), complaints))
        };
        let requests = series("requests", raw.requests);
        let rejected = series("rejected", raw.rejected);
        let backlog = series("backlog", raw.backlog);
        let histogram = raw.histogram.map(|h| resolve_histogram(h, &common, &at("histogram"), complaints));
        let cpu = raw.cpu.map(|cpu| Box::new(CpuCounter::resolve(cpu, &at("cpu"), complaints)));
        let identity = resolve_identity(raw.identity, &at("identity"), complaints);
        let profile = Self {
            name: raw.name,
            description: raw.description,
            experimental: raw.experimental,
            independent: raw.independent,
            histogram,
            requests,
            rejected,
            backlog,
            cpu,
            identity,
        };
        if profile.histogram.is_none() && profile.requests.is_none() {
            complaints.add(field, "neither `histogram` nor `requests`".into(), "say how load is counted");
        } else if profile.sampled().is_none() {
            complaints.add(
                field,
                "no sample times can be read of expressions alone".into(),
                "give `histogram`, or `requests` or `backlog` as a `metric`",
            );
        }
        profile
    }
}

fn resolve_series(
    raw: RawSeries,
    common: &[String],
    field: &str,
    complaints: &mut Complaints,
) -> Option<Series> {
    match (raw.metric, raw.expr) {
        (Some(name), None) => {
            check_metric(&name, field, complaints);
            let matchers = join(common, &raw.matchers, &name, field, complaints);
            Some(Series::Metric { name, matchers })
        }
        (None, Some(expr)) => {
            check_expression(&expr, field, complaints);
            Some(Series::Expression(expr))
        }
        _ => {
            complaints.add(field, "needs one of `metric` and `expr`".into(), "write exactly one");
            None
        }
    }
}

fn resolve_histogram(
    raw: RawHistogram,
    common: &[String],
    field: &str,
    complaints: &mut Complaints,
) -> LatencyHistogram {
    check_metric(&raw.metric, field, complaints);
    let matchers = join(common, &raw.matchers, &raw.metric, field, complaints);
    let per_second = match raw.unit {
        RawUnit::Seconds => 1,
        RawUnit::Milliseconds => 1_000,
    };
    LatencyHistogram { metric: raw.metric, matchers, per_second }
}

pub(super) fn resolve_identity(raw: RawIdentity, field: &str, complaints: &mut Complaints) -> Identity {
    let at = |part: &str| format!("{field}.{part}");
    let labels = raw.labels.iter().map(|l| ("labels", l));
    let single = [
        ("namespace", &raw.namespace),
        ("pod", &raw.pod),
        ("replica", &raw.replica),
        ("endpoint", &raw.endpoint),
    ];
    for (part, label) in single.iter().filter_map(|(p, l)| Some((*p, l.as_ref()?))).chain(labels) {
        check_label(label, &at(part), complaints);
    }
    let default = match raw.default {
        RawDefaultMatch::Workload => DefaultMatch::Workload,
        RawDefaultMatch::Pod => DefaultMatch::Pod,
        RawDefaultMatch::Route => DefaultMatch::Route,
        RawDefaultMatch::Service => DefaultMatch::Service,
    };
    let workload = raw.workload.and_then(|w| resolve_workload(w, &at("workload"), complaints));
    let route = raw.route.map(|p| Place::resolve(p, &at("route"), complaints));
    let service = raw.service.map(|p| Place::resolve(p, &at("service"), complaints));
    let apart = {
        let mut places = workload.iter().flat_map(WorkloadPlaces::all).chain(&route).chain(&service);
        raw.namespace.is_some() || places.all(|place| place.value.is_namespaced())
    };
    if !apart && !raw.any_namespace {
        complaints.add(
            at("namespace"),
            "nothing tells namespaces apart, so a policy could read another namespace's load".into(),
            "name the label with the namespace, put {namespace} into `value`, or say `anyNamespace: true`",
        );
    }
    let (name, there) = match default {
        DefaultMatch::Workload => ("workload", workload.is_some()),
        DefaultMatch::Pod => ("pod", raw.pod.is_some() && raw.namespace.is_some()),
        DefaultMatch::Route => ("route", route.is_some()),
        DefaultMatch::Service => ("service", service.is_some()),
    };
    if !there {
        complaints.add(
            at("default"),
            format!("`{name}` is the default, but is not given"),
            "give it (for `pod` also `namespace`), or choose another default",
        );
    }
    Identity {
        default,
        namespace: raw.namespace,
        any_namespace: raw.any_namespace,
        workload,
        replica: raw.replica.or_else(|| raw.pod.clone()).unwrap_or_else(|| "instance".to_owned()),
        pod: raw.pod,
        route,
        service,
        labels: raw.labels,
        endpoint: raw.endpoint,
    }
}

fn resolve_workload(raw: RawWorkload, field: &str, complaints: &mut Complaints) -> Option<WorkloadPlaces> {
    let RawWorkload { kinds, label, pattern, value } = raw;
    match (kinds, label) {
        (None, Some(label)) => {
            let place = Place::resolve(RawPlace { label, pattern, value }, field, complaints);
            Some(WorkloadPlaces::Any(place))
        }
        (Some(kinds), None) if !kinds.is_empty() => {
            let resolve = |(kind, raw): (String, RawPlace)| {
                let field = format!("{field}.kinds.{kind}");
                let place = Place::resolve(raw, &field, complaints);
                (kind, place)
            };
            Some(WorkloadPlaces::ByKind(kinds.into_iter().map(resolve).collect()))
        }
        _ => {
            complaints.add(field, "needs one of `label` and `kinds`".into(), "write exactly one");
            None
        }
    }
}

/// Joins matchers for a selector, and tries them on it.
pub(super) fn join(
    common: &[String],
    own: &[String],
    metric: &str,
    field: &str,
    complaints: &mut Complaints,
) -> String {
    let joined = common.iter().chain(own).map(String::as_str).collect::<Vec<_>>().join(",");
    if let Err(e) = promql_parser::parser::parse(&format!("{metric}{{{joined}}}")) {
        complaints.add(
            field,
            format!("`{joined}` are not label matchers: {e}"),
            "write each as in PromQL, for example reporter=\"destination\"",
        );
    }
    joined
}

pub(super) fn check_metric(name: &str, field: &str, complaints: &mut Complaints) {
    if !is_metric(name) {
        complaints.add(field, format!("{name:?} is not a metric name"), "write it as Prometheus shows it");
    }
}

fn check_expression(expr: &str, field: &str, complaints: &mut Complaints) {
    if !expr.contains("$by") {
        complaints.add(
            field,
            "the expression does not group by `$by`".into(),
            "write for example sum by ($by) (rate(x[$window]))",
        );
    }
    let filled = fill(expr, "namespace", "1m", "cluster");
    if let Err(e) = promql_parser::parser::parse(&filled) {
        complaints.add(field, format!("not PromQL: {e}"), "try it in Prometheus with the words filled in");
    }
}

/// Fills the words of an expression.
///
/// `by` is a list of labels, `cluster` the label of the cluster or empty.
#[must_use]
pub fn fill(expr: &str, by: &str, window: &str, cluster: &str) -> String {
    let cluster = if cluster.is_empty() { String::new() } else { format!(", {cluster}") };
    expr.replace("$by", by).replace("$window", window).replace("$cluster", &cluster)
}
