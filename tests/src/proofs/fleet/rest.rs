//! At rest: every load is constant, so nothing is written; and what the operator costs then.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::sleep;

use super::stage::Fleet;
use crate::{
    process::Usage,
    proofs::{Bound, Failure, Record},
    trail::Write,
};

/// How long it is watched at full size, and at least, in ticks.
const REST: (Duration, u32) = (Duration::from_mins(1), 3);
/// Until the first statuses are written: ten thousand take a minute or two.
const PATIENCE: Duration = Duration::from_mins(15);
/// The most memory of the operator, MiB, for ten thousand policies.
const MEMORY: f64 = 500.0;
/// The steps of a tick.
const STEPS: [&str; 5] = ["observe", "read", "tick", "apply", "report"];

/// Waits until the operator has written nothing for two ticks.
pub(super) async fn quiet(fleet: &Fleet) -> Result<(), Failure> {
    let start = Instant::now();
    let mut last = (fleet.page().await?.writes(), Instant::now());
    while last.1.elapsed() < 2 * fleet.size.pace {
        if start.elapsed() > PATIENCE {
            return Err(format!("the operator still writes after {PATIENCE:?}: {} calls", last.0).into());
        }
        sleep(Duration::from_secs(1)).await;
        let writes = fleet.page().await?.writes();
        if writes > last.0 {
            last = (writes, Instant::now());
        }
    }
    Ok(())
}

/// Watches the operator for a while. `few` are the queries of a tick for few policies.
pub(super) async fn measure(record: &mut Record, fleet: &Fleet, few: f64) -> Result<(), Failure> {
    let size = fleet.size;
    quiet(fleet).await?;
    let (before, usage, prometheus) =
        (fleet.page().await?, fleet.usage()?, fleet.prometheus.process().usage());
    let (start, from) = (Instant::now(), Timestamp::now());
    sleep(record.scale().time(REST.0).max(REST.1 * size.pace)).await;
    let (to, seconds) = (Timestamp::now(), start.elapsed().as_secs_f64());
    let (after, used) = (fleet.page().await?, fleet.usage()?);
    let prometheus = prometheus.zip(fleet.prometheus.process().usage());

    record.figure(&size.named("watched at rest for"), seconds, "s");
    let (leases, writes) = written(&fleet.writes()?, from, to);
    record.keep(&format!("writes-at-rest-{}.txt", size.policies), &writes.join("\n"))?;
    #[expect(clippy::cast_precision_loss, reason = "a few")]
    let (leases, writes) = (leases as f64, writes.len() as f64);
    let none = Bound::AtMost(0.0);
    record.bounded(&size.named("writes at rest, by the API server's audit log"), writes, "", none);
    let told = after.writes() - before.writes();
    record.bounded(&size.named("writes at rest, by the operator's own count"), told, "", none);
    // Evidence of nothing would be none.
    record.bounded(&size.named("renewals of the lease meanwhile"), leases, "", Bound::AtLeast(1.0));

    let ticks = after.ticks() - before.ticks();
    record.bounded(&size.named("ticks meanwhile"), ticks, "", Bound::AtLeast(2.0));
    let mean = (after.queries() - before.queries()) / ticks;
    record.figure(&size.named("queries of a tick, on average"), mean, "");
    let most = fleet.queries().await?;
    record.bounded(&size.named("queries of a tick, at most"), most, "", Bound::AtMost(few));
    for step in STEPS {
        record.figure(&size.named(&format!("a tick's {step}")), after.step_since(&before, step), "ms");
    }
    record.figure(&size.named("CPU of the operator"), share(usage, used, seconds), "% of a core");
    record.bounded(&size.named("memory of the operator"), mebibytes(used), "MiB", Bound::AtMost(MEMORY));
    if let Some((before, after)) = prometheus {
        record.figure(&size.named("CPU of Prometheus"), share(before, after, seconds), "% of a core");
        record.figure(&size.named("memory of Prometheus"), mebibytes(after), "MiB");
    }
    Ok(())
}

/// What was written between two moments: renewals of the lease, and everything else by its words.
fn written(writes: &[Write], from: Timestamp, to: Timestamp) -> (usize, Vec<String>) {
    let (leases, others): (Vec<&Write>, Vec<&Write>) =
        writes.iter().filter(|w| w.received >= from && w.received <= to).partition(|w| w.holder.is_some());
    (leases.len(), others.iter().map(|w| format!("{} {}", w.received, w.what)).collect())
}

fn share(before: Usage, after: Usage, seconds: f64) -> f64 {
    100.0 * (after.cpu_seconds - before.cpu_seconds) / seconds
}

/// Resident memory, MiB.
pub(super) fn mebibytes(usage: Usage) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "bytes to mebibytes, for reading")]
    let bytes = usage.rss_bytes as f64;
    bytes / 1_048_576.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn only_what_was_written_meanwhile_counts_and_the_lease_is_told_apart() {
        let write = |second, what: &str, holder: Option<&str>| Write {
            received: at(second),
            done: at(second),
            user: "op".to_owned(),
            what: what.to_owned(),
            holder: holder.map(str::to_owned),
        };
        let writes = [
            write(1, "update elasticpolicies/status a/b", None),
            write(5, "update leases c/d", Some("")),
            write(6, "update elasticpolicies/status a/b", None),
            write(9, "update leases c/d", Some("")),
        ];
        let (leases, others) = written(&writes, at(4), at(8));
        assert_eq!((leases, others.len()), (1, 1));
    }
}
