//! The fault proxy does each of its faults to a client that does not expect them.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by panicking")]

use std::time::{Duration, Instant};

use loadline_tests::{
    ports::Ports,
    proxy::{Answer, Mode, Proxy},
};
use reqwest::{Client, StatusCode};
use serde_json::json;
use warp::Filter;

/// Longer than any answer here takes, short enough to see that none comes.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the server behind the proxy answers with.
const PAGE: usize = 20_000;

/// A server that answers with a page, and a proxy in front of it.
async fn rig() -> (Proxy, Client, Ports) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut ports = Ports::take().unwrap();
    let port = ports.give().unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let page = warp::any().map(|| "x".repeat(PAGE));
    tokio::spawn(warp::serve(page).incoming(listener).run());
    // No kept-alive connections: one that a change of mode cuts would fail the next request in its own way.
    let client = Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).build().unwrap();
    (Proxy::start(port).await.unwrap(), client, ports)
}

async fn fetch(client: &Client, proxy: &Proxy) -> Result<(StatusCode, usize), reqwest::Error> {
    let answer = client.get(proxy.url()).send().await?;
    Ok((answer.status(), answer.text().await?.len()))
}

#[tokio::test]
async fn it_passes_everything_on() {
    let (proxy, client, _ports) = rig().await;
    assert_eq!(fetch(&client, &proxy).await.unwrap(), (StatusCode::OK, PAGE));
}

#[tokio::test]
async fn it_delays() {
    let (proxy, client, _ports) = rig().await;
    proxy.set(Mode::Delay(Duration::from_millis(300))).await;
    let start = Instant::now();
    assert_eq!(fetch(&client, &proxy).await.unwrap(), (StatusCode::OK, PAGE));
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn it_throttles() {
    let (proxy, client, _ports) = rig().await;
    proxy.set(Mode::Throttle(40_000)).await;
    let start = Instant::now();
    assert_eq!(fetch(&client, &proxy).await.unwrap(), (StatusCode::OK, PAGE));
    assert!(start.elapsed() >= Duration::from_millis(400), "20 kB at 40 kB/s");
}

#[tokio::test]
async fn it_swallows_even_on_a_connection_that_was_open_before() {
    let (proxy, _, _ports) = rig().await;
    let client = Client::builder().timeout(PATIENCE).build().unwrap();
    fetch(&client, &proxy).await.unwrap();
    proxy.set(Mode::Drop).await;
    assert!(fetch(&client, &proxy).await.unwrap_err().is_timeout());
    proxy.set(Mode::Pass).await;
    assert_eq!(fetch(&client, &proxy).await.unwrap(), (StatusCode::OK, PAGE));
}

#[tokio::test]
async fn it_refuses_and_comes_back() {
    let (proxy, client, _ports) = rig().await;
    fetch(&client, &proxy).await.unwrap();
    proxy.set(Mode::Refuse).await;
    assert!(fetch(&client, &proxy).await.unwrap_err().is_connect());
    proxy.set(Mode::Pass).await;
    assert_eq!(fetch(&client, &proxy).await.unwrap(), (StatusCode::OK, PAGE));
}

#[tokio::test]
async fn it_resets() {
    let (proxy, client, _ports) = rig().await;
    proxy.set(Mode::Reset).await;
    let error = fetch(&client, &proxy).await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
}

#[tokio::test]
async fn it_answers_with_errors_of_its_own() {
    let (proxy, client, _ports) = rig().await;
    for status in [401, 429, 500, 503] {
        proxy.set(Mode::Answer(Answer::text(status, "no"))).await;
        assert_eq!(fetch(&client, &proxy).await.unwrap().0.as_u16(), status);
    }
}

#[tokio::test]
async fn it_answers_as_a_prometheus_with_a_wrong_shape() {
    let (proxy, client, _ports) = rig().await;
    let nan = json!([{ "metric": {}, "values": [[1, "NaN"]] }]);
    proxy.set(Mode::Answer(Answer::prometheus("matrix", &nan))).await;
    let form = [("query", "up")];
    let answer = client.post(proxy.url()).query(&form).body("query=up").send().await.unwrap();
    let body: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["data"]["resultType"], "matrix");
}

#[tokio::test]
async fn it_answers_late() {
    let (proxy, client, _ports) = rig().await;
    proxy.set(Mode::Answer(Answer::json(200, "{}").after(Duration::from_secs(30)))).await;
    assert!(fetch(&client, &proxy).await.unwrap_err().is_timeout());
}
