//! What lint says of every kind of wrong policy in `tests/bad`, as snapshots.
//!
//! The first line of each file says where it is caught: `api-server` and `lint` are errors of lint, `condition` is
//! what only shows at run time, of which lint can at most warn, and `warning` is what does no harm.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use loadline_controller::{
    config::Config,
    lint::{Environment, Report, Severity, Source, lint},
};

fn files() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bad");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn look_at(name: &str, text: &str) -> Report {
    static OPERATOR: LazyLock<Environment> = LazyLock::new(|| Environment::of(&Config::default()));
    lint(&[Source { name: name.to_owned(), text: text.to_owned() }], &OPERATOR).unwrap()
}

#[test]
fn every_wrong_policy_is_answered_with_the_field_and_the_way_to_fix_it() {
    let files = files();
    assert!(files.len() >= 60, "the files were found: {}", files.len());
    let mut silent = Vec::new();
    for (name, text) in &files {
        let report = look_at(name, text);
        let errors = report.count(Severity::Error);
        let caught = match text.lines().next().and_then(|l| l.strip_prefix("# caught-by: ")) {
            Some("api-server" | "lint") => errors > 0,
            Some("condition") => errors == 0,
            Some("warning") => errors == 0 && report.count(Severity::Warning) > 0,
            other => panic!("{name} says in its first line where it is caught: {other:?}"),
        };
        if !caught {
            silent.push(name);
        }
        let said: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(name.trim_end_matches(".yaml"), said.join("\n"));
    }
    assert!(silent.is_empty(), "not caught as their first line says: {silent:?}");
}

#[test]
fn a_good_policy_is_met_with_silence() {
    let text = "
apiVersion: loadline.dev/v1alpha1
kind: ElasticPolicy
metadata: {name: checkout, namespace: shop, annotations: {loadline.dev/paused: 'true'}}
spec:
  target: {apiVersion: apps/v1, kind: Deployment, name: checkout}
  mode: Active
  bounds: {min: 3, max: 400}
  load:
    profile: otel-http
    match: {labels: {http_route: /cart}}
    weights: {latency: {cuts: [10ms, 50ms, 100ms, 500ms], factors: [0.1, 0.5, 2, 4, 8]}}
  objective: {latency: {quantile: 0.99, target: 250ms}}
  capacity: {perReplica: '12.5', redundancy: {min: 1, max: 2}}
  forecast: {quantile: 0.95, history: 336h}
  schedules: [{name: lunch, start: '30 11 * * 1-5', duration: 2h, timeZone: Asia/Shanghai, min: 40, ramp: 10m}]
  triggers:
  - {name: backlog, query: sum(kafka_consumergroup_lag), perReplica: 200}
  - {name: both, query: sum(up), formula: 'math.ceil(values.backlog / 100.0) + value'}
  behaviour:
    scaleDown: {stabilizationWindow: 5m, selectPolicy: Min, tolerance: 0.05, maxStep: 10, dwell: 30s}
    scaleUp: {policies: [{type: Percent, value: 100, period: 15s}, {type: Replicas, value: 4, period: 15s}]}
  fallback: {after: 3m, policy: AtLeast, replicas: 10}
";
    let report = look_at("good.yaml", text);
    assert_eq!(report.findings, [], "{:#?}", report.findings);
    assert_eq!(report.objects, 1);
}
