//! What goes over the wire, against a mock at the HTTP boundary; conflicts of a real API server are in `tests/`.

use std::time::Duration;

use http::{Method, Request, Response};
use jiff::Timestamp;
use kube::client::Body;
use loadline_policies::{
    ids::PolicyKey,
    now::{Mono, Now},
    reason::{Reason, ReasonCode},
};
use serde_json::{Value, json};
use tower::Layer as _;
use tower_test::mock;

use super::*;
use crate::client::GuardLayer;

struct Still;

impl Clock for Still {
    fn now(&self) -> Now {
        Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(100))
    }
}

type Server = mock::Handle<Request<Body>, Response<Body>>;

fn actuator(deadline: u64) -> (KubeActuator, Server) {
    let permit = Permit::new(Arc::new(Still), Duration::from_secs(5));
    permit.set(Some(Mono(Duration::from_secs(deadline))));
    let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
    let client = Client::new(GuardLayer::new(permit.clone()).layer(service), "default");
    let listed = [Kind::of(&action().target), Kind::of(&rollout())];
    let discovery = Arc::new(Discovery::new(client.clone(), Arc::new(Still), listed));
    (KubeActuator::new(client, discovery, permit, Arc::new(Still)), server)
}

fn action() -> ScaleAction {
    ScaleAction {
        policy: PolicyKey::new("shop", "cart"),
        cluster: ClusterId::local(),
        target: Target::new("apps/v1", "Deployment", "shop", "cart"),
        from: 3,
        accepted: 3,
        to: 5,
        version: ObjectVersion { uid: "u1".into(), resource_version: "41".into() },
        reason: Reason::new(ReasonCode::BelowBand, "below"),
    }
}

/// Of a kind that is listed, and that the API server must be asked about.
fn rollout() -> Target {
    Target::new("argoproj.io/v1alpha1", "Rollout", "shop", "cart")
}

fn scale(uid: &str, version: &str, replicas: i32) -> Value {
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": "cart", "namespace": "shop", "uid": uid, "resourceVersion": version},
        "spec": {"replicas": replicas}, "status": {"replicas": replicas}})
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": reason, "message": reason}),
    )
}

/// Answers the requests in turn; gives back what was asked, as `(method, resourceVersion in the body)`.
async fn serve(mut server: Server, answers: Vec<(u16, Value)>) -> Vec<(Method, String)> {
    let mut asked = Vec::new();
    for (code, body) in answers {
        let (request, answer) = server.next_request().await.expect("one more request");
        let (head, request_body) = request.into_parts();
        assert_eq!(head.uri.path(), "/apis/apps/v1/namespaces/shop/deployments/cart/scale");
        if head.method == Method::PUT {
            assert!(head.uri.query().unwrap().contains("fieldManager=loadline"), "{}", head.uri);
        }
        let bytes = request_body.collect_bytes().await.unwrap();
        let body_sent: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        asked
            .push((head.method, body_sent["metadata"]["resourceVersion"].as_str().unwrap_or("-").to_owned()));
        answer.send_response(
            Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap(),
        );
    }
    assert!(server.next_request().await.is_none(), "no further request");
    asked
}

async fn run(answers: Vec<(u16, Value)>) -> (Outcome, Vec<(Method, String)>) {
    let (actuator, server) = actuator(200);
    let wire = tokio::spawn(serve(server, answers));
    let outcome = actuator.scale(&action()).await;
    drop(actuator);
    (outcome, wire.await.unwrap())
}

fn put(version: &str) -> (Method, String) {
    (Method::PUT, version.to_owned())
}

fn get() -> (Method, String) {
    (Method::GET, "-".to_owned())
}

#[tokio::test]
async fn a_write_carries_the_version_that_was_decided_on() {
    let (outcome, asked) = run(vec![(200, scale("u1", "42", 5))]).await;
    assert_eq!((outcome, asked), (Outcome::Done, vec![put("41")]));
}

