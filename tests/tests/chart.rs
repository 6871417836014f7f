//! The Helm chart as a file: it lints, its schema knows every value, and what it renders hangs together.
//!
//! Needs Helm and no cluster; `chart_release.rs` installs it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test says what it needs by panicking")]

use std::{fs, path::Path};

use loadline_tests::helm::{Helm, NEEDED, chart};
use rstest::rstest;
use serde_json::Value as Json;
use serde_yaml::Value;

const NAMESPACE: &str = "loadline";

#[tokio::test]
async fn the_chart_passes_lint_with_and_without_everything_optional() {
    let helm = Helm::offline().unwrap();
    helm.lint(&NEEDED).await.unwrap();
    let mut all = NEEDED.to_vec();
    all.extend(["serviceMonitor.enabled=true", "networkPolicy.enabled=true", "secretMounts={thanos}"]);
    helm.lint(&all).await.unwrap();
}

/// Helm packages nothing that lies outside of the chart's folder. The copies of the CRDs are held equal where
/// these are printed, in `crds/tests/generated.rs`.
#[test]
fn the_charts_alerts_are_those_of_the_dashboards() {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards/alerts/loadline.yaml");
    let same = fs::read_to_string(original).unwrap() == read("files/alerts/loadline.yaml");
    assert!(same, "cp dashboards/alerts/loadline.yaml charts/loadline/files/alerts/");
}

