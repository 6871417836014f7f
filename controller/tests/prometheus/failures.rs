//! Sources that fail in every way that sources do, and who is let in.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use loadline_controller::{
    config::Config,
    observe::prometheus::{PrometheusTelemetry, SharedPodOwners},
    ports::Telemetry,
};
use loadline_policies::{
    fleet::LoadSample,
    ids::ClusterId,
    reading::{Doubt, Observed},
};
use rstest::rstest;
use tokio::sync::Semaphore;
use warp::{Filter, http::StatusCode};

use crate::{
    ask,
    exporters::Exporters,
    load, near, now,
    server::{Prometheus, Target},
    telemetry, until,
};

async fn steady(telemetry: &PrometheusTelemetry) -> Observed<LoadSample> {
    let asks = [ask("shop/checkout", "otel-http", 1)];
    let readings = telemetry.read(&asks, now()).await;
    load(&readings, "shop/checkout").steady.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_hangs_or_dies_is_a_doubt_and_comes_back_by_itself() {
    let exporters = Exporters::serve().await;
    exporters.add("a", include_str!("recorded/otel-http.prom").replace("POD", "a"));
    let target = Target { exporter: "a", labels: &[("instance", "a")] };
    let mut prometheus = Prometheus::start(exporters.port, &[target]).await;
    let telemetry = telemetry(prometheus.port, "timeout: 2s");
    let asks = [ask("shop/checkout", "otel-http", 1)];
    let fresh = |r: &_| load(r, "shop/checkout").steady.is_ok().then_some(());
    until(&telemetry, &asks, "a first reading", fresh).await;
    // when it hangs
    prometheus.pause();
    assert_eq!(steady(&telemetry).await, Err(Doubt::TimedOut));
    // then it is read again as soon as it goes on
    prometheus.resume();
    until(&telemetry, &asks, "readings after the pause", fresh).await;
    // and when it dies nobody waits for it
    prometheus.kill();
    assert_eq!(steady(&telemetry).await, Err(Doubt::Unreachable));
}

/// A source that gives the same answer to everything, and keeps the last request's headers.
async fn source(
    status: u16,
    body: &'static str,
    delay: Duration,
) -> (u16, Arc<Mutex<Vec<(String, String)>>>) {
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let kept = Arc::clone(&seen);
    let route = warp::path!("api" / "v1" / "query")
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .then(move |headers: warp::http::HeaderMap| {
            let text = |v: &warp::http::HeaderValue| v.to_str().unwrap_or_default().to_owned();
            *kept.lock().unwrap() = headers.iter().map(|(k, v)| (k.to_string(), text(v))).collect();
            async move {
                tokio::time::sleep(delay).await;
                warp::reply::with_status(body, StatusCode::from_u16(status).unwrap())
            }
        });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(warp::serve(route).incoming(listener).run());
    (port, seen)
}

#[rstest]
#[case::server_error(500, "oops", Doubt::HttpStatus(500))]
#[case::overloaded(503, "", Doubt::HttpStatus(503))]
#[case::too_many(429, "", Doubt::HttpStatus(429))]
#[case::not_let_in(401, "<html>", Doubt::HttpStatus(401))]
#[case::redirected(302, "", Doubt::HttpStatus(302))]
#[case::bad_query(
    400,
    r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
    Doubt::QueryRefused("bad_data: parse error".into())
)]
#[case::too_costly(
    422,
    r#"{"status":"error","errorType":"execution","error":"query processing would load too many samples"}"#,
    Doubt::QueryRefused("execution: query processing would load too many samples".into())
)]
#[case::gave_up(
    503,
    r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#,
    Doubt::TimedOut
)]
#[case::empty(200, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#, Doubt::EmptyVector)]
#[tokio::test(flavor = "multi_thread")]
async fn every_bad_answer_is_its_own_doubt(
    #[case] status: u16,
    #[case] body: &'static str,
    #[case] doubt: Doubt,
) {
    let (port, _) = source(status, body, Duration::ZERO).await;
    assert_eq!(steady(&telemetry(port, "")).await, Err(doubt));
}

