//! A step of many loads at once: how long until the replicas are asked for that they need?
//!
//! ```text
//! step ──> scrape ──> visible in Prometheus ──> tick ──> writes of spec.replicas, one for each workload
//!                     └────────────── the operator's part: measured ──────────────┘
//! ```
//!
//! Visible is what the operator's own query gives, asked from here; the clock starts at the last look that did
//! not show the need of half of the workloads, so the times are rather too long than too short. (One scrape
//! brings all of them, so half and all are visible together.) Written is what the API server's audit log says
//! that it had done.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, ResourceExt as _, api::ListParams};
use tokio::time::sleep;

use super::{
    rest::mebibytes,
    stage::{Fleet, NEED, RATE, STEP},
};
use crate::{
    emulator::Workload,
    proofs::{Bound, Failure, Record, Scale, step::burst_query},
    trail::Write,
};

/// For a step to be visible.
const PATIENCE: Duration = Duration::from_mins(3);
/// Objects in one page of a list.
const PAGE: u32 = 500;
/// The share of decisions by which the lag is judged, and the most that it may be, in seconds.
const LAG: (f64, f64) = (0.99, 1.0);

/// What Prometheus showed.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// When it was asked.
    at: Timestamp,
    /// Workloads whose need it shows.
    visible: f64,
}

/// 1 % of the loads step up: the lag of a decision in an ordinary sync of a large fleet.
pub(super) async fn some(record: &mut Record, fleet: &Fleet) -> Result<(), Failure> {
    let (_, some) = fleet.parts();
    let before = fleet.page().await?;
    fleet.offer(some, RATE * STEP);
    scaled(fleet, before.scaled(), some.len()).await?;
    let lag = fleet.page().await?.lag_since(&before, LAG.0);
    // An ordinary test on a busy machine shows that it works; only the full size judges how fast.
    let bound = if record.scale() == Scale::FULL { Bound::AtMost(LAG.1) } else { Bound::None };
    let name = format!("from the answer to the write of {} that change, 99 % within", some.len());
    record.bounded(&fleet.size.named(&name), lag, "s", bound);
    Ok(())
}

/// All other loads step up.
pub(super) async fn all(record: &mut Record, fleet: &Fleet) -> Result<(), Failure> {
    let (common, _) = fleet.parts();
    let query = format!("count({} > {NEED})", burst_query(&fleet.config)?);
    let (page, usage, others) = (fleet.page().await?, fleet.usage()?, visible(fleet, &query).await?);
    let stepped = Timestamp::now();
    fleet.offer(common, RATE * STEP);
    let looks = follow(fleet, &query, others).await?;
    scaled(fleet, page.scaled(), common.len()).await?;

    let writes = fleet.writes()?;
    let first = first_writes(&writes, &fleet.namespace, common, stepped);
    let scales = writes.iter().filter(|w| w.received > stepped && scaled_name(w).is_some()).count();
    record.keep(&format!("step-{}.csv", fleet.size.policies), &table(stepped, &looks, &first))?;
    report(record, fleet, stepped, &looks, &first);
    let after = fleet.usage()?;
    let size = fleet.size;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    record.figure(&size.named("scale writes for it"), scales as f64, "");
    let cpu = after.cpu_seconds - usage.cpu_seconds;
    record.figure(&size.named("CPU of the operator for it"), cpu, "s");
    record.figure(&size.named("memory of the operator after it"), mebibytes(after), "MiB");
    let enough = enough(fleet, common).await?;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let (enough, all) = (enough as f64, common.len() as f64);
    record.bounded(&size.named("workloads that ask for two replicas"), enough, "", Bound::AtLeast(all));
    Ok(())
}

/// Looks at Prometheus until it shows the need of all.
async fn follow(fleet: &Fleet, query: &str, others: f64) -> Result<Vec<Look>, Failure> {
    let start = Instant::now();
    let mut looks = Vec::new();
    loop {
        let at = Timestamp::now();
        let visible = visible(fleet, query).await? - others;
        looks.push(Look { at, visible });
        if visible >= f64::from(fleet.size.policies) {
            return Ok(looks);
        }
        if start.elapsed() > PATIENCE {
            let shown = format!("Prometheus shows the step of {visible} loads after {PATIENCE:?}");
            return Err(shown.into());
        }
        sleep(fleet.size.look).await;
    }
}

/// Workloads that need a second replica, by Prometheus.
async fn visible(fleet: &Fleet, query: &str) -> Result<f64, Failure> {
    // Nothing to count gives no sample.
    Ok(fleet.prometheus.query(query).await?.first().map_or(0.0, |sample| sample.value))
}

/// Waits until so many more scale writes are done than `before`.
async fn scaled(fleet: &Fleet, before: f64, more: usize) -> Result<(), Failure> {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let wanted = before + more as f64;
    fleet
        .metrics("every scale write", |page| {
            let done = page.scaled();
            if done >= wanted { Ok(()) } else { Err(format!("{done} of {wanted} are done")) }
        })
        .await?;
    Ok(())
}

/// The name of the Deployment that a write scaled, with its namespace.
fn scaled_name(write: &Write) -> Option<&str> {
    write.what.strip_prefix("update deployments/scale ")
}

