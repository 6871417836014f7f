//! Recorded answers to grouped queries, and the reading or doubt that each makes.

mod whose;

use std::collections::BTreeMap;

use loadline_policies::{
    ids::Target,
    reading::{Coverage, Observed},
};
use rstest::rstest;

use super::*;
use crate::{
    config::{Config, Profiles},
    observe::prometheus::query::Part,
    ports::SeriesSelector,
};

/// When the recorded answers were evaluated, in seconds.
const EVALUATED: f64 = 1000.0;

fn ask(policy: &str, profile: &str, expected: &[(&str, u32)]) -> LoadAsk {
    let (namespace, name) = policy.split_once('/').unwrap();
    LoadAsk {
        policy: PolicyKey::new(namespace, name),
        target: Target::new("apps/v1", "Deployment", namespace, name),
        profile: profile.into(),
        selector: SeriesSelector::Profile,
        detail: Detail { latency: true, endpoints: false, cpu: false },
        expected: expected.iter().map(|(c, n)| (ClusterId::new(c), *n)).collect(),
        triggers: BTreeMap::new(),
    }
}

/// A vector of series, each written as `label=value,label=value sample`.
fn vector(series: &[&str]) -> Vec<u8> {
    let row = |text: &&str| {
        let (labels, value) = text.rsplit_once(' ').unwrap();
        let labels: BTreeMap<&str, &str> = labels.split(',').filter_map(|l| l.split_once('=')).collect();
        serde_json::json!({"metric": labels, "value": [EVALUATED, value]})
    };
    let rows: Vec<_> = series.iter().map(row).collect();
    serde_json::json!({"status": "success", "data": {"resultType": "vector", "result": rows}})
        .to_string()
        .into_bytes()
}

/// A source, what is asked of it, and its answers by part.
struct Case {
    source: &'static str,
    /// Instead of one made of `source`.
    config: Option<&'static str>,
    profiles: Profiles,
    asks: Vec<LoadAsk>,
    answers: BTreeMap<Part, Result<Vec<u8>, Doubt>>,
    owners: SharedPodOwners,
}

impl Case {
    fn new(asks: &[LoadAsk]) -> Self {
        Self {
            source: "",
            config: None,
            profiles: Config::default().profiles,
            asks: asks.to_vec(),
            answers: BTreeMap::new(),
            owners: SharedPodOwners::default(),
        }
    }

    fn answer(mut self, part: Part, series: &[&str]) -> Self {
        self.answers.insert(part, Ok(vector(series)));
        self
    }

