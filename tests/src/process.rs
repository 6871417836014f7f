//! One process of a run: started with its log and pid file, paused, resumed, killed.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::run_dir::RunDir;

/// How long the kernel may take to end a process after SIGKILL.
const KILL: Duration = Duration::from_secs(10);

/// A process that the rig started, or whose pid file a tool of the rig wrote.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: i32,
    log: PathBuf,
    /// Present when this process is its parent and so must take its exit status.
    child: Mutex<Option<Child>>,
}

/// What went wrong with a process.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It does not start.
    #[error("cannot start {name}: {source}")]
    Start {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Its pid file cannot be used.
    #[error("cannot use the pid file {path}: {source}")]
    PidFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be signalled.
    #[error("cannot send {signal} to {name} (pid {pid}): {source}")]
    Signal {
        /// The signal.
        signal: &'static str,
        /// Its name.
        name: String,
        /// Its pid.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// It did not end.
    #[error("{name} (pid {pid}) is still there {after:?} after {signal}")]
    Lives {
        /// Its name.
        name: String,
        /// Its pid.
        pid: i32,
        /// The signal.
        signal: &'static str,
        /// How long ago.
        after: Duration,
    },
}

impl Process {
    /// Starts `command` in its own process group; its output goes to `RUN/NAME.log`.
    ///
    /// The command line must name the run's folder, or the reaper will not take it for ours.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn(run: &RunDir, name: &str, command: Command) -> Result<Self, ProcessError> {
        Self::spawn_at(name, command, &run.path().join(format!("{name}.log")), &run.pid_file(name))
    }

    /// As [`Process::spawn`], with the places of the log (appended to) and the pid file given.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn_at(
        name: &str,
        mut command: Command,
        log: &Path,
        pid_file: &Path,
    ) -> Result<Self, ProcessError> {
        let start = |source| ProcessError::Start { name: name.to_owned(), source };
        let out = File::options().create(true).append(true).open(log).map_err(start)?;
        let err = out.try_clone().map_err(start)?;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().map_err(start)?;
        fs::write(pid_file, child.id().to_string())
            .map_err(|source| ProcessError::PidFile { path: pid_file.to_owned(), source })?;
        let pid = i32::try_from(child.id()).map_err(|e| start(io::Error::other(e)))?;
        Ok(Self { name: name.to_owned(), pid, log: log.to_owned(), child: Mutex::new(Some(child)) })
    }

    /// A process that somebody else started, by its pid file.
    ///
    /// # Errors
    /// When the file cannot be read as a pid.
    pub fn adopt(name: &str, log: &Path, pid_file: &Path) -> Result<Self, ProcessError> {
        let bad = |source| ProcessError::PidFile { path: pid_file.to_owned(), source };
        let text = fs::read_to_string(pid_file).map_err(bad)?;
        let pid = text.trim().parse().map_err(|e| bad(io::Error::other(e)))?;
        Ok(Self { name: name.to_owned(), pid, log: log.to_owned(), child: Mutex::new(None) })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it has written so far; empty when nothing can be read.
    #[must_use]
    pub fn output(&self) -> String {
        fs::read(&self.log).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// SIGSTOP: it neither answers nor closes its connections (a black hole).
    ///
    /// # Errors
    /// When it is gone.
    pub fn pause(&self) -> Result<(), ProcessError> {
        self.signal(Signal::STOP, "SIGSTOP")
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&self) -> Result<(), ProcessError> {
        self.signal(Signal::CONT, "SIGCONT")
    }

    /// SIGTERM, without waiting.
    ///
    /// # Errors
    /// When it is gone.
    pub fn terminate(&self) -> Result<(), ProcessError> {
        self.signal(Signal::TERM, "SIGTERM")
    }

    /// SIGHUP: reload.
    ///
    /// # Errors
    /// When it is gone.
    pub fn hang_up(&self) -> Result<(), ProcessError> {
        self.signal(Signal::HUP, "SIGHUP")
    }

    /// kill -9, and waits until it is gone (milliseconds). One that is already gone is fine.
    ///
    /// # Errors
    /// When it may not be killed, or the kernel does not end it.
    pub fn kill(&self) -> Result<(), ProcessError> {
        if !self.is_running() {
            return Ok(());
        }
        self.signal(Signal::KILL, "SIGKILL")?;
        let deadline = Instant::now() + KILL;
        while self.is_running() {
            if Instant::now() > deadline {
                let (name, pid) = (self.name.clone(), self.pid);
                return Err(ProcessError::Lives { name, pid, signal: "SIGKILL", after: KILL });
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Whether it runs (a paused one does; a zombie does not).
    #[must_use]
    pub fn is_running(&self) -> bool {
        if let Some(child) = self.child.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            return matches!(child.try_wait(), Ok(None));
        }
        // The state is the first field after the command's name, which is in brackets and may hold spaces.
        fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .ok()
            .and_then(|stat| stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()))
            .is_some_and(|state| !matches!(state, 'Z' | 'X'))
    }

    /// Its exit status, once it has ended and if we are its parent.
    #[must_use]
    pub fn exit(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_mut().and_then(|c| c.try_wait().ok().flatten())
    }

    /// Resident memory in bytes and CPU seconds used so far, from `/proc`; `None` once it has ended.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        // proc(5): utime and stime are fields 14 and 15 of the line, 11 and 12 after the command's name.
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        let rss_bytes = kib.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024;
        #[expect(clippy::cast_precision_loss, reason = "the ticks of a second are a hundred or a thousand")]
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        Some(Usage { cpu_seconds: ticks / per_second, rss_bytes })
    }

    fn signal(&self, signal: Signal, label: &'static str) -> Result<(), ProcessError> {
        let fail = |source: io::Error| {
            let (name, pid) = (self.name.clone(), self.pid);
            ProcessError::Signal { signal: label, name, pid, source }
        };
        let pid = Pid::from_raw(self.pid).ok_or_else(|| fail(io::Error::other("not a pid")))?;
        kill_process(pid, signal).map_err(|e| fail(e.into()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let owned = self.child.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if owned && let Err(error) = self.kill() {
            tracing::warn!(%error, "left to the reaper");
        }
    }
}

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// User and system time since its start.
    pub cpu_seconds: f64,
    /// Resident memory now.
    pub rss_bytes: u64,
}
