//! The API server breaks, objects go away under the operator's hands, and others write to what it scales.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use loadline_tests::{
    cluster::Component,
    proxy::{Answer, Mode},
    wait::until,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::stage::{
    AT_LOW, FOR_HIGH, FOR_LOW, HIGH, LOW, MOST_FOR_LOW, Place, SOON, Stage, Subject, condition,
};

static PLACE: Place = Place::new("control");
/// The API server's own faults have a cluster of their own.
static DARK_PLACE: Place = Place::new("dark");

/// Syncs in which nothing may happen.
const QUIET: f64 = 4.0;

/// Replicas of a target that is made again, far more than its load needs.
const MADE_AGAIN: u32 = 9;
/// Syncs that are longer than the 8 s that a scale-in looks back.
const WINDOW: f64 = 10.0;

/// Syncs from the first answer of the API server to the write that waited. The lease is looked at again every 2 s
/// after a failure (two syncs here), is renewed at once, and its renewal wakes the loop; then two syncs, and the one
/// that was under way.
const SYNCS_TO_WRITE: f64 = 2.0 + 2.0 + 1.0;

/// Syncs that outlast the longest pause after a failed write, 5 s: what is written then waited for the lease alone.
const PAUSE: f64 = 6.0;

/// A row in which the API server goes away while a load rises.
fn dark_row(name: &str, strike: impl AsyncFnOnce(&Stage), heal: impl AsyncFnOnce(&Stage)) {
    DARK_PLACE.play(async |stage| {
        // Given a workload in its band.
        let subject = stage.subject(name, AT_LOW, LOW).await;
        let (before, since) = (stage.replicas(&subject).await, Timestamp::now());
        let pid = stage.operator.process().pid();
        // When the API server goes away and the load rises, then the plan still knows the workload and wants more for
        // it, and the condition names what is in the way.
        strike(stage).await;
        stage.offer(&subject, HIGH);
        let message = until("the cause", SOON, || async {
            let (decision, _) = stage.planned(&subject).await;
            let wanted = decision.get("desired").and_then(Value::as_u64).unwrap_or_default();
            let active = condition(&decision, "ScalingActive");
            let named = active.get("reason").and_then(Value::as_str) == Some("APIServerAway");
            let message = active.get("message").and_then(Value::as_str).filter(|_| named);
            message.filter(|_| wanted > u64::from(before)).map(str::to_owned).ok_or(active.to_string())
        })
        .await
        .unwrap();
        println!("{name}: {message}");
        assert!(message.contains("The API server has not answered since"), "{message}");
        let policy = format!("policy=\"{name}\"");
        let labels = ["condition=\"ScalingActive\"", "reason=\"APIServerAway\"", &policy];
        assert_eq!(stage.operator.metric("loadline_policy_problem", &labels).await.unwrap(), Some(1.0));
        // It lasts, and the sentence stays as it is.
        stage
            .for_ticks(PAUSE, async || {
                let (decision, action) = stage.planned(&subject).await;
                let said = condition(&decision, "ScalingActive");
                assert_eq!(said.get("message").and_then(Value::as_str), Some(message.as_str()));
                assert!(action.is_null(), "nothing is tried: {action}");
            })
            .await;
        // When it is back, then the same process writes what is needed, by itself and soon.
        heal(stage).await;
        stage.until_api_server_answers().await;
        let answered = stage.ticks().await;
        stage.until_replicas(&subject, "enough for the load that rose", |n| n >= FOR_HIGH).await;
        let took = stage.ticks().await - answered;
        println!("{name}: written {took} syncs after the API server answered");
        assert!(took <= SYNCS_TO_WRITE, "{took} syncs");
        stage.revive().await;
        stage.until_condition(&subject, "Ready", "LoopClosed").await;
        stage.assert_never_below(&subject, before, since);
        assert_eq!(stage.operator.process().pid(), pid);
        assert!(stage.operator.process().is_running());
        // An Event tells afterwards what it was and how long it took, and the condition is gone.
        let note = stage.until_event(&subject, "APIServerAway").await;
        println!("{name}: {note}");
        assert!(note.starts_with("For ") && note.contains(" the API server did not answer"), "{note}");
        assert!(note.contains(&format!("replicas were wanted, {before} stayed")), "{note}");
        assert_eq!(stage.operator.metric("loadline_policy_problem", &labels).await.unwrap(), None);
    });
}

#[test]
fn the_api_server_hangs() {
    dark_row(
        "hung",
        async |stage| stage.cluster.component(Component::ApiServer).await.unwrap().pause().unwrap(),
        async |stage| stage.cluster.component(Component::ApiServer).await.unwrap().resume().unwrap(),
    );
}