#[tokio::test]
async fn after_a_conflict_about_something_else_it_is_written_once_more() {
    let (outcome, asked) =
        run(vec![status(409, "Conflict"), (200, scale("u1", "44", 3)), (200, scale("u1", "45", 5))]).await;
    assert_eq!((outcome, asked), (Outcome::Done, vec![put("41"), get(), put("44")]));
}

#[tokio::test]
async fn after_a_conflict_about_the_replicas_it_is_refused() {
    let (outcome, asked) = run(vec![status(409, "Conflict"), (200, scale("u1", "44", 9))]).await;
    assert!(matches!(outcome, Outcome::Refused(why) if why.contains("has 9 replicas now")));
    assert_eq!(asked, vec![put("41"), get()]);
}

#[tokio::test]
async fn an_object_made_again_under_the_same_name_is_not_touched() {
    let (outcome, _) = run(vec![status(409, "Conflict"), (200, scale("u2", "44", 3))]).await;
    assert!(matches!(outcome, Outcome::Refused(why) if why.contains("made again")));
}

#[tokio::test]
async fn a_second_conflict_is_left_to_the_next_tick() {
    let (outcome, asked) =
        run(vec![status(409, "Conflict"), (200, scale("u1", "44", 3)), status(409, "Conflict")]).await;
    assert!(matches!(outcome, Outcome::Refused(_)));
    assert_eq!(asked.len(), 3);
}

#[tokio::test]
async fn a_forbidden_write_is_refused_and_the_object_rests() {
    let (actuator, server) = actuator(200);
    let wire = tokio::spawn(serve(server, vec![status(403, "Forbidden")]));
    let first = actuator.scale(&action()).await;
    assert!(matches!(first, Outcome::Refused(why) if why.contains("deployments/scale")));
    let second = actuator.scale(&action()).await;
    assert!(matches!(second, Outcome::Skipped(why) if why.contains("tried again in")));
    drop(actuator);
    assert_eq!(wire.await.unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_permit_nothing_is_sent() {
    let (actuator, server) = actuator(0);
    let wire = tokio::spawn(serve(server, Vec::new()));
    assert!(matches!(actuator.scale(&action()).await, Outcome::Skipped(_)));
    drop(actuator);
    assert_eq!(wire.await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_cannot_be_looked_up_holds_the_other_writes_up_for_one_time_out() {
    let (actuator, server) = actuator(200);
    let outcome =
        time::timeout(Duration::from_secs(6), actuator.scale(&ScaleAction { target: rollout(), ..action() }))
            .await;
    assert!(
        matches!(outcome, Ok(Outcome::Failed(why)) if why.contains("did not say how to scale a Rollout"))
    );
    drop(server);
}

#[tokio::test]
async fn a_kind_that_is_not_in_scale_targets_is_refused_whatever_rbac_allows() {
    let (actuator, server) = actuator(200);
    let wire = tokio::spawn(serve(server, Vec::new()));
    let target = Target::new("apps/v1", "ReplicaSet", "shop", "cart");
    let outcome = actuator.scale(&ScaleAction { target, ..action() }).await;
    assert!(matches!(outcome, Outcome::Refused(why) if why.contains("not in scaleTargets")));
    drop(actuator);
    assert_eq!(wire.await.unwrap(), [], "nothing was asked");
}

#[tokio::test]
async fn a_target_that_somebody_else_keeps_changing_rests_a_moment() {
    let (actuator, server) = actuator(200);
    let wire = tokio::spawn(serve(server, vec![status(409, "Conflict"), (200, scale("u1", "44", 9))]));
    assert!(matches!(actuator.scale(&action()).await, Outcome::Refused(_)));
    assert!(
        matches!(actuator.scale(&action()).await, Outcome::Skipped(why) if why.contains("9 replicas now"))
    );
    drop(actuator);
    assert_eq!(wire.await.unwrap().len(), 2);
}
