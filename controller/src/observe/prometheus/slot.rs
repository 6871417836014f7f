//! What one workload's rows of a grouped answer add up to, and the reading that it makes.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use loadline_policies::{
    fleet::{Histogram, LoadSample},
    reading::{Coverage, Doubt, Observed, Reading, finite},
};

use super::{
    answer::{Sample, Vector},
    identity::{Index, Owners},
    query::{GroupedQuery, Part},
};
use crate::{
    config::{Profile, Source},
    ports::LoadReading,
};

/// A sum of rows; the first doubtful row spoils it.
type Sum = Option<Result<f64, Doubt>>;

/// Who is in the rows, each once: a replica with several routes has several rows.
type Replicas = HashSet<Box<str>>;

/// The rows of one workload in one cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// `(upper bound in seconds, cumulative requests/s)`, several for one bound where pods are told apart.
    buckets: Vec<(f64, f64)>,
    bad_bound: Option<String>,
    requests: Sum,
    rejected: Sum,
    backlog: Sum,
    burst_requests: Sum,
    burst_rejected: Sum,
    reporting: Replicas,
    expected: Replicas,
    endpoints: BTreeMap<String, Result<f64, Doubt>>,
    newest: Option<f64>,
}

/// How one query of the group went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Series in the whole answer, of anybody.
    rows: usize,
    /// When it was evaluated, by the source's clock.
    at: Option<f64>,
}

/// All slots of a group, filled answer by answer.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    asked: BTreeMap<Part, Result<Asked, Doubt>>,
}

impl Slots {
    pub(super) fn new(len: usize) -> Self {
        Self { slots: vec![Slot::default(); len], asked: BTreeMap::new() }
    }

    /// Adds the answer to one query.
    pub(super) fn add(
        &mut self,
        query: &GroupedQuery,
        answer: Result<Vector<'_>, Doubt>,
        profile: &Profile,
        index: &Index<'_>,
        owners: &Owners,
    ) {
        let asked = answer.map(|vector| {
            let unit = profile.histogram.as_ref().map_or(1.0, |h| f64::from(h.per_second));
            for (row, sample) in vector.rows() {
                let extra = query.extra.and_then(|i| row.get(i)).map_or("", |c| &**c);
                index.slots_of(row, owners, |i| {
                    if let Some(slot) = self.slots.get_mut(i) {
                        slot.add(query.part, extra, sample, unit);
                    }
                });
            }
            Asked { rows: vector.len(), at: vector.rows().next().map(|(_, s)| s.at) }
        });
        self.asked.insert(query.part, asked);
    }

    /// The reading of a slot.
    pub(super) fn reading(
        &self,
        slot: usize,
        profile: &Profile,
        source: &Source,
        expected: u32,
        endpoints: bool,
    ) -> LoadReading {
        let reader = self.slots.get(slot).map(|slot| Reader {
            slot,
            asked: &self.asked,
            profile,
            source,
            expected,
            endpoints,
        });
        match reader {
            Some(reader) => reader.read(),
            None => LoadReading { steady: Err(Doubt::NotYetRead), burst: None, cpu: None },
        }
    }
}

impl Slot {
    fn add(&mut self, part: Part, extra: &str, sample: Sample, unit: f64) {
        let value = sample.value;
        match part {
            Part::Histogram => match extra.parse::<f64>() {
                Ok(bound) => self.buckets.push((bound / unit, value)),
                Err(_) => self.bad_bound = Some(extra.to_owned()),
            },
            Part::Requests => add(&mut self.requests, value),
            Part::Rejected => add(&mut self.rejected, value),
            Part::Backlog => add(&mut self.backlog, value),
            Part::BurstRequests => add(&mut self.burst_requests, value),
            Part::BurstRejected => add(&mut self.burst_rejected, value),
            Part::Reporting => insert(&mut self.reporting, extra),
            Part::Expected => insert(&mut self.expected, extra),
            Part::Endpoints => {
                let mut sum = self.endpoints.remove(extra);
                add(&mut sum, value);
                self.endpoints.extend(sum.map(|s| (extra.to_owned(), s)));
            }
            Part::Newest => self.newest = Some(self.newest.map_or(value, |n| n.max(value))),
        }
    }
}