#[test]
fn every_value_is_described_in_the_schema_and_named_in_the_readme() {
    let values: Value = serde_yaml::from_str(&read("values.yaml")).unwrap();
    let schema: Json = serde_json::from_str(&read("values.schema.json")).unwrap();
    let readme = read("README.md");
    let mut missing = Vec::new();
    walk(&schema, "", &mut |path, schema| {
        if schema["description"].as_str().is_none_or(str::is_empty) {
            missing.push(format!("{path}: no description in the schema"));
        }
        if schema["properties"].is_object() && schema["additionalProperties"] != Json::Bool(false) {
            missing.push(format!("{path}: additionalProperties is not false"));
        }
    });
    for path in leaves(&values, &schema, "") {
        if schema.pointer(&pointer(&path)).is_none() {
            missing.push(format!("{path}: in values.yaml and not in the schema"));
        }
        // The README writes `service.port`, and `.annotations` for a sibling in the same row.
        let last = path.rsplit('.').next().unwrap();
        if !readme.contains(&format!("`{path}`")) && !readme.contains(&format!("`.{last}`")) {
            missing.push(format!("{path}: not in README.md"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[rstest]
#[case::unknown("replica=3", "additional properties 'replica' not allowed")]
#[case::unknown_inside("image.tga=1", "additional properties 'tga' not allowed")]
#[case::wrong_type("replicas=two", "got string, want integer")]
#[case::too_many("replicas=9", "maximum: got 9, want 5")]
#[case::kind_without_resource("scaleTargets[0].kind=Rollout", "missing properties")]
#[case::quote_in_a_kind(
    "scaleTargets[0].kind=It's,scaleTargets[0].apiVersion=v1,scaleTargets[0].resource=its",
    "does not match pattern"
)]
#[case::nothing_to_scale("scaleTargets=null", "missing property 'scaleTargets'")]
#[case::bad_duration("config.sync=5 seconds", "does not match pattern")]
#[case::deny_and_warn("admission.validationActions={Deny,Warn}", "'not' failed")]
#[case::bad_digest("image.digest=sha256:12", "does not match pattern")]
#[tokio::test]
async fn a_wrong_value_is_refused_with_its_path(#[case] set: &str, #[case] said: &str) {
    let refusal = render(&[set]).await.unwrap_err().to_string();
    let path = set.split(['=', '[']).next().unwrap().split('.').next().unwrap();
    assert!(refusal.contains(said), "{refusal}");
    assert!(refusal.contains(path), "{refusal}");
}

#[tokio::test]
async fn without_an_image_it_says_what_to_do() {
    let refusal = Helm::offline().unwrap().render(NAMESPACE, &[]).await.unwrap_err().to_string();
    assert!(refusal.contains("build the Dockerfile, push the image, and set image.repository"), "{refusal}");
}

#[tokio::test]
async fn rights_admission_and_configuration_follow_the_scale_targets() {
    // Given Rollouts beside Deployments, and no StatefulSets
    let sets = [
        "scaleTargets[0].apiVersion=apps/v1",
        "scaleTargets[0].kind=Deployment",
        "scaleTargets[0].resource=deployments",
        "scaleTargets[1].apiVersion=argoproj.io/v1alpha1",
        "scaleTargets[1].kind=Rollout",
        "scaleTargets[1].resource=rollouts",
    ];
    // When the chart is rendered
    let objects = objects(&sets).await;
    // Then exactly these may be watched and scaled
    let reads = rules(&objects, "loadline-operator-read");
    assert!(reads.contains(&rule("argoproj.io", "rollouts", "list,watch")), "{reads:#?}");
    assert!(!reads.iter().any(|r| r.contains("statefulsets")), "{reads:#?}");
    let writes = rules(&objects, "loadline-operator-write");
    insta::assert_yaml_snapshot!("what_the_operator_writes_with_rollouts", writes);
    // And the admission policy and the operator speak of the same kinds
    let admission = find(&objects, "ValidatingAdmissionPolicy", "loadline-elasticpolicy-author");
    let map = admission["spec"]["variables"][0]["expression"].as_str().unwrap();
    assert_eq!(
        map,
        "{'apps/v1 Deployment': ['apps', 'deployments'], 'argoproj.io/v1alpha1 Rollout': ['argoproj.io', 'rollouts']}"
    );
    let config = find(&objects, "ConfigMap", "loadline")["data"]["config.yaml"].as_str().unwrap();
    assert!(config.contains("kind: Rollout") && !config.contains("StatefulSet"), "{config}");
}

#[tokio::test]
async fn the_operator_has_no_right_by_a_wildcard_and_none_on_secrets() {
    let objects = objects(&[]).await;
    let roles = ["loadline-operator-read", "loadline-operator-write", "loadline-operator-lease"];
    let all: Vec<_> = roles.iter().flat_map(|r| rules(&objects, r)).collect();
    assert!(all.len() > 8, "{all:#?}");
    let bad: Vec<_> = all.iter().filter(|r| r.contains('*') || r.contains("secrets")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[tokio::test]
async fn secrets_and_configmaps_are_mounted_as_files_and_read_only() {
    let objects = objects(&["secretMounts={thanos.token,mimir}", "configMapMounts={ca}"]).await;
    let pod = &find(&objects, "Deployment", "loadline")["spec"]["template"]["spec"];
    let mounts = pod["containers"][0]["volumeMounts"].as_sequence().unwrap();
    let paths: Vec<_> = mounts.iter().map(|m| m["mountPath"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "/etc/loadline",
            "/var/run/loadline/secrets/thanos.token",
            "/var/run/loadline/secrets/mimir",
            "/var/run/loadline/configmaps/ca"
        ]
    );
    assert!(mounts.iter().all(|m| m["readOnly"] == true));
    assert_eq!(pod["volumes"][1]["secret"]["secretName"], "thanos.token");
}

#[tokio::test]
async fn a_changed_configuration_rolls_the_pods_and_a_changed_label_of_the_service_does_not() {
    let hash = |objects: &[Value]| {
        find(objects, "Deployment", "loadline")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            .clone()
    };
    let before = hash(&objects(&[]).await);
    assert_ne!(hash(&objects(&["config.sync=10s"]).await), before);
    assert_eq!(hash(&objects(&["service.annotations.a=b"]).await), before);
}

#[tokio::test]
async fn crds_are_kept_unless_asked_otherwise_and_left_out_when_switched_off() {
    let crds = |objects: &[Value]| -> Vec<Value> {
        objects.iter().filter(|o| o["kind"] == "CustomResourceDefinition").cloned().collect()
    };
    let policy = |crd: &Value| crd["metadata"]["annotations"]["helm.sh/resource-policy"].clone();
    let kept = crds(&objects(&[]).await);
    assert_eq!(kept.len(), fs::read_dir(chart().join("files/crds")).unwrap().count());
    assert!(kept.iter().all(|c| policy(c) == "keep"));
    assert!(crds(&objects(&["crds.keep=false"]).await).iter().all(|c| policy(c).is_null()));
    assert!(crds(&objects(&["crds.install=false"]).await).is_empty());
}

#[tokio::test]
async fn optional_objects_come_when_asked_for() {
    let optional = ["ServiceMonitor", "NetworkPolicy", "PrometheusRule"];
    let kinds = |objects: &[Value]| -> Vec<String> {
        let kinds = objects.iter().filter_map(|o| o["kind"].as_str());
        kinds.filter(|k| optional.contains(k)).map(str::to_owned).collect()
    };
    assert!(kinds(&objects(&[]).await).is_empty());
    let sets = ["serviceMonitor.enabled=true", "networkPolicy.enabled=true", "prometheusRule.enabled=true"];
    let mut seen = kinds(&objects(&sets).await);
    seen.sort();
    assert_eq!(seen, ["NetworkPolicy", "PrometheusRule", "ServiceMonitor"]);
}

#[tokio::test]
async fn alerts_point_to_where_the_runbooks_are_published() {
    let url = |objects: &[Value]| {
        find(objects, "PrometheusRule", "loadline")["spec"]["groups"][0]["rules"][0]["annotations"]["runbook_url"]
            .clone()
    };
    let enabled = "prometheusRule.enabled=true";
    assert_eq!(url(&objects(&[enabled]).await), "docs/runbooks/LoadlineOperatorAbsent.md");
    let base = "prometheusRule.runbookBaseUrl=https://wiki.example.com/loadline/";
    assert_eq!(
        url(&objects(&[enabled, base]).await),
        "https://wiki.example.com/loadline/LoadlineOperatorAbsent.md"
    );
}

#[tokio::test]
async fn every_object_of_a_namespace_names_the_releases_and_selectors_meet_the_pods() {
    let objects = objects(&["serviceMonitor.enabled=true", "networkPolicy.enabled=true"]).await;
    let cluster_scoped = [
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    for object in &objects {
        let kind = object["kind"].as_str().unwrap();
        let namespaced = !cluster_scoped.contains(&kind);
        assert_eq!(object["metadata"]["namespace"] == NAMESPACE, namespaced, "{kind}");
    }
    let labels = &find(&objects, "Deployment", "loadline")["spec"]["template"]["metadata"]["labels"];
    for (kind, path) in [
        ("Deployment", "/spec/selector/matchLabels"),
        ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
        ("Service", "/spec/selector"),
    ] {
        let object = serde_json::to_value(find(&objects, kind, "loadline")).unwrap();
        let selector = object.pointer(path).unwrap().as_object().unwrap();
        assert!(!selector.is_empty(), "{kind}");
        for (key, value) in selector {
            assert_eq!(labels[key.as_str()].as_str(), value.as_str(), "{kind} selects by {key}");
        }
    }
}

async fn render(sets: &[&str]) -> Result<String, loadline_tests::helm::HelmError> {
    let all: Vec<_> = NEEDED.iter().chain(sets).copied().collect();
    Helm::offline().unwrap().render(NAMESPACE, &all).await
}

async fn objects(sets: &[&str]) -> Vec<Value> {
    let all: Vec<_> = NEEDED.iter().chain(sets).copied().collect();
    Helm::offline().unwrap().objects(NAMESPACE, &all).await.unwrap()
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let named = |o: &&Value| o["kind"] == kind && o.get("metadata").is_some_and(|m| m["name"] == name);
    objects.iter().find(named).unwrap_or_else(|| panic!("the chart renders no {kind} {name}"))
}

/// The rules of a role, one line for each group and resource.
fn rules(objects: &[Value], role: &str) -> Vec<String> {
    let role = ["ClusterRole", "Role"].iter().find_map(|kind| {
        objects.iter().find(|o| o["kind"] == *kind && o.get("metadata").is_some_and(|m| m["name"] == role))
    });
    let rules = role.and_then(|r| r["rules"].as_sequence()).unwrap();
    let strings = |v: &Value| -> Vec<String> {
        v.as_sequence().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect()
    };
    let mut lines = Vec::new();
    for r in rules {
        for group in strings(&r["apiGroups"]) {
            for resource in strings(&r["resources"]) {
                lines.push(rule(&group, &resource, &strings(&r["verbs"]).join(",")));
            }
        }
    }
    lines
}

fn rule(group: &str, resource: &str, verbs: &str) -> String {
    format!("{resource} ({group}): {verbs}")
}

fn read(file: &str) -> String {
    fs::read_to_string(chart().join(file)).unwrap()
}

/// Every property of a schema, with its dotted path; references are followed where they stand.
fn walk(schema: &Json, path: &str, visit: &mut impl FnMut(&str, &Json)) {
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            visit(&path, inner);
            walk(inner, &path, visit);
            walk(&inner["items"], &format!("{path}[]"), visit);
        }
    }
}

/// The dotted paths of a file of values, as deep as the schema knows names; lists and empty maps are leaves.
fn leaves(value: &Value, schema: &Json, path: &str) -> Vec<String> {
    let opaque = schema.pointer(&pointer(path)).is_some_and(|s| s["properties"].is_null());
    match value.as_mapping() {
        Some(map) if !map.is_empty() && !opaque => map
            .iter()
            .flat_map(|(key, inner)| {
                let key = key.as_str().unwrap();
                let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                leaves(inner, schema, &path)
            })
            .collect(),
        _ => vec![path.to_owned()],
    }
}

/// Where the schema describes the value of a dotted path.
fn pointer(path: &str) -> String {
    path.split('.')
        .filter(|key| !key.is_empty())
        .fold(String::new(), |p, key| format!("{p}/properties/{key}"))
}
