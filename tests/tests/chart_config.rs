//! The chart's values and the operator's configuration speak of the same fields.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::{collections::BTreeSet, fs};

use loadline_controller::config::Config;
use loadline_tests::helm::{Helm, HelmError, NEEDED, chart};
use rstest::rstest;
use serde_json::{Value as Json, json};

#[tokio::test]
async fn the_operator_reads_what_the_chart_renders_by_default() {
    let config = Config::parse(&rendered(&json!({})).await).unwrap();
    let kinds: Vec<_> =
        config.scale_targets.iter().map(|t| format!("{} {}", t.api_version, t.kind)).collect();
    assert_eq!(kinds, ["apps/v1 Deployment", "apps/v1 StatefulSet"]);
    // The chart repeats some defaults so that a person sees them: they are the operator's own.
    let own = Config::default();
    assert_eq!(config.sync, own.sync);
    assert_eq!(config.cluster, own.cluster);
    assert_eq!(config.triggers, own.triggers);
    assert_eq!(config.status, own.status);
    assert_eq!(config.scale_targets, own.scale_targets);
}

#[tokio::test]
async fn every_field_that_the_schema_knows_is_one_that_the_operator_reads() {
    let full = json!({
        "sync": "10s",
        "cluster": "prod-eu",
        "sources": [
            {
                "name": "global", "url": "https://thanos.example.com", "clusterLabel": "cluster",
                "caFile": "/var/run/loadline/configmaps/ca/ca.crt",
                "clientCertificate": {"certFile": "/c/tls.crt", "keyFile": "/c/tls.key"},
                "bearerTokenFile": "/s/token", "headers": {"X-Scope-OrgID": "shop"},
                "timeout": "4s", "concurrency": 2, "scrapeInterval": "30s",
                "windows": {"steady": "5m", "burst": "2m"}, "maxAnswerMegabytes": 8,
            },
            {
                "name": "edge", "url": "http://prometheus.edge:9090", "cluster": "edge",
                "basicAuth": {"username": "loadline", "passwordFile": "/s/password"},
            },
        ],
        "profiles": [{"name": "my-http", "extends": "otel-http", "description": "ours"}],
        "triggers": {
            "namespaceLabel": "k8s_namespace_name", "source": "global", "maxPerPolicy": 4,
            "maxPerNamespace": 20, "timeout": "1s", "concurrency": 3,
        },
        "status": {"minInterval": "30s"},
    });
    let set: BTreeSet<_> = fields(&full, "").into_iter().collect();
    let known: BTreeSet<_> = properties(&schema(), "").into_iter().collect();
    assert_eq!(known.difference(&set).collect::<Vec<_>>(), [""; 0], "in the schema, and not in this test");
    let config = Config::parse(&rendered(&full).await).unwrap();
    assert_eq!(config.sources.len(), 2);
    assert_eq!(config.triggers.max_per_namespace, 20);
}

#[rstest]
#[case::top("", "zzz: 1")]
#[case::source("/sources/items", "sources: [{name: a, url: 'http://a', zzz: 1}]")]
#[case::windows(
    "/sources/items/properties/windows",
    "sources: [{name: a, url: 'http://a', windows: {zzz: 1}}]"
)]
#[case::triggers("/triggers", "triggers: {zzz: 1}")]
#[case::status("/status", "status: {zzz: 1}")]
fn every_field_that_the_operator_reads_is_one_that_the_schema_knows(#[case] at: &str, #[case] unknown: &str) {
    // The parser lists what it expected: that is the operator's own knowledge of its fields.
    let said = Config::parse(unknown).unwrap_err().to_string();
    let expected: BTreeSet<_> = said.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert!(!expected.is_empty(), "{said}");
    let schema = schema();
    let object = match at {
        "" => &schema,
        _ => schema.pointer(&format!("/properties{at}")).unwrap(),
    };
    let mut known: BTreeSet<_> = object["properties"].as_object().unwrap().keys().cloned().collect();
    if at.is_empty() {
        // A value of its own, because RBAC and admission are made from it too.
        known.insert("scaleTargets".to_owned());
    }
    assert_eq!(known, expected);
}

