//! A morning: two identical services under the same load, one with a forecast that may act, one without.
//!
//! ```text
//! days of history ──promtool──> Prometheus ──> operator ──> forecast-on:  maxTrust Full
//! the same ramp, live ──> emulator ──┘             └──────> forecast-off: maxTrust Shadow
//! ```
//!
//! The load of a day rises fivefold in 45 minutes, at the same time of each day of the history, and again some minutes
//! after the operator's start. Pods become ready three minutes after they were asked for. At a tenth all times are
//! tenths, the history has three days instead of fourteen, and only the beginning of the ramp is watched.

use std::{fmt::Write as _, time::Duration};

use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use loadline_chaos::world::Shape;
use loadline_crds::{ElasticPolicy, elastic_policy::ForecastTrust};
use loadline_dashboards::plot::{Line, Panel, Plot, Time};
use rand::RngExt as _;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Bound, Failure, Proof, Record, Scale,
    stage::{BAND, CAPACITY, Ground, Stage, Timing, service},
};
use crate::{
    cluster::{self, Cluster},
    emulator::{self, Emulator, Moment, Workload},
    prometheus::{self, Prometheus},
    recording::Recording,
    trail,
    wait::until,
};

pub(super) const PROOF: Proof = Proof {
    name: "ramp",
    about: "A morning ramp of 45 minutes, pods that take 180 s, and 14 days of history in Prometheus: a service with \
            a forecast and the same without, side by side.",
    run: |record| run(record).boxed(),
};

/// The two services, and the most that the forecast may do for each.
const ON: &str = "forecast-on";
const OFF: &str = "forecast-off";
/// Days of history, at full size and in an ordinary test: trust takes two.
const DAYS: (i64, i64) = (14, 3);
/// From the end of the recording to the start of the ramp: the operator starts, reads the past, and trusts it.
const BEFORE: Duration = Duration::from_mins(7);
/// The same in an ordinary test: what a start takes does not shrink with the scale.
const SHORT_BEFORE: Duration = Duration::from_mins(1);
/// The rise, from the foot to the top.
const RAMP: Duration = Duration::from_mins(45);
/// The part of it that an ordinary test watches.
const WATCHED: f64 = 0.5;
/// Lead time of a pod.
const LEAD: Duration = Duration::from_mins(3);
/// Between two lines that tell how far it is.
const TOLD: Duration = Duration::from_mins(1);
/// For trust, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(3);
/// Between two points of the offered load; the emulator joins them by straight lines.
const POINT: Duration = Duration::from_secs(5);

const DAY: i64 = 86_400;

async fn run(record: &mut Record) -> Result<(), Failure> {
    let plan = Schedule::of(record.scale());
    let options = cluster::Options::default().start_delay(plan.lead).audited();
    let cluster = Cluster::start("ramp", &options).await?;
    let namespace = cluster.namespace("ramp").await?;
    let emulator = Emulator::start([&cluster], &emulator::Options::default()).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some ten replicas")]
    let replicas = (LOW * f64::midpoint(BAND.0, BAND.1) / f64::from(CAPACITY)).ceil() as u32;
    let (on, off) = tokio::try_join!(
        service(&cluster, &namespace, &emulator, (ON, replicas, LOW)),
        service(&cluster, &namespace, &emulator, (OFF, replicas, LOW)),
    )?;
    let now = Timestamp::now();
    let load = Course { foot: (now + plan.before).as_second(), length: plan.ramp.as_secs_f64() };
    for workload in [&on, &off] {
        emulator.offer(workload, load.from(now, plan.before + plan.ramp * 2));
    }
    record.progress(&format!("{replicas} replicas each are ready; {} days of history are made", plan.days));
    let mut scraping = prometheus::Options::scraping(plan.timing.scrape, [emulator.target()]);
    let past = now.checked_sub(SignedDuration::from_hours(24 * plan.days))?;
    scraping.recording = [&on, &off]
        .into_iter()
        .fold(Recording::default(), |all, workload| all.requests(workload, past, now, |s| load.rate(s)));
    let prometheus = Prometheus::start(&scraping).await?;
    let began = Instant::now();
    let stage = Stage::on(Ground { cluster, namespace, emulator, prometheus }, plan.timing).await?;
    stage.policy(ON, json!({ "forecast": { "maxTrust": "Full" } })).await?;
    stage.policy(OFF, json!({ "forecast": { "maxTrust": "Shadow" } })).await?;
    until_trusted(&stage).await?;
    record.figure("operator started to full trust", began.elapsed().as_secs_f64(), "s");
    let left = load.foot - Timestamp::now().as_second();
    #[expect(clippy::cast_precision_loss, reason = "minutes")]
    record.bounded("full trust to the start of the ramp", left as f64, "s", Bound::AtLeast(0.0));

    let pair = watch(record, &stage, [&on, &off], &load, &plan).await?;
    let outcomes = pair.each_ref().map(|seen| Outcome::of(seen, plan.watched.as_secs_f64()));
    report(record, &outcomes, plan.full);
    for (name, seen) in [ON, OFF].into_iter().zip(&pair) {
        record.keep(&format!("{name}.csv"), &table(seen))?;
    }
    record.plot("ramp", &plot(&plan, &pair))
}

