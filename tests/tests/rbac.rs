//! What the operator may do with nothing but the chart's ServiceAccount, what people may do with the chart's roles,
//! and that nobody scales through a policy what they may not scale themselves: asked of a real API server.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::{fmt::Debug, time::Duration};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
        autoscaling::v1::{Scale, ScaleSpec},
        coordination::v1::Lease,
        core::v1::{ConfigMap, Node, Pod, Secret, ServiceAccount},
        rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{DeleteParams, EvictParams, ListParams, LogParams, Patch, PatchParams, PostParams},
};
use loadline_crds::{ElasticPolicy, ElasticPolicyStatus, SafetyLever};
use loadline_tests::{
    cluster::{Cluster, Options},
    helm::{Helm, NEEDED},
    wait::until,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Where the release lives.
const HOME: &str = "loadline";
/// A namespace of somebody else, with the workloads `checkout` and `cart`.
const SHOP: &str = "shop";
const WITHIN: Duration = Duration::from_secs(30);

/// One cluster with the release for all tests of this file.
async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER.get_or_init(prepared).await
}

async fn prepared() -> Cluster {
    let cluster = Cluster::start("rbac", &Options { crds: false, ..Options::default() }).await.unwrap();
    let helm = Helm::on(&cluster).unwrap();
    helm.install(HOME, &NEEDED).await.unwrap();
    for namespace in [SHOP, "other"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        helm.kubectl(&["apply", "-f", "-"], &object.to_string()).await.unwrap();
    }
    let client = cluster.client().await.unwrap();
    until("the namespace's service account", WITHIN, || async {
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), SHOP);
        accounts.get("default").await.map_err(|e| e.to_string())
    })
    .await
    .unwrap();
    for name in ["checkout", "cart"] {
        cluster.deploy(SHOP, name, 3, "100m").await.unwrap();
    }
    people(&cluster).await;
    in_force(&cluster).await;
    cluster
}

/// Users, by the roles that they have in the shop; `on-call` has one in the whole cluster, and nothing else.
async fn people(cluster: &Cluster) {
    let client = cluster.client().await.unwrap();
    let scale_checkout = json!({
        "apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": ["checkout"], "verbs": ["update"],
    });
    let deploy = json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["update"]});
    for (name, rule) in [("test-deployer", deploy), ("test-one-workload", scale_checkout)] {
        let role: ClusterRole =
            serde_json::from_value(json!({"metadata": {"name": name}, "rules": [rule]})).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &role).await.unwrap();
    }
    for (user, role) in [
        ("viewer", "view"),
        ("editor", "edit"),
        ("policies-only", "loadline-editor"),
        ("deployer", "loadline-editor"),
        ("deployer", "test-deployer"),
        ("one-workload", "loadline-editor"),
        ("one-workload", "test-one-workload"),
    ] {
        let binding: RoleBinding = serde_json::from_value(bind(user, role)).unwrap();
        Api::namespaced(client.clone(), SHOP).create(&PostParams::default(), &binding).await.unwrap();
    }
    let binding: ClusterRoleBinding = serde_json::from_value(bind("on-call", "loadline-on-call")).unwrap();
    Api::all(client).create(&PostParams::default(), &binding).await.unwrap();
}