#[rstest]
#[case::sync("sync: 100ms", "/config/sync")]
#[case::sync_of_nothing("sync: 0s", "/config/sync")]
#[case::timeout("sources: [{name: a, url: 'http://a', timeout: 0s}]", "/config/sources/0/timeout")]
#[case::scrapes(
    "sources: [{name: a, url: 'http://a', scrapeInterval: 500ms}]",
    "/config/sources/0/scrapeInterval"
)]
#[case::cluster_and_label(
    "sources: [{name: a, url: 'http://a', cluster: b, clusterLabel: c}]",
    "/config/sources/0"
)]
#[case::two_credentials(
    "sources: [{name: a, url: 'http://a', bearerTokenFile: /t, basicAuth: {username: u, passwordFile: /p}}]",
    "/config/sources/0"
)]
#[case::one_name_twice(
    "sources: [{name: a, url: 'http://a', cluster: a}, {name: a, url: 'http://b', cluster: b}]",
    "config.sources: two are named"
)]
#[case::sync_too_long("sync: 1m30s", "/config/sync")]
#[case::sync_too_long_in_seconds("sync: 90s", "/config/sync")]
#[case::trigger_timeout("triggers: {timeout: 0ms}", "/config/triggers/timeout")]
#[case::trigger_source("triggers: {source: nowhere}", "config.triggers.source: there is no source")]
#[tokio::test]
async fn what_the_operator_would_refuse_at_its_start_helm_refuses_before(
    #[case] config: &str,
    #[case] said: &str,
) {
    Config::parse(config).unwrap_err();
    let value: Json = serde_yaml::from_str(config).unwrap();
    let refusal = objects(&value).await.unwrap_err().to_string();
    assert!(refusal.contains(said), "{refusal}");
}

#[rstest]
#[case("sync: 1s")]
#[case("sync: 1m")]
#[case("sync: 60s")]
#[case("sync: 0m1s")]
#[case("sync: 1500ms")]
#[case("sources: [{name: a, url: 'http://a', timeout: 500ms, windows: {steady: 2m, burst: 45s}}]")]
#[case("{sources: [{name: a, url: 'http://a'}], triggers: {source: a}}")]
#[tokio::test]
async fn what_the_operator_takes_helm_takes_too(#[case] config: &str) {
    Config::parse(config).unwrap();
    objects(&serde_yaml::from_str(config).unwrap()).await.unwrap();
}

/// All that the chart renders with this value of `config`.
async fn objects(config: &Json) -> Result<Vec<serde_yaml::Value>, HelmError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.json");
    fs::write(&file, json!({"config": config}).to_string()).unwrap();
    Helm::offline().unwrap().values(&file).objects("loadline", &NEEDED).await
}

/// The operator's configuration as the chart renders it with this value of `config`.
async fn rendered(config: &Json) -> String {
    let objects = objects(config).await.unwrap();
    let map = objects.iter().find(|o| o["kind"] == "ConfigMap").and_then(|m| m.get("data")).unwrap();
    map["config.yaml"].as_str().unwrap().to_owned()
}

/// The part of the chart's schema that describes `config`.
fn schema() -> Json {
    let text = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Json = serde_json::from_str(&text).unwrap();
    schema.pointer("/properties/config").unwrap().clone()
}

/// The dotted paths of a schema's properties, through lists.
fn properties(schema: &Json, path: &str) -> Vec<String> {
    let own = schema["properties"].as_object().into_iter().flatten();
    let inner = own.flat_map(|(key, inner)| {
        let path = format!("{path}.{key}");
        [vec![path.clone()], properties(inner, &path)].concat()
    });
    let items = schema.get("items").map(|items| properties(items, path)).unwrap_or_default();
    inner.chain(items).collect()
}

/// The dotted paths of a value, through lists.
fn fields(value: &Json, path: &str) -> Vec<String> {
    match value {
        Json::Object(map) => map
            .iter()
            .flat_map(|(key, inner)| {
                let path = format!("{path}.{key}");
                [vec![path.clone()], fields(inner, &path)].concat()
            })
            .collect(),
        Json::Array(items) => items.iter().flat_map(|item| fields(item, path)).collect(),
        _ => Vec::new(),
    }
}
