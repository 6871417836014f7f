//! The whole rig for a person: clusters, Prometheus, Alertmanager and emulator, held by a keeper process.
//!
//! ```text
//! rig up ──starts──> rig keep (in the background; log and state in the cache folder)
//!   └─ follows its log until the state file says where everything is
//! rig down ──SIGTERM──> rig keep: drops everything. Killed -9, its reapers clean up all the same.
//! ```

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::{
    alertmanager::{Alertmanager, AlertmanagerError},
    binaries::{self, BinaryError, Tool},
    cluster::{self, Cluster, ClusterError},
    emulator::{self, Emulator, EmulatorError},
    prometheus::{self, Prometheus, PrometheusError},
};

/// The clusters that there are: the operator's own, and three members.
pub const CLUSTERS: [&str; 4] = ["hub", "private", "public-a", "public-b"];
/// How often the rig's Prometheus scrapes.
const SCRAPE: Duration = Duration::from_secs(5);
/// How long a pod of a public cluster takes to start: a person sees the lead time.
const PUBLIC_START: Duration = Duration::from_secs(20);

/// Everything that is up; ends when dropped.
#[derive(Debug)]
pub struct Rig {
    clusters: Vec<Cluster>,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    emulator: Emulator,
}

/// Where everything is; what the state file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Pid of the keeper.
    pub keeper: i32,
    /// Names and kubeconfigs.
    pub clusters: Vec<(String, PathBuf)>,
    /// Address of Prometheus.
    pub prometheus: String,
    /// Address of Alertmanager.
    pub alertmanager: String,
    /// Address of the emulator.
    pub emulator: String,
    /// kubectl of the same version as the clusters.
    pub kubectl: PathBuf,
}

/// The rig does not come up, or cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// A program.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// A cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Prometheus.
    #[error(transparent)]
    Prometheus(#[from] PrometheusError),
    /// Alertmanager.
    #[error(transparent)]
    Alertmanager(#[from] AlertmanagerError),
    /// The emulator.
    #[error(transparent)]
    Emulator(#[from] EmulatorError),
    /// A cluster that there is none of.
    #[error("there is no cluster {0:?}; there are: hub, private, public-a, public-b")]
    Unknown(String),
    /// The state file.
    #[error("cannot use the rig's state file {path}: {source}")]
    StateFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Rig {
    /// Starts these clusters and everything around them; `progress` is told what is done.
    ///
    /// # Errors
    /// When a part does not come up; what did is ended again.
    pub async fn start(names: &[String], progress: &dyn Fn(&str)) -> Result<Self, RigError> {
        if let Some(unknown) = names.iter().find(|n| !CLUSTERS.contains(&n.as_str())) {
            return Err(RigError::Unknown(unknown.clone()));
        }
        for tool in Tool::ALL {
            tool.get(progress)?;
        }
        let clusters = try_join_all(names.iter().map(|name| async move {
            let start = Instant::now();
            let cluster = Cluster::start(name, &options(name)).await?;
            progress(&format!("{name}: up in {:.1} s", start.elapsed().as_secs_f64()));
            Ok::<_, RigError>(cluster)
        }))
        .await?;
        let emulator = Emulator::start(&clusters, &emulator::Options::default()).await?;
        let alertmanager = Alertmanager::start(None).await?;
        let mut options = prometheus::Options::scraping(SCRAPE, [emulator.target()]);
        options.alertmanager = Some(alertmanager.port());
        let prometheus = Prometheus::start(&options).await?;
        progress("prometheus, alertmanager, emulator: up");
        Ok(Self { clusters, prometheus, alertmanager, emulator })
    }

    /// Where everything is, for `keeper`.
    ///
    /// # Errors
    /// When kubectl cannot be found any more.
    pub fn state(&self, keeper: i32) -> Result<State, RigError> {
        let clusters =
            self.clusters.iter().map(|c| (c.name().to_owned(), c.kubeconfig().to_owned())).collect();
        Ok(State {
            keeper,
            clusters,
            prometheus: self.prometheus.url(),
            alertmanager: self.alertmanager.url(),
            emulator: format!("http://127.0.0.1:{}", self.emulator.port()),
            kubectl: Tool::Kubectl.get(&|_| ())?.path,
        })
    }
}

/// Where the state is kept: the cache folder, or the one that `LOADLINE_RIG_STATE` names, so that a test can
/// have a rig of its own beside that of a person.
fn folder() -> Result<PathBuf, RigError> {
    match std::env::var_os("LOADLINE_RIG_STATE").filter(|v| !v.is_empty()) {
        Some(folder) => Ok(folder.into()),
        None => Ok(binaries::cache()?),
    }
}

fn options(name: &str) -> cluster::Options {
    let usual = cluster::Options::default();
    let options = match name {
        "hub" | "private" => usual,
        _ => usual.start_delay(PUBLIC_START),
    };
    cluster::Options { crds: name == "hub", ..options }
}

impl State {
    /// The file that says where the rig is.
    ///
    /// # Errors
    /// When there is no cache folder.
    pub fn file() -> Result<PathBuf, RigError> {
        Ok(folder()?.join("rig-state.json"))
    }

    /// The log of the keeper.
    ///
    /// # Errors
    /// When there is no cache folder.
    pub fn log() -> Result<PathBuf, RigError> {
        Ok(folder()?.join("rig.log"))
    }

    /// The rig that is up, if one is: a file that a killed keeper left behind does not count.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read() -> Result<Option<Self>, RigError> {
        let path = Self::file()?;
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RigError::StateFile { path, source }),
        };
        let state: Self = serde_json::from_str(&text)
            .map_err(|e| RigError::StateFile { path, source: io::Error::other(e) })?;
        Ok(state.is_kept().then_some(state))
    }

    /// Writes the file in one piece.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self) -> Result<(), RigError> {
        let path = Self::file()?;
        let fail = |source| RigError::StateFile { path: path.clone(), source };
        let text = serde_json::to_string_pretty(self).map_err(|e| fail(io::Error::other(e)))?;
        let new = path.with_extension("new");
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(fail)
    }

    /// Whether the keeper lives: a process of that pid that is one.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/cmdline", self.keeper))
            .is_ok_and(|line| line.split('\0').any(|word| word == "keep"))
    }

    /// The table that a person reads.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows: Vec<(String, String)> = self
            .clusters
            .iter()
            .map(|(name, kubeconfig)| (name.clone(), format!("export KUBECONFIG={}", kubeconfig.display())))
            .collect();
        rows.push(("kubectl".to_owned(), self.kubectl.display().to_string()));
        rows.push(("prometheus".to_owned(), self.prometheus.clone()));
        rows.push(("alertmanager".to_owned(), self.alertmanager.clone()));
        rows.push(("emulator".to_owned(), format!("{}/metrics", self.emulator)));
        rows.push(("stop".to_owned(), "cargo rig down".to_owned()));
        let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<14}{value}")).collect();
        lines.join("\n")
    }
}
