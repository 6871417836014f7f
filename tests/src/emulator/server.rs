//! Serves `/metrics`, and takes orders about how it looks: `curl -X PUT localhost:PORT/exposition/frozen`.

use std::net::TcpListener;

use warp::{
    Filter,
    http::{Response, StatusCode},
};

use super::{Shared, exposition::Exposition};

pub(super) async fn run(listener: TcpListener, state: Shared) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the emulator does not serve"),
    };
    let shown = state.clone();
    let metrics = warp::path!("metrics").and(warp::get()).map(move || {
        let state = shown.lock();
        match state.page.show(&state.fleet) {
            Some(page) => answer(StatusCode::OK, page),
            None => answer(StatusCode::SERVICE_UNAVAILABLE, "down, as was asked for\n".to_owned()),
        }
    });
    let orders = warp::path!("exposition" / String).and(warp::put()).map(move |name: String| {
        let found = Exposition::ALL.into_iter().find(|(known, _)| *known == name);
        let Some((_, exposition)) = found else {
            let known = Exposition::ALL.map(|(name, _)| name).join(", ");
            return answer(StatusCode::NOT_FOUND, format!("no exposition {name:?}; there are: {known}\n"));
        };
        let mut state = state.lock();
        let super::State { fleet, page } = &mut *state;
        page.set(exposition, fleet);
        answer(StatusCode::OK, format!("{name}\n"))
    });
    warp::serve(metrics.or(orders)).incoming(listener).run().await;
}

fn answer(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let text = warp::http::HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(warp::http::header::CONTENT_TYPE, text);
    response
}
