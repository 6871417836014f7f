//! The Go modules that the rig's programs are built from, with the versions that their `go.mod` pins.

use std::path::{Path, PathBuf};

use super::Tool;

/// A Go module of `tests/binaries`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Module {
    /// Kubernetes' control plane and kubectl.
    Kubernetes,
    /// etcd.
    Etcd,
    /// kwok and kwokctl.
    Kwok,
    /// Helm.
    Helm,
}

impl Module {
    /// All of them, the longest build last.
    pub const ALL: [Self; 4] = [Self::Etcd, Self::Kwok, Self::Helm, Self::Kubernetes];

    /// The name of its folder in `tests/binaries` and in the cache.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Etcd => "etcd",
            Self::Kwok => "kwok",
            Self::Helm => "helm",
        }
    }

    fn go_mod(self) -> &'static str {
        match self {
            Self::Kubernetes => include_str!("../../binaries/kubernetes/go.mod"),
            Self::Etcd => include_str!("../../binaries/etcd/go.mod"),
            Self::Kwok => include_str!("../../binaries/kwok/go.mod"),
            Self::Helm => include_str!("../../binaries/helm/go.mod"),
        }
    }

    /// The module path that it pins.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Kubernetes => "k8s.io/kubernetes",
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Kwok => "sigs.k8s.io/kwok",
            Self::Helm => "helm.sh/helm/v3",
        }
    }

    /// The pinned version, for example `v1.36.3`; empty if `go.mod` pins none (a test holds that it does).
    #[must_use]
    pub fn version(self) -> &'static str {
        self.go_mod()
            .lines()
            .find_map(|l| l.strip_prefix("require ")?.trim().strip_prefix(self.path())?.strip_prefix(' '))
            .map_or("", str::trim)
    }

    /// The Go version that `go.mod` asks for, for example `1.26.8`.
    #[must_use]
    pub fn go(self) -> &'static str {
        self.go_mod().lines().find_map(|l| l.strip_prefix("go ")).map_or("", str::trim)
    }

    /// Where the sources of the module lie.
    #[must_use]
    pub fn sources(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("binaries").join(self.name())
    }

    /// Where the cache keeps what it builds.
    #[must_use]
    pub fn folder(self, cache: &Path) -> PathBuf {
        cache.join(format!("{}-{}", self.name(), self.version()))
    }

    /// The programs, with the Go package of each.
    #[must_use]
    pub fn packages(self) -> Vec<(Tool, String)> {
        let of = |tool: Tool| match self {
            Self::Etcd => (tool, self.path().to_owned()),
            Self::Kubernetes | Self::Kwok | Self::Helm => {
                (tool, format!("{}/cmd/{}", self.path(), tool.name()))
            }
        };
        Tool::ALL.into_iter().filter(|t| t.module() == self).map(of).collect()
    }

    /// Linker flags: no symbols, and the version that a release would print.
    #[must_use]
    pub fn linker_flags(self) -> String {
        let version = self.version();
        let mut flags = "-s -w".to_owned();
        let mut set = |name: &str, value: &str| {
            flags.push_str(" -X ");
            flags.push_str(name);
            flags.push('=');
            flags.push_str(value);
        };
        match self {
            Self::Kubernetes => {
                let mut parts = version.trim_start_matches('v').split('.');
                set("k8s.io/component-base/version.gitVersion", version);
                set("k8s.io/component-base/version.gitMajor", parts.next().unwrap_or_default());
                set("k8s.io/component-base/version.gitMinor", parts.next().unwrap_or_default());
            }
            Self::Helm => set("helm.sh/helm/v3/internal/version.version", version),
            // Both hold their version as a constant of their own sources.
            Self::Etcd | Self::Kwok => {}
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_pins_one_version_and_a_go() {
        for module in Module::ALL {
            assert!(module.version().starts_with('v'), "{module:?}: {}", module.version());
            assert!(module.go().starts_with("1."), "{module:?}: {}", module.go());
            assert!(module.sources().join("go.sum").is_file());
        }
    }

    #[test]
    fn every_program_is_imported_by_the_module_that_pins_it() {
        for module in Module::ALL {
            let tools = std::fs::read_to_string(module.sources().join("tools.go")).unwrap();
            for (tool, package) in module.packages() {
                assert!(tools.contains(&format!("{package}\"")), "{tool:?}: {package}");
            }
        }
    }

    #[test]
    fn kubernetes_prints_the_version_of_the_release() {
        let flags = Module::Kubernetes.linker_flags();
        let minor = Module::Kubernetes.version().split('.').nth(1).unwrap();
        assert!(flags.ends_with(&format!("gitMinor={minor}")), "{flags}");
    }
}