/// When what happens, at a scale.
struct Schedule {
    full: bool,
    days: i64,
    before: Duration,
    ramp: Duration,
    /// The part of the ramp that is watched.
    watched: Duration,
    lead: Duration,
    timing: Timing,
}

impl Schedule {
    fn of(scale: Scale) -> Self {
        let full = scale == Scale::FULL;
        let ramp = scale.time(RAMP);
        let second = Duration::from_secs(1);
        let short = Timing { scrape: second, sync: second, windows: Some((4 * second, 3 * second)) };
        let usual = Timing { scrape: 15 * second, sync: 5 * second, windows: None };
        Self {
            full,
            days: if full { DAYS.0 } else { DAYS.1 },
            before: if full { BEFORE } else { SHORT_BEFORE },
            ramp,
            watched: if full { ramp } else { ramp.mul_f64(WATCHED) },
            lead: scale.time(LEAD),
            timing: if full { usual } else { short },
        }
    }
}

/// Requests per second at night, and on the plateau of a usual day.
const LOW: f64 = 800.0;
const HIGH: f64 = 4_000.0;
/// How much lower or higher the plateau of a day may be.
const LEVEL: f64 = 0.1;
/// Largest noise of a minute; 2 % of standard deviation.
const NOISE: f64 = 0.035;
/// Hours from the foot of a ramp to the end of its plateau, and to the night after it.
const PLATEAU_ENDS: f64 = 10.0;
const NIGHT: f64 = 16.0;

/// The load of every day.
#[derive(Debug, Clone, Copy)]
struct Course {
    /// Unix second at which today's ramp begins; the same time of each day.
    foot: i64,
    /// Seconds from the foot to the top.
    length: f64,
}

impl Course {
    /// Requests per second at a Unix second.
    #[expect(clippy::cast_precision_loss, reason = "seconds of some days")]
    fn rate(&self, second: i64) -> f64 {
        // A day begins in the middle of the night before its ramp.
        let night = DAY / 8;
        let since = second - self.foot + night;
        let (day, into) = (since.div_euclid(DAY), (since.rem_euclid(DAY) - night) as f64);
        let rise = slope(into / self.length);
        let (from, to) = (PLATEAU_ENDS * 3_600.0, NIGHT * 3_600.0);
        let height = rise - slope((into - from) / (to - from));
        let high = HIGH * (1.0 + LEVEL * chance(1, day));
        let (minute, part) = (second.div_euclid(60), second.rem_euclid(60) as f64 / 60.0);
        let (this, next) = (chance(2, minute), chance(2, minute + 1));
        (LOW + (high - LOW) * height) * (1.0 + NOISE * (this + (next - this) * part))
    }

    /// The same as what is offered from a moment on, for so long.
    fn from(&self, start: Timestamp, lasts: Duration) -> Shape {
        let step = i64::try_from(POINT.as_secs()).unwrap_or(1).max(1);
        let points = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX) / step;
        let values = (0..=points).map(|i| self.rate(start.as_second() + i * step)).collect();
        Shape::Trace { values, interval: POINT }
    }
}

/// From 0 to 1 between 0 and 1, softly at both ends.
fn slope(part: f64) -> f64 {
    0.5 - 0.5 * (std::f64::consts::PI * part.clamp(0.0, 1.0)).cos()
}