    /// An answer that tells replicas apart: labels of the identity, and the names of those who are there.
    fn replicas(self, part: Part, rows: &[(&str, &str)]) -> Self {
        let label = self.profiles.get(&self.asks[0].profile).unwrap().identity.replica.clone();
        let row = |labels: &str, name: &str| format!("{labels},{label}={name} 999");
        let rows: Vec<String> = rows
            .iter()
            .flat_map(|(labels, names)| names.split_whitespace().map(|name| row(labels, name)))
            .collect();
        self.answer(part, &rows.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn fails(mut self, part: Part, doubt: Doubt) -> Self {
        self.answers.insert(part, Err(doubt));
        self
    }

    fn read(&self) -> BTreeMap<String, LoadReading> {
        let source = format!("sources: [{{name: a, url: 'http://a', scrapeInterval: 5s, {}}}]", self.source);
        let config = Config::parse(self.config.unwrap_or(&source)).unwrap();
        let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
        for ask in &self.asks {
            let profile = self.profiles.get(&ask.profile).unwrap();
            let group =
                groups.entry(ask.profile.as_str()).or_insert_with(|| Group::new(profile, &config.sources[0]));
            for (cluster, expected) in &ask.expected {
                group.join(ask, cluster, *expected).unwrap();
            }
        }
        let mut readings = BTreeMap::new();
        for group in groups.values() {
            let mut slots = Slots::new(group.index.len());
            for query in group.queries() {
                let body = self.answers.get(&query.part).cloned().unwrap_or_else(|| Ok(vector(&[])));
                group.add(&mut slots, &query, &body, &self.owners);
            }
            for (policy, cluster, reading) in group.readings(&slots) {
                readings.insert(format!("{policy} in {cluster}"), reading);
            }
        }
        readings
    }

    fn one(&self) -> LoadReading {
        let mut readings = self.read();
        assert_eq!(readings.len(), 1, "{readings:#?}");
        readings.pop_first().unwrap().1
    }
}

const CHECKOUT: &str = "k8s_namespace_name=shop,k8s_deployment_name=checkout";

/// 100 requests/s of which 90 take at most 0.1 s, 120/s in the burst window, all four pods reporting.
fn healthy() -> Case {
    let row = |rest: &str| format!("{CHECKOUT}{rest}");
    let cart = "k8s_namespace_name=shop,k8s_deployment_name=cart";
    let buckets = [row(",le=0.1 90"), row(",le=+Inf 100"), format!("{cart},le=+Inf 1")];
    Case::new(&[ask("shop/checkout", "otel-http", &[("local", 4)])])
        .answer(Part::Histogram, &buckets.each_ref().map(String::as_str))
        .answer(Part::BurstRequests, &[&row(" 120"), &format!("{cart} 5")])
        .answer(Part::Newest, &[&row(" 998.5")])
        .replicas(Part::Reporting, &[(CHECKOUT, "a b c d")])
}

#[test]
fn a_healthy_answer_is_a_reading_with_its_own_time_and_coverage() {
    let reading = healthy().one();
    let steady = reading.steady.unwrap();
    assert_eq!(steady.observed_at.as_millisecond(), 998_500);
    assert_eq!(steady.coverage, Coverage { reporting: 4, expected: 4 });
    assert_eq!(steady.value.histogram.unwrap().buckets, [(0.1, 90.0), (f64::INFINITY, 100.0)]);
    assert!((steady.value.requests - 100.0).abs() < 1e-9);
    let burst = reading.burst.unwrap().unwrap().value;
    assert!((burst.requests - 120.0).abs() < 1e-9);
    assert_eq!((burst.window.as_secs(), burst.histogram), (15, None));
}

#[test]
fn the_load_is_read_without_latencies_where_nobody_needs_them() {
    let mut case = healthy();
    case.asks[0].detail.latency = false;
    let plain = case.answer(Part::Requests, &[&format!("{CHECKOUT} 99")]);
    let steady = plain.one().steady.unwrap().value;
    assert_eq!((steady.histogram.is_none(), steady.requests), (true, 99.0));
    // One that does is answered for all: there is one question for the group.
    let mut mixed = plain;
    mixed.asks.push(ask("shop/cart", "otel-http", &[("local", 1)]));
    let steady = mixed.read().remove("shop/checkout in local").unwrap().steady.unwrap().value;
    assert_eq!((steady.histogram.is_some(), steady.requests), (true, 100.0));
}

#[test]
fn a_load_without_latencies_that_is_not_there_is_a_doubt() {
    let mut case = healthy();
    case.asks[0].detail.latency = false;
    assert_eq!(case.one().steady, Err(Doubt::EmptyVector));
}

/// Every cause has its own doubt, and none of them is a zero.
#[rstest]
#[case::other_workloads_only(
    healthy().answer(Part::Histogram, &["k8s_namespace_name=shop,k8s_deployment_name=cart,le=+Inf 1"]),
    Doubt::AbsentSeries
)]
#[case::the_same_name_in_another_namespace(
    healthy().answer(Part::Histogram, &["k8s_namespace_name=bank,k8s_deployment_name=checkout,le=+Inf 1"]),
    Doubt::AbsentSeries
)]
#[case::nobody_at_all(healthy().answer(Part::Histogram, &[]), Doubt::EmptyVector)]
#[case::no_sample_times(healthy().answer(Part::Newest, &[]), Doubt::EmptyVector)]
#[case::not_a_number(
    healthy().answer(Part::Histogram, &["k8s_namespace_name=shop,k8s_deployment_name=checkout,le=+Inf NaN"]),
    Doubt::NotANumber
)]
#[case::infinite(
    healthy().answer(Part::Histogram, &["k8s_namespace_name=shop,k8s_deployment_name=checkout,le=+Inf +Inf"]),
    Doubt::Infinite
)]
#[case::negative(
    healthy().answer(Part::Histogram, &["k8s_namespace_name=shop,k8s_deployment_name=checkout,le=+Inf -1"]),
    Doubt::Negative
)]
#[case::stale(
    healthy().answer(Part::Newest, &["k8s_namespace_name=shop,k8s_deployment_name=checkout 980"]),
    Doubt::Stale { age: std::time::Duration::from_secs(20) }
)]
#[case::server_error(healthy().fails(Part::Histogram, Doubt::HttpStatus(503)), Doubt::HttpStatus(503))]
#[case::slow(healthy().fails(Part::Newest, Doubt::TimedOut), Doubt::TimedOut)]
#[case::away(healthy().fails(Part::Reporting, Doubt::Unreachable), Doubt::Unreachable)]
#[case::refused(
    healthy().fails(Part::Histogram, Doubt::QueryRefused("execution: too many samples".into())),
    Doubt::QueryRefused("execution: too many samples".into())
)]
fn every_cause_has_its_own_doubt(#[case] case: Case, #[case] doubt: Doubt) {
    assert_eq!(case.one().steady, Err(doubt));
}

#[rstest]
#[case::no_infinite_bucket(&["k8s_namespace_name=shop,k8s_deployment_name=checkout,le=0.1 90"])]
#[case::no_bound(&["k8s_namespace_name=shop,k8s_deployment_name=checkout 90"])]
#[case::odd_bound(&["k8s_namespace_name=shop,k8s_deployment_name=checkout,le=fast 90"])]
fn a_histogram_that_is_none_has_the_wrong_shape(#[case] series: &[&str]) {
    let steady = healthy().answer(Part::Histogram, series).one().steady;
    assert!(matches!(steady, Err(Doubt::WrongShape(_))), "{steady:?}");
}

