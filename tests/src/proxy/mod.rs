//! A TCP proxy that misbehaves on demand, in front of a Prometheus or of an API server.
//!
//! ```text
//! client ──> 127.0.0.1:PORT ──[ mode ]──> upstream
//! ```
//!
//! A change of mode acts on new connections at once and cuts the old ones, so that no kept-alive connection
//! slips through (a client that has one sees it closed); a change to [`Mode::Drop`] freezes them instead, as a network that swallows packets does.

mod answer;
mod flow;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

pub use answer::Answer;

use crate::{
    background::Background,
    cluster::Cluster,
    ports::{Ports, PortsError},
};
use flow::Flow;

/// What the proxy does.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Passes on, answers this much later.
    Delay(Duration),
    /// Passes on, so many bytes a second in each direction of each connection.
    Throttle(u32),
    /// Accepts and never answers: a black hole.
    Drop,
    /// Nobody listens: connection refused.
    Refuse,
    /// Accepts and resets.
    Reset,
    /// Answers every request itself.
    Answer(Answer),
}

/// A proxy in front of one upstream; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    orders: watch::Sender<Order>,
    obeyed: watch::Receiver<u64>,
    asked: Arc<AtomicU64>,
    _background: Background,
    _ports: Ports,
}

/// A mode with its number, so that [`Proxy::set`] can wait until it is in force.
#[derive(Debug, Clone)]
struct Order {
    number: u64,
    mode: Mode,
}

/// A proxy does not come up.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// No ports.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// No listener or no thread.
    #[error("cannot start the proxy in front of {upstream}: {source}")]
    Start {
        /// The upstream.
        upstream: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate.
    #[error("the proxy cannot use the certificate of {upstream}: {why}")]
    Certificate {
        /// The upstream.
        upstream: SocketAddr,
        /// Why.
        why: String,
    },
}

impl Proxy {
    /// A proxy in front of a port of localhost that speaks plain HTTP (a Prometheus, for example).
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(upstream_port: u16) -> Result<Self, ProxyError> {
        Self::listen(local(upstream_port), None).await
    }

    /// A proxy in front of a cluster's API server. TLS goes through it untouched, except that
    /// [`Mode::Answer`] answers with the API server's own certificate.
    ///
    /// # Errors
    /// When it cannot listen, or the certificate cannot be read.
    pub async fn before_api_server(cluster: &Cluster) -> Result<Self, ProxyError> {
        let upstream = local(cluster.api_port());
        let (certificate, key) = cluster.certificate();
        let tls = tls(&certificate, &key).map_err(|why| ProxyError::Certificate { upstream, why })?;
        Self::listen(upstream, Some(tls)).await
    }

    async fn listen(upstream: SocketAddr, tls: Option<TlsAcceptor>) -> Result<Self, ProxyError> {
        let start = |source| ProxyError::Start { upstream, source };
        let mut ports = Ports::take()?;
        let port = ports.give()?;
        let background = Background::new("rig-proxy").map_err(start)?;
        let (orders, received) = watch::channel(Order { number: 0, mode: Mode::Pass });
        let (obey, mut obeyed) = watch::channel(u64::MAX);
        let asked = Arc::<AtomicU64>::default();
        let door = Door { address: local(port), upstream, tls, asked: Arc::clone(&asked) };
        background.spawn(door.keep(received, obey));
        // The first order is in force once somebody listens.
        obeyed
            .wait_for(|n| *n == 0)
            .await
            .map_err(|_| start(io::Error::other("nobody listens: the port is taken")))?;
        Ok(Self { port, orders, obeyed, asked, _background: background, _ports: ports })
    }

    /// Where it listens, on localhost.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens, for a client of HTTP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How often a client has sent something that was passed on: a number that only rises, for seeing that
    /// somebody asks.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Changes the mode, and returns when new connections meet it and old ones are closed (or frozen).
    pub async fn set(&self, mode: Mode) {
        let mut number = 0;
        self.orders.send_modify(|order| {
            number = order.number + 1;
            *order = Order { number, mode };
        });
        let mut obeyed = self.obeyed.clone();
        if obeyed.wait_for(|n| *n != u64::MAX && *n >= number).await.is_err() {
            tracing::error!("the proxy's listener has ended");
        }
    }
}

/// The listener and where its connections go.
struct Door {
    address: SocketAddr,
    upstream: SocketAddr,
    tls: Option<TlsAcceptor>,
    asked: Arc<AtomicU64>,
}

impl Door {
    async fn keep(self, mut orders: watch::Receiver<Order>, obey: watch::Sender<u64>) {
        let door = Arc::new(self);
        let mut listener = None;
        let mut connections = JoinSet::new();
        loop {
            let Order { number, mode } = orders.borrow_and_update().clone();
            if mode == Mode::Refuse {
                listener = None;
            } else if listener.is_none() {
                match TcpListener::bind(door.address).await {
                    Ok(bound) => listener = Some(bound),
                    Err(error) if number == 0 => {
                        tracing::error!(%error, address = %door.address, "the proxy cannot listen");
                        return;
                    }
                    Err(_) => {
                        // The kernel has not let go of the port yet.
                        sleep(Duration::from_millis(10)).await;
                        continue;
                    }
                }
            }
            // Cut by the change; frozen ones stay.
            while mode != Mode::Drop && connections.join_next().await.is_some() {}
            obey.send_replace(number);
            loop {
                tokio::select! {
                    changed = orders.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    connection = next(listener.as_ref()) => {
                        connections.spawn(Arc::clone(&door).serve(connection, mode.clone(), orders.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        }
    }

    async fn serve(self: Arc<Self>, client: TcpStream, mode: Mode, mut orders: watch::Receiver<Order>) {
        let mut work = std::pin::pin!(self.work(client, mode));
        tokio::select! {
            () = &mut work => return,
            _ = orders.changed() => {}
        }
        // Not polled any more, the connection is open and silent.
        while orders.borrow_and_update().mode == Mode::Drop {
            if orders.changed().await.is_err() {
                return;
            }
        }
    }

    async fn work(&self, client: TcpStream, mode: Mode) {
        let flow = match mode {
            Mode::Pass => Flow::default(),
            Mode::Delay(delay) => Flow { delay, bytes_per_second: None },
            Mode::Throttle(rate) => Flow { delay: Duration::ZERO, bytes_per_second: Some(rate.max(1)) },
            Mode::Drop => return std::future::pending().await,
            Mode::Refuse => return,
            Mode::Reset => {
                // Data in the receive buffer or this option: either makes the close a reset.
                if let Err(error) = client.set_zero_linger() {
                    tracing::warn!(%error, "closed instead of reset");
                }
                return;
            }
            Mode::Answer(answer) => return answer::serve(client, self.tls.as_ref(), answer).await,
        };
        match TcpStream::connect(self.upstream).await {
            Ok(upstream) => flow.join(client, upstream, &self.asked).await,
            // As if the upstream had been asked directly: the client sees a reset.
            Err(_) => drop(client.set_zero_linger()),
        }
    }
}

/// The next connection; never, without a listener.
async fn next(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            // Out of file descriptors, for example: it passes.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn tls(certificate: &Path, key: &Path) -> Result<TlsAcceptor, String> {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| e.to_string())?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| e.to_string())?;
    rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map(|config| TlsAcceptor::from(Arc::new(config)))
        .map_err(|e| e.to_string())
}