fn bind(user: &str, role: &str) -> Value {
    json!({
        "metadata": {"name": format!("{user}-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })
}

/// Waits for the controller that adds the chart's roles to `view` and `edit`, and for the API server to compile the
/// admission policy.
async fn in_force(cluster: &Cluster) {
    let policies: Api<ElasticPolicy> = Api::namespaced(cluster.client().await.unwrap(), SHOP);
    let editor = cluster.as_user("editor").await.unwrap();
    let viewer = cluster.as_user("viewer").await.unwrap();
    until("the roles to be aggregated and the admission policy to be in force", WITHIN, || async {
        if !may(&editor, "create loadline.dev/elasticpolicies -n shop").await
            || !may(&viewer, "get loadline.dev/elasticpolicies -n shop").await
        {
            return Err("not aggregated");
        }
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        match policies.create(&dry, &policy("probe", "DaemonSet", "agent")).await {
            Ok(_) => Err("the admission policy is not in force"),
            Err(_) => Ok(()),
        }
    })
    .await
    .unwrap();
}

/// `VERB [GROUP/]RESOURCE[/SUBRESOURCE] [NAME] [-n NAMESPACE]`; the group of a resource without one is the core's.
const OPERATOR_MAY: &[&str] = &[
    "list loadline.dev/elasticpolicies",
    "watch loadline.dev/elasticpolicies",
    "watch loadline.dev/safetylevers",
    "update loadline.dev/elasticpolicies/status -n shop",
    "update loadline.dev/safetylevers/status",
    "list apps/deployments",
    "watch apps/statefulsets",
    "get apps/deployments/scale -n shop",
    "update apps/deployments/scale -n shop",
    "update apps/statefulsets/scale -n other",
    "watch pods",
    "watch apps/replicasets",
    "watch autoscaling/horizontalpodautoscalers",
    "watch keda.sh/scaledobjects",
    "create events.k8s.io/events -n shop",
    "create coordination.k8s.io/leases -n loadline",
    "update coordination.k8s.io/leases loadline -n loadline",
];

const OPERATOR_MAY_NOT: &[&str] = &[
    // Secrets and configuration, its own included: they are mounted, not read.
    "get secrets -n loadline",
    "list secrets -n loadline",
    "get secrets -n shop",
    "list secrets",
    "watch secrets -n kube-system",
    "get configmaps -n loadline",
    "get configmaps -n shop",
    "update configmaps -n kube-system",
    // It watches, and so needs no single object of what it watches.
    "get loadline.dev/elasticpolicies -n shop",
    "get loadline.dev/safetylevers",
    "get apps/deployments -n shop",
    "get apps/statefulsets -n shop",
    "get apps/replicasets -n shop",
    "get pods -n shop",
    "get autoscaling/horizontalpodautoscalers -n shop",
    "get keda.sh/scaledobjects -n shop",
    // Workloads and pods, but for their replicas.
    "create apps/deployments -n shop",
    "update apps/deployments -n shop",
    "patch apps/deployments -n shop",
    "delete apps/deployments -n shop",
    "deletecollection apps/deployments -n shop",
    "patch apps/statefulsets -n shop",
    "update apps/deployments/status -n shop",
    "patch apps/deployments/scale -n shop",
    "update apps/replicasets/scale -n shop",
    "update replicationcontrollers/scale -n shop",
    "patch apps/daemonsets -n shop",
    "create pods -n shop",
    "create pods -n loadline",
    "delete pods -n shop",
    "create pods/exec -n shop",
    "get pods/exec -n shop",
    "create pods/attach -n shop",
    "create pods/portforward -n shop",
    "create pods/eviction -n shop",
    "get pods/log -n shop",
    "update pods/ephemeralcontainers -n shop",
    "create batch/jobs -n shop",
    // What people ask for is theirs.
    "create loadline.dev/elasticpolicies -n shop",
    "update loadline.dev/elasticpolicies -n shop",
    "patch loadline.dev/elasticpolicies -n shop",
    "delete loadline.dev/elasticpolicies -n shop",
    "create loadline.dev/safetylevers",
    "update loadline.dev/safetylevers",
    "delete loadline.dev/safetylevers",
    // Other scalers are seen, never touched.
    "update autoscaling/horizontalpodautoscalers -n shop",
    "delete autoscaling/horizontalpodautoscalers -n shop",
    "patch keda.sh/scaledobjects -n shop",
    // The cluster and its rights.
    "get nodes",
    "list nodes",
    "patch nodes",
    "get nodes/proxy",
    "list namespaces",
    "create namespaces",
    "impersonate users",
    "impersonate groups",
    "impersonate serviceaccounts -n kube-system",
    "create serviceaccounts/token -n loadline",
    "create serviceaccounts/token -n kube-system",
    "bind rbac.authorization.k8s.io/clusterroles cluster-admin",
    "escalate rbac.authorization.k8s.io/clusterroles",
    "create rbac.authorization.k8s.io/clusterrolebindings",
    "create rbac.authorization.k8s.io/rolebindings -n loadline",
    "update apiextensions.k8s.io/customresourcedefinitions",
    "update admissionregistration.k8s.io/validatingadmissionpolicies",
    "create admissionregistration.k8s.io/mutatingwebhookconfigurations",
    "approve certificates.k8s.io/signers",
    // Leases of others, in its own namespace too.
    "update coordination.k8s.io/leases -n kube-system",
    "get coordination.k8s.io/leases -n kube-node-lease",
    "update coordination.k8s.io/leases other -n loadline",
    "delete coordination.k8s.io/leases loadline -n loadline",
    // Events are written, not read, changed or removed.
    "patch events.k8s.io/events -n shop",
    "list events.k8s.io/events -n shop",
    "delete events.k8s.io/events -n shop",
];

#[tokio::test]
async fn the_operator_may_do_its_work_and_nothing_else() {
    let operator = cluster().await.as_service_account(HOME, "loadline").await.unwrap();
    assert_eq!(wrong(&operator, OPERATOR_MAY, true).await, [""; 0], "these should be allowed");
    assert_eq!(wrong(&operator, OPERATOR_MAY_NOT, false).await, [""; 0], "these should be refused");
}

#[tokio::test]
async fn the_operators_real_requests_are_served_for_its_work_and_refused_for_all_else() {
    let cluster = cluster().await;
    let operator = cluster.as_service_account(HOME, "loadline").await.unwrap();
    let admin = cluster.client().await.unwrap();
    let mine: Api<Deployment> = Api::namespaced(operator.clone(), SHOP);
    cluster.deploy(SHOP, "operated", 3, "100m").await.unwrap();
    // It scales, by `/scale`, with the resourceVersion that it saw
    let stale = until("a scale that nobody came before", WITHIN, || async {
        let mut wanted: Scale = mine.get_scale("operated").await.map_err(|e| e.to_string())?;
        wanted.spec = Some(ScaleSpec { replicas: Some(5) });
        let done = mine.replace_scale("operated", &PostParams::default(), &wanted).await;
        done.map(|_| wanted).map_err(|e| e.to_string())
    })
    .await
    .unwrap();
    let all: Api<Deployment> = Api::namespaced(admin.clone(), SHOP);
    assert_eq!(all.get("operated").await.unwrap().spec.unwrap().replicas, Some(5));
    // And not a second time with the same version
    let again = mine.replace_scale("operated", &PostParams::default(), &stale).await.unwrap_err();
    assert!(matches!(&again, kube::Error::Api(s) if s.code == 409), "{again}");
    // It says what it made of a policy, in status alone
    let theirs: Api<ElasticPolicy> = Api::namespaced(admin.clone(), SHOP);
    theirs.create(&PostParams::default(), &policy("operated", "Deployment", "operated")).await.unwrap();
    let policies: Api<ElasticPolicy> = Api::namespaced(operator.clone(), SHOP);
    let mut seen = theirs.get("operated").await.unwrap();
    seen.status = Some(ElasticPolicyStatus { desired_replicas: Some(5), ..ElasticPolicyStatus::default() });
    policies.replace_status("operated", &PostParams::default(), &seen).await.unwrap();
    let spec = Patch::Merge(json!({"spec": {"bounds": {"max": 99}}}));
    forbidden(policies.patch("operated", &PatchParams::default(), &spec).await);

    let (post, delete) = (PostParams::default(), DeleteParams::default());
    let (patch, list) = (PatchParams::default(), ListParams::default());
    let image = Patch::Merge(json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}));
    forbidden(mine.patch("operated", &patch, &image).await);
    forbidden(mine.delete("operated", &delete).await);
    let pods: Api<Pod> = Api::namespaced(operator.clone(), SHOP);
    let pod = until("a pod", WITHIN, || async {
        let seen = pods.list(&list).await.map_err(|e| e.to_string())?;
        seen.items.first().and_then(|p| p.metadata.name.clone()).ok_or("none".to_owned())
    })
    .await
    .unwrap();
    forbidden(pods.delete(&pod, &delete).await);
    forbidden(pods.evict(&pod, &EvictParams::default()).await);
    forbidden(pods.logs(&pod, &LogParams::default()).await);
    forbidden(exec(&operator, &pod).await);
    forbidden(Api::<Secret>::namespaced(operator.clone(), HOME).list(&list).await);
    forbidden(Api::<Secret>::namespaced(operator.clone(), SHOP).list(&list).await);
    forbidden(Api::<ConfigMap>::namespaced(operator.clone(), "kube-system").list(&list).await);
    forbidden(Api::<Node>::all(operator.clone()).list(&list).await);
    forbidden(Api::<Lease>::namespaced(operator.clone(), "kube-node-lease").list(&list).await);
    forbidden(Api::<SafetyLever>::all(operator.clone()).create(&post, &lever()).await);
    let admin_binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "me"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "loadline", "namespace": HOME}],
    }))
    .unwrap();
    forbidden(Api::<ClusterRoleBinding>::all(operator.clone()).create(&post, &admin_binding).await);
}

