//! A load steps up fourfold: how long until the replicas are asked for that the visible demand needs?
//!
//! ```text
//! step ──> scrape ──> visible in Prometheus ──> tick ──> write of spec.replicas
//!                     └──────── the operator's part: measured ───────┘
//! ```
//!
//! Visible is what the operator's own query gives, asked from here every few milliseconds. The clock starts at
//! the last look that did not show the need, so the time is rather too long than too short. The sync and the
//! scrape have the same period, so their phase would be the same in each repetition: it is shifted evenly.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, runtime::WatchStreamExt as _, runtime::watcher};
use loadline_chaos::world::Shape;
use loadline_controller::{
    config::Config,
    observe::prometheus::query::{Part, grouped},
    ports::Detail,
};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinHandle, time::sleep};

use super::{
    Bound, Failure, Proof, Record, Scale,
    stage::{BAND, CAPACITY, Stage, Timing},
};
use crate::{cluster, emulator::Workload, wait::until};

pub(super) const PROOF: Proof = Proof {
    name: "step",
    about: "The load steps up fourfold, ten times: from the sample's visibility in Prometheus to the write that \
            covers 90 % of the visible demand. Scrape 5 s, sync 5 s.",
    run: |record| run(record).boxed(),
};

/// Steps at full size.
const REPETITIONS: u32 = 10;
/// Replicas before a step, and the load on them: a redundancy of 1.2.
const REPLICAS: u32 = 12;
const RATE: f64 = 1_000.0;
/// What the load is multiplied by.
const STEP: f64 = 4.0;
/// The share of the visible demand that a write must cover.
const COVERED: f64 = 0.9;
/// Time between two ticks of the operator.
const SYNC: Duration = Duration::from_secs(5);
const TIMING: Timing = Timing { scrape: Duration::from_secs(5), sync: SYNC, windows: None };
/// What the operator may take over its sync: to read, to decide, to write.
const MARGIN: Duration = Duration::from_secs(2);
/// Between two looks at Prometheus.
const LOOK: Duration = Duration::from_millis(25);
/// For a step to be followed to its end, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(3);

/// What Prometheus showed.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// When it was asked.
    at: Instant,
    /// Requests per second.
    demand: f64,
}

/// A change of `spec.replicas`.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// When it was seen on the watch.
    at: Instant,
    replicas: u32,
}

/// One step.
#[derive(Debug, Clone, Copy)]
struct Followed {
    /// Where the sync stood in the scrape interval, seconds after the scrape.
    phase: f64,
    /// From the need's visibility to the write that covers the visible demand.
    visible: Duration,
    /// From the step to the write that covers all of the new load.
    whole: Duration,
}

async fn run(record: &mut Record) -> Result<(), Failure> {
    let repetitions = record.scale().count(REPETITIONS);
    let stage = Stage::start("step", &cluster::Options::default(), TIMING).await?;
    let query = burst_query(&stage.config)?;
    let mut services = Vec::new();
    for number in 0..repetitions {
        let name = format!("web-{number}");
        services.push(stage.service(&name, REPLICAS, RATE).await?);
        // No rate rule in the way, on the way up.
        let up = json!({ "policies": [{ "type": "Percent", "value": 1_000, "period": "15s" }] });
        stage.policy(&name, json!({ "behaviour": { "scaleUp": up } })).await?;
    }
    for service in &services {
        stage.decided(&service.name).await?;
        settled(&stage, &query, service).await?;
    }
    record.progress(&format!("{repetitions} services at {RATE} requests/s, {REPLICAS} replicas each"));

    let mut all = Vec::new();
    for (number, service) in (0..).zip(&services) {
        let phase = SYNC.mul_f64(f64::from(number) / f64::from(repetitions));
        shift(&stage, service, phase).await?;
        if let Some((visible, whole)) = follow(record, &stage, &query, service).await? {
            let step = Followed { phase: phase.as_secs_f64(), visible, whole };
            record.progress(&format!("{step:?}"));
            all.push(step);
        }
    }
    report(record, repetitions, &all)
}

/// Waits until the short window shows the whole load from before the step.
async fn settled(stage: &Stage, query: &str, service: &Workload) -> Result<(), Failure> {
    until("the load before the step to be visible", PATIENCE, || async {
        let demand = demand(stage, query, service).await.map_err(|e| e.to_string())?;
        if (demand - RATE).abs() < 0.05 * RATE { Ok(()) } else { Err(format!("{demand} requests/s")) }
    })
    .await?;
    Ok(())
}

