//! A real Prometheus with a generated configuration, which can be reloaded, paused, killed and started again.

use std::{collections::BTreeMap, fmt::Display, sync::MutexGuard, time::Duration};

use serde_json::{Value, json};

use crate::{
    binaries::{BinaryError, Packaged},
    process::Process,
    recording::Recording,
    served::{Place, Program, STEP, Served, ServedError},
    wait::until,
};

/// The file of its configuration.
const CONFIG: &str = "prometheus.yml";

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
    /// What it has recorded before its start.
    pub recording: Recording,
}

impl Options {
    /// Scrapes these every `scrape_interval`.
    #[must_use]
    pub fn scraping(scrape_interval: Duration, targets: impl IntoIterator<Item = Target>) -> Self {
        Self {
            scrape_interval,
            targets: targets.into_iter().collect(),
            rules: None,
            alertmanager: None,
            recording: Recording::default(),
        }
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
    served: Served,
}

/// What went wrong with a Prometheus.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// It is not installed.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// It does not run, or does not answer.
    #[error(transparent)]
    Served(#[from] ServedError),
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
        let binary = Packaged::Prometheus.get()?;
        let place = Place::new("prometheus")?;
        configure(&place, options)?;
        let data = place.path().join("data");
        if !options.recording.is_empty() {
            options.recording.make_blocks(&place, &data)?;
        }
        let arguments = [
            format!("--config.file={}", place.path().join(CONFIG).display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{}", place.port()),
        ];
        let settings = ["--web.enable-lifecycle", "--storage.tsdb.retention.time=30d", "--log.level=warn"];
        let arguments = arguments.into_iter().chain(settings.map(str::to_owned)).collect();
        let program =
            Program { name: "prometheus", binary, arguments, environment: Vec::new(), up: "/-/ready" };
        Ok(Self { served: Served::start(place, program).await? })
    }

    /// Where it listens, on localhost.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.served.place().port()
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> String {
        self.served.url()
    }

    /// Its process: pause, resume or kill it.
    ///
    /// # Panics
    /// Never: a poisoned lock is taken as it is.
    pub fn process(&self) -> MutexGuard<'_, Process> {
        self.served.process()
    }

    /// Starts it again after it was killed, with the same data, on the same port.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn restart(&self) -> Result<(), PrometheusError> {
        Ok(self.served.restart().await?)
    }

    /// Changes what it does, without a restart.
    ///
    /// # Errors
    /// When it refuses the new configuration.
    pub async fn reload(&self, options: &Options) -> Result<(), PrometheusError> {
        configure(self.served.place(), options)?;
        let url = format!("{}/-/reload", self.url());
        until("Prometheus to take its configuration", STEP, || async {
            let answer = self.served.http().post(&url).send().await.map_err(|e| e.to_string())?;
            answer.error_for_status().map(drop).map_err(|e| e.to_string())
        })
        .await
        .map_err(|source| self.served.not_ready(source))?;
        Ok(())
    }

    /// Asks it an instant query that gives a vector.
    ///
    /// # Errors
    /// When it does not answer with one.
    pub async fn query(&self, query: &str) -> Result<Vec<Sample>, PrometheusError> {
        let fail = |why: &dyn Display| self.served.fail(query, why);
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/query", self.url())).map_err(|e| fail(&e))?;
        url.query_pairs_mut().append_pair("query", query);
        let answer = self.served.http().get(url).timeout(STEP).send().await.map_err(|e| fail(&e))?;
        let answer: Value = answer.json().await.map_err(|e| fail(&e))?;
        Ok(samples(&answer).ok_or_else(|| fail(&answer))?)
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
                Err(self.served.fail(query, &why).into())
            }
        }
    }
}

/// Writes the configuration; it is YAML, of which JSON is a part.
fn configure(place: &Place, options: &Options) -> Result<(), ServedError> {
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
        place.write("rules.yml", rules)?;
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
    place.write(CONFIG, &config.to_string())?;
    Ok(())
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
