//! A real Prometheus with a generated configuration, which can be reloaded, paused, killed and started again.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    binaries::{BinaryError, Packaged},
    ports::{Ports, PortsError},
    process::{Process, ProcessError},
    run_dir::{RunDir, RunDirError},
    wait::{NotInTime, until},
};

/// The most that a start or a reload may take.
const STEP: Duration = Duration::from_secs(30);

/// What a Prometheus is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often it scrapes, and evaluates rules; at least a second.
    pub scrape_interval: Duration,
    /// What it scrapes.
    pub targets: Vec<Target>,
    /// Rule groups as YAML, if any.
    pub rules: Option<String>,
    /// Port of an Alertmanager on localhost, if any.
    pub alertmanager: Option<u16>,
}

impl Options {
    /// Scrapes these every `scrape_interval`.
    #[must_use]
    pub fn scraping(scrape_interval: Duration, targets: impl IntoIterator<Item = Target>) -> Self {
        Self { scrape_interval, targets: targets.into_iter().collect(), rules: None, alertmanager: None }
    }
}

/// Something to scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name of the job.
    pub job: String,
    /// Port on localhost.
    pub port: u16,
    /// Labels that all of its series get; a series' own win, as with an OpenTelemetry collector.
    pub labels: BTreeMap<String, String>,
}

impl Target {
    /// A target without labels of its own.
    #[must_use]
    pub fn new(job: &str, port: u16) -> Self {
        Self { job: job.to_owned(), port, labels: BTreeMap::new() }
    }
}

/// A running Prometheus; ends when dropped.
#[derive(Debug)]
pub struct Prometheus {
    binary: PathBuf,
    port: u16,
    http: reqwest::Client,
    process: Mutex<Process>,
    _ports: Ports,
    run: RunDir,
}

/// What went wrong with a Prometheus.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
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
    #[error("cannot write Prometheus' configuration {path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not ready in time.
    #[error("Prometheus: {source}; its last words: {last_words}")]
    NotReady {
        /// What was waited for.
        source: NotInTime,
        /// The end of its log.
        last_words: String,
    },
    /// A query.
    #[error("Prometheus does not answer {query}: {why}")]
    Query {
        /// The query.
        query: String,
        /// Why.
        why: String,
    },
}

