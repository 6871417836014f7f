//! A group: all asks of one profile at one source, answered together.

mod past;

use futures::stream::{FuturesUnordered, StreamExt};
use loadline_policies::{
    ids::{ClusterId, PolicyKey},
    reading::Doubt,
};

use super::{
    answer,
    client::{Client, Connection, Limits},
    cpu::CpuMembers,
    identity::Index,
    pod_owners::SharedPodOwners,
    query::{GroupedQuery, grouped},
    slot::Slots,
};
use crate::{
    config::{Profile, Source},
    ports::{Detail, LoadAsk, LoadReading},
};

pub(super) use past::foreign_to_the_past;

/// All asks of one profile at one source.
#[derive(Debug)]
pub(super) struct Group<'a> {
    profile: &'a Profile,
    source: &'a Source,
    index: Index<'a>,
    members: Vec<Member<'a>>,
    cpu: Option<CpuMembers<'a>>,
}

/// One ask in one cluster.
#[derive(Debug)]
struct Member<'a> {
    ask: &'a LoadAsk,
    cluster: &'a ClusterId,
    expected: u32,
    slot: usize,
}

impl<'a> Group<'a> {
    pub(super) fn new(profile: &'a Profile, source: &'a Source) -> Self {
        Self {
            profile,
            source,
            index: Index::new(&profile.name, &profile.identity, source),
            members: Vec::new(),
            cpu: None,
        }
    }

    /// The same, which also takes in who learns from CPU; nobody where the profile does not say how that is read.
    pub(super) fn with_cpu(self) -> Self {
        Self { cpu: CpuMembers::new(self.profile, self.source), ..self }
    }

    /// Takes an ask in; what a person must mend where its series cannot be found.
    pub(super) fn join(
        &mut self,
        ask: &'a LoadAsk,
        cluster: &'a ClusterId,
        expected: u32,
    ) -> Result<(), String> {
        let slot = self.index.slot(&ask.target, &ask.selector, cluster)?;
        self.members.push(Member { ask, cluster, expected, slot });
        if let Some(cpu) = self.cpu.as_mut().filter(|_| ask.detail.cpu) {
            cpu.join(ask, cluster, expected);
        }
        Ok(())
    }

    /// The profile, and who learns from its CPU; `None` in most ticks.
    pub(super) fn cpu(&self) -> Option<(&Profile, &CpuMembers<'a>)> {
        Some((self.profile, self.cpu.as_ref()?))
    }

    /// The queries of this group: as many for one member as for ten thousand.
    fn queries(&self) -> Vec<GroupedQuery> {
        let detail = self.members.iter().fold(Detail::default(), |all, m| all.or(m.ask.detail));
        grouped(self.profile, self.source, &self.index.by, detail)
    }

    /// Asks, and makes a reading for each member.
    pub(super) async fn read(
        self,
        client: &Client,
        connection: &Connection,
        limits: Limits,
        owners: &SharedPodOwners,
    ) -> Vec<(PolicyKey, ClusterId, LoadReading)> {
        if self.members.is_empty() {
            return Vec::new();
        }
        if self.index.needs_owners() {
            owners.want();
        }
        let mut slots = Slots::new(self.index.len());
        let mut answers: FuturesUnordered<_> = self
            .queries()
            .into_iter()
            .map(|query| async move {
                let body = client.bulk(connection, &query.promql, limits).await;
                (query, body)
            })
            .collect();
        // Each body is mapped and dropped as it comes: they are never all in memory.
        while let Some((query, body)) = answers.next().await {
            self.add(&mut slots, &query, &body, owners);
        }
        self.readings(&slots)
    }

    fn readings(&self, slots: &Slots) -> Vec<(PolicyKey, ClusterId, LoadReading)> {
        let read = |m: &Member<'_>| {
            slots.reading(m.slot, self.profile, self.source, m.expected, m.ask.detail.endpoints)
        };
        self.members.iter().map(|m| (m.ask.policy.clone(), m.cluster.clone(), read(m))).collect()
    }

    fn add(
        &self,
        slots: &mut Slots,
        query: &GroupedQuery,
        body: &Result<Vec<u8>, Doubt>,
        owners: &SharedPodOwners,
    ) {
        let body = body.as_deref().map_err(Clone::clone);
        let vector = body.and_then(|body| answer::vector(body, &query.columns));
        owners.read(|owners| slots.add(query, vector, self.profile, &self.index, owners));
    }

    /// The same doubt for every member.
    pub(super) fn doubted(self, doubt: &Doubt) -> Vec<(PolicyKey, ClusterId, LoadReading)> {
        let reading = || LoadReading { steady: Err(doubt.clone()), burst: None, cpu: None };
        self.members.iter().map(|m| (m.ask.policy.clone(), m.cluster.clone(), reading())).collect()
    }
}

#[cfg(test)]
mod tests;
