//! The programs that the rig runs: found, or built once by Go into a cache folder.
//!
//! ```text
//! LOADLINE_KUBE_APISERVER=…  >  cache (by pinned version)  >  PATH (same version only)  >  go build
//! ```
//!
//! The versions are those of `tests/binaries/*/go.mod`, and nowhere else. Debian's programs (Prometheus,
//! Alertmanager) come from PATH.

mod build;
mod go;
mod pins;

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    process::Command,
};

pub use build::BuildError;
pub use go::GoError;
pub use pins::Module;

/// A program that the rig runs and Go builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// The API server.
    KubeApiserver,
    /// Its controllers.
    KubeControllerManager,
    /// Its scheduler.
    KubeScheduler,
    /// The command line.
    Kubectl,
    /// Its store.
    Etcd,
    /// Plays the nodes' kubelets.
    Kwok,
    /// Puts a cluster together.
    Kwokctl,
    /// Installs charts.
    Helm,
}

/// A program that Debian packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packaged {
    /// Prometheus.
    Prometheus,
    /// Its checker of configuration and rules.
    Promtool,
    /// Alertmanager.
    Alertmanager,
}

/// Where a program was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An environment variable names it.
    Environment,
    /// In the cache.
    Cache,
    /// On PATH.
    Path,
    /// Built just now.
    Built,
}

/// A program, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// How it was found.
    pub origin: Origin,
}

/// A program is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// An environment variable points nowhere.
    #[error("{variable} names {path}, which is not a file; correct it or unset it")]
    Override {
        /// The variable.
        variable: String,
        /// Its value.
        path: PathBuf,
    },
    /// There is no place for the cache.
    #[error("no cache folder: set LOADLINE_CACHE, XDG_CACHE_HOME or HOME")]
    NoCache,
    /// The cache cannot be used.
    #[error("cannot use the cache {path}: {source}; set LOADLINE_CACHE to a folder that you may write to")]
    Cache {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not installed.
    #[error("{0} is not on PATH; install it with: apt-get install prometheus prometheus-alertmanager")]
    NotInstalled(Packaged),
    /// No Go to build with.
    #[error(transparent)]
    Go(#[from] GoError),
    /// Go does not build it.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Kwok,
        Self::Kwokctl,
        Self::Helm,
    ];

    /// The name of its file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Etcd => "etcd",
            Self::Kwok => "kwok",
            Self::Kwokctl => "kwokctl",
            Self::Helm => "helm",
        }
    }

    /// The Go module that it is built from.
    #[must_use]
    pub fn module(self) -> Module {
        match self {
            Self::KubeApiserver | Self::KubeControllerManager | Self::KubeScheduler | Self::Kubectl => {
                Module::Kubernetes
            }
            Self::Etcd => Module::Etcd,
            Self::Kwok | Self::Kwokctl => Module::Kwok,
            Self::Helm => Module::Helm,
        }
    }

    /// The environment variable that names another file, for example `LOADLINE_KUBE_APISERVER`.
    #[must_use]
    pub fn variable(self) -> String {
        format!("LOADLINE_{}", self.name().replace('-', "_").to_uppercase())
    }

    /// Arguments that make it print its version.
    fn version_args(self) -> &'static [&'static str] {
        match self {
            Self::Kubectl => &["version", "--client"],
            Self::Helm => &["version", "--short"],
            _ => &["--version"],
        }
    }

    /// Where the cache keeps it.
    ///
    /// # Errors
    /// When there is no cache folder.
    pub fn cached(self) -> Result<PathBuf, BinaryError> {
        Ok(self.module().folder(&cache()?).join(self.name()))
    }

    /// Finds it without building anything.
    ///
    /// # Errors
    /// When an environment variable points nowhere, or there is no cache folder.
    pub fn find(self) -> Result<Option<Found>, BinaryError> {
        let variable = self.variable();
        if let Some(path) = env::var_os(&variable).map(PathBuf::from) {
            if !path.is_file() {
                return Err(BinaryError::Override { variable, path });
            }
            return Ok(Some(Found { path, origin: Origin::Environment }));
        }
        let cached = self.cached()?;
        if cached.is_file() {
            return Ok(Some(Found { path: cached, origin: Origin::Cache }));
        }
        Ok(on_path(self.name())
            .filter(|path| self.is_pinned_version(path))
            .map(|path| Found { path, origin: Origin::Path }))
    }

    /// Finds it, or builds it with everything else of its Go module; `progress` is told what is done.
    ///
    /// # Errors
    /// When it is neither found nor can be built.
    pub fn get(self, progress: &dyn Fn(&str)) -> Result<Found, BinaryError> {
        if let Some(found) = self.find()? {
            return Ok(found);
        }
        build::build(self.module(), &cache()?, progress)?;
        Ok(Found { path: self.cached()?, origin: Origin::Built })
    }

    fn is_pinned_version(self, path: &Path) -> bool {
        Command::new(path).args(self.version_args()).output().ok().filter(|o| o.status.success()).is_some_and(
            |o| {
                let version = self.module().version();
                let bare = version.trim_start_matches('v');
                String::from_utf8_lossy(&o.stdout)
                    .split(|c: char| c.is_whitespace() || c == '+')
                    .any(|word| word.trim_start_matches('v') == bare)
            },
        )
    }
}

impl Packaged {
    /// The names that it is packaged under.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Prometheus => &["prometheus"],
            Self::Promtool => &["promtool"],
            // Debian's name, then everybody else's.
            Self::Alertmanager => &["prometheus-alertmanager", "alertmanager"],
        }
    }

    /// Finds it on PATH.
    ///
    /// # Errors
    /// When it is not installed: says how to.
    pub fn get(self) -> Result<PathBuf, BinaryError> {
        self.names().iter().find_map(|name| on_path(name)).ok_or(BinaryError::NotInstalled(self))
    }
}

impl fmt::Display for Packaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
            Self::Alertmanager => "alertmanager",
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Environment => "environment",
            Self::Cache => "cache",
            Self::Path => "PATH",
            Self::Built => "built",
        })
    }
}

/// The cache folder: `LOADLINE_CACHE`, or `loadline` in the user's cache folder.
///
/// # Errors
/// When neither `LOADLINE_CACHE`, `XDG_CACHE_HOME` nor `HOME` is set.
pub fn cache() -> Result<PathBuf, BinaryError> {
    let set = |name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("LOADLINE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|p| p.join("loadline")))
        .or_else(|| set("HOME").map(|p| p.join(".cache/loadline")))
        .ok_or(BinaryError::NoCache)
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_its_own_name_and_variable() {
        let names: std::collections::BTreeSet<_> = Tool::ALL.iter().map(|t| t.variable()).collect();
        assert_eq!(names.len(), Tool::ALL.len());
        assert_eq!(Tool::KubeApiserver.variable(), "LOADLINE_KUBE_APISERVER");
    }

    #[test]
    fn the_cache_is_keyed_by_the_pinned_version() {
        let path = Tool::Kwokctl.cached().unwrap();
        let folder = format!("kwok-{}", Module::Kwok.version());
        assert!(path.ends_with(Path::new(&folder).join("kwokctl")), "{}", path.display());
    }

    #[test]
    fn a_missing_package_says_how_to_install_it() {
        let message = BinaryError::NotInstalled(Packaged::Alertmanager).to_string();
        assert!(message.contains("apt-get install prometheus prometheus-alertmanager"), "{message}");
    }
}