#[tokio::test]
async fn a_viewer_reads_policies_and_changes_nothing() {
    let viewer = cluster().await.as_user("viewer").await.unwrap();
    let may = [
        "get loadline.dev/elasticpolicies -n shop",
        "watch loadline.dev/elasticpolicies -n shop",
        // All that `loadline explain` asks for.
        "list loadline.dev/elasticpolicies -n shop",
        "list events.k8s.io/events -n shop",
    ];
    assert_eq!(wrong(&viewer, &may, true).await, [""; 0]);
    let may_not = [
        "get loadline.dev/elasticpolicies -n other",
        "update loadline.dev/elasticpolicies -n shop",
        "update loadline.dev/elasticpolicies/status -n shop",
        "create loadline.dev/safetylevers",
        "update loadline.dev/safetylevers default",
    ];
    assert_eq!(wrong(&viewer, &may_not, false).await, [""; 0]);
    forbidden(Api::<SafetyLever>::all(viewer).create(&PostParams::default(), &lever()).await);
}

#[tokio::test]
async fn on_call_freezes_and_unfreezes_the_cluster_and_edits_no_policy() {
    let on_call = cluster().await.as_user("on-call").await.unwrap();
    let may = [
        "get loadline.dev/elasticpolicies -n shop",
        "list loadline.dev/safetylevers",
        "get apps/deployments -n shop",
        "list events.k8s.io/events -n shop",
        "list events -n shop",
    ];
    assert_eq!(wrong(&on_call, &may, true).await, [""; 0]);
    let may_not = [
        "create loadline.dev/elasticpolicies -n shop",
        "update loadline.dev/elasticpolicies -n shop",
        "delete loadline.dev/elasticpolicies -n shop",
        "update loadline.dev/elasticpolicies/status -n shop",
        "update loadline.dev/safetylevers another",
        "update loadline.dev/safetylevers/status default",
        "update apps/deployments/scale -n shop",
        "get secrets -n shop",
    ];
    assert_eq!(wrong(&on_call, &may_not, false).await, [""; 0]);
    let levers: Api<SafetyLever> = Api::all(on_call);
    // Pulled by server-side apply, let go by an update, and taken away
    let apply = PatchParams::apply("loadline-cli");
    let body = json!({
        "apiVersion": "loadline.dev/v1alpha1", "kind": "SafetyLever", "metadata": {"name": "default"},
        "spec": {"freeze": true, "reason": "checkout falls over"},
    });
    let mut lever = levers.patch("default", &apply, &Patch::Apply(&body)).await.unwrap();
    assert!(lever.spec.freeze);
    lever.spec.freeze = false;
    levers.replace("default", &PostParams::default(), &lever).await.unwrap();
    levers.delete("default", &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn the_author_of_a_policy_must_be_allowed_to_scale_what_it_names() {
    let cluster = cluster().await;
    // Who may scale, or may change the workload itself, may name it
    for (user, target) in [("editor", "checkout"), ("deployer", "checkout"), ("one-workload", "checkout")] {
        create(cluster, user, &policy(&format!("of-{user}"), "Deployment", target)).await.unwrap();
    }
    // Who may not, may not, and is told what to ask for
    let refusals = [
        create(cluster, "policies-only", &policy("p", "Deployment", "checkout")).await,
        create(cluster, "one-workload", &policy("p", "Deployment", "cart")).await,
        create(cluster, "deployer", &policy("p", "StatefulSet", "database")).await,
        create(cluster, "editor", &policy("p", "DaemonSet", "agent")).await,
    ]
    .map(|r| message(r.unwrap_err()));
    insta::assert_yaml_snapshot!("refusals_of_the_admission_policy", refusals);
}

#[tokio::test]
async fn a_policy_cannot_be_turned_to_another_workload_by_who_may_not_scale_it() {
    let cluster = cluster().await;
    create(cluster, "editor", &policy("turned", "Deployment", "cart")).await.unwrap();
    let mine: Api<ElasticPolicy> = Api::namespaced(cluster.as_user("policies-only").await.unwrap(), SHOP);
    let patch = |body: Value| {
        let mine = mine.clone();
        async move { mine.patch("turned", &PatchParams::default(), &Patch::Merge(body)).await }
    };
    // Neither to another target, nor to other bounds, nor by an annotation that pins replicas
    for body in [
        json!({"spec": {"target": {"name": "checkout"}}}),
        json!({"spec": {"bounds": {"max": 400}}}),
        json!({"metadata": {"annotations": {"loadline.dev/paused-replicas": "1"}}}),
    ] {
        let refusal = message(patch(body.clone()).await.unwrap_err());
        assert!(
            refusal.contains("user policies-only may not scale Deployment shop/cart")
                || refusal.contains("user policies-only may not scale Deployment shop/checkout"),
            "{body}: {refusal}"
        );
    }
    // A label asks for nothing
    patch(json!({"metadata": {"labels": {"team": "shop"}}})).await.unwrap();
    // And deleting only ends the scaling
    mine.delete("turned", &DeleteParams::default()).await.unwrap();
}

async fn create(cluster: &Cluster, user: &str, policy: &ElasticPolicy) -> kube::Result<ElasticPolicy> {
    let client = cluster.as_user(user).await.unwrap();
    Api::namespaced(client, SHOP).create(&PostParams::default(), policy).await
}

fn policy(name: &str, kind: &str, target: &str) -> ElasticPolicy {
    serde_json::from_value(json!({
        "apiVersion": "loadline.dev/v1alpha1",
        "kind": "ElasticPolicy",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "target": {"apiVersion": "apps/v1", "kind": kind, "name": target},
            "bounds": {"min": 3, "max": 40},
            "load": {"profile": "otel-http"},
        },
    }))
    .unwrap()
}

fn lever() -> SafetyLever {
    serde_json::from_value(json!({
        "apiVersion": "loadline.dev/v1alpha1",
        "kind": "SafetyLever",
        "metadata": {"name": "default"},
        "spec": {"freeze": true, "reason": "test"},
    }))
    .unwrap()
}

/// The lines whose answer is not `expected`.
async fn wrong<'a>(client: &Client, lines: &[&'a str], expected: bool) -> Vec<&'a str> {
    let mut wrong = Vec::new();
    for &line in lines {
        if may(client, line).await != expected {
            wrong.push(line);
        }
    }
    wrong
}

