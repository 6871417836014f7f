//! The grouped queries: a few per profile and source, whatever the number of policies.
//!
//! ```text
//! histogram   sum by (<identity>, le) (rate(x_bucket[steady]))   load and latency, where latency is needed
//! requests    sum by (<identity>) (rate(x[steady]))              offered load that the histogram misses, or all
//! burst       sum by (<identity>) (rate(x_count[burst]))         offered load of the last seconds
//! newest      max by (<identity>) (timestamp(x_count))           the samples' own time
//! reporting   max by (<identity>, replica) (timestamp(x_count)) >= time() - 2 scrapes
//! ```
//!
//! `rate()` returns the time of the evaluation, so the time of the samples needs its own query.

use std::time::Duration;

use crate::{
    config::{Profile, Reach, Series, Source, fill},
    ports::Detail,
};

/// How long one who reported is still expected to report, where the ready replicas do not say it.
const EXPECTED_FOR: Duration = Duration::from_mins(5);

/// Of the past the load is looked at so often at least, as a forecast does.
pub(super) const MINUTE: Duration = Duration::from_mins(1);

/// What a query is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Rates by latency bucket, steady window.
    Histogram,
    /// Offered requests, steady window.
    Requests,
    /// Requests turned away, steady window.
    Rejected,
    /// Messages that wait.
    Backlog,
    /// Offered requests, burst window.
    BurstRequests,
    /// Requests turned away, burst window.
    BurstRejected,
    /// Rates by endpoint, steady window.
    Endpoints,
    /// Time of the newest sample.
    Newest,
    /// Replicas with a fresh sample.
    Reporting,
    /// Replicas that had a sample lately (for telemetry that is independent of the workload's pods).
    Expected,
}

impl Part {
    /// The name in messages and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Histogram => "histogram",
            Self::Requests => "requests",
            Self::Rejected => "rejected",
            Self::Backlog => "backlog",
            Self::BurstRequests => "burst_requests",
            Self::BurstRejected => "burst_rejected",
            Self::Endpoints => "endpoints",
            Self::Newest => "newest",
            Self::Reporting => "reporting",
            Self::Expected => "expected",
        }
    }
}

/// One query of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupedQuery {
    /// What it is for.
    pub part: Part,
    /// The PromQL.
    pub promql: String,
    /// Labels of the answer's series that are read, in this order.
    pub columns: Vec<String>,
    /// Which of the columns holds what the part tells apart beside the identity: the bucket, the endpoint, the
    /// replica. It may be a label of the identity.
    pub extra: Option<usize>,
}

/// Builds the queries of one profile for one source.
///
/// `by` are the labels that tell identities (and clusters) apart; `detail` is what anybody asks for besides the
/// number of requests.
#[must_use]
pub fn grouped(profile: &Profile, source: &Source, by: &[String], detail: Detail) -> Vec<GroupedQuery> {
    let builder = Builder { profile, source, by };
    let mut queries = Vec::new();
    let mut push = |part, promql: Option<String>, extra: Option<&str>| {
        if let Some(promql) = promql {
            let mut columns = by.to_vec();
            let extra = extra.map(|label| column(&mut columns, label));
            queries.push(GroupedQuery { part, promql, columns, extra });
        }
    };
    let steady = source.windows.steady;
    let histogram = if detail.latency { builder.histogram(steady) } else { None };
    // A histogram counts the requests too, unless the profile knows better.
    let counted = histogram.is_some() && profile.requests.is_none();
    let requests = if counted { None } else { builder.requests(steady) };
    push(Part::Histogram, histogram, Some("le"));
    push(Part::Requests, requests, None);
    push(Part::Rejected, profile.rejected.as_ref().map(|s| builder.rate(s, steady)), None);
    push(Part::Backlog, profile.backlog.as_ref().map(|s| builder.gauge(s)), None);
    if let Some(burst) = source.windows.burst {
        push(Part::BurstRequests, builder.requests(burst), None);
        push(Part::BurstRejected, profile.rejected.as_ref().map(|s| builder.rate(s, burst)), None);
    }
    if detail.endpoints
        && let Some(label) = &profile.identity.endpoint
    {
        push(Part::Endpoints, builder.endpoints(label, steady), Some(label));
    }
    if let Some((metric, matchers)) = profile.sampled() {
        let series = selector(&metric, matchers);
        let replica = Some(profile.identity.replica.as_str());
        push(Part::Newest, Some(builder.newest(&series)), None);
        push(Part::Reporting, Some(builder.reporting(&series)), replica);
        if profile.independent {
            push(Part::Expected, Some(builder.expected(&series)), replica);
        }
    }
    queries
}

