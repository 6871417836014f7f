//! The admin port: `/healthz`, `/readyz`, `/metrics`, `/debug/plan`.
//!
//! It answers reads only and holds no secret: a plan names policies, targets and numbers. `/debug` can be kept to
//! loopback callers (`kubectl port-forward`).

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use warp::{Filter, filters::BoxedFilter};

use crate::report::{View, metrics::Metrics};

/// What the admin port shows.
#[derive(Debug, Clone)]
pub struct Admin {
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The last plan.
    pub view: View,
    /// Whether the caches are filled, so that decisions can be made.
    pub ready: Arc<AtomicBool>,
    /// Whether `/debug` answers only callers on loopback.
    pub debug_on_loopback_only: bool,
}

/// Why the port could not be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: is it taken, or not an address of this machine? Set --listen")]
pub struct AdminError {
    address: SocketAddr,
    source: io::Error,
}

/// Binds the port; what is returned serves it until `stop`.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn bind(
    address: SocketAddr,
    admin: Admin,
    stop: CancellationToken,
) -> Result<(SocketAddr, impl Future<Output = ()> + Send), AdminError> {
    let failed = |source| AdminError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let server =
        warp::serve(routes(admin)).incoming(listener).graceful(async move { stop.cancelled().await });
    Ok((bound, server.run()))
}

fn routes(admin: Admin) -> BoxedFilter<(Response<String>,)> {
    let healthz = warp::path!("healthz").map(|| text(StatusCode::OK, "ok\n"));
    let ready = Arc::clone(&admin.ready);
    let readyz = warp::path!("readyz").map(move || {
        if ready.load(Ordering::Relaxed) {
            text(StatusCode::OK, "ok\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "the caches are not filled yet\n")
        }
    });
    let shown = Arc::clone(&admin.metrics);
    let metrics = warp::path!("metrics").map(move || metrics(&shown));
    let plan = warp::path!("debug" / "plan")
        .and(warp::addr::remote())
        .map(move |from: Option<SocketAddr>| debug_plan(&admin, from));
    let other =
        warp::any().map(|| text(StatusCode::NOT_FOUND, "try /healthz /readyz /metrics /debug/plan\n"));
    let known = healthz.or(readyz).unify().or(metrics).unify().or(plan).unify();
    warp::get().and(known).or(other).unify().boxed()
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<String> {
    answer(status, "text/plain; charset=utf-8", body.into())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn metrics(metrics: &Metrics) -> Response<String> {
    match metrics.text() {
        Ok(body) => {
            answer(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", body)
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn debug_plan(admin: &Admin, from: Option<SocketAddr>) -> Response<String> {
    // A socket of IPv6 shows 127.0.0.1 as ::ffff:127.0.0.1.
    if admin.debug_on_loopback_only && !from.is_some_and(|a| a.ip().to_canonical().is_loopback()) {
        return text(StatusCode::FORBIDDEN, "only from the pod itself: kubectl port-forward\n");
    }
    let Some(plan) = admin.view.last() else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "no tick yet: this process is not the leader, or just started\n",
        );
    };
    match serde_json::to_string(plan.as_ref()) {
        Ok(body) => answer(StatusCode::OK, "application/json", body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> Admin {
        Admin {
            metrics: Arc::default(),
            view: View::default(),
            ready: Arc::default(),
            debug_on_loopback_only: true,
        }
    }

    async fn get(admin: &Admin, path: &str, from: &str) -> (u16, String) {
        let from: SocketAddr = from.parse().unwrap();
        let response = warp::test::request().path(path).remote_addr(from).reply(&routes(admin.clone())).await;
        (response.status().as_u16(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn it_is_ready_only_when_the_caches_are_filled() {
        let admin = admin();
        assert_eq!(get(&admin, "/healthz", "127.0.0.1:1").await.0, 200);
        assert_eq!(get(&admin, "/readyz", "127.0.0.1:1").await.0, 503);
        admin.ready.store(true, Ordering::Relaxed);
        assert_eq!(get(&admin, "/readyz", "127.0.0.1:1").await.0, 200);
    }

    #[tokio::test]
    async fn the_plan_is_for_callers_on_loopback() {
        let admin = admin();
        assert_eq!(get(&admin, "/debug/plan", "10.0.0.7:1").await.0, 403);
        assert_eq!(get(&admin, "/debug/plan", "127.0.0.1:1").await.0, 503);
        assert_eq!(get(&admin, "/debug/plan", "[::ffff:10.0.0.7]:1").await.0, 403);
        for loopback in ["[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(get(&admin, "/debug/plan", loopback).await.0, 503, "{loopback}");
        }
        assert_eq!(get(&admin, "/nothing", "127.0.0.1:1").await.0, 404);
        assert!(get(&admin, "/metrics", "10.0.0.7:1").await.1.contains("loadline_leader"));
    }
}
