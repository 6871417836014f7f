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
    config.connect_timeout = Some(READ_TIMEOUT);
    // A person who waits is told at once, and can repeat the command.
    config.default_retry = false;
    let server = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| ClientError::Build { server, source: Box::new(source) })
}

impl Clients {
    /// The operator's clients. Every call is told to `record`; `write` asks `permit`.
    ///
    /// # Errors
    /// When no client can be made of the configuration.
    pub fn new(config: &Config, record: &Record, permit: &Permit) -> Result<Self, ClientError> {
        let metered = |read_timeout| {
            let mut config = config.clone();
            // kube's own retries wait up to minutes inside one call, so a recovery would take as long as the
            // outage did, and a write would be sent after the moment that the permit was checked for. Who calls
            // tries again: the watches after some seconds, everything else at the next tick.
            config.default_retry = false;
            // Without `reset_reader_on_write` the idle time of a pooled connection would count as silence.
            config.reset_reader_on_write = true;
            config.read_timeout = Some(read_timeout);
            let server = config.cluster_url.to_string();
            ClientBuilder::try_from(config)
                .map(|builder| builder.with_layer(&MeterLayer::new(record.clone())))
                .map_err(|source| ClientError::Build { server, source: Box::new(source) })
        };
        Ok(Self {
            watch: metered(WATCH_SILENCE)?.build(),
            read: metered(READ_TIMEOUT)?.build(),
            lease: metered(permit.write_timeout())?.build(),
            write: metered(permit.write_timeout())?.with_layer(&GuardLayer::new(permit.clone())).build(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use k8s_openapi::api::coordination::v1::Lease;
    use kube::Api;
    use loadline_policies::now::{Mono, Now};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::ports::Clock;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Now {
            Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(100))
        }
    }

    /// Takes one request without a body, and answers it.
    async fn answer(connection: &mut TcpStream, answer: &str) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(connection.read_u8().await.unwrap());
        }
        connection.write_all(answer.as_bytes()).await.unwrap();
    }

    /// An API server that is too busy for the first request and has time for the second.
    async fn busy_once() -> Config {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut answers = [
                "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            ]
            .into_iter();
            while let (Ok((mut connection, _)), Some(next)) = (listener.accept().await, answers.next()) {
                answer(&mut connection, next).await;
            }
        });
        Config::new(format!("http://{address}").parse().unwrap())
    }

    /// What each client makes of its first request to such a server.
    #[tokio::test]
    async fn no_client_tries_again_by_itself() {
        let permit = Permit::new(Arc::new(Still), Duration::from_secs(5));
        permit.set(Some(Mono(Duration::from_secs(200))));
        for name in ["watch", "read", "lease", "write", "personal"] {
            let config = busy_once().await;
            let clients = Clients::new(&config, &Record::new(|_| {}), &permit).unwrap();
            let client = match name {
                "watch" => clients.watch,
                "read" => clients.read,
                "lease" => clients.lease,
                "write" => clients.write,
                _ => personal(config).unwrap(),
            };
            let first = Api::<Lease>::namespaced(client, "system").get("loadline").await;
            let failure = Failure::of(&first.expect_err(name), "get", "leases", &"loadline");
            assert_eq!(failure.kind, FailureKind::Busy, "{name}: {failure}");
        }
    }
}
