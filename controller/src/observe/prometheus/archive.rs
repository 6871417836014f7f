//! The archive: the past of the same series that the telemetry reads, in bulk.
//!
//! It has connections of its own, one query at a time, so that no tick waits for it.

use loadline_policies::reading::Doubt;

use super::{
    PrometheusTelemetry,
    group::{Group, foreign_to_the_past},
    pod_owners::SharedPodOwners,
};
use crate::{
    config::{Config, Source},
    ports::{Archive, Batch, LoadAsk, Page, Readings, Span, Unreadable},
};

/// Reads the past from Prometheus-compatible sources.
#[derive(Debug)]
pub struct PrometheusArchive {
    telemetry: PrometheusTelemetry,
}

impl PrometheusArchive {
    /// An archive as the configuration says; connections are made when they are first needed.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { telemetry: PrometheusTelemetry::new(config, SharedPodOwners::default()) }
    }

    /// The one ask in each of its clusters, sorted to the source that answers it.
    fn sort(&self, ask: &LoadAsk, batches: &mut Vec<Batch>, unreadable: &mut Vec<Unreadable>) {
        for (cluster, expected) in &ask.expected {
            let one = LoadAsk { expected: [(cluster.clone(), *expected)].into(), ..ask.clone() };
            let mut refused = Readings::default();
            let asks = std::slice::from_ref(&one);
            let groups = self.telemetry.groups(asks, &mut refused, None);
            let sources = self.telemetry.clients.iter().map(|client| &client.source);
            let found = sources.zip(&groups).find_map(|(source, groups)| Some((source, groups.first()?)));
            let refusal = refused.loads.into_values().find_map(|reading| reading.steady.err());
            let why = match (&found, refusal) {
                (_, Some(doubt)) => Some(doubt.to_string()),
                (Some((_, group)), None) => foreign_to_the_past(group),
                (None, None) => Some("no source knows its cluster".to_owned()),
            };
            match (found, why) {
                (_, Some(why)) => unreadable.push(Unreadable { policy: ask.policy.clone(), why }),
                (Some((source, _)), None) => join(batches, source, &one),
                (None, None) => {}
            }
        }
    }
}

/// Puts an ask into the batch of its source and profile.
fn join(batches: &mut Vec<Batch>, source: &Source, ask: &LoadAsk) {
    let same = |b: &&mut Batch| b.source == source.name && b.profile == ask.profile;
    match batches.iter_mut().find(same) {
        Some(batch) => match batch.asks.last_mut().filter(|last| last.policy == ask.policy) {
            Some(last) => last.expected.extend(ask.expected.clone()),
            None => batch.asks.push(ask.clone()),
        },
        None => batches.push(Batch {
            source: source.name.clone(),
            profile: ask.profile.clone(),
            asks: vec![ask.clone()],
        }),
    }
}

impl Archive for PrometheusArchive {
    fn batches(&self, asks: &[LoadAsk]) -> (Vec<Batch>, Vec<Unreadable>) {
        let (mut batches, mut unreadable) = (Vec::new(), Vec::new());
        for ask in asks {
            self.sort(ask, &mut batches, &mut unreadable);
        }
        (batches, unreadable)
    }

    async fn read(&self, batch: &Batch, span: Span) -> Result<Page, Doubt> {
        let groups = self.telemetry.groups(&batch.asks, &mut Readings::default(), None);
        let of_source = self.telemetry.clients.iter().zip(groups);
        let found = of_source.filter(|(client, _)| client.source.name == batch.source);
        let Some((client, group)) =
            found.flat_map(|(client, groups)| groups.into_iter().map(move |g| (client, g))).next()
        else {
            return Err(Doubt::NotConfigured(format!("there is no source {}", batch.source)));
        };
        let connection = client.connect().await?;
        Group::past(&group, client, &connection, || client.limits(), span).await
    }
}
