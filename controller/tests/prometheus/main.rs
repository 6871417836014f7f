//! Telemetry against a real Prometheus that scrapes pages as the real exporters write them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it needs by panicking"
)]

mod exporters;
mod failures;
mod rates;
mod server;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use loadline_controller::{
    config::Config,
    observe::prometheus::{PrometheusTelemetry, SharedPodOwners},
    ports::{Detail, LoadAsk, LoadReading, Readings, SeriesSelector, Telemetry},
};
use loadline_policies::{
    ids::{ClusterId, PolicyKey, Target},
    now::Now,
};

/// Longest wait for something to be seen: scrapes are a second apart, windows six.
const DEADLINE: Duration = Duration::from_secs(90);

/// Telemetry of a source on this machine that is scraped every second; `more` is further YAML of the source.
fn telemetry(port: u16, more: &str) -> PrometheusTelemetry {
    PrometheusTelemetry::new(&configuration(port, more), SharedPodOwners::default())
}

fn configuration(port: u16, more: &str) -> Config {
    Config::parse(&format!(
        "sources: [{{name: test, url: 'http://127.0.0.1:{port}', scrapeInterval: 1s, \
         windows: {{steady: 6s, burst: 3s}}, {more}}}]"
    ))
    .unwrap()
}

/// What a policy for `namespace/name` asks, with so many ready replicas.
fn ask(policy: &str, profile: &str, expected: u32) -> LoadAsk {
    let (namespace, name) = policy.split_once('/').unwrap();
    LoadAsk {
        policy: PolicyKey::new(namespace, name),
        target: Target::new("apps/v1", "Deployment", namespace, name),
        profile: profile.to_owned(),
        selector: SeriesSelector::Profile,
        detail: Detail { latency: true, endpoints: false, cpu: false },
        expected: [(ClusterId::local(), expected)].into(),
        triggers: BTreeMap::new(),
    }
}

fn now() -> Now {
    Now::new(jiff::Timestamp::now(), Duration::from_secs(1))
}

/// The reading of a policy at home.
fn load<'a>(readings: &'a Readings, policy: &str) -> &'a LoadReading {
    let (namespace, name) = policy.split_once('/').unwrap();
    &readings.loads[&(PolicyKey::new(namespace, name), ClusterId::local())]
}

/// Reads until `seen` gives something, and gives that; fails with the last readings at the deadline.
async fn until<T>(
    telemetry: &PrometheusTelemetry,
    asks: &[LoadAsk],
    what: &str,
    seen: impl Fn(&Readings) -> Option<T>,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let readings = telemetry.read(asks, now()).await;
        if let Some(found) = seen(&readings) {
            return found;
        }
        assert!(Instant::now() < deadline, "not seen in time: {what}; last {readings:#?}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Within five percent: `rate()` extrapolates, and scrapes are not exactly a second apart.
fn near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= 0.05 * expected.abs() + 0.01
}
