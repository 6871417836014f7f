//! CPU: one question more for each source and profile, about once a minute, beside the ticks and one at a time.
//!
//! ```text
//! sum by (namespace, pod) (rate(cpu[window]))        tagged "rate"     ┐ one query
//! max by (namespace, pod) (timestamp(cpu))           tagged "newest"   ┘
//! ```
//!
//! Nothing waits for it: a tick takes the answer that is there, once, and begins the next question. It is asked only of
//! the namespaces of those who learn from it, and not at all when there are none.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use loadline_policies::{
    fleet::CpuSample,
    ids::{ClusterId, PolicyKey},
    now::Mono,
    reading::{Coverage, Doubt, Observed, Reading, finite},
};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::{
    answer::{self, Vector},
    client::Client,
    identity::{Index, Owners},
    pod_owners::SharedPodOwners,
    query::{column, duration, selector},
    slot::timestamp,
};
use crate::{
    config::{CpuCounter, Profile, Source, Windows},
    ports::{LoadAsk, SeriesSelector},
};

/// How often it is asked: what is learned from it takes hours.
const EVERY: Duration = Duration::from_mins(1);

/// Most namespaces that a question is narrowed to; of more it asks for all.
const MOST_NAMESPACES: usize = 100;

/// The label that tells the parts of an answer apart, and its values.
const PART: &str = "loadline_part";
const RATE: &str = "rate";
const NEWEST: &str = "newest";

/// A CPU reading, or why there is none.
type Read = (PolicyKey, ClusterId, Observed<CpuSample>);

/// The body of an answer, once it has come.
type Answered = Arc<Mutex<Option<Result<Vec<u8>, Doubt>>>>;

/// A source by its place, and a profile.
type Key = (usize, String);

/// What was asked and answered, by source and profile.
#[derive(Debug)]
pub(super) struct Desk {
    entries: Mutex<HashMap<Key, Entry>>,
    /// One question at a time, of all sources: it is in no hurry.
    place: Arc<Semaphore>,
}

/// The last question.
#[derive(Debug)]
struct Entry {
    asked: Mono,
    query: Query,
    answer: Answered,
    _asking: AbortOnDropHandle<()>,
}

/// What is sent, and which labels of the answer are read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Query {
    promql: String,
    columns: Vec<String>,
    replica: usize,
    part: usize,
}

impl Default for Desk {
    fn default() -> Self {
        Self { entries: Mutex::default(), place: Arc::new(Semaphore::new(1)) }
    }
}

impl Desk {
    /// Whether there is an answer to take or a question to ask: in all other ticks, which are most, nobody need be found.
    pub(super) fn is_due(&self, (place, profile): (usize, &str), now: Mono) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&(place, profile.to_owned())).is_none_or(|last| {
            now.since(last.asked) >= EVERY
                || last.answer.lock().unwrap_or_else(PoisonError::into_inner).is_some()
        })
    }

    /// The answer to the last question, if it has come since; and asks again when it is time to.
    pub(super) fn read(
        &self,
        (place, client): (usize, &Arc<Client>),
        profile: &Profile,
        members: &CpuMembers<'_>,
        owners: &SharedPodOwners,
        now: Mono,
    ) -> Vec<Read> {
        let key = (place, profile.name.clone());
        if members.members.is_empty() {
            // Nobody learns any more: an answer that nobody takes is not kept.
            self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            return Vec::new();
        }
        if members.index.needs_owners() {
            owners.want();
        }
        let query = members.query();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let last = entries.get(&key);
        let answer = last.and_then(|last| last.answer.lock().unwrap_or_else(PoisonError::into_inner).take());
        // An answer to another question (other namespaces, other labels) is not theirs.
        let same = last.is_some_and(|last| last.query == query);
        let readings = answer
            .filter(|_| same)
            .map(|body| owners.read(|owners| members.readings(&query, body.as_deref(), owners)));
        if last.is_none_or(|last| now.since(last.asked) >= EVERY) {
            let entry = self.ask(client, query, now);
            entries.insert(key, entry);
        }
        readings.unwrap_or_default()
    }

    fn ask(&self, client: &Arc<Client>, query: Query, now: Mono) -> Entry {
        let answer = Answered::default();
        let asking =
            asking(Arc::clone(client), query.promql.clone(), Arc::clone(&self.place), Arc::clone(&answer));
        Entry { asked: now, query, answer, _asking: AbortOnDropHandle::new(tokio::spawn(asking)) }
    }
}

async fn asking(client: Arc<Client>, promql: String, place: Arc<Semaphore>, answer: Answered) {
    // The semaphore is never closed.
    let Ok(_place) = place.acquire().await else { return };
    let body = match client.connect().await {
        Ok(connection) => client.query(&connection, &promql, client.limits()).await,
        Err(doubt) => Err(doubt),
    };
    *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
}

/// Who learns from the CPU of one profile at one source.
#[derive(Debug)]
pub(super) struct CpuMembers<'a> {
    counter: &'a CpuCounter,
    source: &'a Source,
    index: Index<'a>,
    members: Vec<Member<'a>>,
}

#[derive(Debug)]
struct Member<'a> {
    ask: &'a LoadAsk,
    cluster: &'a ClusterId,
    expected: u32,
    /// `Err` where the counter cannot find the workload.
    slot: Result<usize, Doubt>,
}

/// The rows of one workload in one cluster, by replica.
#[derive(Debug, Default)]
struct Slot<'r> {
    rates: HashMap<&'r str, Result<f64, Doubt>>,
    newest: HashMap<&'r str, f64>,
}

