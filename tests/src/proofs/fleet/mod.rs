//! Many policies on the real operator: the same few queries for ten thousand as for ten, no write while nothing
//! changes, and how long it takes until a common step of all loads is written.
//!
//! ```text
//! N Deployments of one replica ── emulator ── Prometheus ── loadline run ── N policies
//!
//! few     ten policies: the queries of a tick
//! rest    all of them under constant loads: the queries of a tick, writes, CPU, memory
//! some    1 % of the loads step up fourfold: from the telemetry's answer to the write
//! all     all others do, at once: until 50, 95 and 100 % of spec.replicas are written
//! ```

mod page;
mod rest;
mod stage;
mod step;

use std::time::{Duration, Instant};

use futures::FutureExt as _;

use super::{Bound, Failure, Proof, Record, Scale};
use crate::wait::until;
use stage::{Fleet, RATE, Size};

pub(super) const PROOF: Proof = Proof {
    name: "fleet",
    about: "1,000 and 10,000 policies on one operator: queries of a tick, writes, CPU and memory at rest, and a \
            common fourfold step of all loads.",
    run: |record| run(record).boxed(),
};

/// The policies that the queries of the others are compared with.
const FEW: u32 = 10;
/// The two fleets at full size. The larger one is scraped as seldom as fleets of its size are.
const SIZES: [Size; 2] = [
    Size {
        policies: 1_000,
        pace: Duration::from_secs(5),
        look: Duration::from_millis(200),
        // What is asked for: sync + 5 s.
        limit: Some(Duration::from_secs(10)),
    },
    Size {
        policies: 10_000,
        pace: Duration::from_secs(15),
        look: Duration::from_millis(500),
        // Ten thousand writes take what the API server of the machine takes for them: told, not judged.
        limit: None,
    },
];

async fn run(record: &mut Record) -> Result<(), Failure> {
    // Among ordinary tests there is time for the first only.
    let sizes = SIZES.into_iter().take(if record.scale() == Scale::TENTH { 1 } else { SIZES.len() });
    for size in sizes {
        let policies = record.scale().count(size.policies).max(2 * FEW);
        let limit = size.limit.filter(|_| record.scale() == Scale::FULL);
        round(record, Size { policies, limit, ..size }).await?;
    }
    Ok(())
}

async fn round(record: &mut Record, size: Size) -> Result<(), Failure> {
    let mut fleet = Fleet::start(size).await?;
    fleet.grow(0..FEW).await?;
    fleet.decided().await?;
    let few = fleet.queries().await?;
    record.figure(&format!("queries of a tick, {FEW} policies"), few, "");

    let start = Instant::now();
    fleet.grow(FEW..size.all()).await?;
    record.figure(&size.named("workloads and policies made in"), start.elapsed().as_secs_f64(), "s");
    fleet.decided().await?;
    record.figure(&size.named("all decided on after"), start.elapsed().as_secs_f64(), "s");
    scraped(record, &fleet).await?;
    // The few of an ordinary test are through before a forecast begins.
    if record.scale() == Scale::FULL {
        fleet.foreseen().await?;
    }
    rest::measure(record, &fleet, few).await?;
    step::some(record, &fleet).await?;
    rest::quiet(&fleet).await?;
    step::all(record, &fleet).await
}

/// What the rig itself bears: Prometheus reads all of the load, in time.
async fn scraped(record: &mut Record, fleet: &Fleet) -> Result<(), Failure> {
    let Fleet { size, prometheus, .. } = fleet;
    let expected = f64::from(size.all()) * RATE;
    let window = format!("{}s", 4 * size.pace.as_secs());
    let query = format!("sum(rate(http_server_request_duration_seconds_count[{window}]))");
    let read = until("the load of all to be read", 12 * size.pace, || async {
        match prometheus.value(&query).await {
            Ok(read) if (read - expected).abs() < 0.01 * expected => Ok(read),
            Ok(read) => Err(format!("{read} requests/s of {expected}")),
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;
    record.bounded(&size.named("load that is read"), 100.0 * read / expected, "%", Bound::AtLeast(99.0));
    let samples = prometheus.value("max(scrape_samples_scraped)").await?;
    let least = f64::from(size.all()) * 17.0;
    record.bounded(&size.named("samples of a scrape"), samples, "", Bound::AtLeast(least));
    let longest = prometheus.value("max(scrape_duration_seconds)").await?;
    record.figure(&size.named("a scrape takes"), longest, "s");
    Ok(())
}
