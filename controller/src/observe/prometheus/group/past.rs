//! The past of a group: range queries over the same series, added up by slot.

use std::borrow::Cow;

use jiff::Timestamp;
use loadline_policies::reading::{Doubt, finite};

use super::{Client, Connection, Group, Limits, answer::matrix};
use crate::{
    observe::prometheus::{
        answer::Sample,
        client::Range,
        identity::{Index, Owners},
        query::{self, MINUTE, Part},
    },
    ports::{Page, PastLoad, Span},
};

/// Why the past of some member cannot be read although its present can; `None` where it can.
///
/// The pods of the past are gone, and who owned them is not known any more: what is left would look like a load that
/// rises with each pod that is there today.
pub(in crate::observe::prometheus) fn foreign_to_the_past(group: &Group<'_>) -> Option<String> {
    group.index.needs_owners().then(|| {
        format!("profile {} finds series by their pods, and the pods of the past are gone", group.profile.name)
    })
}

/// The loads of the slots of a group, at the times of a range.
struct Sums {
    range: Range,
    times: usize,
    /// `times` for each slot; `None` where nothing was said.
    loads: Vec<Option<f64>>,
}

impl Sums {
    fn new(slots: usize, range: Range) -> Self {
        let steps = range.end.saturating_sub(range.start) / i64::from(range.step.max(1));
        let times = usize::try_from(steps).map_or(0, |steps| steps.saturating_add(1));
        Self { range, times, loads: vec![None; slots.saturating_mul(times)] }
    }

    /// Adds one row to a slot. What is no rate spoils the moment that it is of, and stays a gap.
    fn add(&mut self, slot: usize, part: Part, samples: &[Sample]) {
        let first = slot.saturating_mul(self.times);
        let loads = self.loads.get_mut(first..first.saturating_add(self.times)).unwrap_or_default();
        for sample in samples {
            let Some(load) = moment(self.range, sample.at).and_then(|i| loads.get_mut(i)) else { continue };
            let value = finite(sample.value).unwrap_or(f64::NAN);
            match load {
                Some(sum) => *sum += value,
                // Requests that were turned away are some of those that were offered: without these nothing is known.
                None if part == Part::Rejected => {}
                None => *load = Some(value),
            }
        }
    }

    fn of(&self, slot: usize) -> Vec<(Timestamp, f64)> {
        let first = slot.saturating_mul(self.times);
        let loads = self.loads.get(first..first.saturating_add(self.times)).unwrap_or_default();
        let times = (self.range.start..).step_by(usize::try_from(self.range.step.max(1)).unwrap_or(usize::MAX));
        let known = times.zip(loads).filter_map(|(at, load)| Some((at, (*load)?)));
        let finite = known.filter(|(_, load)| load.is_finite());
        finite.filter_map(|(at, load)| Some((Timestamp::from_second(at).ok()?, load))).collect()
    }
}

/// Which moment of a range a time is.
fn moment(range: Range, at: f64) -> Option<usize> {
    #[expect(clippy::cast_possible_truncation, reason = "Unix seconds; `as` saturates")]
    let since = (at.round() as i64).checked_sub(range.start)?;
    usize::try_from(since / i64::from(range.step.max(1))).ok().filter(|_| since >= 0)
}

impl Group<'_> {
    /// Reads the slots of a span for each member.
    pub(in crate::observe::prometheus) async fn past(
        &self,
        client: &Client,
        connection: &Connection,
        limits: impl Fn() -> Limits,
        span: Span,
    ) -> Result<Page, Doubt> {
        let range = range_of(span);
        let mut sums = Sums::new(self.index.len(), range);
        let (mut queries, mut points) = (0, 0);
        for query in query::past(self.profile, self.source, &self.index.by, span.slot) {
            let body = client.query_range(connection, &query.promql, range, limits()).await?;
            queries += 1;
            points += add(&mut sums, query.part, &body, &query.columns, &self.index)?;
        }
        let loads = self.members.iter().filter_map(|m| {
            let points = sums.of(m.slot);
            let known = !points.is_empty();
            known.then(|| PastLoad { policy: m.ask.policy.clone(), cluster: m.cluster.clone(), points })
        });
        Ok(Page { loads: loads.collect(), queries, points })
    }
}

/// A slot is asked for at its last minute: what a subquery sees then is the slot, and nothing else.
fn range_of(span: Span) -> Range {
    let step = u32::try_from(span.slot.as_secs()).unwrap_or(u32::MAX).max(1);
    let late = span.slot.saturating_sub(MINUTE);
    let start = span.start.as_second().saturating_add(i64::try_from(late.as_secs()).unwrap_or(0));
    let more = i64::try_from(span.slots.saturating_sub(1)).unwrap_or(i64::MAX);
    Range { start, end: start.saturating_add(more.saturating_mul(i64::from(step))), step }
}

/// Adds an answer; gives how many points it had.
fn add(
    sums: &mut Sums,
    part: Part,
    body: &[u8],
    columns: &[String],
    index: &Index<'_>,
) -> Result<usize, Doubt> {
    let (owners, mut points) = (Owners::new(), 0);
    matrix::parse(body, columns, |labels: &[Cow<'_, str>], samples| {
        points += samples.len();
        index.slots_of(labels, &owners, |slot| sums.add(slot, part, samples));
    })?;
    Ok(points)
}
