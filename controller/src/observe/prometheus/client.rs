//! One source: sends its queries, bounds what they may cost, and says what went wrong.
//!
//! `prometheus-http-query` builds and sends every request. Its own parsing of answers is not used: it makes a
//! hash map with owned keys for each series and does not bound the body. For the 90,000 series of a grouped
//! answer `benches/telemetry.rs` compares the two.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use loadline_policies::reading::Doubt;
use prometheus_http_query as prometheus;
use reqwest::StatusCode;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{answer, credentials::Credentials};
use crate::config::Source;

/// Longest error page that is read: the query API's own errors have a few hundred bytes.
const MAX_ERROR: usize = 64 << 10;

/// What was sent to the sources since the start.
#[derive(Debug, Default)]
pub struct Traffic {
    queries: AtomicU64,
    failures: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    /// Queries sent.
    pub fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// Queries that gave no usable answer.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Bytes of answers, after decompression.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A source with its connections.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) source: Source,
    permits: Semaphore,
    connection: Mutex<Option<Arc<Connection>>>,
    traffic: Arc<Traffic>,
}

/// Connections made with one state of the credentials.
pub(super) struct Connection {
    credentials: Credentials,
    api: prometheus::Client,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("url", &self.api.base_url().as_str()).finish_non_exhaustive()
    }
}

/// What one query may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How long the server may work on it.
    pub(super) timeout: Duration,
    /// When everything is over, also the wait for a free place.
    pub(super) deadline: Instant,
    /// Longest answer, in bytes after decompression.
    pub(super) max_answer: usize,
}

/// The moments of a range query, Unix seconds, both ends among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: i64,
    pub(super) end: i64,
    /// Seconds between two of them; above 0.
    pub(super) step: u32,
}

impl Client {
    pub(super) fn new(source: Source, traffic: Arc<Traffic>) -> Self {
        let permits = Semaphore::new(source.concurrency);
        Self { source, permits, connection: Mutex::new(None), traffic }
    }

