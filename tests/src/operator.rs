//! The real operator as a process: `loadline run` against a cluster of the rig, with its log in a file.
//!
//! The binary is the one that `LOADLINE_BIN` names, else `loadline` beside the running test
//! (`cargo build --package loadline` puts it there).

use std::{env, path::PathBuf, sync::MutexGuard, time::Duration};

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::ObjectMeta};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, ClusterError},
    process::Process,
    prometheus::Prometheus,
    served::{Place, Program, Served, ServedError},
};

/// The namespace of the operator and its lease.
pub const NAMESPACE: &str = "loadline-system";

/// How an operator is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name as a pod, which is its name as a holder of the lease.
    pub pod: String,
    /// Its configuration, YAML.
    pub config: String,
    /// Its kubeconfig where it is not the cluster's own: that of a proxy, or of a service account.
    pub kubeconfig: Option<PathBuf>,
    /// Further arguments.
    pub arguments: Vec<String>,
}

impl Options {
    /// An operator that reads load from this Prometheus, which scrapes so often, and ticks every `sync`.
    #[must_use]
    pub fn reading(prometheus: &Prometheus, scrape_interval: Duration, sync: Duration) -> Self {
        Self::reading_at(&prometheus.url(), scrape_interval, sync)
    }

    /// The same, of a Prometheus at another address: behind a proxy.
    #[must_use]
    pub fn reading_at(url: &str, scrape_interval: Duration, sync: Duration) -> Self {
        let ms = |d: Duration| format!("{}ms", d.as_millis());
        let source = json!({ "name": "rig", "url": url, "scrapeInterval": ms(scrape_interval) });
        // JSON is YAML.
        let config = json!({ "sync": ms(sync), "sources": [source] }).to_string();
        Self { pod: "loadline-0".to_owned(), config, kubeconfig: None, arguments: Vec::new() }
    }
}

/// A running operator; ends when dropped.
#[derive(Debug)]
pub struct Operator {
    served: Served,
}

/// What went wrong with an operator.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// It is not built.
    #[error(
        "no loadline binary: LOADLINE_BIN names none, and there is none at {searched}; build it with: cargo \
         build --package loadline"
    )]
    NotBuilt {
        /// Where it was looked for.
        searched: String,
    },
    /// Its cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// It does not run, or does not answer.
    #[error(transparent)]
    Served(#[from] ServedError),
}

impl Operator {
    /// Starts one against a cluster, whose CRDs must be installed, and waits until it answers `/healthz`.
    ///
    /// # Errors
    /// When it is not built or does not start.
    pub async fn start(cluster: &Cluster, options: Options) -> Result<Self, OperatorError> {
        let binary = binary()?;
        let metadata = ObjectMeta { name: Some(NAMESPACE.to_owned()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        cluster.apply(&Api::all(cluster.client().await?), &namespace).await?;
        let kubeconfig = options.kubeconfig.unwrap_or_else(|| cluster.kubeconfig().to_owned());
        let place = Place::new(&options.pod)?;
        let config = place.write("config.yaml", &options.config)?;
        let arguments = [
            "run".to_owned(),
            format!("--config={}", config.display()),
            format!("--listen=127.0.0.1:{}", place.port()),
        ];
        let program = Program {
            name: "loadline",
            binary,
            arguments: arguments.into_iter().chain(options.arguments).collect(),
            environment: vec![
                ("KUBECONFIG", kubeconfig.into()),
                ("POD_NAME", options.pod.into()),
                ("POD_NAMESPACE", NAMESPACE.into()),
            ],
            up: "/healthz",
        };
        Ok(Self { served: Served::start(place, program).await? })
    }

    /// Where it serves `/metrics` and `/debug/plan`.
    #[must_use]
    pub fn url(&self) -> String {
        self.served.url()
    }

    /// Its process: pause, resume or kill it; its log.
    ///
    /// # Panics
    /// Never: a poisoned lock is taken as it is.
    pub fn process(&self) -> MutexGuard<'_, Process> {
        self.served.process()
    }

    /// Starts it again after it ended, as the kubelet would, with the same name.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&self) -> Result<(), OperatorError> {
        Ok(self.served.restart().await?)
    }

    /// Waits until it says that it is ready: its caches are filled.
    ///
    /// # Errors
    /// When it is not in 30 s.
    pub async fn wait_ready(&self) -> Result<(), OperatorError> {
        Ok(self.served.wait_for("/readyz").await?)
    }

    /// What it answers to a path.
    ///
    /// # Errors
    /// When it does not answer with success.
    pub async fn get(&self, path: &str) -> Result<String, OperatorError> {
        Ok(self.served.get(path).await?)
    }

    /// Its last plan, from `/debug/plan`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn plan(&self) -> Result<Value, OperatorError> {
        let text = self.get("/debug/plan").await?;
        Ok(serde_json::from_str(&text).map_err(|e| self.served.fail("/debug/plan", &e))?)
    }

    /// The sum of a metric's series whose line contains all of `labels`; `None` when there is no such series.
    ///
    /// # Errors
    /// When `/metrics` is not answered.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<Option<f64>, OperatorError> {
        let text = self.get("/metrics").await?;
        Ok(sum(&text, name, labels))
    }
}

/// The operator's binary.
///
/// # Errors
/// When there is none: says how to build it.
pub fn binary() -> Result<PathBuf, OperatorError> {
    let named = env::var_os("LOADLINE_BIN").filter(|v| !v.is_empty()).map(PathBuf::from);
    let folders = env::current_exe().unwrap_or_default();
    // A test lies in target/PROFILE/deps, the rig's own binary in target/PROFILE.
    let beside = folders.ancestors().skip(1).take(2).map(|folder| folder.join("loadline"));
    let places: Vec<PathBuf> = named.map_or_else(|| beside.collect(), |path| vec![path]);
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let searched = places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" or ");
        OperatorError::NotBuilt { searched }
    })
}

/// The sum over the series of one metric in Prometheus' text format whose line contains all of `labels`.
pub(crate) fn sum(text: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let (series, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once('}')?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let chosen = labels.iter().all(|label| series.contains(label));
        chosen.then(|| value.split_whitespace().next()?.parse::<f64>().ok()).flatten()
    };
    text.lines().filter_map(of).fold(None, |total, value| Some(total.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_the_series_that_are_asked_for() {
        let text = "# TYPE writes counter\nwrites_total{kind=\"scale\",ok=\"true\"} 3\n\
                    writes_total{kind=\"status\",ok=\"true\"} 4\nwrites_total_created 9\nup 1\n";
        assert_eq!(sum(text, "writes_total", &[]), Some(7.0));
        assert_eq!(sum(text, "writes_total", &["kind=\"scale\""]), Some(3.0));
        assert_eq!(sum(text, "writes_total", &["kind=\"none\""]), None);
        assert_eq!(sum(text, "up", &[]), Some(1.0));
    }

    #[test]
    fn a_missing_binary_says_how_to_build_it() {
        let message = OperatorError::NotBuilt { searched: "target/debug/loadline".into() }.to_string();
        assert!(message.contains("cargo build --package loadline"), "{message}");
    }
}
