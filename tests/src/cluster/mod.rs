//! A real Kubernetes cluster without containers: etcd, API server, controllers and scheduler of the pinned
//! version, and kwok, which plays the nodes. About 4 s and 520 MiB each.
//!
//! A cluster may be kept in a `static` and shared by the tests of one binary: statics are not dropped, but the
//! reaper of [`RunDir`] ends the cluster with the process.

mod components;
mod crowd;
mod identity;
mod kubeconfig;
mod objects;
mod options;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use kube::Client;
use tokio::{process::Command, sync::RwLock, sync::RwLockReadGuard};

pub use components::Component;
pub use kubeconfig::client;
pub use objects::deployment;
pub use options::{Audit, Options};

use crate::{
    binaries::{BinaryError, Tool},
    ports::{Ports, PortsError},
    process::{Process, ProcessError},
    run_dir::{RunDir, RunDirError},
    wait::{NotInTime, until},
};
use components::Components;
use options::ClusterPorts;

/// The most that kwokctl may take to put a cluster together; 4 to 15 s is usual on two busy cores.
const START: Duration = Duration::from_mins(1);
/// The most that a step on a running cluster may take.
const STEP: Duration = Duration::from_secs(30);

/// A running cluster. Dropping it ends its processes and removes its files.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    kubeconfig: PathBuf,
    folder: PathBuf,
    api_port: u16,
    components: RwLock<Components>,
    kwokctl: PathBuf,
    kwok_config: PathBuf,
    _ports: Ports,
    // Last: the reaper runs when everything else has been dropped.
    run: RunDir,
}

