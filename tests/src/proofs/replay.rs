//! Hours of a load replayed in minutes: does the redundancy stay in its band?
//!
//! ```text
//! trace, 60 times as fast ──> emulator ──> Prometheus ──> operator ──> replicas ──> emulator
//!                                └── every step recorded: load, ready and starting pods, redundancy
//! ```
//!
//! What a policy and a pod take is divided by 60 as well: the stabilisation of 5 minutes, the lead time of 3.
//! Scrape and sync are 1 s each, the shortest that the operator takes. The redundancy is that of the emulated
//! service itself, not what the operator believes. Moments at which pods are starting do not count: nothing
//! that is decided then can help before they are ready.

use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use loadline_chaos::world::{Shape, rate};
use rand::RngExt as _;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng as _};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{
    Bound, Failure, Proof, Record, Scale,
    stage::{BAND, CAPACITY, Stage, Timing},
};
use crate::{
    cluster,
    emulator::{
        Moment,
        trace::{self, Replay},
    },
    plot,
};

pub(super) const PROOF: Proof = Proof {
    name: "replay",
    about: "Eleven hours of a load replayed 60 times as fast through emulator, Prometheus and operator: the \
            redundancy stays in its band of 1.1 to 1.6.",
    run: |record| run(record).boxed(),
};

/// How many times as fast as it was recorded.
const SPEED: u32 = 60;
/// The trace, where `LOADLINE_TRACES` has it.
const TRACE: &str = "crane_input0";
/// Requests per second at the highest point of the whole trace: twenty replicas.
const PEAK: f64 = 2_000.0;
/// How long the replay takes at full size.
const TIME: Duration = Duration::from_mins(11);
/// How often it is told how far it is.
const TOLD: Duration = Duration::from_secs(30);
/// Lead time of a pod, 180 s, in replayed time.
const LEAD: Duration = Duration::from_secs(180 / SPEED as u64);
/// As short as the operator takes them; the windows are the shortest that four and three scrapes allow.
const TIMING: Timing = Timing {
    scrape: Duration::from_secs(1),
    sync: Duration::from_secs(1),
    windows: Some((Duration::from_secs(4), Duration::from_secs(3))),
};
/// Redundancy at the start: the middle of the band.
const START: f64 = f64::midpoint(BAND.0, BAND.1);

async fn run(record: &mut Record) -> Result<(), Failure> {
    let (name, traffic) = traffic()?;
    let first = rate(&traffic, Duration::ZERO, Timestamp::UNIX_EPOCH);
    let options = cluster::Options::default().start_delay(LEAD);
    let stage = Stage::start("replay", &options, TIMING).await?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some twenty replicas")]
    let replicas = (first * START / f64::from(CAPACITY)).ceil() as u32;
    let web = stage.service("web", replicas, first).await?;
    let behaviour = json!({ "scaleDown": { "stabilizationWindow": "5s" } });
    stage.policy("web", json!({ "behaviour": behaviour, "fallback": { "after": "3s" } })).await?;
    stage.decided("web").await?;

    record.progress(&format!("{name}, from {replicas} replicas on"));
    stage.emulator.offer(&web, traffic);
    stage.emulator.record(&web);
    let start = Instant::now();
    let end = start + record.scale().time(TIME);
    while Instant::now() < end {
        sleep_until((Instant::now() + TOLD).min(end)).await;
        record.progress(&format!("{:?}", stage.emulator.seen(&web)));
    }
    let moments = stage.emulator.recorded(&web);
    let hours = start.elapsed().as_secs_f64() * f64::from(SPEED) / 3_600.0;
    let title = format!("{hours:.1} hours of the load {name}, replayed {SPEED} times as fast");
    record.plot("replay", &plot::of_workload(&title, &moments, BAND))?;
    report(record, &moments);
    Ok(())
}

/// The load and what it is called: the real trace where there is one, else a made day.
fn traffic() -> Result<(&'static str, Shape), Failure> {
    if trace::folder().is_none() {
        return Ok(("synthetic (seed 1)", synthetic(1)));
    }
    let replay = Replay { name: TRACE.to_owned(), speed: f64::from(SPEED), peak: PEAK };
    Ok((TRACE, trace::load(&replay)?))
}

