//! Many workloads at once, for scale.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, api::PostParams};

use super::{Cluster, ClusterError, objects::deployment};

/// Requests in flight: below the API server's own limit for one client's priority level.
const AT_ONCE: usize = 32;

impl Cluster {
    /// Creates `count` Deployments of one small fake pod each, `PREFIX-00000` and up; gives their names.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn deploy_many(
        &self,
        namespace: &str,
        prefix: &str,
        count: u32,
    ) -> Result<Vec<String>, ClusterError> {
        let api: Api<Deployment> = Api::namespaced(self.client().await?, namespace);
        stream::iter(0..count)
            .map(|i| {
                let (api, name) = (api.clone(), format!("{prefix}-{i:05}"));
                async move {
                    let refused = self.api_error(format!("create {name}"));
                    let object = match deployment(namespace, &name, 1, "10m") {
                        Ok(object) => object,
                        Err(error) => return Err(refused(kube::Error::SerdeError(error))),
                    };
                    api.create(&PostParams::default(), &object).await.map_err(refused)?;
                    Ok(name)
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }
}
