//! The folder of one run, and the reaper that ends everything that lives in it.
//!
//! ```text
//! this process ──(stdin pipe)──> sh (the reaper): waits for end of file, then
//!     drop, panic, exit, kill -9:   kill -9 each DIR/**/*.pid whose command line names DIR
//!     all of them close the pipe    rm -rf DIR
//! ```
//!
//! The kernel closes the pipe however this process ends, so nothing that was started outlives it, and no
//! process that merely got an old pid is touched.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use std::os::unix::process::CommandExt;

/// Ignores what a terminal sends to the whole group: a Ctrl-C for the tests must not stop the cleaning.
const REAPER: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
find "$1" -name '*.pid' 2>/dev/null | while read -r file; do
  pid=$(cat "$file")
  if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$1"; then kill -9 "$pid" 2>/dev/null; fi
done
[ -n "$LOADLINE_RIG_KEEP" ] && exit 0
tries=0
until rm -rf "$1" 2>/dev/null || [ $tries -ge 50 ]; do tries=$((tries + 1)); sleep 0.1; done
"#;

/// The folder of one run; dropping it ends every process that keeps a pid file in it, and removes it.
///
/// With `LOADLINE_RIG_KEEP=1` in the environment the files stay, for reading logs after a failure.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    reaper: Child,
    pipe: Option<ChildStdin>,
}

/// The folder of a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// No folder.
    #[error(
        "cannot make a folder for the run in {parent}: {source}; set TMPDIR to one that you may write to"
    )]
    Folder {
        /// The parent.
        parent: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No reaper.
    #[error("cannot start `sh`, which cleans up after the run: {0}")]
    Reaper(#[source] io::Error),
}

impl RunDir {
    /// Makes a folder of its own for a run; `name` only makes it recognisable.
    ///
    /// # Errors
    /// When the folder or the reaper cannot be made.
    pub fn new(name: &str) -> Result<Self, RunDirError> {
        let parent = std::env::temp_dir();
        let path = tempfile::Builder::new()
            .prefix(&format!("loadline-{name}-"))
            .tempdir_in(&parent)
            .and_then(|dir| fs::canonicalize(dir.keep()))
            .and_then(|path| fs::create_dir(path.join("pids")).map(|()| path))
            .map_err(|source| RunDirError::Folder { parent, source })?;
        let mut reaper = Command::new("sh")
            .args(["-c", REAPER, "loadline-reaper"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(RunDirError::Reaper)?;
        let pipe = reaper.stdin.take();
        Ok(Self { path, reaper, pipe })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a process called `name` keeps its pid, for the reaper.
    #[must_use]
    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.path.join("pids").join(format!("{name}.pid"))
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        drop(self.pipe.take());
        if let Err(error) = self.reaper.wait() {
            tracing::warn!(%error, folder = %self.path.display(), "the reaper cannot be waited for");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{process::Process, wait};

    #[tokio::test]
    async fn everything_ends_with_the_folder_even_what_is_stopped() {
        let run = RunDir::new("reaped").unwrap();
        let path = run.path().to_owned();
        // A process that names the folder on its command line, as all of ours do.
        let mut command = Command::new("tail");
        command.arg("-f").arg(run.pid_file("tail"));
        let process = Process::spawn(&run, "tail", command).unwrap();
        process.pause().unwrap();
        drop(run);
        wait::until("the process to end", Duration::from_secs(5), || async {
            if process.is_running() { Err("running") } else { Ok(()) }
        })
        .await
        .unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_foreign_process_with_an_old_pid_is_spared() {
        let run = RunDir::new("spared").unwrap();
        let mut foreign = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(run.pid_file("old"), foreign.id().to_string()).unwrap();
        drop(run);
        assert!(foreign.try_wait().unwrap().is_none(), "it names no folder of ours, so it lives");
        foreign.kill().unwrap();
        foreign.wait().unwrap();
    }
}
