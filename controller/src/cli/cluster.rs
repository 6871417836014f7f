//! What every command that speaks to a cluster shares: which cluster, and with whose identity.

use std::{future::Future, io, path::PathBuf};

use kube::Client;

use crate::client;

/// Which cluster, with the caller's own identity.
#[derive(Debug, clap::Args)]
pub(super) struct ClusterArgs {
    /// The kubeconfig file; else KUBECONFIG, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; else its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// A client and the namespace that the caller works in.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) namespace: String,
}

impl ClusterArgs {
    /// Connects; nothing is asked of the API server yet.
    pub(super) async fn session(&self) -> Result<Session, client::ClientError> {
        let config = client::config(self.kubeconfig.as_deref(), self.context.as_deref()).await?;
        let namespace = config.default_namespace.clone();
        Ok(Session { client: client::personal(config)?, namespace })
    }
}

/// Runs one command to its end; a command of the terminal needs one thread.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}

/// How a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people
    Table,
    /// For scripts
    Json,
    /// For scripts and for people
    Yaml,
}

impl Output {
    /// The value as JSON or YAML, or as `table` makes it.
    pub(super) fn render<T: serde::Serialize>(
        self,
        value: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match self {
            Self::Table => table(value),
            Self::Json => serde_json::to_string_pretty(value)?,
            Self::Yaml => serde_yaml::to_string(value)?,
        })
    }
}
