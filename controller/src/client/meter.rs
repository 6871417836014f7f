//! The meter: counts every call to the API server by verb, resource and answer.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Method, Request, Response};
use tower::{Layer, Service};

/// One call that was answered, or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// For example `deployments/scale`.
    pub resource: String,
    /// The HTTP status; `None` without an answer.
    pub code: Option<u16>,
    /// From the request to the head of the answer.
    pub took: Duration,
}

/// Where calls are told to.
#[derive(Clone)]
pub struct Record(Arc<dyn Fn(Call) + Send + Sync>);

impl Record {
    /// Tells every call to `f`.
    pub fn new(f: impl Fn(Call) + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record")
    }
}

/// Meters a client.
#[derive(Debug, Clone)]
pub struct MeterLayer {
    record: Record,
}

impl MeterLayer {
    /// A meter that tells every call to `record`.
    #[must_use]
    pub const fn new(record: Record) -> Self {
        Self { record }
    }
}

impl<S> Layer<S> for MeterLayer {
    type Service = Meter<S>;

    fn layer(&self, inner: S) -> Meter<S> {
        Meter { inner, record: self.record.clone() }
    }
}

/// A metered client.
pub struct Meter<S> {
    inner: S,
    record: Record,
}

impl<S, B, R> Service<Request<B>> for Meter<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: 'static,
    S::Future: Send + 'static,
    R: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, resource) = name(request.method(), request.uri().path(), request.uri().query());
        let record = self.record.clone();
        let call = self.inner.call(request);
        Box::pin(async move {
            let start = Instant::now();
            let answer = call.await;
            let code = answer.as_ref().ok().map(|r| r.status().as_u16());
            (record.0)(Call { verb, resource, code, took: start.elapsed() });
            answer
        })
    }
}

/// The verb and resource of a request, as RBAC names them; names of objects are left out.
fn name(method: &Method, path: &str, query: Option<&str>) -> (&'static str, String) {
    let mut parts = path.split('/').filter(|p| !p.is_empty());
    // /api/v1/… and /apis/group/version/…
    let skipped = match parts.next() {
        Some("api") => 1,
        Some("apis") => 2,
        _ => return (verb(method, false, query), "other".to_owned()),
    };
    let rest: Vec<&str> = parts.skip(skipped).collect();
    let (resource, object, sub) = match rest.as_slice() {
        ["namespaces", _, resource, rest @ ..] | [resource, rest @ ..] => {
            (*resource, rest.first(), rest.get(1))
        }
        [] => ("discovery", None, None),
    };
    let verb = verb(method, object.is_some() || rest.is_empty(), query);
    (verb, sub.map_or_else(|| resource.to_owned(), |sub| format!("{resource}/{sub}")))
}

fn verb(method: &Method, single: bool, query: Option<&str>) -> &'static str {
    match *method {
        Method::GET if query.is_some_and(|q| q.contains("watch=true")) => "watch",
        Method::GET if single => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_as_rbac_names_them() {
        let cases = [
            (Method::GET, "/apis/apps/v1/deployments", Some("watch=true"), "watch", "deployments"),
            (Method::GET, "/apis/apps/v1/deployments", None, "list", "deployments"),
            (
                Method::PUT,
                "/apis/apps/v1/namespaces/shop/deployments/cart/scale",
                None,
                "update",
                "deployments/scale",
            ),
            (Method::GET, "/api/v1/namespaces/shop/pods/p", None, "get", "pods"),
            (Method::POST, "/apis/events.k8s.io/v1/namespaces/shop/events", None, "create", "events"),
            (Method::GET, "/apis/apps/v1", None, "get", "discovery"),
            (Method::GET, "/version", None, "list", "other"),
        ];
        for (method, path, query, verb, resource) in cases {
            assert_eq!(name(&method, path, query), (verb, resource.to_owned()), "{path}");
        }
    }
}
