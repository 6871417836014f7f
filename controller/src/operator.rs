//! The operator: the real adapters, put together and taken apart in the right order.
//!
//! Start: clients, election, watches, admin port, loop. Stop: the loop begins no more writes and ends, the
//! writer of statuses ends, and only then the lease is released, so that nothing of this process is under way
//! when another one takes over.

use std::{
    hash::{BuildHasher as _, RandomState},
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use loadline_policies::ids::ClusterId;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinHandle, JoinSet},
    time,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, Admin, AdminError},
    apply::KubeActuator,
    client::{ClientError, Clients},
    config::Config,
    history::{self, Desk},
    lease::{Driver, LeaseError, LeaseName, Permit, Timing},
    observe::{
        kubernetes::{Discovery, Kind, KubeFleet, Standing, watch_owners},
        prometheus::{PrometheusArchive, PrometheusTelemetry, SharedPodOwners},
    },
    ports::{Clock, Objects},
    report::{
        Reporter, View,
        metrics::Metrics,
        status,
        writer::{self, Queue},
    },
    runtime::{self, Done, Listener, Loop, Mind, Ports, SystemClock, Timings, Watched as _},
    translate::KnownProfiles,
};

/// What the operator is told at its start.
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// The cluster that it runs in.
    pub cluster: kube::Config,
    /// The admin port.
    pub listen: SocketAddr,
    /// Whether `/debug` answers everybody.
    pub debug_from_anywhere: bool,
    /// The lease that elects the writer.
    pub lease: LeaseName,
    /// Name of this process; made unique by a suffix.
    pub identity: String,
}

/// Why the operator ended.
#[derive(Debug)]
pub enum Ended {
    /// A signal asked for it.
    Stopped,
    /// Another process holds the lease.
    LeaseLost(LeaseError),
}