#[rstest]
#[case::a_web_page("<html>log in</html>")]
#[case::a_matrix(r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#)]
#[case::a_scalar(r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#)]
#[tokio::test(flavor = "multi_thread")]
async fn another_shape_is_said_to_be_one(#[case] body: &'static str) {
    let (port, _) = source(200, body, Duration::ZERO).await;
    let steady = steady(&telemetry(port, "")).await;
    assert!(matches!(steady, Err(Doubt::WrongShape(_))), "{steady:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_whose_remote_storage_is_away_is_a_doubt_although_it_answers() {
    // given one that keeps a part of its samples elsewhere, where nobody listens
    let exporters = Exporters::serve().await;
    exporters.add("a", include_str!("recorded/otel-http.prom").replace("POD", "a"));
    let target = Target { exporter: "a", labels: &[("instance", "a")] };
    let remote = "remote_read: [{url: 'http://127.0.0.1:1/read', read_recent: true}]\n";
    let prometheus = Prometheus::start_with(exporters.port, &[target], remote).await;
    // when it answers with what it has itself, then that is said to be less than the whole
    let telemetry = telemetry(prometheus.port, "");
    let asks = [ask("shop/checkout", "otel-http", 1)];
    until(&telemetry, &asks, "a warning", |r| match &load(r, "shop/checkout").steady {
        Err(Doubt::WrongShape(why)) if why.contains("may not be whole") => Some(()),
        Ok(reading) => panic!("taken for the whole: {reading:?}"),
        Err(_) => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let body: &'static str = " ".repeat(2 << 20).leak();
    let (port, _) = source(200, body, Duration::ZERO).await;
    let steady = steady(&telemetry(port, "maxAnswerMegabytes: 1")).await;
    assert!(
        matches!(&steady, Err(Doubt::WrongShape(why)) if why.contains("maxAnswerMegabytes")),
        "{steady:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_slow_source_delays_and_dims_only_its_own_clusters() {
    // given a source that takes half a minute, and a good one
    let healthy = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
    let (slow, _) = source(200, healthy, Duration::from_secs(30)).await;
    let (good, _) = source(200, healthy, Duration::ZERO).await;
    let config = Config::parse(&format!(
        "sources:\n- {{name: slow, url: 'http://127.0.0.1:{slow}', cluster: far, timeout: 1s, concurrency: 1}}\n\
         - {{name: good, url: 'http://127.0.0.1:{good}'}}"
    ))
    .unwrap();
    let telemetry = PrometheusTelemetry::new(&config, SharedPodOwners::default());
    let mut ask = ask("shop/checkout", "otel-http", 1);
    ask.expected.insert(ClusterId::new("far"), 1);
    ask.expected.insert(ClusterId::new("nowhere"), 1);
    // when all are read, one after the other at the slow one
    let readings = telemetry.read(std::slice::from_ref(&ask), now()).await;
    // then each cluster has the doubt of its own source
    let doubt = |cluster: &str| {
        readings.loads[&(ask.policy.clone(), ClusterId::new(cluster))].steady.clone().unwrap_err()
    };
    assert_eq!(doubt("far"), Doubt::TimedOut);
    assert_eq!(doubt("local"), Doubt::EmptyVector);
    assert!(matches!(doubt("nowhere"), Doubt::NotConfigured(_)));
}

/// A source that answers everything with one number, but queries that name `slow` only when the gate opens.
async fn gated(gate: Arc<Semaphore>) -> u16 {
    let number = r#"{"status":"success","data":{"resultType":"vector","result":[
        {"metric":{"loadline_part":"value"},"value":[1700000000,"7"]},
        {"metric":{"loadline_part":"0"},"value":[1700000000,"1700000000"]}]}}"#;
    let route = warp::path!("api" / "v1" / "query").and(warp::body::form()).then(
        move |form: BTreeMap<String, String>| {
            let gate = Arc::clone(&gate);
            async move {
                if form.get("query").is_some_and(|q| q.contains("slow")) {
                    drop(gate.acquire().await.unwrap());
                }
                number
            }
        },
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(warp::serve(route).incoming(listener).run());
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_slow_triggers_delay_neither_the_load_nor_other_tenants_triggers() {
    // given a tenant with eight triggers that hang, which is as many as are asked at once, and another with one
    let gate = Arc::new(Semaphore::new(0));
    let port = gated(Arc::clone(&gate)).await;
    let config = Config::parse(&format!(
        "sources: [{{name: a, url: 'http://127.0.0.1:{port}', timeout: 60s, concurrency: 1}}]\n\
         triggers: {{timeout: 60s, concurrency: 2}}"
    ))
    .unwrap();
    let telemetry = PrometheusTelemetry::new(&config, SharedPodOwners::default());
    let mut slow = ask("greedy/worker", "otel-http", 1);
    slow.triggers = (0..8).map(|i| (format!("t{i}"), format!("sum(slow_{i})"))).collect();
    let mut quick = ask("shop/worker", "otel-http", 1);
    quick.triggers = [("t0".to_owned(), "sum(quick)".to_owned())].into();
    let asks = [slow, quick];
    let key = |i: usize, name: &str| (asks[i].policy.clone(), name.to_owned());
    // when they are read, then the load is there while the eight are not, and the other's number comes
    let readings = until(&telemetry, &asks, "the quick trigger", |r| {
        r.triggers[&key(1, "t0")].as_ref().is_ok_and(|v| near(v.value, 7.0)).then(|| r.clone())
    })
    .await;
    assert_ne!(load(&readings, "shop/worker").steady, Err(Doubt::TimedOut));
    for i in 0..8 {
        assert_eq!(readings.triggers[&key(0, &format!("t{i}"))], Err(Doubt::NotYetRead));
    }
    // and when the gate opens, the slow ones come too
    gate.add_permits(1_000);
    until(&telemetry, &asks, "all triggers", |r| {
        (0..8).all(|i| r.triggers[&key(0, &format!("t{i}"))].is_ok()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_sent_and_read_again_when_they_change() {
    let (port, seen) =
        source(200, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#, Duration::ZERO)
            .await;
    let header = |name: &str| {
        let seen = seen.lock().unwrap();
        seen.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()).unwrap_or_default()
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    let secret = file.display();
    // a token that is not mounted yet is said, with its path
    let bearer = telemetry(port, &format!("bearerTokenFile: '{secret}', headers: {{X-Scope-OrgID: team}}"));
    let missing = steady(&bearer).await;
    assert!(matches!(&missing, Err(Doubt::NotConfigured(why)) if why.contains("secret")), "{missing:?}");
    // mounted, it is sent; changed, the new one is
    for token in ["first", "second"] {
        fs::write(&file, format!("{token}\n")).unwrap();
        assert_eq!(steady(&bearer).await, Err(Doubt::EmptyVector));
        assert_eq!(header("authorization"), format!("Bearer {token}"));
    }
    assert_eq!(header("x-scope-orgid"), "team");
    assert!(header("accept-encoding").contains("gzip"), "answers are not asked for compressed");
    assert!(header("user-agent").starts_with("loadline/"));
    // basic authentication, from RFC 7617's own example
    fs::write(&file, "open sesame").unwrap();
    let basic = telemetry(port, &format!("basicAuth: {{username: Aladdin, passwordFile: '{secret}'}}"));
    assert_eq!(steady(&basic).await, Err(Doubt::EmptyVector));
    assert_eq!(header("authorization"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_file_that_is_none_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.crt");
    fs::write(&file, "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n").unwrap();
    let telemetry = telemetry(1, &format!("caFile: '{}'", file.display()));
    let steady = steady(&telemetry).await;
    assert!(matches!(&steady, Err(Doubt::NotConfigured(_))), "{steady:?}");
}
