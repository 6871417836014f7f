//! Clients of an API server: each with the time-outs of its use, writes only under the permit.
//!
//! | client | for | time-outs | permit |
//! |---|---|---|---|
//! | `watch` | watches, lists | a silent connection is given up after [`WATCH_SILENCE`] | |
//! | `read` | discovery, GET | [`READ_TIMEOUT`] | |
//! | `lease` | the lease alone | the elector's | it makes the permit |
//! | `write` | everything else that changes something | the permit's | checked at the last moment |

mod failure;
mod guard;
mod meter;

use std::{path::Path, time::Duration};

use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};

pub use self::{
    failure::{Failure, FailureKind},
    guard::GuardLayer,
    meter::{Call, MeterLayer, Record},
};
use crate::lease::Permit;

/// A watch is given up when nothing came for so long. API servers send bookmarks about once a minute.
pub const WATCH_SILENCE: Duration = Duration::from_secs(90);

/// The longest wait for an answer to a GET.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Clients of one API server.
#[derive(Clone)]
pub struct Clients {
    /// For watches and lists.
    pub watch: Client,
    /// For single reads.
    pub read: Client,
    /// For the lease alone.
    pub lease: Client,
    /// For writes; refuses them without a permit.
    pub write: Client,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig file cannot be used.
    #[error("cannot use the kubeconfig {path}: check that it exists and that the context is in it")]
    Kubeconfig {
        /// Which file.
        path: String,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// Neither a kubeconfig nor a service account was found.
    #[error("no cluster: give --kubeconfig, set KUBECONFIG, or run in a pod with a service account")]
    Infer(#[source] kube::config::InferConfigError),
    /// The configuration was found, but no client can be made of it (certificates, proxy).
    #[error("cannot make a client for {server}")]
    Build {
        /// The API server's address.
        server: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// Finds the cluster: a kubeconfig file, else `KUBECONFIG` or `~/.kube/config`, else the pod's service account.
///
/// # Errors
/// When none can be used.
pub async fn config(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Config, ClientError> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let Some(path) = kubeconfig else {
        if context.is_none() {
            return Config::infer().await.map_err(ClientError::Infer);
        }
        let path = "from KUBECONFIG or ~/.kube/config".to_owned();
        return Config::from_kubeconfig(&options)
            .await
            .map_err(|source| ClientError::Kubeconfig { path, source });
    };
    let named = |source| ClientError::Kubeconfig { path: path.display().to_string(), source };
    let file = Kubeconfig::read_from(path).map_err(named)?;
    Config::from_custom_kubeconfig(file, &options).await.map_err(named)
}

/// One client for a command: reads and writes as the person who calls it.
///
/// # Errors
/// When no client can be made of the configuration.
pub fn personal(mut config: Config) -> Result<Client, ClientError> {
    config.read_timeout = Some(READ_TIMEOUT);
    let server = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| ClientError::Build { server, source: Box::new(source) })
}

impl Clients {
    /// The operator's clients. Every call is told to `record`; `write` asks `permit`.
    ///
    /// # Errors
    /// When no client can be made of the configuration.
    pub fn new(config: &Config, record: &Record, permit: &Permit) -> Result<Self, ClientError> {
        let metered = |read_timeout, retries| {
            // Without `reset_reader_on_write` the idle time of a pooled connection would count as silence.
            let mut config = config.clone();
            config.default_retry = retries;
            config.reset_reader_on_write = true;
            config.read_timeout = Some(read_timeout);
            let server = config.cluster_url.to_string();
            ClientBuilder::try_from(config)
                .map(|builder| builder.with_layer(&MeterLayer::new(record.clone())))
                .map_err(|source| ClientError::Build { server, source: Box::new(source) })
        };
        Ok(Self {
            watch: metered(WATCH_SILENCE, true)?.build(),
            read: metered(READ_TIMEOUT, true)?.build(),
            // A retry inside the client would send after the moment that the permit was checked for.
            lease: metered(permit.write_timeout(), false)?.build(),
            write: metered(permit.write_timeout(), false)?
                .with_layer(&GuardLayer::new(permit.clone()))
                .build(),
        })
    }
}
