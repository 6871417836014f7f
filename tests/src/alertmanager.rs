//! A real Alertmanager that sends every alert to one webhook, or to nobody.

use std::{fs, io, path::PathBuf, process::Command, time::Duration};

use serde_json::json;

use crate::{
    binaries::{BinaryError, Packaged},
    ports::{Ports, PortsError},
    process::{Process, ProcessError},
    run_dir::{RunDir, RunDirError},
    wait::{NotInTime, until},
};

/// A running Alertmanager; ends when dropped.
#[derive(Debug)]
pub struct Alertmanager {
    port: u16,
    process: Process,
    _ports: Ports,
    _run: RunDir,
}

/// What went wrong with an Alertmanager.
#[derive(Debug, thiserror::Error)]
pub enum AlertmanagerError {
    /// It is not installed.
    #[error(transparent)]
    Binary(#[from] BinaryError),
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
    #[error("cannot write Alertmanager's configuration {path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not ready in time.
    #[error("Alertmanager: {0}")]
    NotReady(#[from] NotInTime),
}

impl Alertmanager {
    /// Starts one and waits until it is ready. Alerts are grouped by name, and sent after a second.
    ///
    /// # Errors
    /// When it is not installed or does not become ready.
    pub async fn start(webhook: Option<&str>) -> Result<Self, AlertmanagerError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let binary = Packaged::Alertmanager.get()?;
        let run = RunDir::new("alertmanager")?;
        let mut ports = Ports::take()?;
        let port = ports.give()?;
        let hooks: Vec<_> = webhook.iter().map(|url| json!({ "url": url })).collect();
        let config = json!({
            "route": {
                "receiver": "all", "group_by": ["alertname"],
                "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1h",
            },
            "receivers": [{ "name": "all", "webhook_configs": hooks }],
        });
        let path = run.path().join("alertmanager.yml");
        fs::write(&path, config.to_string())
            .map_err(|source| AlertmanagerError::Config { path: path.clone(), source })?;
        let mut command = Command::new(binary);
        command
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.path={}", run.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            // Alone: no gossip port.
            .arg("--cluster.listen-address=");
        let process = Process::spawn(&run, "alertmanager", command)?;
        let http = reqwest::Client::new();
        let url = format!("http://127.0.0.1:{port}/-/ready");
        until("Alertmanager to be ready", Duration::from_secs(30), || async {
            let answer = http.get(&url).send().await.map_err(|e| e.to_string())?;
            answer.error_for_status().map(drop).map_err(|e| e.to_string())
        })
        .await?;
        Ok(Self { port, process, _ports: ports, _run: run })
    }

    /// Where it listens, on localhost.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}
