//! Telemetry from Prometheus: grouped queries, their answers, and what is doubtful in them.
//!
//! ```text
//! asks ──> groups (source × profile) ──> a constant number of queries ──> rows ──> slots ──> readings
//!             identity: keys of asks      query       client   answer       identity   slot
//! asks ──> batches ──> range queries, one at a time ──> pages of the past       archive, group/past
//! asks ──> triggers, each its own query, inside its namespace and budget ──> board ─────────> numbers
//! ```
//!
//! CPU ──> one query of a profile a minute, beside the ticks ──> desk ──> readings for those who learn    cpu
//!
//! Sources are asked at the same time and fail alone: a doubt reaches the clusters of its source only. Triggers are
//! asked in the background and pin their numbers to a board; a tick takes what is there.

pub mod answer;
mod archive;
mod client;
mod cpu;
mod credentials;
mod group;
mod identity;
pub mod pod_owners;
pub mod promql;
pub mod query;
mod slot;
mod triggers;

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;
use loadline_policies::{
    fleet::CpuSample,
    ids::{ClusterId, PolicyKey},
    now::{Mono, Now},
    reading::{Doubt, Observed},
};

pub use archive::PrometheusArchive;
pub use client::Traffic;
pub use pod_owners::SharedPodOwners;

use self::{client::Client, cpu::Desk, group::Group, triggers::Triggers};
use crate::{
    config::{Config, Profiles, Reach, Source},
    ports::{LoadAsk, LoadReading, Readings, Telemetry},
};

/// Reads load and triggers from Prometheus-compatible sources.
#[derive(Debug)]
pub struct PrometheusTelemetry {
    /// What telemetry calls the operator's own cluster.
    home: String,
    profiles: Profiles,
    clients: Vec<Arc<Client>>,
    triggers: Triggers,
    cpu: Desk,
    owners: SharedPodOwners,
    traffic: Arc<Traffic>,
}

impl PrometheusTelemetry {
    /// Telemetry as the configuration says; connections are made when they are first needed.
    #[must_use]
    pub fn new(config: &Config, owners: SharedPodOwners) -> Self {
        let traffic = Arc::new(Traffic::default());
        let client = |s: &Source| Arc::new(Client::new(s.clone(), Arc::clone(&traffic)));
        let clients = config.sources.iter().map(client).collect();
        let triggers = Triggers::new(config.triggers.clone(), &config.sources, config.sync);
        Self {
            home: config.cluster.clone(),
            profiles: config.profiles.clone(),
            clients,
            triggers,
            cpu: Desk::default(),
            owners,
            traffic,
        }
    }

    /// What was sent since the start.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The source of a cluster: the one that knows it alone, else the global one.
    fn source_of(&self, cluster: &ClusterId) -> Option<usize> {
        let own = |c: &Arc<Client>| matches!(&c.source.reach, Reach::Cluster(id) if id == cluster);
        let global = |c: &Arc<Client>| matches!(c.source.reach, Reach::Label { .. });
        self.clients.iter().position(own).or_else(|| self.clients.iter().position(global))
    }