fn add(sum: &mut Sum, value: f64) {
    let value = finite(value);
    *sum = Some(match (sum.take(), value) {
        (None, value) => value,
        (Some(Ok(so_far)), Ok(value)) => finite(so_far + value),
        (Some(Ok(_)), Err(doubt)) | (Some(Err(doubt)), _) => Err(doubt),
    });
}

fn insert(replicas: &mut Replicas, name: &str) {
    // Asked first: most names come again, and each would be copied.
    if !replicas.contains(name) {
        replicas.insert(name.into());
    }
}

/// Makes the reading of one slot.
struct Reader<'a> {
    slot: &'a Slot,
    asked: &'a BTreeMap<Part, Result<Asked, Doubt>>,
    profile: &'a Profile,
    source: &'a Source,
    expected: u32,
    endpoints: bool,
}

impl Reader<'_> {
    fn read(&self) -> LoadReading {
        let burst = self.source.windows.burst.map(|window| self.burst(window));
        LoadReading { steady: self.steady(), burst, cpu: None }
    }

    fn steady(&self) -> Observed<LoadSample> {
        let (observed_at, coverage) = self.freshness()?;
        let histogram = self.histogram()?;
        let requests = match &histogram {
            Some(h) if self.profile.requests.is_none() => h.buckets.last().map_or(0.0, |&(_, rate)| rate),
            _ => self.sum(Part::Requests, &self.slot.requests)?,
        };
        let rejected = self.optional(Part::Rejected, &self.slot.rejected)?;
        let backlog = match self.profile.backlog {
            Some(_) => Some(self.sum(Part::Backlog, &self.slot.backlog)?),
            None => None,
        };
        let value = LoadSample {
            window: self.source.windows.steady,
            histogram,
            endpoints: self.endpoints()?,
            requests: requests + rejected,
            backlog,
        };
        Ok(Reading { value, observed_at, coverage })
    }

    /// Requests only: a mix of latencies would rest on few requests, and costs a query over all buckets. The
    /// core weighs them as the steady window's.
    fn burst(&self, window: Duration) -> Observed<LoadSample> {
        let (observed_at, coverage) = self.freshness()?;
        let requests = self.sum(Part::BurstRequests, &self.slot.burst_requests)?
            + self.optional(Part::BurstRejected, &self.slot.burst_rejected)?;
        let backlog = match self.profile.backlog {
            Some(_) => Some(self.sum(Part::Backlog, &self.slot.backlog)?),
            None => None,
        };
        let value = LoadSample { window, histogram: None, endpoints: BTreeMap::new(), requests, backlog };
        Ok(Reading { value, observed_at, coverage })
    }

    /// The time of the newest sample, and who reported.
    fn freshness(&self) -> Result<(Timestamp, Coverage), Doubt> {
        let asked = self.asked(Part::Newest)?;
        let newest = self.slot.newest.ok_or(absent(asked))?;
        // Both times are of the source's clock: the operator's may differ from it.
        let age = Duration::try_from_secs_f64(asked.at.unwrap_or(newest) - newest).unwrap_or_default();
        if age > self.source.scrape_interval * 2 {
            return Err(Doubt::Stale { age });
        }
        let observed_at = timestamp(newest).ok_or(Doubt::NotANumber)?;
        let reporting = self.replicas(Part::Reporting, &self.slot.reporting)?;
        let coverage = if self.profile.independent {
            let seen = self.replicas(Part::Expected, &self.slot.expected)?.max(reporting);
            share(reporting, seen, self.expected)
        } else {
            Coverage { reporting, expected: self.expected }
        };
        Ok((observed_at, coverage))
    }

    fn histogram(&self) -> Result<Option<Histogram>, Doubt> {
        // Nobody asked for it where nobody of the group needs latency.
        if self.profile.histogram.is_none() || !self.asked.contains_key(&Part::Histogram) {
            return Ok(None);
        }
        let asked = self.asked(Part::Histogram)?;
        if let Some(bound) = &self.slot.bad_bound {
            return Err(Doubt::WrongShape(format!("a latency bucket with the bound {bound:?}")));
        }
        if !self.slot.buckets.is_empty() {
            return Histogram::from_rates(self.slot.buckets.iter().copied()).map(Some);
        }
        // Where a counter of its own says how many requests there are, a histogram without series says that
        // none of them was timed (all were turned away). Nothing is guessed: `requests` must be there.
        match (&self.profile.requests, &self.slot.requests) {
            (Some(_), Some(_)) => Histogram::from_rates([(f64::INFINITY, 0.0)]).map(Some),
            _ => Err(absent(asked)),
        }
    }

    fn endpoints(&self) -> Result<BTreeMap<String, f64>, Doubt> {
        if !self.endpoints {
            return Ok(BTreeMap::new());
        }
        if self.profile.identity.endpoint.is_none() {
            return Err(Doubt::NotConfigured(format!(
                "profile {} has no endpoint label, which weights by endpoint need",
                self.profile.name
            )));
        }
        self.asked(Part::Endpoints)?;
        // Requests without the label (no route matched) belong to no endpoint.
        let named = self.slot.endpoints.iter().filter(|(endpoint, _)| !endpoint.is_empty());
        named.map(|(endpoint, rate)| Ok((endpoint.clone(), rate.clone()?))).collect()
    }

    /// A number that must be there.
    fn sum(&self, part: Part, sum: &Sum) -> Result<f64, Doubt> {
        let asked = self.asked(part)?;
        sum.clone().unwrap_or_else(|| Err(absent(asked)))
    }

    /// A number whose absence means that nothing of the kind happened yet: a counter of rejections appears
    /// with the first one.
    fn optional(&self, part: Part, sum: &Sum) -> Result<f64, Doubt> {
        match self.asked.get(&part) {
            None => Ok(0.0),
            Some(Err(doubt)) => Err(doubt.clone()),
            Some(Ok(_)) => sum.clone().unwrap_or(Ok(0.0)),
        }
    }

    /// How many replicas are in an answer. None is a number here: all of them are silent.
    fn replicas(&self, part: Part, replicas: &Replicas) -> Result<u32, Doubt> {
        self.asked(part)?;
        Ok(u32::try_from(replicas.len()).unwrap_or(u32::MAX))
    }

    fn asked(&self, part: Part) -> Result<Asked, Doubt> {
        self.asked.get(&part).cloned().unwrap_or(Err(Doubt::NotYetRead))
    }
}

fn absent(asked: Asked) -> Doubt {
    if asked.rows == 0 { Doubt::EmptyVector } else { Doubt::AbsentSeries }
}

/// The share of an entry's or queue's own sources that reported, in units of the workload's replicas.
///
/// A gateway of two pods of which one is silent shows half of the load: as if half of the replicas were
/// silent. A workload at zero has no replicas to speak of, so then the share is of the sources themselves.
fn share(reporting: u32, seen: u32, replicas: u32) -> Coverage {
    if replicas == 0 || seen == 0 {
        return Coverage { reporting, expected: seen };
    }
    // Rounded down, at most `replicas`: `seen` is never less than `reporting`.
    let share = u64::from(replicas) * u64::from(reporting) / u64::from(seen);
    Coverage { reporting: u32::try_from(share).unwrap_or(replicas), expected: replicas }
}

pub(super) fn timestamp(seconds: f64) -> Option<Timestamp> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    Timestamp::UNIX_EPOCH.checked_add(since).ok()
}