    /// The limits of a bulk query that starts now.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            timeout: self.source.timeout,
            deadline: Instant::now() + self.source.timeout,
            max_answer: self.source.max_answer,
        }
    }

    /// The connection for the credentials as they are in the files now.
    pub(super) async fn connect(&self) -> Result<Arc<Connection>, Doubt> {
        let not_configured = |e: String| Doubt::NotConfigured(format!("source {}: {e}", self.source.name));
        let credentials = Credentials::read(&self.source).await.map_err(|e| not_configured(e.to_string()))?;
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = slot.as_ref().filter(|c| c.credentials == credentials) {
            return Ok(Arc::clone(connection));
        }
        let api = build(&self.source, &credentials).map_err(not_configured)?;
        let connection = Arc::new(Connection { credentials, api });
        *slot = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// Sends one of the bulk queries as soon as there is a place for it, and gives the body of its answer.
    pub(super) async fn bulk(
        &self,
        connection: &Connection,
        promql: &str,
        limits: Limits,
    ) -> Result<Vec<u8>, Doubt> {
        match timeout_at(limits.deadline, self.permits.acquire()).await {
            Ok(Ok(_place)) => self.query(connection, promql, limits).await,
            // The semaphore is never closed; were it, nobody could be asked.
            Ok(Err(_)) => Err(self.failed(promql, Doubt::Unreachable)),
            Err(_) => Err(self.failed(promql, Doubt::TimedOut)),
        }
    }

    /// Sends one query and gives the body of its answer. How many are sent at once is the caller's business.
    pub(super) async fn query(
        &self,
        connection: &Connection,
        promql: &str,
        limits: Limits,
    ) -> Result<Vec<u8>, Doubt> {
        self.sent(promql, limits, self.send(connection, promql, limits)).await
    }

    /// The same for a range query.
    pub(super) async fn query_range(
        &self,
        connection: &Connection,
        promql: &str,
        range: Range,
        limits: Limits,
    ) -> Result<Vec<u8>, Doubt> {
        self.sent(promql, limits, self.send_range(connection, promql, range, limits)).await
    }

    async fn sent(
        &self,
        promql: &str,
        limits: Limits,
        answer: impl Future<Output = Result<Vec<u8>, Doubt>>,
    ) -> Result<Vec<u8>, Doubt> {
        self.traffic.queries.fetch_add(1, Ordering::Relaxed);
        let body = timeout_at(limits.deadline, answer)
            .await
            .unwrap_or(Err(Doubt::TimedOut))
            .map_err(|doubt| self.failed(promql, doubt))?;
        self.traffic.bytes.fetch_add(u64::try_from(body.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(body)
    }

    fn failed(&self, promql: &str, doubt: Doubt) -> Doubt {
        self.traffic.failures.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(source = %self.source.name, promql, %doubt, "query failed");
        doubt
    }

    async fn send(&self, connection: &Connection, promql: &str, limits: Limits) -> Result<Vec<u8>, Doubt> {
        let millis = i64::try_from(limits.timeout.as_millis()).unwrap_or(i64::MAX);
        let mut query = connection
            .api
            .query(promql)
            .timeout(millis)
            // Thanos: an answer without some of its stores is an error, not a smaller load.
            .query("partial_response", false);
        for (name, value) in &self.source.headers.0 {
            query = query.header(name.clone(), value.clone());
        }
        if let Some(value) = &connection.credentials.authorization {
            query = query.header(http::header::AUTHORIZATION, value.clone());
        }
        received(query.post_raw().await, limits).await
    }

    async fn send_range(
        &self,
        connection: &Connection,
        promql: &str,
        range: Range,
        limits: Limits,
    ) -> Result<Vec<u8>, Doubt> {
        let millis = i64::try_from(limits.timeout.as_millis()).unwrap_or(i64::MAX);
        let Range { start, end, step } = range;
        let mut query = connection
            .api
            .query_range(promql, start, end, f64::from(step))
            .timeout(millis)
            .query("partial_response", false);
        for (name, value) in &self.source.headers.0 {
            query = query.header(name.clone(), value.clone());
        }
        if let Some(value) = &connection.credentials.authorization {
            query = query.header(http::header::AUTHORIZATION, value.clone());
        }
        received(query.post_raw().await, limits).await
    }
}

/// The body of an answer, or the doubt that it raises.
async fn received(
    response: Result<reqwest::Response, prometheus::Error>,
    limits: Limits,
) -> Result<Vec<u8>, Doubt> {
    let response = response.map_err(|e| doubt_of(&e))?;
    let status = response.status();
    if status == StatusCode::OK {
        return body(response, limits.max_answer).await;
    }
    let said = body(response, MAX_ERROR).await.ok().and_then(|b| answer::error_of(&b));
    Err(match said {
        Some((kind, _)) if kind == "timeout" => Doubt::TimedOut,
        Some((kind, message)) if status == 400 || status == 422 => answer::failure(&kind, &message),
        _ => Doubt::HttpStatus(status.as_u16()),
    })
}

/// Reads a body, but not more than `limit` bytes of it.
async fn body(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Doubt> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| doubt_of_reqwest(&e))? {
        if body.len() + chunk.len() > limit {
            let limit = limit >> 20;
            return Err(Doubt::WrongShape(format!(
                "more than {limit} MiB; raise the source's maxAnswerMegabytes, or use recording rules"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn doubt_of(error: &prometheus::Error) -> Doubt {
    match error {
        prometheus::Error::Client(e) => e.inner().map_or(Doubt::Unreachable, doubt_of_reqwest),
        other => Doubt::QueryRefused(answer::cut(&other.to_string())),
    }
}

fn doubt_of_reqwest(error: &reqwest::Error) -> Doubt {
    if error.is_timeout() { Doubt::TimedOut } else { Doubt::Unreachable }
}

fn build(source: &Source, credentials: &Credentials) -> Result<prometheus::Client, String> {
    // reqwest is built without a provider of cryptography; setting it twice is refused, and right both times.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("loadline/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(source.timeout)
        .timeout(source.timeout)
        // A redirect would turn the POST into a GET without its query.
        .redirect(reqwest::redirect::Policy::none())
        .gzip(true);
    if let Some(pem) = &credentials.ca {
        let authorities = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|e| format!("caFile holds no PEM certificates: {e}"))?;
        builder = builder.tls_certs_only(authorities);
    } else if source.url.scheme() == "http" {
        // Without this the system's authorities are loaded, and an image without them could not even speak
        // plain HTTP.
        builder = builder.tls_certs_only([]);
    }
    if let Some(pem) = &credentials.identity {
        let identity = reqwest::Identity::from_pem(pem)
            .map_err(|e| format!("clientCertificate holds no PEM certificate and key: {e}"))?;
        builder = builder.identity(identity);
    }
    let http = builder.build().map_err(|e| format!("no client can be made: {e}"))?;
    prometheus::Client::from(http, source.url.as_str()).map_err(|e| e.to_string())
}
