//! Answers that the proxy gives itself, in the name of what is behind it.

use std::{convert::Infallible, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

/// An answer to every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// How long the client waits for it.
    pub after: Duration,
}

impl Answer {
    /// A JSON body.
    #[must_use]
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.into(), after: Duration::ZERO }
    }

    /// What a load balancer in between would say: a status and a line of text.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        Self { status, headers, body: body.into(), after: Duration::ZERO }
    }

    /// What an API server says when it refuses, for example 401 or 500; with `Retry-After: 1` for 429.
    #[must_use]
    pub fn kubernetes(status: u16, reason: &str) -> Self {
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": status, "reason": reason, "message": format!("the rig's proxy says {reason}"),
        });
        let mut answer = Self::json(status, body.to_string());
        if status == 429 {
            answer.headers.push(("retry-after".to_owned(), "1".to_owned()));
        }
        answer
    }

    /// What Prometheus says to a query: `result` is JSON of that type (`vector`, `matrix`, `scalar`).
    #[must_use]
    pub fn prometheus(result_type: &str, result: &serde_json::Value) -> Self {
        let data = json!({ "resultType": result_type, "result": result });
        Self::json(200, json!({ "status": "success", "data": data }).to_string())
    }

    /// The same, later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }
}

/// Answers every request of a connection, after the TLS handshake where there is one.
pub(super) async fn serve(client: TcpStream, tls: Option<&TlsAcceptor>, answer: Answer) {
    match tls {
        None => speak(client, answer).await,
        Some(acceptor) => match acceptor.accept(client).await {
            Ok(stream) => speak(stream, answer).await,
            Err(error) => tracing::debug!(%error, "the client broke off the handshake"),
        },
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send, answer: Answer) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            // All of the request first: who closes with unread data sends a reset instead of the answer.
            let _ = request.into_body().collect().await;
            sleep(answer.after).await;
            Ok::<_, Infallible>(response(answer))
        }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "the client broke off");
    }
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        builder = builder.header(name, value);
    }
    builder.body(Full::from(answer.body)).unwrap_or_else(|error| {
        // A status or header that is none: say so to whoever asked.
        let mut response = Response::new(Full::from(format!("the rig's answer is not HTTP: {error}")));
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