/// Makes the operator tick `phase` after a scrape, and from then on every sync.
async fn shift(stage: &Stage, service: &Workload, phase: Duration) -> Result<(), Failure> {
    let sampled = "max(timestamp(http_server_request_duration_seconds_count))";
    let scraped = stage.prometheus.value(sampled).await?;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are under 2^52")]
    let now = Timestamp::now().as_millisecond() as f64 / 1e3;
    let into = (now - scraped - phase.as_secs_f64()).rem_euclid(TIMING.scrape.as_secs_f64());
    sleep(TIMING.scrape.saturating_sub(Duration::from_secs_f64(into))).await;
    stage.touch(&service.name, &phase.as_millis().to_string()).await
}

/// Steps the load of one service up and watches until the whole of it is covered: the two times of
/// [`Followed`], or nothing when that does not come.
async fn follow(
    record: &Record,
    stage: &Stage,
    query: &str,
    service: &Workload,
) -> Result<Option<(Duration, Duration)>, Failure> {
    let (writes, mut seen) = mpsc::unbounded_channel();
    let (before, watch) = watch(stage, service, writes).await?;
    let (mut looks, mut changes) = (Vec::new(), Vec::new());
    let stepped = Instant::now();
    stage.emulator.offer(service, Shape::Constant { rate: STEP * RATE });
    let followed = loop {
        let at = Instant::now();
        looks.push(Look { at, demand: demand(stage, query, service).await? });
        while let Ok(change) = seen.try_recv() {
            changes.push(change);
        }
        let whole = changes.iter().find(|c| covers(**c, STEP * RATE)).map(|c| c.at.duration_since(stepped));
        if let (Some(visible), Some(whole)) = (lag(before, &looks, &changes), whole) {
            break Some((visible, whole));
        }
        if stepped.elapsed() > PATIENCE {
            record.progress(&format!("{service} was not followed: {changes:?}"));
            record.keep(&format!("plan-{}.json", service.name), &stage.operator.get("/debug/plan").await?)?;
            break None;
        }
        sleep(LOOK).await;
    };
    watch.abort();
    record.keep(&format!("{}.csv", service.name), &timeline(stepped, before, &looks, &changes))?;
    Ok(followed)
}

/// What was visible and what was asked for, for whoever wants to see one step.
fn timeline(start: Instant, before: u32, looks: &[Look], changes: &[Change]) -> String {
    let mut table = String::from("seconds since the step,visible requests/s,replicas asked for\n");
    for Look { at, demand } in looks {
        let asked = changes.iter().take_while(|c| c.at <= *at).last().map_or(before, |c| c.replicas);
        // Writing to a String does not fail.
        let _ = writeln!(table, "{:.3},{demand:.1},{asked}", at.duration_since(start).as_secs_f64());
    }
    table
}

/// The replicas that a service asks for, and from now on every change of them.
async fn watch(
    stage: &Stage,
    service: &Workload,
    writes: mpsc::UnboundedSender<Change>,
) -> Result<(u32, JoinHandle<()>), Failure> {
    let api: Api<Deployment> = Api::namespaced(stage.cluster.client().await?, &service.namespace);
    let wanted = |object: Deployment| object.spec?.replicas.and_then(|r| u32::try_from(r).ok());
    let before = wanted(api.get(&service.name).await?).ok_or("a Deployment without replicas")?;
    let only = watcher::Config::default().fields(&format!("metadata.name={}", service.name));
    let mut objects = watcher(api, only).default_backoff().applied_objects().boxed();
    let task = tokio::spawn(async move {
        let mut last = before;
        while let Some(object) = objects.next().await {
            let Some(replicas) = object.ok().and_then(wanted).filter(|wanted| *wanted != last) else {
                continue;
            };
            last = replicas;
            if writes.send(Change { at: Instant::now(), replicas }).is_err() {
                return;
            }
        }
    });
    Ok((before, task))
}

/// The query by which the operator sees bursts, from its own configuration.
pub(super) fn burst_query(config: &str) -> Result<String, Failure> {
    let config = Config::parse(config)?;
    let (profile, source) = (config.profiles.get("otel-http"), config.sources.first());
    let (profile, source) = profile.zip(source).ok_or("the operator has no profile or no source")?;
    let by = ["k8s_namespace_name", "k8s_deployment_name"].map(str::to_owned);
    let queries = grouped(profile, source, &by, Detail::default());
    let burst = queries.into_iter().find(|q| q.part == Part::BurstRequests);
    Ok(burst.ok_or("the operator asks for no bursts")?.promql)
}

/// What the query shows for a service, requests/s.
async fn demand(stage: &Stage, query: &str, service: &Workload) -> Result<f64, Failure> {
    let is = |labels: &BTreeMap<String, String>| {
        labels.get("k8s_deployment_name").is_some_and(|name| **name == *service.name)
    };
    let samples = stage.prometheus.query(query).await?;
    let sample = samples.into_iter().find(|s| is(&s.labels));
    Ok(sample.map_or(0.0, |s| s.value))
}