#[test]
fn a_matrix_has_the_wrong_shape() {
    let mut case = healthy();
    let matrix = br#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    case.answers.insert(Part::Histogram, Ok(matrix.to_vec()));
    assert!(matches!(case.one().steady, Err(Doubt::WrongShape(_))));
}

#[test]
fn silent_pods_are_counted_and_the_reading_stays() {
    let reading = healthy().replicas(Part::Reporting, &[(CHECKOUT, "a b")]).one();
    assert_eq!(reading.steady.unwrap().coverage, Coverage { reporting: 2, expected: 4 });
}

#[test]
fn a_doubtful_burst_leaves_the_steady_reading_alone() {
    let reading = healthy().fails(Part::BurstRequests, Doubt::TimedOut).one();
    assert!(reading.steady.is_ok());
    assert_eq!(reading.burst.unwrap().map(|r| r.value.requests), Err(Doubt::TimedOut));
}

#[test]
fn a_source_that_is_scraped_rarely_has_no_burst_window() {
    let case = Case { source: "windows: {steady: 15s, burst: 15s}", ..healthy() };
    assert_eq!(case.one().burst, None);
}

#[test]
fn endpoints_are_read_where_they_are_asked_for() {
    let mut case = healthy();
    case.asks[0].detail.endpoints = true;
    let row = |route: &str, rate: &str| format!("{CHECKOUT},http_route={route} {rate}");
    let case = case.answer(Part::Endpoints, &[&row("/pay", "60"), &row("/cart", "30"), &row("", "10")]);
    let endpoints = case.one().steady.unwrap().value.endpoints;
    assert_eq!(endpoints, [("/cart".to_owned(), 30.0), ("/pay".to_owned(), 60.0)].into());
}

#[test]
fn endpoints_are_read_also_where_another_policy_finds_its_series_by_their_label() {
    let mut case = healthy();
    case.asks[0].detail.endpoints = true;
    let mut labelled = ask("shop/special", "otel-http", &[("local", 1)]);
    labelled.selector = SeriesSelector::Labels([("http_route".to_owned(), "/pay".to_owned())].into());
    case.asks.push(labelled);
    let row = |route: &str, rate: &str| format!("{CHECKOUT},http_route={route} {rate}");
    let case = case.answer(Part::Endpoints, &[&row("/pay", "60"), &row("/cart", "30")]);
    let endpoints = case.read().remove("shop/checkout in local").unwrap().steady.unwrap().value.endpoints;
    assert_eq!(endpoints, [("/cart".to_owned(), 30.0), ("/pay".to_owned(), 60.0)].into());
}

#[test]
fn the_queue_profile_reads_backlog_and_arrivals() {
    let case = Case::new(&[ask("shop/checkout", "queue-kafka", &[("local", 0)])])
        .answer(Part::Backlog, &["consumergroup=checkout 500", "consumergroup=cart 9"])
        .answer(Part::Requests, &["consumergroup=checkout 25"])
        .answer(Part::Newest, &["consumergroup=checkout 999"])
        .replicas(Part::Reporting, &[("consumergroup=checkout", "kafka-0")])
        .replicas(Part::Expected, &[("consumergroup=checkout", "kafka-0")]);
    let steady = case.one().steady.unwrap();
    assert_eq!((steady.value.backlog, steady.value.requests), (Some(500.0), 25.0));
    assert_eq!(steady.coverage, Coverage { reporting: 1, expected: 1 });
}

#[test]
fn the_number_of_queries_does_not_grow_with_the_number_of_policies() {
    let config = Config::parse("sources: [{name: a, url: 'http://a'}]").unwrap();
    let profile = config.profiles.get("otel-http").unwrap();
    let count = |policies: usize| {
        let asks: Vec<LoadAsk> =
            (0..policies).map(|i| ask(&format!("shop/w{i}"), "otel-http", &[("local", 1)])).collect();
        let mut group = Group::new(profile, &config.sources[0]);
        let local = ClusterId::local();
        for ask in &asks {
            group.join(ask, &local, 1).unwrap();
        }
        group.queries()
    };
    assert_eq!(count(1), count(10_000));
}

#[test]
fn a_doubt_of_the_whole_source_reaches_every_member() {
    let config = Config::parse("sources: [{name: a, url: 'http://a'}]").unwrap();
    let mut group = Group::new(config.profiles.get("otel-http").unwrap(), &config.sources[0]);
    let ask = ask("shop/checkout", "otel-http", &[("local", 1)]);
    for (cluster, expected) in &ask.expected {
        group.join(&ask, cluster, *expected).unwrap();
    }
    let steady: Vec<Observed<_>> =
        group.doubted(&Doubt::Unreachable).into_iter().map(|(_, _, r)| r.steady).collect();
    assert_eq!(steady, [Err(Doubt::Unreachable)]);
}