/// Between -1 and 1: the same each time.
fn chance(what: u64, number: i64) -> f64 {
    let seed = number.unsigned_abs().wrapping_mul(4).wrapping_add(what);
    2.0 * ChaCha8Rng::seed_from_u64(seed).random::<f64>() - 1.0
}

/// Waits until the forecast has earned all trust for both, and acts for one.
async fn until_trusted(stage: &Stage) -> Result<(), Failure> {
    let policies = stage.policies().await?;
    let forecast = async |name| {
        let policy: ElasticPolicy = policies.get(name).await.map_err(|e| e.to_string())?;
        Ok::<_, String>(policy.status.unwrap_or_default().forecast)
    };
    until("full trust", PATIENCE, || async {
        let (on, off) = (forecast(ON).await?, forecast(OFF).await?);
        let acts = on.as_ref().is_some_and(|f| f.trust == ForecastTrust::Full);
        let held = off
            .as_ref()
            .is_some_and(|f| f.trust == ForecastTrust::Shadow && f.earned == Some(ForecastTrust::Full));
        if acts && held { Ok(()) } else { Err(format!("{on:?} {off:?}")) }
    })
    .await?;
    Ok(())
}

/// What was seen of a service.
struct Watched {
    /// By the seconds since the foot of the ramp.
    moments: Vec<Moment>,
    /// When its scale was written: seconds since the foot of the ramp.
    writes: Vec<f64>,
}

/// Watches both services until the end of what is watched of the ramp.
async fn watch(
    record: &Record,
    stage: &Stage,
    pair: [&Workload; 2],
    load: &Course,
    plan: &Schedule,
) -> Result<[Watched; 2], Failure> {
    let began = seconds(Timestamp::now());
    for workload in pair {
        stage.emulator.record(workload);
    }
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are under 2^52")]
    let foot = load.foot as f64;
    let end = foot + plan.watched.as_secs_f64();
    loop {
        let left = Duration::try_from_secs_f64(end - seconds(Timestamp::now())).unwrap_or_default();
        if left.is_zero() {
            break;
        }
        let told = pair.map(|workload| stage.emulator.seen(workload));
        record.progress(&format!("{told:?}"));
        sleep(left.min(TOLD)).await;
    }
    let log = trail::writes(&stage.cluster.audit_log())?;
    Ok(pair.map(|workload| {
        let what = format!("/scale {}/{}", workload.namespace, workload.name);
        let moments = stage.emulator.recorded(workload);
        let shifted = moments.into_iter().map(|m| Moment { at: m.at + began - foot, ..m }).collect();
        let writes =
            log.iter().filter(|w| w.what.ends_with(&what)).map(|w| seconds(w.received) - foot).collect();
        Watched { moments: shifted, writes }
    }))
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are under 2^52")]
fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

/// What became of a service on the ramp.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Outcome {
    /// Share of the time with fewer ready replicas than the load needed.
    short: f64,
    /// The most replicas that were missing.
    missing: f64,
    /// Share of the requests that were turned away.
    rejected: f64,
    /// Seconds by which the ready replicas were ahead of the needed ones, of each replica more: the median, and the
    /// least. Negative where they came late.
    lead: f64,
    least_lead: f64,
    /// Writes of its scale.
    operations: f64,
    /// Replicas asked for over replicas needed.
    cost: f64,
}

impl Outcome {
    /// Of the first `lasts` seconds of the ramp.
    fn of(seen: &Watched, lasts: f64) -> Self {
        let on_ramp = |at: f64| (0.0..=lasts).contains(&at);
        let ramp: Vec<Moment> = seen.moments.iter().copied().filter(|m| on_ramp(m.at)).collect();
        let (mut time, mut short, mut asked, mut need) = (0.0, 0.0, 0.0, 0.0);
        for pair in ramp.windows(2) {
            let [Moment { at, seen }, next] = pair else { continue };
            let lasted = next.at - at;
            time += lasted;
            short += if f64::from(seen.ready) < needed(seen.offered) { lasted } else { 0.0 };
            asked += f64::from(seen.ready + seen.starting) * lasted;
            need += needed(seen.offered) * lasted;
        }
        let sum = |of: fn(&Moment) -> f64| ramp.iter().map(of).sum::<f64>();
        let missing = ramp.iter().map(|m| needed(m.seen.offered) - f64::from(m.seen.ready));
        let leads = leads(&seen.moments, &ramp);
        #[expect(clippy::cast_precision_loss, reason = "some dozens of writes")]
        let operations = seen.writes.iter().filter(|at| on_ramp(**at)).count() as f64;
        Self {
            short: short / time,
            missing: missing.fold(0.0, f64::max),
            rejected: sum(|m| m.seen.rejected) / sum(|m| m.seen.offered),
            lead: leads.get(leads.len() / 2).copied().unwrap_or(f64::NAN),
            least_lead: leads.first().copied().unwrap_or(f64::NAN),
            operations,
            cost: asked / need,
        }
    }
}

