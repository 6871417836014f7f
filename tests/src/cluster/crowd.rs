//! Many objects at once, for scale.

use std::{fmt::Debug, ops::Range};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};

use super::{Cluster, ClusterError, objects::deployment};

/// Requests in flight: below the API server's own limit for one client's priority level.
const AT_ONCE: usize = 32;

impl Cluster {
    /// Creates Deployments of one small fake pod each, `PREFIX-00000` and up; gives their names.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn deploy_many(
        &self,
        namespace: &str,
        prefix: &str,
        numbers: Range<u32>,
    ) -> Result<Vec<String>, ClusterError> {
        let api: Api<Deployment> = Api::namespaced(self.client().await?, namespace);
        let object = |number| {
            let name = format!("{prefix}-{number:05}");
            deployment(namespace, &name, 1, "10m")
                .map_err(|e| self.api_error(format!("create {name}"))(kube::Error::SerdeError(e)))
        };
        let objects: Vec<Deployment> = numbers.map(object).collect::<Result<_, _>>()?;
        let names = objects.iter().map(ResourceExt::name_any).collect();
        self.create_many(&api, objects).await?;
        Ok(names)
    }

    /// Creates objects, several at once.
    ///
    /// # Errors
    /// When the API server refuses one.
    pub async fn create_many<K>(
        &self,
        api: &Api<K>,
        objects: impl IntoIterator<Item = K>,
    ) -> Result<(), ClusterError>
    where
        K: kube::Resource + Clone + Debug + Serialize + DeserializeOwned,
    {
        stream::iter(objects)
            .map(|object| async move {
                let refused = self.api_error(format!("create {}", object.name_any()));
                api.create(&PostParams::default(), &object).await.map(drop).map_err(refused)
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}
