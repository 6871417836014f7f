//! Prometheus breaks, or what it says. While it does, one load falls, one rises, and one stays.

use std::time::Duration;

use jiff::Timestamp;
use loadline_tests::{
    emulator::Exposition,
    proxy::{Answer, Mode},
    wait::until,
};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::stage::{
    AT_LOW, FOR_HIGH, FOR_LOW, HIGH, LOW, MOST_FOR_HIGH, MOST_FOR_LOW, Place, SOON, Stage, Subject,
};

static PLACE: Place = Place::new("telemetry");
static CAST: OnceCell<Cast> = OnceCell::const_new();

/// Syncs that a fault goes on for after its cause is known.
const HOLD: f64 = 4.0;

/// Replicas of the workload whose load stays, in the middle of its band.
const CALM: u32 = 10;

/// The workloads of all rows. The loads of the tides change sides in every row, so that none starts with a reset.
struct Cast {
    tides: [Subject; 2],
    calm: Subject,
}

impl Cast {
    async fn on(stage: &Stage) -> Self {
        let (a, b) = (stage.subject("tide-a", FOR_HIGH, HIGH), stage.subject("tide-b", AT_LOW, LOW));
        let calm = stage.subject("calm", CALM, 740.0);
        let (a, b, calm) = tokio::join!(a, b, calm);
        Self { tides: [a, b], calm }
    }

    /// Which tide is high and which is low, once all are in their band on fresh data.
    async fn sides(&self, stage: &Stage) -> (&Subject, &Subject) {
        let [a, b] = &self.tides;
        for subject in [a, b, &self.calm] {
            stage.silence(subject, 0.0);
        }
        let is_high = stage.replicas(a).await >= FOR_HIGH;
        let (high, low) = if is_high { (a, b) } else { (b, a) };
        stage.offer(high, HIGH);
        stage.offer(low, LOW);
        stage.until_recovered(&[high, low, &self.calm]).await;
        for (subject, least, most) in
            [(high, FOR_HIGH, MOST_FOR_HIGH), (low, FOR_LOW, MOST_FOR_LOW), (&self.calm, CALM, CALM + 1)]
        {
            stage.until_replicas(subject, "in its band", |n| (least..=most).contains(&n)).await;
        }
        (high, low)
    }
}

/// One row: strike, hold while the loads change, heal, recover.
fn row(causes: &[&str], strike: impl AsyncFnOnce(&Stage), heal: impl AsyncFnOnce(&Stage)) {
    PLACE.play(async |stage| {
        // Given three workloads in their band.
        let cast = Box::pin(CAST.get_or_init(|| Cast::on(stage))).await;
        let (ebbs, flows) = cast.sides(stage).await;
        let all = [ebbs, flows, &cast.calm];
        let (x, y, z) = tokio::join!(stage.replicas(ebbs), stage.replicas(flows), stage.replicas(&cast.calm));
        let before = [x, y, z];
        // When the fault strikes, then the condition names it.
        let struck = Timestamp::now();
        strike(stage).await;
        for subject in all {
            stage.until_one_of(subject, "DataFresh", causes).await;
        }
        // When the loads change meanwhile, then nobody loses a replica.
        stage.offer(ebbs, LOW);
        stage.offer(flows, HIGH);
        stage
            .for_ticks(HOLD, async || {
                for (subject, before) in all.iter().zip(&before) {
                    let now = stage.replicas(subject).await;
                    assert!(now >= *before, "{} fell from {before} to {now} by doubt", subject.name);
                }
            })
            .await;
        let healed = Timestamp::now();
        heal(stage).await;
        // When it is over, then the loop follows the loads again by itself.
        stage.until_recovered(&[ebbs, &cast.calm]).await;
        stage.until_replicas(flows, "enough for the load that rose", |n| n >= FOR_HIGH).await;
        stage.until_replicas(ebbs, "fewer for the load that fell", |n| n <= MOST_FOR_LOW).await;
        for (subject, before) in all.iter().zip(before) {
            stage.assert_only_rose(subject, before, struck, healed);
        }
        // What was not too large had no reason to shrink even after it.
        let [_, flows_before, _] = before;
        stage.assert_never_below(flows, flows_before, struck);
        stage.assert_never_below(&cast.calm, CALM, struck);
    });
}

/// A row in which the proxy misbehaves.
fn proxy_row(cause: &str, mode: Mode) {
    row(&[cause], async |stage| stage.proxy.set(mode).await, async |stage| stage.proxy.set(Mode::Pass).await);
}

/// A row in which the workloads' own pages do.
fn page_row(causes: &[&str], exposition: Exposition) {
    row(
        causes,
        async |stage| stage.emulator.expose(exposition),
        async |stage| stage.emulator.expose(Exposition::Live),
    );
}

#[test]
fn prometheus_is_killed() {
    row(
        &["Unreachable"],
        async |stage| stage.prometheus.process().kill().unwrap(),
        async |stage| stage.prometheus.restart().await.unwrap(),
    );
}

#[test]
fn prometheus_hangs() {
    row(
        &["TimedOut"],
        async |stage| stage.prometheus.process().pause().unwrap(),
        async |stage| stage.prometheus.process().resume().unwrap(),
    );
}

#[test]
fn prometheus_is_slow_by_half_a_minute() {
    proxy_row("TimedOut", Mode::Delay(Duration::from_secs(30)));
}

#[test]
fn prometheus_answers_500() {
    let body = json!({"status": "error", "errorType": "internal", "error": "out of disk"});
    proxy_row("HttpStatus", Mode::Answer(Answer::json(500, body.to_string())));
}

#[test]
fn prometheus_answers_in_a_wrong_shape() {
    let matrix = json!([{"metric": {}, "values": [[1_700_000_000, "1"]]}]);
    proxy_row("WrongShape", Mode::Answer(Answer::prometheus("matrix", &matrix)));
}

#[test]
fn prometheus_answers_with_nothing() {
    proxy_row("EmptyVector", Mode::Answer(Answer::prometheus("vector", &json!([]))));
}

#[test]
fn the_series_are_gone() {
    // Series that brought their own time (the stale row's) have no end: of pods that are gone since, they are in
    // Prometheus' look-back for five minutes. Then the answer is not empty, or what is left of it is stale.
    page_row(&["EmptyVector", "AbsentSeries", "Stale"], Exposition::Empty);
}

#[test]
fn the_values_are_nan() {
    page_row(&["NotANumber"], Exposition::NotANumber);
}

#[test]
fn the_samples_are_stale() {
    row(
        &["Stale"],
        async |stage| {
            // Prometheus takes a series that begins to bring its own time for another one and ends the first, so
            // the page is away in between.
            stage.emulator.expose(Exposition::Down);
            until("a scrape that fails", SOON, || async {
                match stage.prometheus.value("up").await {
                    Ok(up) if up < 1.0 => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await
            .unwrap();
            stage.emulator.expose(Exposition::Frozen);
        },
        async |stage| stage.emulator.expose(Exposition::Live),
    );
}

#[test]
fn half_of_the_pods_are_silent() {
    let share = |share: f64| {
        async move |stage: &Stage| {
            let cast = CAST.get().unwrap();
            for subject in [&cast.tides[0], &cast.tides[1], &cast.calm] {
                stage.silence(subject, share);
            }
        }
    };
    row(&["PartialCoverage"], share(0.5), share(0.0));
}