/// Builds the queries of the past of one profile: offered requests, and those turned away.
///
/// Of slots longer than a minute they give the highest minute. That is a subquery, which Prometheus evaluates once by
/// the minute for the whole range: it costs 0.7 of the same range by the minute, and answers a fifth. The rate over the
/// slot itself would cost 0.3 of it, but is its mean, and a forecast is of the highest.
///
/// A steady window of less than a minute is for sources that are scraped every few seconds now. Their past may be
/// thinner, and a rate over less than two of its samples is nothing at all.
#[must_use]
pub fn past(profile: &Profile, source: &Source, by: &[String], slot: Duration) -> Vec<GroupedQuery> {
    let builder = Builder { profile, source, by };
    let window = source.windows.steady.max(MINUTE);
    let parts = [
        (Part::Requests, builder.requests(window)),
        (Part::Rejected, profile.rejected.as_ref().map(|s| builder.rate(s, window))),
    ];
    let queries = parts.into_iter().filter_map(|(part, promql)| {
        let mut promql = promql?;
        if slot > MINUTE {
            // A second less: up to Prometheus 2 a range holds its left end, which is a minute of the slot before.
            let range = duration(slot.saturating_sub(Duration::from_secs(1)));
            promql = format!("max_over_time(({promql})[{range}:{}])", duration(MINUTE));
        }
        Some(GroupedQuery { part, promql, columns: by.to_vec(), extra: None })
    });
    queries.collect()
}

/// Where a label stands, or is put.
pub(super) fn column(columns: &mut Vec<String>, label: &str) -> usize {
    columns.iter().position(|c| c == label).unwrap_or_else(|| {
        columns.push(label.to_owned());
        columns.len() - 1
    })
}

struct Builder<'a> {
    profile: &'a Profile,
    source: &'a Source,
    by: &'a [String],
}