/// The replicas that a load needs.
fn needed(load: f64) -> f64 {
    (load / f64::from(CAPACITY)).ceil().max(1.0)
}

/// Of each number of replicas that the ramp came to need: from the first moment at which so many were ready, in all
/// that was watched, to the first at which they were needed, in seconds, ascending. What was never ready was late by
/// all of the rest.
fn leads(all: &[Moment], ramp: &[Moment]) -> Vec<f64> {
    let Some((first, last)) = ramp.first().zip(ramp.last()) else { return Vec::new() };
    let mut highest = needed(first.seen.offered);
    let mut leads = Vec::new();
    for moment in ramp {
        while needed(moment.seen.offered) > highest {
            highest += 1.0;
            let ready = all.iter().find(|m| f64::from(m.seen.ready) >= highest).map_or(last.at, |m| m.at);
            leads.push(moment.at - ready);
        }
    }
    leads.sort_by(f64::total_cmp);
    leads
}

fn report(record: &mut Record, outcomes: &[Outcome; 2], full: bool) {
    let [on, off] = outcomes;
    // Seconds on a machine that is busy with other tests have a share of bad luck; the full size judges.
    let most = if full { 1.0 } else { 5.0 };
    let least = if full { 10.0 } else { 0.1 };
    record.bounded("with forecast: too few ready", 100.0 * on.short, "% of the ramp", Bound::AtMost(most));
    record.figure("without: too few ready", 100.0 * off.short, "% of the ramp");
    let more = 100.0 * (off.short - on.short);
    record.bounded("without, more often too few", more, "points", Bound::AtLeast(least));
    for (name, outcome) in [("with forecast", on), ("without", off)] {
        let Outcome { missing, rejected, lead, least_lead, operations, cost, .. } = *outcome;
        let mut figure = |what: &str, value, unit| record.figure(&format!("{name}: {what}"), value, unit);
        figure("most replicas missing", missing, "");
        figure("requests turned away", 100.0 * rejected, "%");
        figure("ready before needed, median", lead, "s");
        figure("ready before needed, least", least_lead, "s");
        figure("scale operations", operations, "");
        figure("replicas asked for over needed", cost, "");
    }
}

/// What was seen, for whoever wants to draw it otherwise: a line for about each second.
fn table(seen: &Watched) -> String {
    let mut table = String::from("seconds since the foot,requests/s,needed,ready,starting\n");
    let mut told = f64::NEG_INFINITY;
    for Moment { at, seen } in &seen.moments {
        if at - told >= 1.0 {
            told = *at;
            let (offered, needed) = (seen.offered, needed(seen.offered));
            // Writing to a String does not fail.
            let _ = writeln!(table, "{at:.1},{offered:.1},{needed},{},{}", seen.ready, seen.starting);
        }
    }
    table
}

