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
        format!(
            "profile {} finds series by their pods, and the pods of the past are gone",
            group.profile.name
        )
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
        let times =
            (self.range.start..).step_by(usize::try_from(self.range.step.max(1)).unwrap_or(usize::MAX));
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use loadline_policies::ids::{ClusterId, PolicyKey, Target};

    use super::*;
    use crate::{
        config::Config,
        ports::{Detail, LoadAsk, SeriesSelector},
    };

    const SPAN: i64 = 600;

    fn config(more: &str) -> Config {
        Config::parse(&format!("sources: [{{name: a, url: 'http://a', scrapeInterval: 15s}}]\n{more}"))
            .unwrap()
    }

    fn ask(name: &str, profile: &str) -> LoadAsk {
        LoadAsk {
            policy: PolicyKey::new("shop", name),
            target: Target::new("apps/v1", "Deployment", "shop", name),
            profile: profile.into(),
            selector: SeriesSelector::Profile,
            detail: Detail { latency: true, endpoints: true, cpu: false },
            expected: [(ClusterId::local(), 3)].into(),
            triggers: BTreeMap::new(),
        }
    }

    fn span(slot: u64, slots: usize) -> Span {
        Span { start: Timestamp::from_second(SPAN).unwrap(), slots, slot: Duration::from_secs(slot) }
    }

    /// A matrix of one series of checkout.
    fn matrix(values: &str) -> Vec<u8> {
        let labels = r#"{"k8s_namespace_name":"shop","k8s_deployment_name":"checkout"}"#;
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{labels},"values":{values}}}]}}}}"#)
            .into_bytes()
    }

    #[test]
    fn slots_are_asked_for_where_nothing_but_them_is_seen() {
        assert_eq!(range_of(span(60, 3)), Range { start: 600, end: 720, step: 60 });
        // The minutes 600 to 840 are the slot of five that begins at 600.
        assert_eq!(range_of(span(300, 2)), Range { start: 840, end: 1_140, step: 300 });
    }

    #[test]
    fn the_queries_are_of_counters_only_and_of_the_highest_minute() {
        let config = config("");
        let profile = config.profiles.get("otel-http").unwrap();
        let asked = |slot| {
            let queries = query::past(profile, &config.sources[0], &["a".to_owned()], slot);
            queries.into_iter().map(|q| q.promql).collect::<Vec<_>>()
        };
        let minutes = asked(MINUTE);
        assert_eq!(minutes, ["sum by (a) (rate(http_server_request_duration_seconds_count[60s]))"]);
        let fives = asked(MINUTE * 5);
        assert_eq!(fives, [format!("max_over_time(({})[299s:60s])", minutes[0])]);
    }

    #[test]
    fn the_past_of_a_source_that_is_scraped_every_second_now_may_be_thinner() {
        let short =
            "sources: [{name: a, url: 'http://a', scrapeInterval: 1s, windows: {steady: 4s, burst: 3s}}]";
        let config = Config::parse(short).unwrap();
        let profile = config.profiles.get("otel-http").unwrap();
        let queries = query::past(profile, &config.sources[0], &["a".to_owned()], MINUTE);
        assert!(queries.iter().all(|q| q.promql.contains("[60s]")), "{queries:?}");
    }

    #[test]
    fn loads_of_one_slot_are_added_up_and_what_is_missing_or_no_number_is_a_gap() {
        let config = config("");
        let here = ClusterId::local();
        let asks = [ask("checkout", "otel-http"), ask("cart", "otel-http")];
        let mut group = Group::new(config.profiles.get("otel-http").unwrap(), &config.sources[0]);
        for ask in &asks {
            group.join(ask, &here, 3).unwrap();
        }
        let mut sums = Sums::new(group.index.len(), range_of(span(60, 5)));
        let columns = group.index.by.clone();
        let mut answer =
            |part, values| add(&mut sums, part, &matrix(values), &columns, &group.index).unwrap();
        assert_eq!(answer(Part::Requests, r#"[[600,"10"],[660,"NaN"],[780,"30"],[6000,"9"]]"#), 4);
        answer(Part::Requests, r#"[[600,"1"],[660,"1"]]"#);
        // The counter of what was turned away began with the first.
        answer(Part::Rejected, r#"[[720,"5"],[780,"5"]]"#);
        let read: Vec<_> = sums.of(0).iter().map(|(at, load)| (at.as_second(), *load)).collect();
        assert_eq!(read, [(600, 11.0), (780, 35.0)]);
        assert_eq!(sums.of(1), []);
    }
}
