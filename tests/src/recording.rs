//! A past for a Prometheus: samples of days that nobody scraped, made into blocks by promtool.
//!
//! The requests are those of a pod of its own, so that the counters of the emulator's pods go on without a reset.

use std::{fmt::Write as _, path::Path, process::Command, time::Duration};

use jiff::Timestamp;

use crate::{
    binaries::Packaged,
    emulator::Workload,
    prometheus::PrometheusError,
    served::{Place, ServedError},
};

/// How often the pods of the past were scraped.
const SCRAPE: Duration = Duration::from_secs(15);

/// Samples in the order in which they were recorded.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    text: String,
}

impl Recording {
    /// Adds the offered requests of a workload (a Deployment) between two times, at `rate` per second of the Unix time.
    #[must_use]
    pub fn requests(
        mut self,
        workload: &Workload,
        from: Timestamp,
        until: Timestamp,
        rate: impl Fn(i64) -> f64,
    ) -> Self {
        let Workload { cluster, namespace, name } = workload;
        let labels = format!(
            "cluster=\"{cluster}\",k8s_namespace_name=\"{namespace}\",k8s_deployment_name=\"{name}\",\
             k8s_pod_name=\"{name}-past\""
        );
        let every = SCRAPE.as_secs_f64();
        let mut count = 0.0;
        let step = usize::try_from(SCRAPE.as_secs()).unwrap_or(1);
        for second in (from.as_second()..until.as_second()).step_by(step) {
            count += rate(second).max(0.0) * every;
            // Writing to a String does not fail.
            let _ = writeln!(
                self.text,
                "http_server_request_duration_seconds_count{{{labels}}} {count:.3} {second}"
            );
        }
        self
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Makes blocks of it in the folder of a Prometheus that does not run yet.
    pub(crate) fn make_blocks(&self, place: &Place, data: &Path) -> Result<(), PrometheusError> {
        let binary = Packaged::Promtool.get()?;
        let file = place.write("recording.om", &format!("{}# EOF\n", self.text))?;
        let output = Command::new(binary)
            .args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"])
            .args([&file, data])
            .output();
        let fail =
            |why: String| ServedError::Answer { program: "promtool", asked: file.display().to_string(), why };
        let output = output.map_err(|e| fail(e.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(fail(String::from_utf8_lossy(&output.stderr).into_owned()).into())
    }
}