#[test]
fn the_api_server_is_killed() {
    dark_row(
        "killed",
        async |stage| stage.cluster.component(Component::ApiServer).await.unwrap().kill().unwrap(),
        async |stage| stage.cluster.restart(Component::ApiServer).await.unwrap(),
    );
}

/// Writers of a storm: together they change an object every few milliseconds.
const STORM: u32 = 4;

#[test]
fn somebody_patches_the_target_all_the_time() {
    PLACE.play(async |stage| {
        let subject = stage.subject("stormy", AT_LOW, LOW).await;
        let (before, since) = (stage.replicas(&subject).await, Timestamp::now());
        // Given writers that change the target's resourceVersion as often as the API server lets them: one alone
        // leaves gaps in which a write fits.
        let (mut storm, mut crowd) = (tokio::task::JoinSet::new(), tokio::task::JoinSet::new());
        for writer in 0..STORM {
            let set = if writer == 0 { &mut storm } else { &mut crowd };
            let (deployments, name) = (stage.deployments(), subject.name.clone());
            set.spawn(async move {
                for i in 0u64.. {
                    let patch = json!({"metadata": {"annotations": {"storm": format!("{writer}-{i}")}}});
                    match deployments.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
                        // They meet each other too.
                        Ok(_) => {}
                        Err(kube::Error::Api(answer)) if answer.code == 409 => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        // When the load rises, then its write meets a conflict,
        stage.offer(&subject, HIGH);
        until("a write of ours to meet the storm", SOON, || async {
            if stage.conflicts(&subject, since) > 0 { Ok(()) } else { Err("none yet") }
        })
        .await
        .unwrap();
        crowd.shutdown().await;
        // and gets through all the same while the storm goes on.
        stage.until_replicas(&subject, "enough for the load that rose", |n| n >= FOR_HIGH).await;
        assert!(storm.try_join_next().is_none(), "the storm was over before");
        storm.shutdown().await;
        stage.assert_never_below(&subject, before, since);
        let writes = stage.writes(&subject, since);
        let ours = writes.iter().filter(|w| w.by_loadline).count();
        println!("{ours} writes of ours among {} in all", writes.len());
        assert!(ours > 0 && writes.len() > 10 * ours, "that was no storm: {writes:?}");
        println!("{} writes of ours were refused with 409 before", stage.conflicts(&subject, since));
    });
}

#[test]
fn a_policy_is_deleted_in_the_middle_of_a_tick() {
    PLACE.play(async |stage| {
        let subject = stage.subject("orphaned", AT_LOW, LOW).await;
        let witness = stage.subject("witness", AT_LOW, LOW).await;
        let (before, since) = (stage.replicas(&subject).await, Timestamp::now());
        // Given loads that rose while the source answered nothing but errors: the first tick with numbers will write.
        stage.proxy.set(Mode::Answer(Answer::json(500, "{}"))).await;
        stage.for_ticks(2.0, async || {}).await;
        stage.offer(&subject, HIGH);
        stage.offer(&witness, HIGH);
        stage.until_prometheus_shows(&[&subject, &witness], HIGH).await;
        // When that tick has asked, its answers take longer than a sync, and the policy goes away meanwhile,
        stage.for_ticks(1.0, async || {}).await;
        stage.proxy.set(Mode::Delay(Duration::from_millis(1_500))).await;
        let asked = stage.proxy.asked();
        until("the tick to ask", SOON, || async {
            let now = stage.proxy.asked();
            if now > asked { Ok(()) } else { Err(now.to_string()) }
        })
        .await
        .unwrap();
        let tick = stage.ticks().await;
        stage.policies().delete(&subject.name, &DeleteParams::default()).await.unwrap();
        let gone = Timestamp::now();
        assert!(stage.ticks().await <= tick, "the tick that asked was over before the policy was gone");
        // then that very tick writes for the other one, and neither it nor a later one for this.
        stage.for_ticks(1.0, async || {}).await;
        assert!(stage.replicas(&witness).await >= FOR_HIGH, "it was not the tick that writes");
        let left = stage.replicas(&subject).await;
        assert_eq!(left, before, "nothing was written before");
        stage.proxy.set(Mode::Pass).await;
        stage.for_ticks(QUIET, async || assert_eq!(stage.replicas(&subject).await, left)).await;
        assert!(stage.writes(&subject, gone).iter().all(|w| !w.by_loadline));
        assert!(stage.planned(&subject).await.0.is_null());
        // The same policy can come back.
        stage.apply_policy(&subject).await;
        stage.until_replicas(&subject, "enough for the load that rose", |n| n >= FOR_HIGH).await;
        stage.assert_never_below(&subject, before, since);
    });
}

#[test]
fn the_target_is_deleted() {
    PLACE.play(async |stage| {
        let subject = stage.subject("removed", AT_LOW, LOW).await;
        remove(stage, &subject).await;
        // When it is made again, smaller than the load needs, then the loop closes by itself.
        let since = Timestamp::now();
        stage.redeploy(&subject, 1).await;
        stage.until_replicas(&subject, "enough for the load", |n| n >= FOR_LOW).await;
        stage.until_condition(&subject, "Ready", "LoopClosed").await;
        stage.assert_only_rose(&subject, 1, since, Timestamp::now());
    });
}

#[test]
fn a_target_that_is_made_again_is_not_lowered_by_doubt() {
    PLACE.play(async |stage| {
        let subject = stage.subject("remade", AT_LOW, LOW).await;
        remove(stage, &subject).await;
        // When it is made again, larger than the load needs, and says nothing of its load for longer than a
        // stabilisation window,
        stage.silence(&subject, 1.0);
        let since = Timestamp::now();
        stage.redeploy(&subject, MADE_AGAIN).await;
        let doubts = ["AbsentSeries", "EmptyVector", "PartialCoverage", "Stale"];
        stage.until_one_of(&subject, "DataFresh", &doubts).await;
        stage.for_ticks(WINDOW, async || assert_eq!(stage.replicas(&subject).await, MADE_AGAIN)).await;
        let heard = Timestamp::now();
        stage.assert_never_below(&subject, MADE_AGAIN, since);
        // then it keeps its replicas until it is heard: only then there is a reason to lower them.
        stage.silence(&subject, 0.0);
        stage.until_replicas(&subject, "in the band", |n| n <= MOST_FOR_LOW).await;
        let lowered = stage.writes(&subject, since).into_iter().find(|w| w.replicas < MADE_AGAIN);
        assert!(lowered.is_some_and(|w| w.by_loadline && w.at >= heard));
        stage.assert_never_below(&subject, FOR_LOW, since);
    });
}

/// Deletes the target of a subject, and waits until the policy says so.
async fn remove(stage: &Stage, subject: &Subject) {
    stage.deployments().delete(&subject.name, &DeleteParams::default()).await.unwrap();
    stage.until_condition(subject, "Ready", "TargetMissing").await;
    stage.until_condition(subject, "ScalingActive", "TargetUnavailable").await;
}

#[test]
fn a_target_that_is_scaled_up_by_hand_keeps_that_floor_for_one_window() {
    PLACE.play(async |stage| {
        // Given a workload that was brought down into its band: this process has watched for a whole window.
        let subject = stage.subject("raised", 6, LOW).await;
        stage.until_replicas(&subject, "in the band", |n| n <= MOST_FOR_LOW).await;
        // When a person scales it up, then that is the floor until the moment that status tells.
        let since = Timestamp::now();
        stage.scale_by_hand(&subject, 9).await;
        let floor = until("a person's floor in status", SOON, || async {
            let status = stage.policies().get(&subject.name).await.unwrap().status.unwrap();
            status.person_floor.filter(|f| f.replicas == 9).ok_or("none")
        })
        .await
        .unwrap();
        stage.until_replicas(&subject, "in the band again", |n| n <= MOST_FOR_LOW).await;
        let ours: Vec<_> = stage.writes(&subject, since).into_iter().filter(|w| w.by_loadline).collect();
        assert!(!ours.is_empty() && ours.iter().all(|w| w.at >= floor.until.0), "{ours:?}, {floor:?}");
    });
}

#[test]
fn a_target_that_is_scaled_down_by_hand_is_restored_until_that_is_a_fight() {
    PLACE.play(async |stage| {
        let subject = stage.subject("lowered", AT_LOW, LOW).await;
        // Twice, it is restored.
        for _ in 0..2 {
            lower(stage, &subject).await;
            stage.until_replicas(&subject, "restored", |n| n >= FOR_LOW).await;
            // The restored number has come back to the operator: the next change is another one.
            stage.for_ticks(2.0, async || {}).await;
        }
        // The third time within ten minutes, both stop: Loadline writes nothing, and says so.
        lower(stage, &subject).await;
        stage.until_condition(&subject, "Contested", "ForeignWrites").await;
        stage.until_condition(&subject, "ScalingActive", "ForeignWrites").await;
        let contested = Timestamp::now();
        stage.for_ticks(QUIET, async || assert_eq!(stage.replicas(&subject).await, 1)).await;
        assert!(stage.writes(&subject, contested).iter().all(|w| !w.by_loadline));
    });
}

/// A person sets one replica.
async fn lower(stage: &Stage, subject: &Subject) {
    timeout(SOON, stage.scale_by_hand(subject, 1)).await.unwrap();
}