/// When each of these workloads was first scaled after the step, in order.
fn first_writes(
    writes: &[Write],
    namespace: &str,
    workloads: &[Workload],
    stepped: Timestamp,
) -> Vec<Timestamp> {
    let mut first: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for write in writes.iter().filter(|w| w.received > stepped) {
        let name = scaled_name(write).and_then(|of| of.strip_prefix(namespace)?.strip_prefix('/'));
        if let Some(name) = name {
            first.entry(name).or_insert(write.done);
        }
    }
    let mut times: Vec<Timestamp> = workloads.iter().filter_map(|w| first.get(&*w.name).copied()).collect();
    times.sort_unstable();
    times
}

/// The moment from which a share of `all` needs was visible: the last look that did not show it.
fn visible_from(looks: &[Look], all: f64, share: f64) -> Option<Timestamp> {
    let seen = looks.iter().position(|look| look.visible >= share * all)?;
    looks.get(seen.saturating_sub(1)).map(|look| look.at)
}

/// The moment by which a share of `all` was written; `None` when it never was.
fn written_by(times: &[Timestamp], all: usize, share: f64) -> Option<Timestamp> {
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `all`")]
    let rank = (share * all as f64).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied()
}

fn report(record: &mut Record, fleet: &Fleet, stepped: Timestamp, looks: &[Look], first: &[Timestamp]) {
    let size = fleet.size;
    let all = f64::from(size.policies);
    let seconds = |from: Option<Timestamp>, to: Option<Timestamp>| match (from, to) {
        (Some(from), Some(to)) => to.duration_since(from).as_secs_f64(),
        _ => f64::NAN,
    };
    for (share, what) in [(0.5, "half of the loads"), (1.0, "all loads")] {
        let shown = looks.iter().find(|look| look.visible >= share * all).map(|look| look.at);
        let name = size.named(&format!("from the step to {what} shown by Prometheus"));
        record.figure(&name, seconds(Some(stepped), shown), "s");
    }
    let clock = visible_from(looks, all, 0.5);
    let count = usize::try_from(size.policies).unwrap_or(usize::MAX);
    for (share, what) in [(0.5, "50 %"), (0.95, "95 %"), (1.0, "100 %")] {
        let limit = size.limit.filter(|_| share >= 1.0);
        let bound = limit.map_or(Bound::None, |limit| Bound::AtMost(limit.as_secs_f64()));
        let name = size.named(&format!("from shown to {what} written"));
        record.bounded(&name, seconds(clock, written_by(first, count, share)), "s", bound);
    }
    let whole = seconds(Some(stepped), written_by(first, count, 1.0));
    record.figure(&size.named("from the step to 100 % written"), whole, "s");
}

/// What was visible and what was written, for whoever wants to see the step.
fn table(stepped: Timestamp, looks: &[Look], first: &[Timestamp]) -> String {
    let mut table = String::from("seconds since the step,what,workloads\n");
    let since = |at: Timestamp| at.duration_since(stepped).as_secs_f64();
    // Writing to a String does not fail.
    for Look { at, visible } in looks {
        let _ = writeln!(table, "{:.3},visible,{visible}", since(*at));
    }
    for (number, at) in (1..).zip(first) {
        let number: u32 = number;
        let _ = writeln!(table, "{:.3},written,{number}", since(*at));
    }
    table
}

/// How many of these workloads ask for two replicas, by the API server.
async fn enough(fleet: &Fleet, workloads: &[Workload]) -> Result<usize, Failure> {
    let api: Api<Deployment> = Api::namespaced(fleet.cluster.client().await?, &fleet.namespace);
    let mut replicas = BTreeMap::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&page).await?;
        replicas.extend(list.items.iter().map(|d| {
            let wanted = d.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
            (d.name_any(), wanted)
        }));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    Ok(workloads.iter().filter(|w| replicas.get(&*w.name).is_some_and(|wanted| *wanted == 2)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_clock_starts_at_the_last_look_without_half_of_the_needs() {
        let looks = [(1, 0.0), (2, 4.0), (3, 6.0), (4, 10.0)].map(|(s, visible)| Look { at: at(s), visible });
        assert_eq!(visible_from(&looks, 10.0, 0.5), Some(at(2)));
        assert_eq!(visible_from(&looks, 10.0, 1.0), Some(at(3)));
        assert_eq!(visible_from(&looks, 11.0, 1.0), None);
    }

    #[test]
    fn only_the_first_write_after_the_step_counts_and_only_of_these_workloads() {
        let write = |name: &str, second| Write {
            received: at(second),
            done: at(second + 1),
            user: "op".to_owned(),
            what: format!("update deployments/scale {name}"),
            holder: None,
        };
        let writes =
            [write("f/a", 5), write("f/a", 12), write("f/c", 13), write("g/b", 13), write("f/a", 14)];
        let workloads = ["a", "b"].map(|name| Workload::new("fleet", "f", name));
        assert_eq!(first_writes(&writes, "f", &workloads, at(10)), [at(13)]);
    }

    #[test]
    fn a_share_is_written_by_the_last_write_of_it_and_never_when_some_are_missing() {
        let times: Vec<_> = (1..=9).map(at).collect();
        assert_eq!(written_by(&times, 10, 0.5), Some(at(5)));
        assert_eq!(written_by(&times, 10, 0.95), None);
    }
}
