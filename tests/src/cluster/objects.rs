//! Objects that most tests need: Loadline's CRDs, a namespace, a workload of fake pods.

use std::fmt::Debug;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Node, ServiceAccount},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams},
    runtime::conditions::is_crd_established,
};
use loadline_crds::definitions;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Cluster, ClusterError, STEP};
use crate::wait::until;

impl Cluster {
    /// Installs Loadline's CRDs and waits until they are served.
    ///
    /// # Errors
    /// When the API server refuses them.
    pub async fn install_crds(&self) -> Result<(), ClusterError> {
        let crds = definitions();
        let api: Api<CustomResourceDefinition> = Api::all(self.client().await?);
        for crd in &crds {
            self.apply(&api, crd).await?;
        }
        for crd in &crds {
            let name = crd.name_any();
            until(&format!("the CRD {name} to be served"), STEP, || async {
                match api.get_opt(&name).await {
                    Ok(seen)
                        if kube::runtime::wait::Condition::matches_object(
                            &is_crd_established(),
                            seen.as_ref(),
                        ) =>
                    {
                        Ok(())
                    }
                    Ok(_) => Err("not established".to_owned()),
                    Err(e) => Err(e.to_string()),
                }
            })
            .await
            .map_err(self.late())?;
        }
        Ok(())
    }

    /// Makes a namespace of its own for a test, named `PREFIX-…`, that takes pods at once.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn namespace(&self, prefix: &str) -> Result<String, ClusterError> {
        let client = self.client().await?;
        let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        let made = Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .map_err(self.api_error(format!("make a namespace {prefix}-…")))?;
        let name = made.name_any();
        // Pods are refused until the controller has made this account, and their owners then back off.
        let accounts: Api<ServiceAccount> = Api::namespaced(client, &name);
        until("the namespace's default service account", STEP, || async {
            match accounts.get_opt("default").await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err("none".to_owned()),
                Err(e) => Err(e.to_string()),
            }
        })
        .await
        .map_err(self.late())?;
        Ok(name)
    }

    /// Server-side applies one object as the rig.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply<K>(&self, api: &Api<K>, object: &K) -> Result<K, ClusterError>
    where
        K: kube::Resource + Clone + Debug + Serialize + DeserializeOwned,
    {
        let name = object.name_any();
        let params = PatchParams::apply("loadline-rig").force();
        api.patch(&name, &params, &Patch::Apply(object))
            .await
            .map_err(self.api_error(format!("apply {name}")))
    }

    /// Applies a Deployment of fake pods, each asking for `cpu` (a Kubernetes quantity).
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn deploy(
        &self,
        namespace: &str,
        name: &str,
        replicas: u32,
        cpu: &str,
    ) -> Result<Deployment, ClusterError> {
        let api = Api::namespaced(self.client().await?, namespace);
        let refused = |e: serde_json::Error| ClusterError::Api {
            cluster: self.name.clone(),
            what: format!("apply {name}"),
            source: Box::new(kube::Error::SerdeError(e)),
        };
        self.apply(&api, &deployment(namespace, name, replicas, cpu).map_err(refused)?).await
    }
}

/// A Deployment of fake pods.
///
/// # Errors
/// Never in practice: the shape is fixed.
pub fn deployment(
    namespace: &str,
    name: &str,
    replicas: u32,
    cpu: &str,
) -> Result<Deployment, serde_json::Error> {
    let labels = json!({ "app": name });
    serde_json::from_value(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    // kwok takes a pod away at once; a real kubelet would wait for its containers.
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{
                        "name": "app",
                        "image": "example.invalid/app:1",
                        "resources": { "requests": { "cpu": cpu } },
                    }],
                },
            },
        },
    }))
}

/// `Ok` when exactly `wanted` nodes exist and all of them take pods.
pub(super) async fn nodes_are(client: &Client, wanted: u32) -> Result<(), String> {
    let nodes =
        Api::<Node>::all(client.clone()).list(&ListParams::default()).await.map_err(|e| e.to_string())?;
    let untainted = |n: &&Node| n.spec.as_ref().is_none_or(|s| s.taints.as_ref().is_none_or(Vec::is_empty));
    let (seen, free) = (nodes.items.len(), nodes.items.iter().filter(untainted).count());
    if seen == free && u32::try_from(seen) == Ok(wanted) {
        Ok(())
    } else {
        Err(format!("{seen} nodes, {free} of which take pods"))
    }
}
