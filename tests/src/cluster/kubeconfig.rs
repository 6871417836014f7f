//! Clients and kubeconfigs of a cluster.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::ClusterError;

/// The longest that a request of a test may go without an answer; a watch ends itself before.
const READ: Duration = Duration::from_secs(295);

/// A client of a cluster by its kubeconfig, for the runtime that calls this.
///
/// # Errors
/// When the kubeconfig cannot be used.
pub async fn client(cluster: &str, path: &Path) -> Result<Client, ClusterError> {
    // A second installation is refused, which is fine: it is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bad = |why: String| ClusterError::Kubeconfig { cluster: cluster.to_owned(), why };
    let kubeconfig = Kubeconfig::read_from(path).map_err(|e| bad(e.to_string()))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|e| bad(e.to_string()))?;
    config.read_timeout = Some(READ);
    Client::try_from(config).map_err(|e| bad(e.to_string()))
}

/// The same kubeconfig with its API server at another port of localhost; lies beside the original.
pub(super) fn via(cluster: &str, path: &Path, port: u16) -> Result<PathBuf, ClusterError> {
    let bad = |why: String| ClusterError::Kubeconfig { cluster: cluster.to_owned(), why };
    let mut kubeconfig = Kubeconfig::read_from(path).map_err(|e| bad(e.to_string()))?;
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|c| c.cluster.as_mut()) {
        cluster.server = Some(format!("https://127.0.0.1:{port}"));
    }
    let text = serde_yaml::to_string(&kubeconfig).map_err(|e| bad(e.to_string()))?;
    let file = path.with_file_name(format!("kubeconfig-via-{port}.yaml"));
    fs::write(&file, text).map_err(|source| ClusterError::File { path: file.clone(), source })?;
    Ok(file)
}
