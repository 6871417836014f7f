//! The processes of a cluster, each of which can be paused, killed and started again as kwokctl started it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use super::ClusterError;
use crate::process::Process;

/// A process of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers (Deployments, garbage collection …).
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The fake nodes.
    Kwok,
}

impl Component {
    const ALL: [Self; 5] =
        [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kwok];

    fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kwok => "kwok-controller",
        }
    }
}

/// The part of kwokctl's record of a cluster that says how its processes are started.
#[derive(Debug, Deserialize)]
struct Record {
    components: Vec<Recipe>,
}

#[derive(Debug, Deserialize)]
struct Recipe {
    name: String,
    binary: PathBuf,
    args: Vec<String>,
}

/// The processes of one cluster.
#[derive(Debug)]
pub(super) struct Components {
    folder: PathBuf,
    running: BTreeMap<Component, Process>,
}

impl Components {
    /// Those that kwokctl started and recorded in `folder`.
    pub(super) fn adopt(folder: &Path) -> Result<Self, ClusterError> {
        let mut running = BTreeMap::new();
        for component in Component::ALL {
            let (log, pid) = places(folder, component);
            running.insert(component, Process::adopt(component.name(), &log, &pid)?);
        }
        Ok(Self { folder: folder.to_owned(), running })
    }

    pub(super) fn get(&self, component: Component) -> Result<&Process, ClusterError> {
        self.running.get(&component).ok_or(ClusterError::NotRunning(component.name()))
    }

    /// Starts one again with the same arguments, killing what is left of it.
    pub(super) fn restart(&mut self, component: Component) -> Result<(), ClusterError> {
        if let Some(old) = self.running.remove(&component) {
            old.kill()?;
        }
        let recipe = self.recipe(component)?;
        let mut command = Command::new(&recipe.binary);
        command.args(&recipe.args).current_dir(&self.folder);
        let (log, pid) = places(&self.folder, component);
        let process = Process::spawn_at(component.name(), command, &log, &pid)?;
        self.running.insert(component, process);
        Ok(())
    }

    fn recipe(&self, component: Component) -> Result<Recipe, ClusterError> {
        let path = self.folder.join("kwok.yaml");
        let bad = |why: String| ClusterError::Record { path: path.clone(), why };
        let text = fs::read_to_string(&path).map_err(|e| bad(e.to_string()))?;
        // The first document is the cluster; the others are the stages.
        let first = text.split("\n---\n").next().unwrap_or_default();
        let record: Record = serde_yaml::from_str(first).map_err(|e| bad(e.to_string()))?;
        record
            .components
            .into_iter()
            .find(|r| r.name == component.name())
            .ok_or_else(|| bad(format!("it has no {}", component.name())))
    }
}

fn places(folder: &Path, component: Component) -> (PathBuf, PathBuf) {
    let name = component.name();
    (folder.join(format!("logs/{name}.log")), folder.join(format!("pids/{name}.pid")))
}