/// Why the operator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No client of the cluster.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No admin port.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// No signals.
    #[error("cannot listen to signals")]
    Signals(#[source] io::Error),
    /// A task of the operator panicked.
    #[error("a part of the operator ended unexpectedly; this is a defect, please report it with the log")]
    Broken(#[source] tokio::task::JoinError),
}

/// How long each part of the end may take, after which the rest is left to the next leader: together well under
/// the 30 s that a pod is given.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often readiness is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the operator.
///
/// # Errors
/// When it cannot start, or a part of it breaks.
pub async fn run(settings: Settings) -> Result<Ended, OperatorError> {
    let Settings { config, cluster, listen, debug_from_anywhere, lease, identity } = settings;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stop = CancellationToken::new();
    end_on_signals(stop.clone())?;

    let timing = Timing::default();
    let permit = Permit::new(Arc::clone(&clock), timing.write_timeout);
    let metrics = Arc::new(Metrics::default());
    let clients = Clients::new(&cluster, &metrics.recorder(), &permit)?;
    let (view, ready) = (View::default(), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    let admin = Admin {
        metrics: Arc::clone(&metrics),
        view: view.clone(),
        ready: Arc::clone(&ready),
        debug_on_loopback_only: !debug_from_anywhere,
    };
    serve(listen, admin, &mut tasks).await?;
    tracing::info!(server = %cluster.cluster_url, version = env!("CARGO_PKG_VERSION"), "started");

    let identity: Arc<str> = unique(&identity).into();
    let driver = Driver::new(
        clients.lease.clone(),
        lease,
        Arc::clone(&identity),
        timing,
        permit.clone(),
        Arc::clone(&clock),
    );
    let role = driver.role();
    let standing = Standing { permit: permit.clone(), outage: driver.outage() };
    let release = CancellationToken::new();
    let mut election = tokio::spawn(driver.run(release.clone()));

    let queue = Arc::new(Queue::default());
    let writing = writer::run(Arc::clone(&queue), clients.write.clone(), Arc::clone(&metrics), stop.clone());
    let writing = tokio::spawn(writing);
    let ports = ports(&config, &clients, standing, &clock, &mut tasks);
    let pace = config.status.min_interval;
    let reporter = Reporter::new(Arc::clone(&metrics), queue, view, identity.to_string(), pace);
    let listener = Reports {
        reporter,
        metrics: Arc::clone(&metrics),
        permit: permit.clone(),
        telemetry: Arc::clone(&ports.telemetry),
    };
    let history = history(&config, &clock, &metrics, &stop, &mut tasks);
    let life = Loop { role, sync: config.sync, listener, history, stop: stop.clone() };
    let profiles = KnownProfiles::of(&config.profiles);
    let new_mind = |objects: &Objects| restored(objects, &profiles, clock.as_ref());
    tokio::select! {
        () = runtime::run(&ports, life, new_mind) => {}
        () = watch_readiness(&ports.fleet, &ready, &permit, &metrics) => {}
        // Lost: nothing may be written any more, and the permit is gone already.
        end = &mut election => return end.map_err(OperatorError::Broken).map(ended),
    }
    // The loop is over and the writer takes nothing more: only now may another process begin.
    finish("writer", writing).await?;
    release.cancel();
    let end = finish("election", election).await?;
    tasks.shutdown().await;
    Ok(end.map_or(Ended::Stopped, ended))
}

/// The room that reads the past of the load; gives its desk.
fn history(
    config: &Config,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Desk {
    let (desk, orders, news) = Desk::new();
    let archive = PrometheusArchive::new(config);
    let (clock, metrics) = (Arc::clone(clock), Arc::clone(metrics));
    tasks.spawn(history::run(archive, clock, metrics, orders, news, stop.clone()));
    desk
}

/// Serves the admin port until the very end: a process that stops is not a dead one.
async fn serve(listen: SocketAddr, admin: Admin, tasks: &mut JoinSet<()>) -> Result<(), OperatorError> {
    let (address, serving) = admin::bind(listen, admin, CancellationToken::new()).await?;
    tracing::info!(%address, "serving /healthz, /readyz, /metrics and /debug/plan");
    tasks.spawn(serving);
    Ok(())
}

fn ended(end: Result<(), LeaseError>) -> Ended {
    end.map_or_else(Ended::LeaseLost, |()| Ended::Stopped)
}

/// Waits for a part to end, but not for ever.
async fn finish<T>(part: &str, handle: JoinHandle<T>) -> Result<Option<T>, OperatorError> {
    let Ok(end) = time::timeout(PATIENCE, handle).await else {
        tracing::warn!(part, "did not end in time; the lease runs out by itself");
        return Ok(None);
    };
    end.map(Some).map_err(OperatorError::Broken)
}

type Telemetry = Arc<PrometheusTelemetry>;

/// The real adapters.
fn ports(
    config: &Config,
    clients: &Clients,
    standing: Standing,
    clock: &Arc<dyn Clock>,
    tasks: &mut JoinSet<()>,
) -> Ports<KubeFleet, Telemetry, KubeActuator> {
    let owners = SharedPodOwners::default();
    watch_owners(&clients.watch, &owners, tasks);
    let kinds: Vec<Kind> = config
        .scale_targets
        .iter()
        .map(|t| Kind { api_version: t.api_version.clone(), kind: t.kind.clone() })
        .collect();
    let discovery = Discovery::new(clients.read.clone(), Arc::clone(clock), kinds.iter().cloned());
    let discovery = Arc::new(discovery);
    let permit = standing.permit.clone();
    let fleet = KubeFleet::watch(
        &clients.watch,
        &clients.read,
        Arc::clone(&discovery),
        &kinds,
        config.sync,
        standing,
        tasks,
    );
    let actuator = KubeActuator::new(clients.write.clone(), discovery, permit, Arc::clone(clock));
    let telemetry = Arc::new(PrometheusTelemetry::new(config, owners));
    Ports { fleet, telemetry, actuator, clock: Arc::clone(clock) }
}

/// What a new leader remembers: what status keeps.
fn restored(objects: &Objects, profiles: &KnownProfiles, clock: &dyn Clock) -> Mind {
    let memory = status::restored(&objects.policies, clock.now());
    Mind { memory, profiles: profiles.clone(), ..Mind::default() }
}

/// Tells every cycle to status, Events, metrics and the view.
struct Reports {
    reporter: Reporter,
    metrics: Arc<Metrics>,
    permit: Permit,
    telemetry: Telemetry,
}

impl Listener for Reports {
    fn cycle(&mut self, done: Done, objects: &Objects, mind: &Mind) {
        let Done { plan, timings, lags } = done;
        let Timings { observe, read, tick, apply } = timings;
        for (step, took) in [("observe", observe), ("read", read), ("tick", tick), ("apply", apply)] {
            self.metrics.step(step, took);
        }
        for lag in lags {
            self.metrics.lag(lag);
        }
        self.metrics.queries(self.telemetry.traffic().queries());
        let start = Instant::now();
        let writes = self.permit.is_valid();
        self.reporter.outage(objects.outages.get(&ClusterId::local()), &plan, &objects.policies);
        if writes {
            self.reporter.lever(objects.lever.as_ref(), plan.at);
        }
        self.reporter.report(plan, &objects.policies, &mind.memory, writes);
        self.metrics.step("report", start.elapsed());
    }
}

/// Follows whether the caches are complete and whether this process may write; never ends.
async fn watch_readiness(fleet: &KubeFleet, ready: &AtomicBool, permit: &Permit, metrics: &Metrics) {
    loop {
        ready.store(fleet.missing().is_empty(), Ordering::Relaxed);
        metrics.leading(permit.is_valid());
        time::sleep(LOOK).await;
    }
}

/// Cancels `stop` on SIGTERM or SIGINT.
fn end_on_signals(stop: CancellationToken) -> Result<(), OperatorError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(OperatorError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(OperatorError::Signals)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("asked to stop: ending the tick under way, then releasing the lease");
        stop.cancel();
    });
    Ok(())
}

/// A name that no other process has, so that a process which was started again under its pod's name does not
/// take the lease of its predecessor for its own.
fn unique(name: &str) -> String {
    format!("{name}_{:016x}", RandomState::new().hash_one(std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_starts_under_one_name_are_two_identities() {
        let (first, second) = (unique("loadline-0"), unique("loadline-0"));
        assert_ne!(first, second);
        assert!(first.starts_with("loadline-0_"));
    }
}
