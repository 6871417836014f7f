//! A program of the rig that serves HTTP on localhost: its folder, its port, its process, and whether it answers.

use std::{
    ffi::OsString,
    fmt::Display,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    ports::{Ports, PortsError},
    process::{Process, ProcessError},
    run_dir::{RunDir, RunDirError},
    wait::{NotInTime, until},
};

/// The most that a start or a reload may take, and a request.
pub const STEP: Duration = Duration::from_secs(30);
/// Lines of a log that tell why a program did not come up.
const LAST_WORDS: usize = 10;

/// Where a program runs: its folder, and its port on localhost.
#[derive(Debug)]
pub struct Place {
    port: u16,
    _ports: Ports,
    // Last: the reaper runs when everything else has been dropped.
    run: RunDir,
}

impl Place {
    /// A new folder, recognisable by `name`, and a port that nobody else of the rig has.
    ///
    /// # Errors
    /// When there is no room for one of them.
    pub fn new(name: &str) -> Result<Self, ServedError> {
        let run = RunDir::new(name)?;
        let mut ports = Ports::take()?;
        Ok(Self { port: ports.give()?, _ports: ports, run })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.run.path()
    }

    /// Where the program is to listen, on localhost.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Writes a file into the folder, and returns where it lies.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, ServedError> {
        let path = self.path().join(name);
        match fs::write(&path, text) {
            Ok(()) => Ok(path),
            Err(source) => Err(ServedError::File { path, source }),
        }
    }
}

/// What is run. Its arguments must name the folder, or the reaper will not take it for ours.
#[derive(Debug)]
pub struct Program {
    /// Its name, for people and for the name of its log.
    pub name: &'static str,
    /// The file.
    pub binary: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables beside those of this process.
    pub environment: Vec<(&'static str, OsString)>,
    /// The path that is answered with success once it is up.
    pub up: &'static str,
}

impl Program {
    fn spawn(&self, place: &Place) -> Result<Process, ProcessError> {
        let mut command = Command::new(&self.binary);
        command.args(&self.arguments).envs(self.environment.iter().map(|(k, v)| (k, v)));
        Process::spawn(&place.run, self.name, command)
    }
}

/// A running program; ends when dropped.
#[derive(Debug)]
pub struct Served {
    program: Program,
    http: reqwest::Client,
    process: Mutex<Process>,
    place: Place,
}

/// What went wrong with a program.
#[derive(Debug, thiserror::Error)]
pub enum ServedError {
    /// No folder.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// No ports.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// Its process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its configuration.
    #[error("cannot write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not there in time.
    #[error("{program}: {source}; the end of its log:\n{last_words}")]
    NotReady {
        /// Its name.
        program: &'static str,
        /// What was waited for.
        source: NotInTime,
        /// The end of its log.
        last_words: String,
    },
    /// It does not answer, or not as expected.
    #[error("{program} does not answer {asked}: {why}")]
    Answer {
        /// Its name.
        program: &'static str,
        /// What was asked.
        asked: String,
        /// Why.
        why: String,
    },
}

impl Served {
    /// Starts a program and waits until it is up.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(place: Place, program: Program) -> Result<Self, ServedError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let process = Mutex::new(program.spawn(&place)?);
        let served = Self { program, http: reqwest::Client::new(), process, place };
        served.wait_for(served.program.up).await?;
        Ok(served)
    }

    /// Its folder and port.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// For requests of other kinds than [`Served::get`].
    #[must_use]
    pub const fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.place.port)
    }

    /// Its process: pause, resume or kill it; its log.
    ///
    /// # Panics
    /// Never: a poisoned lock is taken as it is.
    pub fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it again after it ended or was killed, in the same folder, on the same port.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&self) -> Result<(), ServedError> {
        self.process().kill()?;
        let process = self.program.spawn(&self.place)?;
        *self.process() = process;
        self.wait_for(self.program.up).await
    }

    /// What it answers to a path.
    ///
    /// # Errors
    /// When it does not answer with success.
    pub async fn get(&self, path: &str) -> Result<String, ServedError> {
        let fail = |why: &dyn Display| self.fail(path, why);
        let url = format!("{}{path}", self.url());
        let answer = self.http.get(url).timeout(STEP).send().await.map_err(|e| fail(&e))?;
        let status = answer.status();
        let body = answer.text().await.map_err(|e| fail(&e))?;
        if status.is_success() { Ok(body) } else { Err(fail(&format!("{status}: {body}"))) }
    }

    /// Waits until a path is answered with success.
    ///
    /// # Errors
    /// When it is not in 30 s.
    pub async fn wait_for(&self, path: &str) -> Result<(), ServedError> {
        until(&format!("{path} to be answered"), STEP, || async {
            if !self.process().is_running() {
                return Err("it has ended".to_owned());
            }
            self.get(path).await.map(drop).map_err(|e| e.to_string())
        })
        .await
        .map_err(|source| self.not_ready(source))
    }

    /// What was waited for did not come: with the end of the log.
    #[must_use]
    pub fn not_ready(&self, source: NotInTime) -> ServedError {
        let output = self.process().output();
        let tail: Vec<_> = output.lines().rev().take(LAST_WORDS).collect();
        let last_words = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        ServedError::NotReady { program: self.program.name, source, last_words }
    }

    /// It did not answer as expected.
    pub fn fail(&self, asked: &str, why: &dyn Display) -> ServedError {
        ServedError::Answer { program: self.program.name, asked: asked.to_owned(), why: why.to_string() }
    }
}
