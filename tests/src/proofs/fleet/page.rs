//! The operator's metrics at one moment.

use crate::operator::sum;

/// What `/metrics` answered.
#[derive(Debug)]
pub(super) struct Page(String);

/// What changes something.
const WRITES: [&str; 4] = ["create", "update", "patch", "delete"];

impl Page {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The sum of the series of a metric whose labels contain all of these; 0 when there is none.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        sum(&self.0, name, labels).unwrap_or(0.0)
    }

    /// Ticks since the start of the operator.
    pub(super) fn ticks(&self) -> f64 {
        self.sum("loadline_ticks_total", &[])
    }

    /// Queries since the start.
    pub(super) fn queries(&self) -> f64 {
        self.sum("loadline_telemetry_queries_total", &[])
    }

    /// Queries of the last tick.
    pub(super) fn queries_of_a_tick(&self) -> f64 {
        self.sum("loadline_telemetry_queries_per_tick", &[])
    }

    /// Scale writes that were done.
    pub(super) fn scaled(&self) -> f64 {
        self.sum("loadline_actions_total", &["outcome=\"done\""])
    }

    /// Policies of which a condition is True.
    pub(super) fn policies_with(&self, condition: &str) -> f64 {
        self.sum("loadline_policy_conditions", &[&format!("condition=\"{condition}\""), "status=\"True\""])
    }

    /// Calls that change something, other than the lease.
    pub(super) fn writes(&self) -> f64 {
        let calls = |labels: &[&str]| self.sum("loadline_api_calls_total", labels);
        let of = |verb: &&str| {
            let verb = format!("verb=\"{verb}\"");
            calls(&[verb.as_str()]) - calls(&[verb.as_str(), "resource=\"leases\""])
        };
        WRITES.iter().map(of).sum()
    }

    /// Milliseconds that a step of a tick took on average since an earlier page; `NaN` without a tick between.
    pub(super) fn step_since(&self, before: &Self, step: &str) -> f64 {
        let label = format!("step=\"{step}\"");
        let of = |part: &str| {
            let name = format!("loadline_tick_step_duration_seconds_{part}");
            self.sum(&name, &[&label]) - before.sum(&name, &[&label])
        };
        1e3 * of("sum") / of("count")
    }

    /// The least bound in seconds that so large a share of the decisions since an earlier page kept, from the
    /// telemetry's answer to the write sent; `NaN` without a decision.
    pub(super) fn lag_since(&self, before: &Self, share: f64) -> f64 {
        let name = "loadline_decision_lag_seconds";
        let count = |part: &str, labels: &[&str]| {
            let name = format!("{name}_{part}");
            self.sum(&name, labels) - before.sum(&name, labels)
        };
        let all = count("count", &[]);
        let bucket = format!("{name}_bucket{{le=\"");
        let bounds = self.0.lines().filter_map(|line| line.strip_prefix(&bucket)?.split_once('"'));
        let kept = |le: &str| count("bucket", &[&format!("le=\"{le}\"")]) >= share * all;
        let bound = bounds.map(|(le, _)| le).find(|le| all > 0.0 && kept(le));
        bound.and_then(|le| le.parse().ok()).unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page::new(text.to_owned())
    }

    #[test]
    fn the_lease_is_no_write_and_a_watch_neither() {
        let page = page(
            "loadline_api_calls_total{verb=\"update\",resource=\"leases\",code=\"200\"} 9\n\
             loadline_api_calls_total{verb=\"update\",resource=\"deployments/scale\",code=\"200\"} 3\n\
             loadline_api_calls_total{verb=\"create\",resource=\"events\",code=\"201\"} 2\n\
             loadline_api_calls_total{verb=\"watch\",resource=\"deployments\",code=\"200\"} 5\n",
        );
        assert!((page.writes() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn the_lag_is_the_bound_that_the_share_kept() {
        let lag = |a: u32, b: u32, all: u32| {
            page(&format!(
                "loadline_decision_lag_seconds_sum 1\nloadline_decision_lag_seconds_count {all}\n\
                 loadline_decision_lag_seconds_bucket{{le=\"0.1\"}} {a}\n\
                 loadline_decision_lag_seconds_bucket{{le=\"0.5\"}} {b}\n\
                 loadline_decision_lag_seconds_bucket{{le=\"+Inf\"}} {all}\n"
            ))
        };
        let (before, after) = (lag(0, 5, 5), lag(60, 105, 105));
        assert!((after.lag_since(&before, 0.5) - 0.1).abs() < 1e-9);
        assert!((after.lag_since(&before, 0.99) - 0.5).abs() < 1e-9);
        assert!(before.lag_since(&before, 0.5).is_nan());
    }

    #[test]
    fn a_step_is_told_by_its_mean() {
        let at = |sum: f64, count: u32| {
            page(&format!(
                "loadline_tick_step_duration_seconds_sum{{step=\"tick\"}} {sum}\n\
                 loadline_tick_step_duration_seconds_count{{step=\"tick\"}} {count}\n"
            ))
        };
        assert!((at(1.5, 7).step_since(&at(0.5, 2), "tick") - 200.0).abs() < 1e-9);
    }
}
