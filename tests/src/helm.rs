//! Helm and the project's chart: lint, render, install, upgrade, uninstall.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde::Deserialize as _;
use serde_yaml::Value;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    binaries::{BinaryError, Tool},
    cluster::Cluster,
};

/// What `helm template` takes for the cluster's version; an installation asks the cluster.
const KUBE_VERSION: &str = "1.36.3";

/// The values that the chart cannot do without.
pub const NEEDED: [&str; 1] = ["image.repository=example.invalid/loadline"];

/// Helm, with the chart and perhaps a cluster.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    kubectl: PathBuf,
    chart: PathBuf,
    values: Option<PathBuf>,
    kubeconfig: Option<PathBuf>,
}

/// A command that did not go well.
#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    /// Helm or kubectl is missing.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// It cannot be run.
    #[error("cannot run {program}: {source}")]
    Run {
        /// Which program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It refuses.
    #[error("{command}: {said}")]
    Refused {
        /// What was asked.
        command: String,
        /// What it said.
        said: String,
    },
    /// What it printed is not YAML.
    #[error("the chart renders something that is not YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
}

/// The project's chart.
#[must_use]
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/loadline")
}

impl Helm {
    /// Helm with the project's chart, without a cluster.
    ///
    /// # Errors
    /// When Helm or kubectl cannot be had.
    pub fn offline() -> Result<Self, HelmError> {
        let progress = |line: &str| tracing::info!("{line}");
        let (program, kubectl) = (Tool::Helm.get(&progress)?.path, Tool::Kubectl.get(&progress)?.path);
        Ok(Self { program, kubectl, chart: chart(), values: None, kubeconfig: None })
    }

    /// Helm with the project's chart on a cluster, as its administrator.
    ///
    /// # Errors
    /// When Helm or kubectl cannot be had.
    pub fn on(cluster: &Cluster) -> Result<Self, HelmError> {
        Ok(Self { kubeconfig: Some(cluster.kubeconfig().to_owned()), ..Self::offline()? })
    }

    /// The same with another chart.
    #[must_use]
    pub fn chart(&self, chart: &Path) -> Self {
        Self { chart: chart.to_owned(), ..self.clone() }
    }

    /// The same with a file of values.
    #[must_use]
    pub fn values(&self, file: &Path) -> Self {
        Self { values: Some(file.to_owned()), ..self.clone() }
    }

    /// `helm lint --strict`.
    ///
    /// # Errors
    /// What lint complains of.
    pub async fn lint(&self, sets: &[&str]) -> Result<String, HelmError> {
        self.helm(&["lint", "--strict"], &[], sets).await
    }

    /// The text that `helm template` prints.
    ///
    /// # Errors
    /// What Helm complains of.
    pub async fn render(&self, namespace: &str, sets: &[&str]) -> Result<String, HelmError> {
        let options = ["--namespace", namespace, "--kube-version", KUBE_VERSION];
        self.helm(&["template", "loadline"], &options, sets).await
    }

    /// The objects that `helm template` prints.
    ///
    /// # Errors
    /// What Helm complains of.
    pub async fn objects(&self, namespace: &str, sets: &[&str]) -> Result<Vec<Value>, HelmError> {
        let text = self.render(namespace, sets).await?;
        let all: Result<Vec<_>, _> =
            serde_yaml::Deserializer::from_str(&text).map(Value::deserialize).collect();
        Ok(all?.into_iter().filter(|v| !v.is_null()).collect())
    }

    /// `helm install`, which gives the notes.
    ///
    /// # Errors
    /// What Helm or the API server complains of.
    pub async fn install(&self, namespace: &str, sets: &[&str]) -> Result<String, HelmError> {
        self.helm(&["install", "loadline"], &["--namespace", namespace, "--create-namespace"], sets).await
    }

    /// `helm upgrade`, which gives the notes.
    ///
    /// # Errors
    /// What Helm or the API server complains of.
    pub async fn upgrade(&self, namespace: &str, sets: &[&str]) -> Result<String, HelmError> {
        self.helm(&["upgrade", "loadline"], &["--namespace", namespace], sets).await
    }

    /// `helm uninstall`.
    ///
    /// # Errors
    /// What Helm or the API server complains of.
    pub async fn uninstall(&self, namespace: &str) -> Result<String, HelmError> {
        let args = ["uninstall", "loadline", "--namespace", namespace, "--wait"].map(str::to_owned);
        run(&self.program, self.kubeconfig.as_deref(), &args, "").await
    }

    /// `kubectl` with this on its standard input.
    ///
    /// # Errors
    /// What kubectl or the API server complains of.
    pub async fn kubectl(&self, args: &[&str], input: &str) -> Result<String, HelmError> {
        let args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
        run(&self.kubectl, self.kubeconfig.as_deref(), &args, input).await
    }

    async fn helm(&self, verb: &[&str], options: &[&str], sets: &[&str]) -> Result<String, HelmError> {
        let chart = self.chart.display().to_string();
        let mut args: Vec<String> = verb.iter().map(|&v| v.to_owned()).collect();
        args.push(chart);
        args.extend(options.iter().map(|&o| o.to_owned()));
        args.extend(self.values.iter().map(|file| format!("--values={}", file.display())));
        args.extend(sets.iter().flat_map(|&s| ["--set".to_owned(), s.to_owned()]));
        run(&self.program, self.kubeconfig.as_deref(), &args, "").await
    }
}

/// Runs a program to its end; its standard output, or all that it said when it fails.
async fn run(
    program: &Path,
    kubeconfig: Option<&Path>,
    args: &[String],
    input: &str,
) -> Result<String, HelmError> {
    let failed = |source| HelmError::Run { program: program.display().to_string(), source };
    let mut command = Command::new(program);
    // Nothing of the person who runs the tests: neither their cluster nor their repositories.
    command.args(args).env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")));
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, env::temp_dir().join("loadline-helm"));
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it has read all says why on its own.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let said = format!("{out}{}", String::from_utf8_lossy(&output.stderr));
    Err(HelmError::Refused { command: format!("{name} {}", args.join(" ")), said })
}
