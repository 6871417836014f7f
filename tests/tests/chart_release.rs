//! The life of a release on a real API server: install, upgrade with new CRDs, uninstall, install again.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Namespace, rbac::v1::ClusterRole},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};
use loadline_crds::ElasticPolicy;
use loadline_tests::{
    cluster::{Cluster, Options},
    helm::{Helm, NEEDED, chart},
    wait::until,
};
use serde_json::{Value as Json, json};

const NAMESPACE: &str = "loadline";
const WITHIN: Duration = Duration::from_mins(1);
const POLICIES: &str = "elasticpolicies.loadline.dev";

#[tokio::test]
async fn a_release_is_installed_upgraded_with_its_crds_and_uninstalled_without_touching_a_workload() {
    let cluster = Cluster::start("release", &without_crds()).await.unwrap();
    let (helm, client) = (Helm::on(&cluster).unwrap(), cluster.client().await.unwrap());
    closed_namespace(&client).await;
    let older = tempfile::tempdir().unwrap();
    // Given an older release whose CRD does not know `spec.activation`, in a namespace that lets in only pods
    // that are `restricted`
    let old_chart = older_chart(older.path());
    let notes = helm.chart(&old_chart).install(NAMESPACE, &NEEDED).await.unwrap();
    assert!(notes.contains("config.sources is empty"), "the notes say what is missing: {notes}");
    operators_are_ready(&client, 2).await;
    assert!(!knows_activation(&client).await);
    // And a policy over a workload
    let shop = cluster.namespace("shop").await.unwrap();
    cluster.deploy(&shop, "checkout", 4, "100m").await.unwrap();
    helm.kubectl(&["apply", "-f", "-"], &policy(&shop)).await.unwrap();
    let policies: Api<ElasticPolicy> = Api::namespaced(client.clone(), &shop);
    let uid = policies.get("checkout").await.unwrap().uid();

    // When it is upgraded, with other values
    let template = || async { operator(&client).await.unwrap().spec.unwrap().template };
    let before = template().await;
    let mut sets = NEEDED.to_vec();
    sets.extend([
        "replicas=3",
        "config.sources[0].name=main",
        "config.sources[0].url=http://prometheus.monitoring.svc:9090",
    ]);
    let notes = helm.upgrade(NAMESPACE, &sets).await.unwrap();
    // Then the CRD is new, the policy the same, and the pods have rolled
    assert!(!notes.contains("config.sources is empty"), "{notes}");
    assert!(knows_activation(&client).await, "Helm upgraded the CRD");
    assert_eq!(policies.get("checkout").await.unwrap().uid(), uid);
    assert_ne!(template().await.metadata, before.metadata, "a changed configuration rolls the pods");
    operators_are_ready(&client, 3).await;

    // When it is uninstalled
    helm.uninstall(NAMESPACE).await.unwrap();
    // Then nothing of the operator is left, and everything of its users is
    assert!(operator(&client).await.is_none());
    let roles = Api::<ClusterRole>::all(client.clone()).list(&ListParams::default()).await.unwrap();
    let left: Vec<_> = roles.iter().map(ResourceExt::name_any).filter(|n| n.contains("loadline")).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(knows_activation(&client).await, "the CRD is kept");
    assert_eq!(policies.get("checkout").await.unwrap().uid(), uid, "and with it every policy");
    assert_eq!(replicas(&client, &shop, "checkout").await, Some(4));

    // When it is installed again
    helm.install(NAMESPACE, &NEEDED).await.unwrap();
    // Then it takes the kept CRDs over, and goes on where it ended
    operators_are_ready(&client, 2).await;
    assert_eq!(policies.get("checkout").await.unwrap().uid(), uid);
    assert_eq!(replicas(&client, &shop, "checkout").await, Some(4));
}

