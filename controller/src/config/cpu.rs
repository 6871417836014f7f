//! How the CPU seconds of a profile's workloads are read.

use std::time::Duration;

use super::{
    error::Complaints,
    profile::{Identity, check_metric, join, resolve_identity},
    raw::{RawCpu, RawDefaultMatch, RawIdentity},
};

/// A counter of CPU seconds, and which workload a series of it belongs to. It comes from the nodes and not from the
/// workload's own telemetry, so it has labels of its own.
#[derive(Debug, Clone)]
pub struct CpuCounter {
    /// Its name.
    pub metric: String,
    /// Label matchers, comma separated; empty for none.
    pub matchers: String,
    /// Which workload a series belongs to; `namespace` is always there, and `replica` tells the pods apart.
    pub identity: Identity,
    /// How often it is scraped, where that is less often than the source's other targets.
    pub scrape_interval: Option<Duration>,
}

impl CpuCounter {
    pub(super) fn resolve(raw: RawCpu, field: &str, complaints: &mut Complaints) -> Self {
        let RawCpu { metric, matchers, scrape_interval, namespace, pod, workload, replica } = raw;
        check_metric(&metric, field, complaints);
        let matchers = join(&[], &matchers, &metric, field, complaints);
        if pod.is_some() == workload.is_some() {
            complaints.add(
                field,
                "needs one of `pod` and `workload`".into(),
                "write the label with the pod's name, or where the workload's name stands",
            );
        }
        if workload.is_some() && replica.is_none() {
            complaints.add(
                format!("{field}.replica"),
                "nothing tells the pods of a workload apart, so nobody knows how many of them are counted"
                    .into(),
                "name the label with the pod's name",
            );
        }
        let default = if workload.is_some() { RawDefaultMatch::Workload } else { RawDefaultMatch::Pod };
        let identity = RawIdentity {
            default,
            namespace: Some(namespace),
            any_namespace: false,
            // One complaint about a missing pod is enough.
            pod: if workload.is_some() { pod } else { Some(pod.unwrap_or_else(|| "pod".to_owned())) },
            workload,
            route: None,
            service: None,
            labels: Vec::new(),
            replica,
            endpoint: None,
        };
        Self {
            metric,
            matchers,
            identity: resolve_identity(identity, field, complaints),
            scrape_interval: scrape_interval.map(|d| d.0),
        }
    }
}