/// One sample of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Prometheus {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// When it is not installed or does not become ready.
    pub async fn start(options: &Options) -> Result<Self, PrometheusError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let binary = Packaged::Prometheus.get()?;
        let run = RunDir::new("prometheus")?;
        let mut ports = Ports::take()?;
        let port = ports.give()?;
        configure(&run, options)?;
        let process = Mutex::new(Process::spawn(&run, "prometheus", command(&binary, &run, port))?);
        let prometheus = Self { binary, port, http: reqwest::Client::new(), process, _ports: ports, run };
        prometheus.wait_ready().await?;
        Ok(prometheus)
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

    /// Its process: pause, resume or kill it.
    ///
    /// # Panics
    /// Never: a poisoned lock is taken as it is.
    pub fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it again after it was killed, with the same data, on the same port.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&self) -> Result<(), PrometheusError> {
        self.process().kill()?;
        let process = Process::spawn(&self.run, "prometheus", command(&self.binary, &self.run, self.port))?;
        *self.process() = process;
        self.wait_ready().await
    }

    /// Changes what it does, without a restart.
    ///
    /// # Errors
    /// When it refuses the new configuration.
    pub async fn reload(&self, options: &Options) -> Result<(), PrometheusError> {
        configure(&self.run, options)?;
        let url = format!("{}/-/reload", self.url());
        until("Prometheus to take its configuration", STEP, || async {
            let answer = self.http.post(&url).send().await.map_err(|e| e.to_string())?;
            answer.error_for_status().map(drop).map_err(|e| e.to_string())
        })
        .await
        .map_err(|source| self.not_ready(source))
    }

    /// Asks it an instant query that gives a vector.
    ///
    /// # Errors
    /// When it does not answer with one.
    pub async fn query(&self, query: &str) -> Result<Vec<Sample>, PrometheusError> {
        let fail = |why: String| PrometheusError::Query { query: query.to_owned(), why };
        let mut url =
            reqwest::Url::parse(&format!("{}/api/v1/query", self.url())).map_err(|e| fail(e.to_string()))?;
        url.query_pairs_mut().append_pair("query", query);
        let answer = self.http.get(url).timeout(STEP).send().await.map_err(|e| fail(e.to_string()))?;
        let answer: Value = answer.json().await.map_err(|e| fail(e.to_string()))?;
        samples(&answer).ok_or_else(|| fail(answer.to_string()))
    }

    /// The value of a query that gives one sample.
    ///
    /// # Errors
    /// When it gives none or several.
    pub async fn value(&self, query: &str) -> Result<f64, PrometheusError> {
        match self.query(query).await?.as_slice() {
            [one] => Ok(one.value),
            other => {
                let why = format!("{} samples where one is expected", other.len());
                Err(PrometheusError::Query { query: query.to_owned(), why })
            }
        }
    }

    async fn wait_ready(&self) -> Result<(), PrometheusError> {
        let url = format!("{}/-/ready", self.url());
        until("Prometheus to be ready", STEP, || async {
            let answer = self.http.get(&url).send().await.map_err(|e| e.to_string())?;
            answer.error_for_status().map(drop).map_err(|e| e.to_string())
        })
        .await
        .map_err(|source| self.not_ready(source))
    }

    fn not_ready(&self, source: NotInTime) -> PrometheusError {
        let output = self.process().output();
        let last_words = output.lines().last().unwrap_or("none").to_owned();
        PrometheusError::NotReady { source, last_words }
    }
}

fn command(binary: &PathBuf, run: &RunDir, port: u16) -> Command {
    let mut command = Command::new(binary);
    command
        .arg(format!("--config.file={}", run.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", run.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .args(["--web.enable-lifecycle", "--storage.tsdb.retention.time=1d", "--log.level=warn"]);
    command
}

/// Writes the configuration; it is YAML, of which JSON is a part.
fn configure(run: &RunDir, options: &Options) -> Result<(), PrometheusError> {
    let write = |name: &str, text: &str| {
        let path = run.path().join(name);
        fs::write(&path, text).map_err(|source| PrometheusError::Config { path, source })
    };
    let interval = format!("{}ms", options.scrape_interval.as_millis().max(100));
    let jobs: Vec<Value> = options
        .targets
        .iter()
        .map(|target| {
            json!({
                "job_name": target.job,
                // The series' own labels are those of the pods, as behind an OpenTelemetry collector.
                "honor_labels": true,
                "static_configs": [{
                    "targets": [format!("127.0.0.1:{}", target.port)],
                    "labels": target.labels,
                }],
            })
        })
        .collect();
    let mut rule_files = Vec::new();
    if let Some(rules) = &options.rules {
        write("rules.yml", rules)?;
        rule_files.push("rules.yml");
    }
    let alertmanagers: Vec<Value> = options
        .alertmanager
        .iter()
        .map(|port| json!({ "static_configs": [{ "targets": [format!("127.0.0.1:{port}")] }] }))
        .collect();
    let config = json!({
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "scrape_configs": jobs,
        "rule_files": rule_files,
        "alerting": { "alertmanagers": alertmanagers },
    });
    write("prometheus.yml", &config.to_string())
}

/// The samples of an answer to an instant query.
fn samples(answer: &Value) -> Option<Vec<Sample>> {
    let one = |sample: &Value| {
        let labels = sample.get("metric")?.as_object()?;
        let labels = labels.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect();
        let value = sample.get("value")?.get(1)?.as_str()?.parse().ok()?;
        Some(Sample { labels, value })
    };
    answer.pointer("/data/result")?.as_array()?.iter().map(one).collect()
}
