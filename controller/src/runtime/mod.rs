//! The runtime: wiring only. It decides nothing and knows neither Kubernetes nor Prometheus.
//!
//! ```text
//!          ┌──────────── changed, wake_at, sync, role ────────────┐
//!          v                                                      │
//! stand by ──lease──> restore memory ──> cycle: observe, translate, read, tick, apply, record ──> report
//! ```
//!
//! A process that stands by keeps its caches warm and serves; it neither asks Prometheus nor decides. A new
//! leader begins with the memory that status keeps, so it removes nothing before it has seen one whole
//! stabilisation window itself; the past of the load is read beside the loop and put into place between two cycles. A leader whose permit has lapsed goes on observing and deciding; its writes are
//! skipped until it has the lease again.

mod clock;
mod cycle;
mod stir;

use std::{future::Future, sync::Arc, time::Duration};

use loadline_policies::now::Mono;
use tokio::{sync::watch, time};
use tokio_util::sync::CancellationToken;

use self::stir::Picture;
pub use self::{
    clock::SystemClock,
    cycle::{Cycle, Done, Mind, Timings, cycle},
};
use crate::{
    history::Desk,
    lease::Role,
    ports::{Actuator, Clock, FleetSource, Objects, Telemetry},
};

/// Ticks are at least this far apart, so that a burst of changes (a roll-out of a hundred policies) is one tick.
/// Where a tick takes long, they are further apart: see [`soonest`].
pub const SHORTEST: Duration = Duration::from_millis(250);

/// The world as the loop reaches it.
pub struct Ports<F, T, A> {
    /// The objects.
    pub fleet: F,
    /// The readings.
    pub telemetry: T,
    /// The writes.
    pub actuator: A,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A fleet that can say that something has changed, and whether it is complete.
pub trait Watched: FleetSource {
    /// Waits for a change that may deserve a tick before its time.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// What is still waited for; empty when the picture is complete.
    fn missing(&self) -> Vec<String>;
}

/// Who is told about every cycle.
pub trait Listener: Send {
    /// A cycle is over, on these objects. Must not block: what takes long belongs in a queue.
    fn cycle(&mut self, done: Done, objects: &Objects, mind: &Mind);
}

/// Everything that the loop needs besides the ports.
pub struct Loop<L> {
    /// The role of this process.
    pub role: watch::Receiver<Role>,
    /// Time between two ticks, when nothing calls for one earlier.
    pub sync: Duration,
    /// Who is told about every cycle.
    pub listener: L,
    /// Where the past of the load is ordered.
    pub history: Desk,
    /// Ends the loop; a cycle under way begins no more writes.
    pub stop: CancellationToken,
}

/// Runs until it is stopped. `mind` makes the memory of a new leader from the objects that it sees.
pub async fn run<F, T, A, L>(ports: &Ports<F, T, A>, mut life: Loop<L>, mind: impl Fn(&Objects) -> Mind)
where
    F: Watched,
    T: Telemetry,
    A: Actuator,
    L: Listener,
{
    if !ready_to_lead(ports, &mut life).await {
        return;
    }
    let mut mind = mind(&ports.fleet.objects());
    tracing::info!(policies = mind.memory.policies.len(), "leading: the memory was restored from status");
    while !life.stop.is_cancelled() {
        let now = ports.clock.now();
        let start = now.mono;
        life.history.deliver(&mut mind.memory, now);
        let Cycle { done, objects } = cycle(ports, &mut mind, &life.stop).await;
        life.history.order(&mind, &objects, now);
        let wake = wake_at(start, life.sync, done.plan.wake_at);
        let soonest = soonest(start, ports.clock.now().mono.since(start)).min(wake);
        let seen = Picture { written: stir::written(&done.plan), objects };
        life.listener.cycle(done, &seen.objects, &mind);
        wait(ports, &life.stop, &seen, soonest, wake).await;
    }
}

/// Waits for the lease and for complete caches; false when the process stops before.
async fn ready_to_lead<F: Watched, T, A, L>(ports: &Ports<F, T, A>, life: &mut Loop<L>) -> bool {
    tokio::select! {
        () = life.stop.cancelled() => return false,
        led = life.role.wait_for(|role| *role == Role::Leader) => {
            if led.is_err() {
                // The election is over: so is this process.
                return false;
            }
        }
    }
    let mut told = false;
    loop {
        let missing = ports.fleet.missing();
        if missing.is_empty() {
            return true;
        }
        if !told {
            tracing::info!(kinds = missing.join(", "), "leading; waiting for the first list of objects");
            told = true;
        }
        tokio::select! {
            () = life.stop.cancelled() => return false,
            () = ports.fleet.changed() => {}
            () = time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// When the next tick is due: after `sync`, or when a decision asked for it, but not at once.
fn wake_at(start: Mono, sync: Duration, asked: Option<Mono>) -> Mono {
    let regular = start.plus(sync);
    asked.map_or(regular, |asked| asked.clamp(start.plus(SHORTEST.min(sync)), regular))
}

/// The soonest that a change may call for another tick, after one that took so long.
///
/// Ten thousand policies are not created in an instant: while they come, every look finds new ones. Ticks back to
/// back would ask the telemetry all the time; at most half of it is left to a burst of changes.
fn soonest(start: Mono, took: Duration) -> Mono {
    start.plus(SHORTEST.max(took * 2))
}

/// Waits until `wake`, or for a change by somebody else, for which nothing is done before `soonest`.
async fn wait<F: Watched, T, A>(
    ports: &Ports<F, T, A>,
    stop: &CancellationToken,
    seen: &Picture,
    soonest: Mono,
    wake: Mono,
) {
    let until = |moment: Mono| time::sleep(moment.since(ports.clock.now().mono));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = until(wake) => return,
            () = ports.fleet.changed() => {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = until(soonest) => {}
                }
                if seen.is_stirred(&ports.fleet.objects()) {
                    return;
                }
                // Our own writes came back. Look again only after a while: a scale-out of thousands
                // comes back as thousands of changes.
                until(ports.clock.now().mono.plus(SHORTEST).min(wake)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono(Duration::from_millis(ms))
    }

    #[test]
    fn a_burst_of_changes_takes_at_most_half_of_the_time() {
        assert_eq!(soonest(at(1_000), Duration::from_millis(20)), at(1_250));
        assert_eq!(soonest(at(1_000), Duration::from_secs(3)), at(7_000));
    }

    #[test]
    fn a_decision_can_ask_for_an_earlier_tick_but_not_for_a_busy_loop() {
        let sync = Duration::from_secs(5);
        assert_eq!(wake_at(at(1_000), sync, None), at(6_000));
        assert_eq!(wake_at(at(1_000), sync, Some(at(3_000))), at(3_000));
        assert_eq!(wake_at(at(1_000), sync, Some(at(90_000))), at(6_000), "never later than the sync");
        assert_eq!(wake_at(at(1_000), sync, Some(at(0))), at(1_250));
    }
}
