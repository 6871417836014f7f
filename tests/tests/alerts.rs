//! The alerts: promtool takes them, their own tests pass, and each has its runbook.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use jiff::Timestamp;
use loadline_controller::{report::metrics::Metrics, tick::tick};
use loadline_policies::{
    fleet::{Fleet, InvalidPolicy},
    ids::PolicyKey,
    memory::Memory,
    now::Now,
};
use loadline_tests::binaries::Packaged;
use serde::Deserialize;

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

#[test]
fn promtool_takes_the_rules() {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", "loadline.yaml"]);
}

#[test]
fn each_alert_fires_when_it_should_and_not_before() {
    promtool(&["test", "rules", "loadline_test.yaml"]);
    let tested = fs::read_to_string(folder("dashboards/alerts").join("loadline_test.yaml")).unwrap();
    for rule in rules() {
        let fires = tested.contains(&format!("alertname: {}\n        exp_alerts:\n", rule.alert));
        let rests = tested.contains(&format!("alertname: {}, exp_alerts: []", rule.alert));
        assert!(fires && rests, "{} is not tested both ways", rule.alert);
    }
}

#[test]
fn each_metric_of_an_alert_is_one_that_the_operator_shows() {
    // Given all that the operator shows, also what it shows only while a policy has a problem
    let broken = InvalidPolicy { generation: 1, complaints: Vec::new() };
    let fleet = Fleet {
        now: Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO),
        freeze: None,
        clusters: BTreeMap::new(),
        workloads: BTreeMap::new(),
        invalid: [(PolicyKey::new("shop", "checkout"), broken)].into(),
    };
    let metrics = Metrics::default();
    metrics.plan(&tick(&fleet, &mut Memory::default()).applied(Vec::new()));
    let shown = metrics.text().unwrap();
    // Then every metric of a rule, and every label that it selects or groups by, is there
    let mut seen = 0;
    for rule in rules() {
        for metric in metrics_in(&rule.expr) {
            seen += 1;
            let series = shown.lines().find(|l| l.split(['{', ' ']).next() == Some(&metric));
            let series = series.unwrap_or_else(|| panic!("{}: {metric} is not shown\n{shown}", rule.alert));
            let labels: &[&str] = match metric.as_str() {
                "loadline_policy_problem" => &["namespace", "policy", "condition", "reason"],
                "loadline_actions_total" => &["outcome"],
                _ => &[],
            };
            assert!(labels.iter().all(|l| series.contains(&format!("{l}=\""))), "{series}");
        }
    }
    assert!(seen >= rules().len());
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let runbooks = folder("docs/runbooks");
    let mut pages: Vec<String> =
        fs::read_dir(&runbooks).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    pages.retain(|p| p != "README.md");
    pages.sort();
    let mut alerts: Vec<String> = rules().iter().map(|r| format!("{}.md", r.alert)).collect();
    alerts.sort();
    assert_eq!(pages, alerts);
    let index = fs::read_to_string(runbooks.join("README.md")).unwrap();
    for Rule { alert, labels, annotations, .. } in rules() {
        assert_eq!(annotations["runbook_url"], format!("docs/runbooks/{alert}.md"));
        let row = format!("| [{alert}]({alert}.md) | {} |", labels["severity"]);
        assert!(index.contains(&row), "docs/runbooks/README.md has no row {row}");
        let page = fs::read_to_string(runbooks.join(format!("{alert}.md"))).unwrap();
        for part in ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"] {
            assert!(page.contains(part), "{alert}: no part {part}");
        }
    }
}

/// The names of Loadline's metrics in an expression.
fn metrics_in(expr: &str) -> Vec<String> {
    expr.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("loadline_"))
        .map(str::to_owned)
        .collect()
}

fn rules() -> Vec<Rule> {
    let text = fs::read_to_string(folder("dashboards/alerts").join("loadline.yaml")).unwrap();
    let rules: Rules = serde_yaml::from_str(&text).unwrap();
    rules.groups.into_iter().flat_map(|g| g.rules).collect()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn promtool(args: &[&str]) {
    let mut command = Command::new(Packaged::Promtool.get().unwrap());
    let output = command.args(args).current_dir(folder("dashboards/alerts")).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