/// The replicas that a load needs.
fn needed(demand: f64) -> f64 {
    (demand * BAND.0 / f64::from(CAPACITY)).ceil()
}

/// Whether a change covers enough of a demand.
fn covers(change: Change, demand: f64) -> bool {
    f64::from(change.replicas) >= COVERED * needed(demand)
}

/// From the visibility of the need to the first change that covers the demand that was visible then.
fn lag(before: u32, looks: &[Look], changes: &[Change]) -> Option<Duration> {
    let first = looks.iter().position(|look| needed(look.demand) > f64::from(before))?;
    let from = looks.get(first.saturating_sub(1))?.at;
    let visible_at = |at: Instant| {
        let known = looks.partition_point(|look| look.at <= at).saturating_sub(1).max(first);
        looks.get(known).map(|look| look.demand)
    };
    let enough = changes.iter().find(|c| visible_at(c.at).is_some_and(|demand| covers(**c, demand)))?;
    Some(enough.at.saturating_duration_since(from))
}

fn report(record: &mut Record, repetitions: u32, all: &[Followed]) -> Result<(), Failure> {
    let mut table = String::from("phase s,visible to covered s,step to whole load covered s\n");
    for Followed { phase, visible, whole } in all {
        // Writing to a String does not fail.
        let _ = writeln!(table, "{phase:.3},{:.3},{:.3}", visible.as_secs_f64(), whole.as_secs_f64());
    }
    record.keep("steps.csv", &table)?;
    let sorted = |part: fn(&Followed) -> Duration| {
        let mut times: Vec<f64> = all.iter().map(|f| part(f).as_secs_f64()).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let (visible, whole) = (sorted(|f| f.visible), sorted(|f| f.whole));
    // An ordinary test on a busy machine shows that steps are followed; only the full size judges how fast.
    let full = record.scale() == Scale::FULL;
    let bound = if full { Bound::AtMost((SYNC + MARGIN).as_secs_f64()) } else { Bound::None };
    #[expect(clippy::cast_precision_loss, reason = "a handful of steps")]
    record.bounded("steps followed", all.len() as f64, "", Bound::AtLeast(f64::from(repetitions)));
    record.bounded("visible to covered, median", median(&visible), "s", bound);
    record.bounded("visible to covered, maximum", last(&visible), "s", bound);
    record.figure("step to whole load covered, median", median(&whole), "s");
    record.figure("step to whole load covered, maximum", last(&whole), "s");
    Ok(())
}

/// The middle of sorted values, the mean of the two middle ones where there is none.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    let middle = sorted.get(half.saturating_sub(1 - sorted.len() % 2)..=half).unwrap_or_default();
    middle.iter().sum::<f64>() / f64::from(u32::try_from(middle.len()).unwrap_or(u32::MAX))
}

fn last(sorted: &[f64]) -> f64 {
    sorted.last().copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(start: Instant, demands: &[f64]) -> Vec<Look> {
        let look =
            |(i, demand): (u32, &f64)| Look { at: start + Duration::from_secs(1) * i, demand: *demand };
        (0..).zip(demands).map(look).collect()
    }

    fn change(start: Instant, ms: u64, replicas: u32) -> Change {
        Change { at: start + Duration::from_millis(ms), replicas }
    }

    #[test]
    fn the_clock_starts_at_the_last_look_without_need() {
        let start = Instant::now();
        let looks = looks(start, &[1_000.0, 1_050.0, 2_000.0, 2_000.0]);
        assert_eq!(lag(REPLICAS, &looks, &[]), None);
        assert_eq!(lag(REPLICAS, &looks, &[change(start, 2_500, 22)]), Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn a_change_counts_only_when_it_covers_what_was_visible_at_its_time() {
        let start = Instant::now();
        let looks = looks(start, &[1_000.0, 2_000.0, 4_000.0]);
        // 22 are needed at first, 44 later; 90 % of them are 20 and 40.
        let changes = [change(start, 1_100, 15), change(start, 2_100, 22), change(start, 2_900, 40)];
        assert_eq!(lag(REPLICAS, &looks, &changes), Some(Duration::from_millis(2_900)));
        assert_eq!(lag(REPLICAS, &looks, &[change(start, 1_900, 20)]), Some(Duration::from_millis(1_900)));
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[1.0, 2.0, 9.0]) - 2.0).abs() < 1e-12);
        assert!((median(&[1.0, 2.0, 4.0, 9.0]) - 3.0).abs() < 1e-12);
        assert!(median(&[]).is_nan() && last(&[]).is_nan());
    }

    #[test]
    fn the_query_is_the_operators_own() {
        let query = burst_query(&TIMING.config("http://localhost")).unwrap();
        assert_eq!(
            query,
            "sum by (k8s_namespace_name, k8s_deployment_name) \
             (rate(http_server_request_duration_seconds_count[15s]))"
        );
    }
}