impl Builder<'_> {
    fn histogram(&self, window: Duration) -> Option<String> {
        let h = self.profile.histogram.as_ref()?;
        let buckets = selector(&format!("{}_bucket", h.metric), &h.matchers);
        Some(format!("sum by ({}) (rate({buckets}[{}]))", self.grouping(&["le"]), duration(window)))
    }

    /// Offered requests where one query gives them: the profile's own counter, else the histogram's.
    fn requests(&self, window: Duration) -> Option<String> {
        match (&self.profile.requests, &self.profile.histogram) {
            (Some(series), _) => Some(self.rate(series, window)),
            (None, Some(h)) => {
                let count =
                    Series::Metric { name: format!("{}_count", h.metric), matchers: h.matchers.clone() };
                Some(self.rate(&count, window))
            }
            (None, None) => None,
        }
    }

    fn endpoints(&self, label: &str, window: Duration) -> Option<String> {
        let (metric, matchers) = match (&self.profile.requests, &self.profile.histogram) {
            (Some(Series::Metric { name, matchers }), _) => (name.clone(), matchers),
            (_, Some(h)) => (format!("{}_count", h.metric), &h.matchers),
            _ => return None,
        };
        let series = selector(&metric, matchers);
        Some(format!("sum by ({}) (rate({series}[{}]))", self.grouping(&[label]), duration(window)))
    }

    fn rate(&self, series: &Series, window: Duration) -> String {
        match series {
            Series::Metric { name, matchers } => {
                let series = selector(name, matchers);
                format!("sum by ({}) (rate({series}[{}]))", self.grouping(&[]), duration(window))
            }
            Series::Expression(expr) => self.fill(expr, window),
        }
    }

    fn gauge(&self, series: &Series) -> String {
        match series {
            Series::Metric { name, matchers } => {
                format!("sum by ({}) ({})", self.grouping(&[]), selector(name, matchers))
            }
            Series::Expression(expr) => self.fill(expr, self.source.windows.steady),
        }
    }

    fn newest(&self, series: &str) -> String {
        format!("max by ({}) (timestamp({series}))", self.grouping(&[]))
    }

    /// Replicas are told apart in the answer and counted by the reader. Counted by the server, a replica would
    /// count once for every value of a label that some other policy finds its series by.
    fn reporting(&self, series: &str) -> String {
        let fresh = duration_seconds(self.source.scrape_interval * 2);
        let replicas = self.grouping(&[&self.profile.identity.replica]);
        format!("max by ({replicas}) (timestamp({series})) >= time() - {fresh}")
    }

    fn expected(&self, series: &str) -> String {
        let window = duration(EXPECTED_FOR.max(self.source.scrape_interval * 4));
        let replicas = self.grouping(&[&self.profile.identity.replica]);
        format!("max by ({replicas}) (present_over_time({series}[{window}]))")
    }

    fn fill(&self, expr: &str, window: Duration) -> String {
        let cluster = match &self.source.reach {
            Reach::Label { label, .. } => label.as_str(),
            Reach::Cluster(_) => "",
        };
        fill(expr, &self.grouping(&[]), &duration(window), cluster)
    }

    fn grouping(&self, extra: &[&str]) -> String {
        let by = self.by.iter().map(String::as_str);
        let extra = extra.iter().copied().filter(|e| !self.by.iter().any(|b| b == e));
        by.chain(extra).collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn selector(metric: &str, matchers: &str) -> String {
    if matchers.is_empty() { metric.to_owned() } else { format!("{metric}{{{matchers}}}") }
}

/// A PromQL duration.
pub(super) fn duration(d: Duration) -> String {
    if d.subsec_millis() == 0 { format!("{}s", d.as_secs()) } else { format!("{}ms", d.as_millis()) }
}

/// Seconds as a PromQL number.
fn duration_seconds(d: Duration) -> String {
    d.as_secs_f64().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const LATENCY: Detail = Detail { latency: true, endpoints: false, cpu: false };
    const ALL: Detail = Detail { latency: true, endpoints: true, cpu: false };

    fn queries(source: &str, profile: &str, by: &[&str], detail: Detail) -> String {
        let config = Config::parse(&format!("sources: [{{name: a, url: 'http://a', {source}}}]")).unwrap();
        let by: Vec<String> = by.iter().map(|s| (*s).to_owned()).collect();
        let profile = config.profiles.get(profile).unwrap();
        let queries = grouped(profile, &config.sources[0], &by, detail);
        for q in &queries {
            promql_parser::parser::parse(&q.promql).unwrap_or_else(|e| panic!("{}: {e}", q.promql));
        }
        queries.iter().map(|q| format!("{:?}: {}", q.part, q.promql)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_histogram_profile_asks_for_load_burst_times_and_coverage() {
        insta::assert_snapshot!(queries(
            "scrapeInterval: 5s",
            "otel-http",
            &["k8s_namespace_name", "k8s_deployment_name"],
            ALL
        ));
    }

    #[test]
    fn an_independent_profile_also_asks_who_is_expected() {
        insta::assert_snapshot!(queries("scrapeInterval: 1500ms", "envoy", &["envoy_cluster_name"], ALL));
    }

    #[test]
    fn an_expression_is_grouped_by_the_cluster_of_a_global_source() {
        insta::assert_snapshot!(queries(
            "clusterLabel: cluster",
            "queue-kafka",
            &["cluster", "consumergroup"],
            LATENCY
        ));
    }

    #[test]
    fn every_profile_makes_queries_that_parse() {
        let config = Config::default();
        for profile in config.profiles.iter() {
            let made = queries("clusterLabel: cluster", &profile.name, &["cluster", "a"], ALL);
            assert!(!made.is_empty(), "{}", profile.name);
        }
    }

    #[test]
    fn without_a_need_for_latency_no_bucket_is_asked_for_and_the_number_of_queries_is_the_same() {
        let of = |profile: &str, detail| queries("scrapeInterval: 5s", profile, &["a"], detail);
        let plain = of("otel-http", Detail::default());
        assert!(!plain.contains("_bucket"), "{plain}");
        assert!(
            plain.contains("Requests: sum by (a) (rate(http_server_request_duration_seconds_count[60s]))"),
            "{plain}"
        );
        assert_eq!(plain.lines().count(), of("otel-http", LATENCY).lines().count());
        // Where a counter of its own counts the requests, there is one query less.
        assert_eq!(of("envoy", Detail::default()).lines().count() + 1, of("envoy", LATENCY).lines().count());
    }
}
