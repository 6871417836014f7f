//! What Prometheus itself would tell the operator: the same queries, read by the same rules, asked past the proxy
//! and without the operator.

use std::collections::BTreeMap;

use loadline_controller::{
    config::Config,
    observe::prometheus::{PrometheusTelemetry, SharedPodOwners},
    ports::{Clock, Detail, LoadAsk, SeriesSelector, Telemetry},
    runtime::SystemClock,
};
use loadline_policies::ids::{ClusterId, PolicyKey, Target};

/// Asks a Prometheus.
pub(super) struct Witness {
    config: Config,
}

impl Witness {
    /// One that asks the sources of this configuration.
    pub(super) fn new(config: &str) -> Self {
        Self { config: Config::parse(config).unwrap() }
    }

    /// What is doubtful in what is answered now about these workloads; empty when all of it is fresh and complete.
    /// Every look is a new one: no connection and no number of an earlier one is used.
    pub(super) async fn doubts(&self, asks: &[LoadAsk]) -> Vec<String> {
        let telemetry = PrometheusTelemetry::new(&self.config, SharedPodOwners::default());
        let readings = telemetry.read(asks, SystemClock.now()).await;
        let doubt = |ask: &LoadAsk| {
            let name = &ask.policy.name;
            let Some(reading) = readings.loads.get(&(ask.policy.clone(), ClusterId::local())) else {
                return Some(format!("{name}: not answered"));
            };
            let windows = [Some(&reading.steady), reading.burst.as_ref()];
            windows.into_iter().flatten().find_map(|window| match window {
                Ok(sample) if sample.coverage.is_full() => None,
                Ok(sample) => Some(format!("{name}: {:?}", sample.coverage)),
                Err(doubt) => Some(format!("{name}: {doubt}")),
            })
        };
        asks.iter().filter_map(doubt).collect()
    }
}

/// What the operator asks about a Deployment with a policy of the same name and so many ready replicas.
pub(super) fn ask(namespace: &str, name: &str, ready: u32) -> LoadAsk {
    LoadAsk {
        policy: PolicyKey::new(namespace, name),
        target: Target::new("apps/v1", "Deployment", namespace, name),
        profile: "otel-http".to_owned(),
        selector: SeriesSelector::Profile,
        detail: Detail::default(),
        expected: BTreeMap::from([(ClusterId::local(), ready)]),
        triggers: BTreeMap::new(),
    }
}