fn plot(plan: &Schedule, pair: &[Watched; 2]) -> Plot {
    let start = pair.iter().filter_map(|seen| seen.moments.first()).map(|m| m.at).fold(0.0, f64::min);
    let line = |seen: &Watched, name: &str, value: fn(&Moment) -> f64| {
        Line::new(name, seen.moments.iter().map(|m| (m.at - start, value(m))))
    };
    let replicas = |title: &str, seen: &Watched| Panel {
        title: title.to_owned(),
        lines: vec![
            line(seen, "needed", |m| needed(m.seen.offered)),
            line(seen, "ready", |m| f64::from(m.seen.ready)),
            line(seen, "ready and starting", |m| f64::from(m.seen.ready + m.seen.starting)),
        ],
        marks: shortages(seen, start),
        ..Panel::default()
    };
    let [on, off] = pair;
    let load = Panel {
        title: "load of each of the two, requests/s".to_owned(),
        lines: vec![line(on, "offered", |m| m.seen.offered)],
        ..Panel::default()
    };
    Plot {
        title: format!(
            "A ramp of {:.0} minutes, pods that take {} s, {} days of history; red: too few ready",
            plan.ramp.as_secs_f64() / 60.0,
            plan.lead.as_secs(),
            plan.days
        ),
        time: Time::Elapsed,
        panels: vec![load, replicas("replicas with forecast", on), replicas("replicas without", off)],
    }
}

/// When fewer were ready than needed, by the seconds since `start`.
fn shortages(seen: &Watched, start: f64) -> Vec<(f64, f64)> {
    let mut found: Vec<(f64, f64)> = Vec::new();
    for pair in seen.moments.windows(2) {
        let [Moment { at, seen }, next] = pair else { continue };
        if f64::from(seen.ready) >= needed(seen.offered) {
            continue;
        }
        let (from, to) = (at - start, next.at - start);
        match found.last_mut() {
            Some((_, end)) if *end >= from => *end = to,
            _ => found.push((from, to)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Seen;

    const COURSE: Course = Course { foot: 1_000_000_000, length: 2_700.0 };

    fn moment(at: f64, offered: f64, ready: u32, starting: u32) -> Moment {
        Moment { at, seen: Seen { offered, ready, starting, ..Seen::default() } }
    }

    #[test]
    fn every_day_rises_fivefold_in_the_same_minutes_to_a_level_of_its_own() {
        let mut tops = Vec::new();
        for day in 0..14 {
            let foot = COURSE.foot - day * DAY;
            let (before, middle, top) =
                (COURSE.rate(foot - 60), COURSE.rate(foot + 1_350), COURSE.rate(foot + 2_700));
            assert!((before / LOW - 1.0).abs() <= NOISE, "{before}");
            assert!((top / HIGH - 1.0).abs() <= LEVEL + 2.0 * NOISE, "{top}");
            assert!((middle / f64::midpoint(LOW, top) - 1.0).abs() < 0.1, "{middle} of {top}");
            assert!((COURSE.rate(foot + 17 * 3_600) / LOW - 1.0).abs() <= NOISE);
            tops.push(top);
        }
        let (low, high) = tops.iter().fold((f64::MAX, 0.0_f64), |(l, h), t| (l.min(*t), h.max(*t)));
        assert!(high / low > 1.05, "days differ: {tops:?}");
        // No step anywhere but noise and slope: 2.6 requests/s in a second at the steepest.
        let jump = (0..DAY).map(|s| (COURSE.rate(COURSE.foot + s + 1) - COURSE.rate(COURSE.foot + s)).abs());
        assert!(jump.fold(0.0, f64::max) < 10.0);
    }

    #[test]
    fn shortage_lead_cost_and_operations_are_told_of_the_ramp_alone() {
        // Given two replicas that are enough, a third that is needed after 60 s and ready after 90 s,
        let moments = vec![
            moment(-30.0, 150.0, 2, 0),
            moment(0.0, 200.0, 2, 0),
            moment(60.0, 250.0, 2, 1),
            moment(90.0, 250.0, 3, 0),
            moment(100.0, 250.0, 3, 0),
            moment(200.0, 900.0, 3, 0),
        ];
        let seen = Watched { moments, writes: vec![-10.0, 50.0, 150.0] };
        let outcome = Outcome::of(&seen, 100.0);
        // then a third of the time was short by one, and it came 30 s late.
        assert!((outcome.short - 0.3).abs() < 1e-12 && (outcome.missing - 1.0).abs() < 1e-12);
        assert!((outcome.lead + 30.0).abs() < 1e-12 && (outcome.least_lead + 30.0).abs() < 1e-12);
        assert!((outcome.operations - 1.0).abs() < 1e-12);
        assert!((outcome.cost - 240.0 / 240.0).abs() < 1e-12, "{outcome:?}");
        assert_eq!(shortages(&seen, -30.0), [(90.0, 120.0)]);
    }
}