/// Asks the API server whether this client may do what the line says.
async fn may(client: &Client, line: &str) -> bool {
    let (what, namespace) = line.split_once(" -n ").map_or((line, None), |(w, n)| (w, Some(n.to_owned())));
    let mut words = what.split(' ');
    let (verb, resource) = (words.next().unwrap(), words.next().unwrap());
    let mut parts = resource.split('/').peekable();
    // A group has a dot in it, or is one of the three that have none.
    let grouped = |p: &&str| p.contains('.') || ["apps", "autoscaling", "batch"].contains(p);
    let group = parts.next_if(grouped).unwrap_or_default().to_owned();
    let attributes = ResourceAttributes {
        verb: Some(verb.to_owned()),
        group: Some(group),
        resource: parts.next().map(str::to_owned),
        subresource: parts.next().map(str::to_owned),
        name: words.next().map(str::to_owned),
        namespace,
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() },
        status: None,
    };
    let answer = Api::all(client.clone()).create(&PostParams::default(), &review).await.unwrap();
    let status = answer.status.unwrap();
    assert_eq!(status.evaluation_error, None, "{line}");
    status.allowed
}

/// A plain request to start a process in a pod; refused before it would become a stream.
async fn exec(client: &Client, pod: &str) -> kube::Result<String> {
    let path = format!("/api/v1/namespaces/{SHOP}/pods/{pod}/exec?command=id&container=app&stdout=true");
    let request = http::Request::post(path).body(Vec::new()).unwrap();
    client.request_text(request).await
}

fn forbidden<T: Debug>(result: kube::Result<T>) {
    let error = result.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(s) if s.code == 403), "{error:?}");
}

fn message(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
