//! Builds the programs of one Go module into the cache: under a lock, into a folder beside it, then by one
//! atomic rename, so that a run that is stopped half-way leaves nothing that looks whole.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use super::{Module, go};

/// A Go module does not build.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No Go.
    #[error(transparent)]
    Go(#[from] go::GoError),
    /// The cache cannot be used.
    #[error("cannot use {path} in the cache: {source}; set LOADLINE_CACHE to a folder that you may write to")]
    Cache {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Go failed.
    #[error("go build of {package} {version} failed:\n{output}")]
    Failed {
        /// The package.
        package: String,
        /// Its version.
        version: &'static str,
        /// What Go said.
        output: String,
    },
}

/// Builds everything that `module` pins, unless a parallel run just did.
pub(super) fn build(module: Module, cache: &Path, progress: &dyn Fn(&str)) -> Result<(), BuildError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Cache { path, source }
    };
    fs::create_dir_all(cache).map_err(at(cache))?;
    let lock_path = cache.join(format!("{}.lock", module.name()));
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    if lock.try_lock().is_err() {
        progress(&format!("{}: waiting for another run that builds it", module.name()));
        lock.lock().map_err(at(&lock_path))?;
    }
    let folder = module.folder(cache);
    if module.packages().iter().all(|(tool, _)| folder.join(tool.name()).is_file()) {
        return Ok(());
    }
    let go = go::find(module.go(), cache, progress)?;
    let staging = tempfile::tempdir_in(cache).map_err(at(cache))?;
    for (tool, package) in module.packages() {
        let start = Instant::now();
        progress(&format!("{} {}: building (minutes, once)", tool.name(), module.version()));
        let output = Command::new(&go)
            .args(["build", "-trimpath", "-ldflags", &module.linker_flags(), "-o"])
            .arg(staging.path().join(tool.name()))
            .arg(&package)
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-mod=readonly")
            .current_dir(module.sources())
            .output()
            .map_err(at(&go))?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(BuildError::Failed { package, version: module.version(), output });
        }
        progress(&format!("{}: built in {:.0} s", tool.name(), start.elapsed().as_secs_f64()));
    }
    if folder.exists() {
        // Half of an older layout: the rename below needs the place.
        fs::remove_dir_all(&folder).map_err(at(&folder))?;
    }
    fs::rename(staging.keep(), &folder).map_err(at(&folder))
}