/// What went wrong with a cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A program is missing.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// No folder.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// No ports.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// kwokctl failed.
    #[error("kwokctl {what} failed for cluster {cluster}: {said}")]
    Kwokctl {
        /// What it was to do.
        what: String,
        /// For which cluster.
        cluster: String,
        /// Its last words.
        said: String,
    },
    /// kwokctl's record of the cluster is not as expected.
    #[error("cannot use kwokctl's record {path}: {why}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A component that was killed and not restarted.
    #[error("{0} does not run")]
    NotRunning(&'static str),
    /// The kubeconfig.
    #[error("the kubeconfig of cluster {cluster} cannot be used: {why}")]
    Kubeconfig {
        /// The cluster.
        cluster: String,
        /// Why.
        why: String,
    },
    /// The API server refuses.
    #[error("the API server of cluster {cluster} refuses to {what}: {source}")]
    Api {
        /// The cluster.
        cluster: String,
        /// What was asked.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Something did not come in time.
    #[error("cluster {cluster}: {source}")]
    NotInTime {
        /// The cluster.
        cluster: String,
        /// What did not.
        source: NotInTime,
    },
}

impl Cluster {
    /// Starts a cluster and waits until its nodes are ready; builds missing programs first.
    ///
    /// # Errors
    /// When a program is missing, kwokctl fails, or it takes longer than a minute.
    pub async fn start(name: &str, options: &Options) -> Result<Self, ClusterError> {
        let progress = |line: &str| tracing::info!("{line}");
        let run = RunDir::new(name)?;
        let mut ports = Ports::take()?;
        let cluster_ports = ClusterPorts::take(&mut ports)?;
        let kwok_config = write(run.path().join("kwokctl.yaml"), &options.kwok_config(&cluster_ports))?;
        let kwokctl = Tool::Kwokctl.get(&progress)?.path;
        let kubeconfig = run.path().join("kubeconfig.yaml");
        let mut args: Vec<String> =
            ["create", "cluster", "--wait", "60s", "--kubeconfig"].map(str::to_owned).into();
        args.push(kubeconfig.display().to_string());
        for (flag, tool) in [
            ("etcd", Tool::Etcd),
            ("kube-apiserver", Tool::KubeApiserver),
            ("kube-controller-manager", Tool::KubeControllerManager),
            ("kube-scheduler", Tool::KubeScheduler),
            ("kwok-controller", Tool::Kwok),
        ] {
            args.extend([format!("--{flag}-binary"), tool.get(&progress)?.path.display().to_string()]);
        }
        if let Some(policy) = options.audit.policy() {
            let policy = write(run.path().join("audit-policy.yaml"), policy)?;
            args.extend(["--kube-audit-policy".to_owned(), policy.display().to_string()]);
        }
        let folder = run.path().join("kwok/clusters").join(name);
        kwok(&kwokctl, &kwok_config, run.path(), name, &args, START).await?;
        let components = RwLock::new(Components::adopt(&folder)?);
        let api_port = cluster_ports.api;
        let name = name.to_owned();
        let cluster =
            Self { name, kubeconfig, folder, api_port, components, kwokctl, kwok_config, _ports: ports, run };
        cluster.scale_nodes(options.nodes, options.cpus_per_node, options.pods_per_node).await?;
        if options.crds {
            cluster.install_crds().await?;
        }
        Ok(cluster)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A kubeconfig with the rights of `cluster-admin`.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where the API server listens, on localhost.
    #[must_use]
    pub fn api_port(&self) -> u16 {
        self.api_port
    }

    /// The folder of the run: logs of the components lie in `kwok/clusters/NAME/logs`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.run.path()
    }

    /// The API server's audit log, one JSON object a line; empty with [`Audit::Off`].
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("logs/audit.log")
    }

    /// The API server's certificate and key, for who wants to answer in its name.
    #[must_use]
    pub fn certificate(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("pki/admin.crt"), self.folder.join("pki/admin.key"))
    }

    /// A component's process: pause it, resume it, kill it.
    ///
    /// # Errors
    /// When it was killed and its restart failed.
    pub async fn component(
        &self,
        component: Component,
    ) -> Result<RwLockReadGuard<'_, Process>, ClusterError> {
        RwLockReadGuard::try_map(self.components.read().await, |c| c.get(component).ok())
            .map_err(|_| ClusterError::NotRunning("the component"))
    }

    /// Starts a component again as it was, after killing what is left of it; for the API server, waits until
    /// it is ready.
    ///
    /// # Errors
    /// When it does not start or does not become ready.
    pub async fn restart(&self, component: Component) -> Result<(), ClusterError> {
        self.components.write().await.restart(component)?;
        if component == Component::ApiServer { self.wait_api().await } else { Ok(()) }
    }

    /// Waits until the API server says that it is ready.
    ///
    /// # Errors
    /// When it does not in 30 s.
    pub async fn wait_api(&self) -> Result<(), ClusterError> {
        let client = self.client().await?;
        until("the API server to be ready", STEP, || async {
            let request = http::Request::get("/readyz").body(Vec::new()).map_err(|e| e.to_string())?;
            client.request_text(request).await.map(drop).map_err(|e| e.to_string())
        })
        .await
        .map_err(self.late())
    }

    /// Makes the cluster have this many fake nodes and waits until they take pods.
    ///
    /// # Errors
    /// When kwokctl fails or the nodes do not become ready.
    pub async fn scale_nodes(&self, nodes: u32, cpus: u32, pods: u32) -> Result<(), ClusterError> {
        let args = [
            "scale".to_owned(),
            "node".to_owned(),
            format!("--replicas={nodes}"),
            format!("--param=.allocatable.cpu=\"{cpus}\""),
            format!("--param=.allocatable.pods=\"{pods}\""),
        ];
        kwok(&self.kwokctl, &self.kwok_config, self.run.path(), &self.name, &args, STEP).await?;
        let client = self.client().await?;
        until(&format!("{nodes} nodes to take pods"), STEP, || objects::nodes_are(&client, nodes))
            .await
            .map_err(self.late())
    }

    /// A client of its own, for this runtime.
    ///
    /// # Errors
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client, ClusterError> {
        kubeconfig::client(&self.name, &self.kubeconfig).await
    }

    /// A kubeconfig whose API server is at another port of localhost: that of a proxy.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig_via(&self, port: u16) -> Result<PathBuf, ClusterError> {
        kubeconfig::via(&self.name, &self.kubeconfig, port)
    }

    fn late(&self) -> impl FnOnce(NotInTime) -> ClusterError + '_ {
        |source| ClusterError::NotInTime { cluster: self.name.clone(), source }
    }

    fn api_error(&self, what: impl Into<String>) -> impl FnOnce(kube::Error) -> ClusterError + '_ {
        let what = what.into();
        |source| ClusterError::Api { cluster: self.name.clone(), what, source: Box::new(source) }
    }
}

/// Runs kwokctl for one cluster, in the work folder of this run, and no longer than `within`.
async fn kwok(
    kwokctl: &Path,
    config: &Path,
    run: &Path,
    cluster: &str,
    args: &[String],
    within: Duration,
) -> Result<(), ClusterError> {
    let what: String = args.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
    let failed =
        |said: String| ClusterError::Kwokctl { what: what.clone(), cluster: cluster.to_owned(), said };
    let mut command = Command::new(kwokctl);
    command
        .args(args)
        .args(["--name", cluster, "--config"])
        .arg(config)
        .env("KWOK_WORKDIR", run.join("kwok"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(within, command.output())
        .await
        .map_err(|_| failed(format!("it took more than {within:?}")))?
        .map_err(|e| failed(e.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let tail: Vec<_> = said.lines().rev().take(5).collect();
    Err(failed(tail.into_iter().rev().collect::<Vec<_>>().join("\n")))
}

fn write(path: PathBuf, text: &str) -> Result<PathBuf, ClusterError> {
    match fs::write(&path, text) {
        Ok(()) => Ok(path),
        Err(source) => Err(ClusterError::File { path, source }),
    }
}