    /// Sorts the asks into groups of one source and profile; what has none is a doubt at once. Of the past (without a
    /// moment) no CPU is read.
    fn groups<'a>(
        &'a self,
        asks: &'a [LoadAsk],
        readings: &mut Readings,
        now: Option<Mono>,
    ) -> Vec<Vec<Group<'a>>> {
        let mut groups: Vec<BTreeMap<&'a str, Group<'a>>> =
            self.clients.iter().map(|_| BTreeMap::new()).collect();
        for ask in asks {
            for (cluster, expected) in &ask.expected {
                let joined = self.join(&mut groups, ask, (cluster, *expected), now);
                if let Err(what) = joined {
                    doubt(readings, &ask.policy, cluster, Doubt::NotConfigured(what));
                }
            }
        }
        groups.into_iter().map(|by_profile| by_profile.into_values().collect()).collect()
    }

    fn no_source(&self, cluster: &ClusterId) -> String {
        if *cluster == ClusterId::local() {
            return format!(
                "no source knows the operator's own cluster, which `cluster` says is called {}; \
                 write that as the `cluster` of a source, or mend `cluster`",
                self.home
            );
        }
        format!("no source knows the cluster {cluster}; add one to `sources`")
    }

    fn join<'a>(
        &'a self,
        groups: &mut [BTreeMap<&'a str, Group<'a>>],
        ask: &'a LoadAsk,
        (cluster, expected): (&'a ClusterId, u32),
        now: Option<Mono>,
    ) -> Result<(), String> {
        let profile = self.profiles.get(&ask.profile).ok_or_else(|| {
            let names = self.profiles.names().collect::<Vec<_>>().join(", ");
            format!("there is no profile {}; known are {names}", ask.profile)
        })?;
        let no_source = || self.no_source(cluster);
        let source = self.source_of(cluster).ok_or_else(no_source)?;
        let (Some(client), Some(by_profile)) = (self.clients.get(source), groups.get_mut(source)) else {
            return Err(no_source());
        };
        let group = by_profile.entry(profile.name.as_str()).or_insert_with(|| {
            let group = Group::new(profile, &client.source);
            let due = now.is_some_and(|now| self.cpu.is_due((source, &profile.name), now));
            if due { group.with_cpu() } else { group }
        });
        group.join(ask, cluster, expected)
    }

    async fn loads(&self, asks: &[LoadAsk], now: Now) -> Readings {
        let mut readings = Readings::default();
        let groups = self.groups(asks, &mut readings, Some(now.mono));
        let cpu = self.cpu(&groups, now);
        let reads = self.clients.iter().zip(groups).map(|(client, groups)| self.read_source(client, groups));
        for (policy, cluster, reading) in join_all(reads).await.into_iter().flatten() {
            readings.loads.insert((policy, cluster), reading);
        }
        for (policy, cluster, read) in cpu {
            if let Some(reading) = readings.loads.get_mut(&(policy, cluster)) {
                reading.cpu = Some(read);
            }
        }
        readings
    }

    /// What was answered about CPU since the last tick; nothing is waited for.
    fn cpu(&self, groups: &[Vec<Group<'_>>], now: Now) -> Vec<(PolicyKey, ClusterId, Observed<CpuSample>)> {
        let mut read = Vec::new();
        for (source, groups) in self.clients.iter().enumerate().zip(groups) {
            for (profile, members) in groups.iter().filter_map(Group::cpu) {
                read.extend(self.cpu.read(source, profile, members, &self.owners, now.mono));
            }
        }
        read
    }

    async fn read_source(
        &self,
        client: &Client,
        groups: Vec<Group<'_>>,
    ) -> Vec<(PolicyKey, ClusterId, LoadReading)> {
        if groups.is_empty() {
            return Vec::new();
        }
        let limits = client.limits();
        match client.connect().await {
            Ok(connection) => {
                let reads = groups.into_iter().map(|g| g.read(client, &connection, limits, &self.owners));
                join_all(reads).await.into_iter().flatten().collect()
            }
            Err(doubt) => groups.into_iter().flat_map(|g| g.doubted(&doubt)).collect(),
        }
    }
}

fn doubt(readings: &mut Readings, policy: &PolicyKey, cluster: &ClusterId, doubt: Doubt) {
    let reading = LoadReading { steady: Err(doubt), burst: None, cpu: None };
    readings.loads.insert((policy.clone(), cluster.clone()), reading);
}

impl Telemetry for PrometheusTelemetry {
    async fn read(&self, asks: &[LoadAsk], now: Now) -> Readings {
        // Triggers are asked beside the load, and no load waits for them: a tenant's slow query delays the
        // tenant.
        let asked = self.triggers.ask(&self.clients, asks);
        let mut readings = self.loads(asks, now).await;
        readings.triggers = self.triggers.answers(asked).await;
        readings
    }
}