/// A day of hills of eight hours with noise that lasts, a value a minute.
fn synthetic(seed: u64) -> Shape {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut noise = 0.0;
    let value = |minute: u32| {
        // A minute keeps nine tenths of the noise of the one before; about 2 % in the end.
        noise = 0.9 * noise + 0.03 * (chance.random::<f64>() - 0.5);
        let hill = 0.5 - 0.5 * (std::f64::consts::TAU * f64::from(minute + 60) / 480.0).cos();
        PEAK * (0.4 + 0.5 * hill) * (1.0 + noise)
    };
    Shape::Trace { values: (0..1_440).map(value).collect(), interval: Duration::from_mins(1) / SPEED }
}

/// Shares of the time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Shares {
    /// While pods start.
    starting: f64,
    /// Of the rest: below, in and above the band.
    below: f64,
    inside: f64,
    above: f64,
}

fn shares(moments: &[Moment], (low, high): (f64, f64)) -> Shares {
    let mut sum = Shares::default();
    for pair in moments.windows(2) {
        let [Moment { at, seen }, next] = pair else { continue };
        let part = match seen.redundancy() {
            _ if seen.starting > 0 => &mut sum.starting,
            r if r < low => &mut sum.below,
            r if r > high => &mut sum.above,
            _ => &mut sum.inside,
        };
        *part += next.at - at;
    }
    let judged = sum.below + sum.inside + sum.above;
    Shares {
        starting: sum.starting / (judged + sum.starting),
        below: sum.below / judged,
        inside: sum.inside / judged,
        above: sum.above / judged,
    }
}

/// How often the number of pods changed direction or size.
fn changes(moments: &[Moment]) -> usize {
    let pods = |m: &Moment| m.seen.ready + m.seen.starting;
    moments.windows(2).filter(|pair| matches!(pair, [a, b] if pods(a) != pods(b))).count()
}

fn report(record: &mut Record, moments: &[Moment]) {
    let Shares { starting, below, inside, above } = shares(moments, BAND);
    // A minute on a machine that is busy with other tests has a share of bad luck; the full size judges.
    let (least, most) = if record.scale() == Scale::FULL { (90.0, 10.0) } else { (50.0, 50.0) };
    record.bounded("pods are starting", 100.0 * starting, "% of the time", Bound::AtMost(most));
    record.bounded("redundancy in its band", 100.0 * inside, "% of the rest", Bound::AtLeast(least));
    record.figure("redundancy below its band", 100.0 * below, "% of the rest");
    record.figure("redundancy above its band", 100.0 * above, "% of the rest");
    #[expect(clippy::cast_precision_loss, reason = "a few thousand moments")]
    record.bounded("changes of the number of pods", changes(moments) as f64, "", Bound::AtLeast(1.0));
    let part = |of: fn(&Moment) -> f64| moments.iter().map(of).sum::<f64>();
    let rejected = part(|m| m.seen.rejected) / part(|m| m.seen.offered);
    record.figure("requests turned away", 100.0 * rejected, "%");
    let highest = moments.iter().map(|m| m.seen.offered).fold(0.0, f64::max);
    record.figure("highest load", highest, "requests/s");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::Seen;

    fn moment(at: f64, ready: u32, starting: u32, utilisation: f64) -> Moment {
        Moment { at, seen: Seen { ready, starting, utilisation, ..Seen::default() } }
    }

    #[test]
    fn time_is_shared_out_by_where_the_redundancy_is_and_starting_pods_come_first() {
        let moments = [
            moment(0.0, 4, 0, 0.8),
            moment(6.0, 4, 0, 1.0),
            moment(7.0, 4, 1, 1.0),
            moment(9.0, 5, 0, 0.5),
            moment(10.0, 5, 0, 0.8),
        ];
        let Shares { starting, below, inside, above } = shares(&moments, BAND);
        let expected = [(starting, 0.2), (inside, 0.75), (below, 0.125), (above, 0.125)];
        assert!(expected.iter().all(|(is, should)| (is - should).abs() < 1e-12), "{expected:?}");
        assert_eq!(changes(&moments), 1);
    }

    #[test]
    fn a_made_load_is_the_same_each_time_and_reaches_its_hills() {
        let Shape::Trace { values, interval } = synthetic(1) else { panic!("a trace") };
        assert_eq!((values.len(), interval), (1_440, Duration::from_secs(1)));
        let (low, high) =
            values.iter().fold((f64::MAX, 0.0_f64), |(low, high), v| (low.min(*v), high.max(*v)));
        assert!(low > 0.3 * PEAK && high > 0.8 * PEAK && high < PEAK, "{low} to {high}");
        assert_eq!(synthetic(1), synthetic(1));
    }
}
