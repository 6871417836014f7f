//! A real Prometheus, started by the test and ended with it.

use std::{
    fmt::Write,
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// One target to scrape.
pub(crate) struct Target<'a> {
    /// Name of the exporter.
    pub(crate) exporter: &'a str,
    /// Labels that service discovery would give it.
    pub(crate) labels: &'a [(&'a str, &'a str)],
}

/// A running Prometheus.
pub(crate) struct Prometheus {
    pub(crate) port: u16,
    child: Child,
    _dir: TempDir,
}

impl Prometheus {
    /// Starts it, scraping every second, and waits until it is ready.
    pub(crate) async fn start(exporters: u16, targets: &[Target<'_>]) -> Self {
        Self::start_with(exporters, targets, "").await
    }

    /// As [`Self::start`], with more of the configuration file.
    pub(crate) async fn start_with(exporters: u16, targets: &[Target<'_>], more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("prometheus.yml");
        fs::write(&config, configuration(exporters, targets) + more).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error")
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| {
                panic!(
                    "cannot start `prometheus`: {e}. These tests need a real one in PATH: \
                     `apt-get install prometheus`, or https://prometheus.io/download/"
                )
            });
        let server = Self { port, child, _dir: dir };
        server.wait_ready().await;
        server
    }

    async fn wait_ready(&self) {
        drop(rustls::crypto::ring::default_provider().install_default());
        let url = format!("http://127.0.0.1:{}/-/ready", self.port);
        let client = reqwest::Client::builder().tls_certs_only([]).build().unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        while !client.get(&url).send().await.is_ok_and(|r| r.status().is_success()) {
            assert!(Instant::now() < deadline, "Prometheus is not ready after a minute");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops it from answering, as a machine that hangs does.
    pub(crate) fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn configuration(port: u16, targets: &[Target<'_>]) -> String {
    let mut text = "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n".to_owned();
    for (i, target) in targets.iter().enumerate() {
        let labels = serde_json::to_string(
            &target.labels.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        )
        .unwrap();
        write!(
            text,
            "- job_name: j{i}\n  honor_labels: true\n  metrics_path: /metrics/{}\n  static_configs: [{{targets: ['127.0.0.1:{port}'], labels: {labels}}}]\n",
            target.exporter
        )
        .unwrap();
    }
    text
}