impl<'a> CpuMembers<'a> {
    /// `None` where the profile does not say how CPU is read.
    pub(super) fn new(profile: &'a Profile, source: &'a Source) -> Option<Self> {
        let counter = profile.cpu.as_deref()?;
        let index = Index::new(&profile.name, &counter.identity, source);
        Some(Self { counter, source, index, members: Vec::new() })
    }

    /// Takes an ask in. However its load is found, its CPU is that of the workload's own pods.
    pub(super) fn join(&mut self, ask: &'a LoadAsk, cluster: &'a ClusterId, expected: u32) {
        let slot =
            self.index.slot(&ask.target, &SeriesSelector::Profile, cluster).map_err(Doubt::NotConfigured);
        self.members.push(Member { ask, cluster, expected, slot });
    }

    fn scrape_interval(&self) -> Duration {
        let source = self.source.scrape_interval;
        self.counter.scrape_interval.map_or(source, |own| own.max(source))
    }

    fn window(&self) -> Duration {
        self.source.windows.steady.max(Windows::of(self.scrape_interval()).steady)
    }

    fn query(&self) -> Query {
        let mut columns = self.index.by.clone();
        let replica = column(&mut columns, &self.counter.identity.replica);
        let by = columns.join(", ");
        let series = selector(&self.counter.metric, &self.matchers());
        let rate = format!("sum by ({by}) (rate({series}[{}]))", duration(self.window()));
        let newest = format!("max by ({by}) (timestamp({series}))");
        let tagged = |expr: &str, tag| format!(r#"label_replace({expr}, "{PART}", "{tag}", "", "")"#);
        let promql = format!("{} or {}", tagged(&rate, RATE), tagged(&newest, NEWEST));
        let part = column(&mut columns, PART);
        Query { promql, columns, replica, part }
    }

    /// The counter's own, and the namespaces of those who ask.
    fn matchers(&self) -> String {
        let namespaces: BTreeSet<&str> = self.members.iter().map(|m| &*m.ask.target.namespace).collect();
        let own = self.counter.matchers.clone();
        let Some(label) = self.counter.identity.namespace.as_ref() else { return own };
        if namespaces.len() > MOST_NAMESPACES {
            return own;
        }
        // Letters, digits and dashes: nothing of a namespace means anything else in a pattern.
        let narrowed = format!("{label}=~\"{}\"", namespaces.into_iter().collect::<Vec<_>>().join("|"));
        if own.is_empty() { narrowed } else { format!("{own},{narrowed}") }
    }

    fn readings(&self, query: &Query, body: Result<&[u8], &Doubt>, owners: &Owners) -> Vec<Read> {
        let vector = body.map_err(Clone::clone).and_then(|body| answer::vector(body, &query.columns));
        let slots = vector.as_ref().map(|vector| self.slots(query, vector, owners));
        let empty = vector.as_ref().is_ok_and(Vector::is_empty);
        let at = vector.as_ref().ok().and_then(|v| v.rows().next()).map(|(_, sample)| sample.at);
        let read = |m: &Member<'_>| -> Observed<CpuSample> {
            let slots = slots.as_ref().map_err(|doubt| (*doubt).clone())?;
            if empty {
                return Err(Doubt::EmptyVector);
            }
            let slot = slots.get(m.slot.clone()?).ok_or(Doubt::AbsentSeries)?;
            self.reading(slot, at.unwrap_or_default(), m.expected)
        };
        self.members.iter().map(|m| (m.ask.policy.clone(), m.cluster.clone(), read(m))).collect()
    }

    fn slots<'r>(&self, query: &Query, vector: &'r Vector<'_>, owners: &Owners) -> Vec<Slot<'r>> {
        let mut slots: Vec<Slot<'r>> = (0..self.index.len()).map(|_| Slot::default()).collect();
        for (row, sample) in vector.rows() {
            let cell = |i: usize| row.get(i).map_or("", |c| &**c);
            let (replica, part) = (cell(query.replica), cell(query.part));
            self.index.slots_of(row, owners, |i| {
                let Some(slot) = slots.get_mut(i) else { return };
                if part == RATE {
                    slot.rates.insert(replica, finite(sample.value));
                } else {
                    slot.newest.insert(replica, sample.value);
                }
            });
        }
        slots
    }

    /// The CPU of the replicas whose newest sample is fresh; those are who reports.
    fn reading(&self, slot: &Slot<'_>, at: f64, expected: u32) -> Observed<CpuSample> {
        let newest = slot.newest.values().copied().reduce(f64::max).ok_or(Doubt::AbsentSeries)?;
        // Both times are of the source's clock: the operator's may differ from it.
        let age = |sampled: f64| Duration::try_from_secs_f64(at - sampled).unwrap_or_default();
        let longest = self.scrape_interval() * 2;
        if age(newest) > longest {
            return Err(Doubt::Stale { age: age(newest) });
        }
        let fresh = |replica: &&str| slot.newest.get(*replica).is_some_and(|t| age(*t) <= longest);
        let (mut cores, mut reporting) = (0.0, 0_u32);
        for (_, rate) in slot.rates.iter().filter(|(replica, _)| fresh(replica)) {
            cores += rate.clone()?;
            reporting = reporting.saturating_add(1);
        }
        // A counter of one sample has no rate yet.
        if reporting == 0 {
            return Err(Doubt::AbsentSeries);
        }
        let value = CpuSample { window: self.window(), cores: finite(cores)? };
        let observed_at = timestamp(newest).ok_or(Doubt::NotANumber)?;
        Ok(Reading { value, observed_at, coverage: Coverage { reporting, expected } })
    }
}

#[cfg(test)]
mod tests;
