//! Wrong policies against a real API server: what it says, and that lint and it judge alike, rule by rule.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by panicking")]

use std::{collections::BTreeMap, fs, path::Path};

use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Error};
use loadline_controller::{
    config::Config,
    lint::{Environment, Severity, Source, lint},
};
use loadline_tests::cluster::{Cluster, Options};

/// The namespace that all these policies name.
const NAMESPACE: &str = "shop";

fn files(folder: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect()
}

async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::start("bad-inputs", &Options { nodes: 1, ..Options::default() }).await.unwrap();
    let client = cluster.client().await.unwrap();
    let namespace: Namespace =
        serde_json::from_value(serde_json::json!({"metadata": {"name": NAMESPACE}})).unwrap();
    cluster.apply(&Api::all(client.clone()), &namespace).await.unwrap();
    (cluster, client)
}

/// Sends a file as `kubectl create --dry-run=server` does, with kubectl's strict validation. Gives what the
/// API server answers to the first of our objects that it refuses.
async fn refusal(client: &Client, text: &str) -> Option<String> {
    for document in text.split("\n---\n").filter(|d| d.contains("loadline.dev/")) {
        let path = if document.contains("kind: SafetyLever") {
            "safetylevers".to_owned()
        } else {
            format!("namespaces/{NAMESPACE}/elasticpolicies")
        };
        let request = Request::post(format!(
            "/apis/loadline.dev/v1alpha1/{path}?dryRun=All&fieldValidation=Strict&fieldManager=lint"
        ))
        .header("content-type", "application/yaml")
        .body(document.as_bytes().to_vec())
        .unwrap();
        match client.request_text(request).await {
            Ok(_) => {}
            Err(Error::Api(status)) => return Some(status.message),
            Err(e) => panic!("the API server was asked: {e}\n{document}"),
        }
    }
    None
}

/// The answer to text that cannot be decoded ends with its first bytes in hexadecimal, which nobody reads.
fn without_bytes(answer: String) -> String {
    match answer.rsplit_once(" (") {
        Some((said, bytes)) if bytes.ends_with("...)") => said.to_owned(),
        _ => answer,
    }
}

fn lint_refuses(name: &str, text: &str) -> bool {
    let environment = Environment::of(&Config::default());
    let source = Source { name: name.to_owned(), text: text.to_owned() };
    lint(&[source], &environment).unwrap().count(Severity::Error) > 0
}

/// The messages of all rules of the CRDs.
fn rules() -> Vec<String> {
    fn collect(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                let rules = map.get("x-kubernetes-validations").and_then(|rules| rules.as_array());
                found.extend(rules.into_iter().flatten().map(|r| r["message"].as_str().unwrap().to_owned()));
                map.values().for_each(|inner| collect(inner, found));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|inner| collect(inner, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for crd in loadline_crds::definitions() {
        collect(&serde_json::to_value(crd).unwrap(), &mut found);
    }
    found.sort();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_and_lint_judge_alike() {
    let (_cluster, client) = cluster().await;
    let mut judged_apart = Vec::new();
    let mut said = String::new();

    // Given every wrong policy …
    for (name, text) in files("bad") {
        let answer = refusal(&client, &text).await;
        let by_lint = lint_refuses(&name, &text);
        let as_promised = match text.lines().next().and_then(|line| line.strip_prefix("# caught-by: ")) {
            Some("api-server") => answer.is_some() && by_lint,
            Some("lint") => answer.is_none() && by_lint,
            Some("condition") => answer.is_none() && !by_lint,
            other => panic!("{name} says in its first line where it is caught: {other:?}"),
        };
        if !as_promised {
            judged_apart.push(format!("{name}: API server {answer:?}, lint refuses: {by_lint}"));
        }
        let answer = answer.map_or_else(|| "accepted".to_owned(), without_bytes);
        insta::assert_snapshot!(name, answer);
        said.push_str(&answer);
    }
    // … and every ready one,
    for (name, text) in files("../policies/library") {
        let answer = refusal(&client, &text).await;
        if answer.is_some() || lint_refuses(&name, &text) {
            judged_apart.push(format!("{name} is refused: {answer:?}"));
        }
    }

    // Then both judge as the first line of the file promises, and every rule was broken once.
    assert!(judged_apart.is_empty(), "{judged_apart:#?}");
    let untried: Vec<String> = rules().into_iter().filter(|rule| !said.contains(rule)).collect();
    assert!(untried.is_empty(), "no file in tests/bad breaks these rules: {untried:#?}");
}
