//! The workload emulator: gives kwok's pods, which serve nothing, a load and a latency, and closes the loop.
//!
//! ```text
//! traffic ──┐
//!           ├─> chaos::world's service model ─> counters per pod ─> /metrics <── real Prometheus
//! ready ────┘                                                                        │
//! pods  <──── real API server <──── replicas <──── the operator  <───────────────────┘
//! ```
//!
//! Only workloads that were given traffic are emulated, by [`Emulator::serve`] or by the annotations
//! `rig.loadline.dev/traffic` and `rig.loadline.dev/service` of a Deployment or StatefulSet. Every ready pod
//! has its own series and takes an equal part of the load.

mod annotations;
mod exposition;
mod fleet;
mod pods;
mod server;
pub mod trace;

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use loadline_chaos::world::{Shape, service::ServiceModel};
use tokio::{
    net::TcpListener,
    time::{Instant, MissedTickBehavior, interval},
};

pub use exposition::Exposition;
pub use fleet::{Moment, Seen, Workload};

use crate::{
    background::Background,
    cluster::{Cluster, ClusterError},
    ports::{Ports, PortsError},
    prometheus::Target,
};
use fleet::Fleet;

/// How an emulator works.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often the services are moved on. 250 ms follows a step closely; 1 s is enough for 10,000 workloads.
    pub tick: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { tick: Duration::from_millis(250) }
    }
}

/// A running emulator; ends when dropped.
#[derive(Debug)]
pub struct Emulator {
    port: u16,
    state: Shared,
    _background: Background,
    _ports: Ports,
}

/// What the watches, the clock and the server share.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<State>>);

/// The services and how they are shown.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) fleet: Fleet,
    pub(crate) page: exposition::Page,
}

/// An emulator does not come up.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// No ports.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// A cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// No listener or no thread.
    #[error("cannot start the emulator: {0}")]
    Start(#[from] io::Error),
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Emulator {
    /// Starts one that watches the pods of these clusters. Series carry the cluster's name as `cluster`.
    ///
    /// # Errors
    /// When it cannot listen, or a kubeconfig cannot be used.
    pub async fn start(
        clusters: impl IntoIterator<Item = &Cluster>,
        options: &Options,
    ) -> Result<Self, EmulatorError> {
        let sources = clusters.into_iter().map(|c| (c.name(), c.kubeconfig()));
        Self::watching(sources, options).await
    }

    /// As [`Emulator::start`], of clusters by name and kubeconfig.
    ///
    /// # Errors
    /// When it cannot listen, or a kubeconfig cannot be used.
    pub async fn watching<'a>(
        clusters: impl IntoIterator<Item = (&'a str, &'a Path)>,
        options: &Options,
    ) -> Result<Self, EmulatorError> {
        let mut ports = Ports::take()?;
        let port = ports.give()?;
        let background = Background::new("rig-emulator")?;
        let page = exposition::Page::default();
        let state = Shared(Arc::new(Mutex::new(State { fleet: Fleet::default(), page })));
        let listener = TcpListener::bind(("127.0.0.1", port)).await?.into_std()?;
        background.spawn(server::run(listener, state.clone()));
        background.spawn(keep_time(state.clone(), options.tick));
        for (name, kubeconfig) in clusters {
            background.spawn(pods::watch(name.to_owned(), kubeconfig.to_owned(), state.clone()));
            background.spawn(annotations::watch(name.to_owned(), kubeconfig.to_owned(), state.clone()));
        }
        Ok(Self { port, state, _background: background, _ports: ports })
    }

    /// Where `/metrics` is served, on localhost.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a Prometheus needs to scrape it.
    #[must_use]
    pub fn target(&self) -> Target {
        Target::new("emulator", self.port)
    }

    /// From now on, offers `traffic` to a workload that answers as `model` says. Its counters go on.
    pub fn serve(&self, workload: &Workload, model: ServiceModel, traffic: Shape) {
        self.state.lock().fleet.serve(workload, model, traffic, Instant::now());
    }

    /// Changes only the traffic of a workload that is served; the shape's time starts now. Says whether there
    /// is such a workload.
    pub fn offer(&self, workload: &Workload, traffic: Shape) -> bool {
        self.state.lock().fleet.offer(workload, traffic, Instant::now())
    }

    /// Stops a share (0 to 1) of a workload's pods from reporting, those first by name; they go on serving.
    /// Says whether there is such a workload.
    pub fn silence(&self, workload: &Workload, share: f64) -> bool {
        self.state.lock().fleet.silence(workload, share)
    }

    /// Changes how everything is shown.
    pub fn expose(&self, exposition: Exposition) {
        let mut state = self.state.lock();
        let State { fleet, page } = &mut *state;
        page.set(exposition, fleet);
    }

    /// What goes on in a workload now; `None` until it is served.
    #[must_use]
    pub fn seen(&self, workload: &Workload) -> Option<Seen> {
        self.state.lock().fleet.seen(workload)
    }

    /// Records every step of a workload from now on, forgetting an earlier record. Says whether there is such
    /// a workload.
    pub fn record(&self, workload: &Workload) -> bool {
        self.state.lock().fleet.record(workload, Instant::now())
    }

    /// The record so far; empty without [`Emulator::record`].
    #[must_use]
    pub fn recorded(&self, workload: &Workload) -> Vec<Moment> {
        self.state.lock().fleet.recorded(workload)
    }
}

/// Moves the services on by the time that really passed.
async fn keep_time(state: Shared, tick: Duration) {
    let mut ticks = interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        state.lock().fleet.step(now);
    }
}
