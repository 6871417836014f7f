//! The API server breaks, objects go away under the operator's hands, and others write to what it scales.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use loadline_tests::{cluster::Component, proxy::Mode, wait::until};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::stage::{AT_LOW, FOR_HIGH, FOR_LOW, HIGH, LOW, MOST_FOR_LOW, Place, SOON, Stage, Subject};

static PLACE: Place = Place::new("control");
/// The API server's own faults have a cluster of their own.
static DARK_PLACE: Place = Place::new("dark");

/// Syncs in which nothing may happen.
const QUIET: f64 = 4.0;

/// A row in which the API server goes away while a load rises.
fn dark_row(name: &str, strike: impl AsyncFnOnce(&Stage), heal: impl AsyncFnOnce(&Stage)) {
    DARK_PLACE.play(async |stage| {
        // Given a workload in its band.
        let subject = stage.subject(name, AT_LOW, LOW).await;
        let (before, since) = (stage.replicas(&subject).await, Timestamp::now());
        let pid = stage.operator.process().pid();
        // When the API server goes away and the load rises, then the plan still knows the workload, wants more for
        // it, and says why that is not written.
        strike(stage).await;
        stage.offer(&subject, HIGH);
        let why = until("a write that is not done", SOON, || async {
            let (decision, outcome) = stage.planned(&subject).await;
            let wanted = decision.get("desired").and_then(Value::as_u64).unwrap_or_default();
            let why = ["Failed", "Skipped"].iter().find_map(|o| outcome.get(o)?.as_str());
            match why {
                Some(why) if wanted > u64::from(before) => Ok(why.to_owned()),
                _ => Err(format!("{wanted} wanted, {outcome}")),
            }
        })
        .await
        .unwrap();
        println!("{name}: {why}");
        let causes = ["no answer", "no connection", "could not renew it in time"];
        assert!(causes.iter().any(|cause| why.contains(cause)), "{why}");
        stage.for_ticks(QUIET, async || {}).await;
        // When it is back, then the same process writes what is needed.
        heal(stage).await;
        stage.revive().await;
        stage.until_replicas(&subject, "enough for the load that rose", |n| n >= FOR_HIGH).await;
        stage.until_condition(&subject, "Ready", "LoopClosed").await;
        stage.assert_never_below(&subject, before, since);
        assert_eq!(stage.operator.process().pid(), pid);
        assert!(stage.operator.process().is_running());
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

#[test]
fn somebody_patches_the_target_all_the_time() {
    PLACE.play(async |stage| {
        let subject = stage.subject("stormy", AT_LOW, LOW).await;
        let (before, since) = (stage.replicas(&subject).await, Timestamp::now());
        // Given a writer that changes the target's resourceVersion as often as the API server lets it.
        let (deployments, name) = (stage.deployments(), subject.name.clone());
        let storm = tokio::spawn(async move {
            for i in 0u64.. {
                let patch = Patch::Merge(json!({"metadata": {"annotations": {"storm": i.to_string()}}}));
                deployments.patch(&name, &PatchParams::default(), &patch).await.unwrap();
            }
        });
        // When the load rises, then the operator gets its write through all the same.
        stage.offer(&subject, HIGH);
        stage.until_replicas(&subject, "enough for the load that rose", |n| n >= FOR_HIGH).await;
        assert!(!storm.is_finished(), "the storm was over before");
        storm.abort();
        stage.assert_never_below(&subject, before, since);
        let writes = stage.writes(&subject, since);
        let ours = writes.iter().filter(|w| w.by_loadline).count();
        println!("{ours} writes of ours among {} in all", writes.len());
        assert!(ours > 0 && writes.len() > 10 * ours, "that was no storm: {writes:?}");
    });
}

#[test]
fn a_policy_is_deleted_in_the_middle_of_a_tick() {
    PLACE.play(async |stage| {
        let subject = stage.subject("orphaned", AT_LOW, LOW).await;
        let witness = stage.subject("witness", AT_LOW, LOW).await;
        let (before, since) = (stage.replicas(&subject).await, Timestamp::now());
        // Given a source that takes longer than a sync to answer: the operator is always in the middle of a tick.
        stage.proxy.set(Mode::Delay(Duration::from_millis(1_500))).await;
        stage.for_ticks(1.0, async || {}).await;
        // When the policy goes away and the load rises, then nothing is written for it any more.
        stage.policies().delete(&subject.name, &DeleteParams::default()).await.unwrap();
        stage.offer(&subject, HIGH);
        until("the plan to be without it", SOON, || async {
            let (decision, _) = stage.planned(&subject).await;
            if decision.is_null() { Ok(()) } else { Err(decision.to_string()) }
        })
        .await
        .unwrap();
        let gone = Timestamp::now();
        let left = stage.replicas(&subject).await;
        stage.proxy.set(Mode::Pass).await;
        stage.for_ticks(QUIET, async || assert_eq!(stage.replicas(&subject).await, left)).await;
        assert!(stage.writes(&subject, gone).iter().all(|w| !w.by_loadline));
        // The other policies are served as ever, and the same policy can come back.
        stage.offer(&witness, HIGH);
        stage.until_replicas(&witness, "enough for the load that rose", |n| n >= FOR_HIGH).await;
        stage.apply_policy(&subject).await;
        stage.until_replicas(&subject, "enough for the load that rose", |n| n >= FOR_HIGH).await;
        stage.assert_never_below(&subject, before, since);
    });
}

#[test]
fn the_target_is_deleted() {
    PLACE.play(async |stage| {
        let subject = stage.subject("removed", AT_LOW, LOW).await;
        stage.deployments().delete(&subject.name, &DeleteParams::default()).await.unwrap();
        stage.until_condition(&subject, "Ready", "TargetMissing").await;
        stage.until_condition(&subject, "ScalingActive", "TargetUnavailable").await;
        // When it is made again, smaller than the load needs, then the loop closes by itself.
        stage.redeploy(&subject, 1).await;
        stage.until_replicas(&subject, "enough for the load", |n| n >= FOR_LOW).await;
        stage.until_condition(&subject, "Ready", "LoopClosed").await;
    });
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