#[tokio::test]
async fn what_the_chart_renders_and_the_documents_show_is_taken_by_the_api_server_without_a_warning() {
    let cluster = Cluster::start("dryrun", &Options::default()).await.unwrap();
    let (helm, client) = (Helm::on(&cluster).unwrap(), cluster.client().await.unwrap());
    closed_namespace(&client).await;
    let dry_run = ["apply", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-"];
    // Given everything that the chart can render of kinds that a bare cluster has
    let mut sets = NEEDED.to_vec();
    sets.extend([
        "networkPolicy.enabled=true",
        "secretMounts={thanos}",
        "priorityClassName=system-cluster-critical",
    ]);
    let rendered = helm.render(NAMESPACE, &sets).await.unwrap();
    // When the API server is asked, then it would take all of it
    let taken = helm.kubectl(&dry_run, &rendered).await.unwrap();
    assert_eq!(taken.lines().count(), rendered.matches("\nkind: ").count(), "{taken}");

    // Given the policies that the notes and the documents show
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    helm.kubectl(&["apply", "-f", "-"], &namespace.to_string()).await.unwrap();
    let notes = helm.install(NAMESPACE, &[&NEEDED[..], &["crds.install=false"]].concat()).await.unwrap();
    let first = notes.split("<<EOF\n").nth(1).unwrap().split("EOF").next().unwrap();
    let mut shown = vec![unindent(first)];
    shown.extend(policies_in(&chart().join("../../docs/install.md")));
    assert!(shown.len() >= 2, "{shown:?}");
    // When the API server is asked, then it would take them as they stand
    for policy in shown {
        helm.kubectl(&dry_run, &policy).await.unwrap_or_else(|e| panic!("{e}\n{policy}"));
    }
}

fn without_crds() -> Options {
    Options { crds: false, ..Options::default() }
}

/// The operator's namespace, in which every pod must be `restricted`.
async fn closed_namespace(client: &Client) {
    let namespace = serde_json::from_value(json!({
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    }));
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace.unwrap()).await.unwrap();
}

/// The chart as an older release had it: without one property of a CRD.
fn older_chart(into: &Path) -> PathBuf {
    let copy = into.join("loadline");
    copy_folder(&chart(), &copy);
    let path = copy.join(format!("files/crds/{POLICIES}.yaml"));
    let mut crd: Json = serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let spec = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
    spec.pointer_mut("/properties").unwrap().as_object_mut().unwrap().remove("activation").unwrap();
    // Rules that speak of the property go with it.
    spec.as_object_mut().unwrap().remove("x-kubernetes-validations");
    fs::write(&path, serde_yaml::to_string(&crd).unwrap()).unwrap();
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn knows_activation(client: &Client) -> bool {
    let crd = Api::<CustomResourceDefinition>::all(client.clone()).get(POLICIES).await.unwrap();
    let crd = serde_json::to_value(crd).unwrap();
    crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/activation").is_some()
}

async fn operator(client: &Client) -> Option<Deployment> {
    Api::<Deployment>::namespaced(client.clone(), NAMESPACE).get_opt("loadline").await.unwrap()
}

async fn operators_are_ready(client: &Client, wanted: i32) {
    until(&format!("{wanted} operators"), WITHIN, || async {
        let seen = operator(client).await.ok_or("no Deployment")?;
        let generation = seen.metadata.generation;
        let status = seen.status.unwrap_or_default();
        let ready = (status.ready_replicas, status.updated_replicas, status.replicas);
        if status.observed_generation == generation && ready == (Some(wanted), Some(wanted), Some(wanted)) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await
    .unwrap();
}

async fn replicas(client: &Client, namespace: &str, name: &str) -> Option<i32> {
    let deployment = Api::<Deployment>::namespaced(client.clone(), namespace).get(name).await.unwrap();
    deployment.spec.unwrap().replicas
}

fn policy(namespace: &str) -> String {
    format!(
        "apiVersion: loadline.dev/v1alpha1\n\
         kind: ElasticPolicy\n\
         metadata: {{name: checkout, namespace: {namespace}}}\n\
         spec:\n  \
           target: {{apiVersion: apps/v1, kind: Deployment, name: checkout}}\n  \
           bounds: {{min: 3, max: 40}}\n  \
           load: {{profile: otel-http}}\n"
    )
}

/// The ElasticPolicies among the YAML blocks of a Markdown file.
fn policies_in(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```yaml\n").skip(1).map(|b| b.split("```").next().unwrap());
    blocks.filter(|b| b.contains("kind: ElasticPolicy")).map(str::to_owned).collect()
}

fn unindent(text: &str) -> String {
    text.lines().map(|l| l.strip_prefix("     ").unwrap_or(l)).collect::<Vec<_>>().join("\n")
}
