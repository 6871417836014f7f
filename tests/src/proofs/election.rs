//! One writer, whatever happens to it: two operators under constant pressure to write; the leader is killed and
//! stopped again and again, and the API server goes away. The API server's audit log is the evidence.

use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::sleep;

use super::{Bound, Failure, Proof, Record};
use crate::{cluster::Component, pair::Pair, wait::until};

pub(super) const PROOF: Proof = Proof {
    name: "election",
    about: "Two operators: kill -9 of the leader, SIGSTOP for longer than the lease, the API server away.",
    run: |record| run(record).boxed(),
};

/// How often the leader is killed, and how often it is stopped, at full size.
const TIMES: u32 = 20;
/// The most that a take-over may take, from the kill to the first write of the other.
const TAKE_OVER: f64 = 20.0;
/// How long the API server is away at full size; at least so long that the permit lapses.
const AWAY: (Duration, Duration) = (Duration::from_mins(1), Duration::from_secs(20));
/// The exit code of a process that finds another holder of its lease.
const LEASE_LOST: i32 = 4;
/// For a process to notice, and for the first write after an outage.
const SOON: Duration = Duration::from_secs(30);

async fn run(record: &mut Record) -> Result<(), Failure> {
    let pair = Pair::start("election").await?;
    let times = record.scale().count(TIMES);
    kills(record, &pair, times).await?;
    stops(record, &pair, times).await?;
    away(record, &pair).await?;
    let stray = pair.stray_writes()?;
    record.keep("writes.txt", &pair.history()?)?;
    record.keep("stray-writes.txt", &stray.join("\n"))?;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let (stray, all) = (stray.len() as f64, pair.scale_writes()? as f64);
    record.bounded("writes by a process that did not hold the lease", stray, "", Bound::AtMost(0.0));
    // Evidence of nothing would be none.
    record.bounded("scale writes in all", all, "", Bound::AtLeast(f64::from(times) * 4.0));
    Ok(())
}

async fn kills(record: &mut Record, pair: &Pair, times: u32) -> Result<(), Failure> {
    let mut longest = Duration::ZERO;
    for round in 1..=times {
        let (old, took) = pair.take_over(|leader| Ok(leader.process().kill()?)).await?;
        record.progress(&format!("kill {round}: the other wrote after {:.1} s", took.as_secs_f64()));
        longest = longest.max(took);
        pair.operator(old)?.restart().await?;
    }
    record.figure("leaders killed", f64::from(times), "");
    record.bounded("longest take-over after a kill", longest.as_secs_f64(), "s", Bound::AtMost(TAKE_OVER));
    Ok(())
}

async fn stops(record: &mut Record, pair: &Pair, times: u32) -> Result<(), Failure> {
    let mut longest = Duration::ZERO;
    for round in 1..=times {
        let (old, took) = pair.take_over(|leader| Ok(leader.process().pause()?)).await?;
        longest = longest.max(took);
        let operator = pair.operator(old)?;
        operator.process().resume()?;
        let code = pair.exit_code(old).await?;
        if code != Some(LEASE_LOST) {
            return Err(format!("the process that was stopped ended with {code:?}").into());
        }
        record.progress(&format!("stop {round}: the other wrote after {:.1} s", took.as_secs_f64()));
        operator.restart().await?;
    }
    record.figure("leaders stopped and continued", f64::from(times), "");
    record.bounded("longest take-over after a stop", longest.as_secs_f64(), "s", Bound::AtMost(TAKE_OVER));
    Ok(())
}

async fn away(record: &mut Record, pair: &Pair) -> Result<(), Failure> {
    let leader = pair.leader().await?;
    let pids = || [0, 1].map(|i| pair.operator(i).map(|o| o.process().pid()).ok());
    let (before, ticks) = (pids(), ticks(pair, leader).await?);
    let gone = record.scale().time(AWAY.0).max(AWAY.1);
    pair.cluster.component(Component::ApiServer).await?.pause()?;
    sleep(gone).await;
    let ticked = self::ticks(pair, leader).await? - ticks;
    let back = jiff::Timestamp::now();
    pair.cluster.component(Component::ApiServer).await?.resume()?;
    let write = pair.writes_after(back).await?;
    let silence = Duration::try_from(write.received.duration_since(back))?;
    until("both processes to be ready", SOON, || async {
        for operator in &pair.operators {
            operator.wait_ready().await.map_err(|e| e.to_string())?;
        }
        Ok::<_, String>(())
    })
    .await?;
    let restarts = before.iter().zip(pids()).filter(|(was, is)| **was != *is).count();
    let running = pair.operators.iter().filter(|o| o.process().is_running()).count();
    let same = pair.leader().await? == leader;
    record.figure("API server away", gone.as_secs_f64(), "s");
    record.bounded("ticks of the leader meanwhile", ticked, "", Bound::AtLeast(gone.as_secs_f64() / 4.0));
    record.bounded("first write after its return", silence.as_secs_f64(), "s", Bound::AtMost(10.0));
    #[expect(clippy::cast_precision_loss, reason = "0, 1 or 2")]
    let (restarts, running) = (restarts as f64, running as f64);
    record.bounded("processes that restarted", restarts, "", Bound::AtMost(0.0));
    record.bounded("processes that run", running, "", Bound::AtLeast(2.0));
    record.bounded("the leader is the same", f64::from(u8::from(same)), "", Bound::AtLeast(1.0));
    Ok(())
}

/// Ticks of one operator since its start.
async fn ticks(pair: &Pair, index: usize) -> Result<f64, Failure> {
    let ticks = pair.operator(index)?.metric("loadline_ticks_total", &[]).await?;
    ticks.ok_or_else(|| "the metric loadline_ticks_total is not there".into())
}
