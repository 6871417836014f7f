//! Faults: what goes wrong, for whom, from when, for how long.

use std::time::Duration;

use loadline_policies::ids::{ClusterId, Target};
use serde::{Deserialize, Serialize};

/// One fault of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Time since the start of the world.
    #[serde(with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub at: Duration,
    /// How long it stays; what happens at once (a killed pod, a hand on the scale) needs none.
    #[serde(default, with = "jiff::fmt::serde::unsigned_duration::friendly::compact::required")]
    pub lasts: Duration,
    /// `namespace/name` of the workload that it hits; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// Name of the cluster that it hits; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// What goes wrong.
    pub fault: FaultKind,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum FaultKind {
    // Telemetry lies or is silent.
    /// The answer holds series of others, none of this workload.
    MetricsAbsent,
    /// The whole answer is empty.
    MetricsEmpty,
    /// Every value is NaN.
    MetricsNotANumber,
    /// Every value is +Inf.
    MetricsInfinite,
    /// Every value is below zero.
    MetricsNegative,
    /// Nothing is scraped any more: the answers stay as they were and grow old.
    MetricsStale,
    /// The source answers with this HTTP status.
    MetricsHttpError {
        /// For example 500.
        status: u16,
    },
    /// The source is slower than anybody waits.
    MetricsTimeOut,
    /// Nobody listens at the source's address.
    MetricsUnreachable,
    /// The source answers with something else than was asked for.
    MetricsWrongShape,
    /// Some pods are not scraped, so their requests are missing from the sum.
    PodsSilent {
        /// Percent of the ready pods, rounded up.
        percent: u32,
    },
    /// Every value is plausible, and too low: the one lie that nobody can see.
    MetricsLow {
        /// Percent of the truth that is told.
        percent: u32,
    },

    // The world misbehaves.
    /// Pods die at once; their controller replaces them.
    PodKill {
        /// Percent of the pods, rounded up.
        percent: u32,
    },
    /// Nodes are gone, with the pods on them, until the fault ends.
    NodeLoss {
        /// How many.
        nodes: u32,
    },
    /// A new template is rolled out.
    RollOut,
    /// A person sets `spec.replicas`, once.
    ScaleByHand {
        /// To how many.
        to: u32,
    },
    /// Another writer sets `spec.replicas` again and again, every 30 s.
    ScaleFight {
        /// To how many.
        to: u32,
    },
    /// The target does not exist until the fault ends; then it is made again as it was first.
    TargetDeleted,
    /// The API server does not answer: what was seen last stays on show, writes fail.
    ApiDark,
    /// Some writes meet a newer object and are refused.
    ApiConflict {
        /// Percent of the writes.
        percent: u32,
    },
    /// A dependency is slow: answers take longer although no CPU is used.
    ServiceSlow {
        /// What service times are multiplied by.
        factor: f64,
    },
    /// More is asked of the workload.
    LoadSurge {
        /// What the load is multiplied by.
        factor: f64,
    },
}

impl Fault {
    /// Whether it hits this workload in this cluster.
    #[must_use]
    pub fn hits(&self, cluster: &ClusterId, target: &Target) -> bool {
        self.hits_cluster(cluster) && self.workload.as_deref().is_none_or(|w| names(w, target))
    }

    /// Whether it hits this cluster.
    #[must_use]
    pub fn hits_cluster(&self, cluster: &ClusterId) -> bool {
        self.cluster.as_deref().is_none_or(|c| c == cluster.as_str())
    }

    /// When it is over.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.at.saturating_add(self.lasts)
    }
}

/// Whether `namespace/name` is the name of this target.
#[must_use]
pub fn names(workload: &str, target: &Target) -> bool {
    workload.split_once('/') == Some((&*target.namespace, &*target.name))
}

impl FaultKind {
    /// Whether telemetry is hit in a way that a careful reader can see.
    ///
    /// [`FaultKind::MetricsLow`] is not: a plausible lie has no mark.
    #[must_use]
    pub const fn raises_doubt(&self) -> bool {
        matches!(
            self,
            Self::MetricsAbsent
                | Self::MetricsEmpty
                | Self::MetricsNotANumber
                | Self::MetricsInfinite
                | Self::MetricsNegative
                | Self::MetricsStale
                | Self::MetricsHttpError { .. }
                | Self::MetricsTimeOut
                | Self::MetricsUnreachable
                | Self::MetricsWrongShape
                | Self::PodsSilent { .. }
        )
    }

    /// One sentence for a person.
    #[must_use]
    pub fn story(&self) -> String {
        match self {
            Self::MetricsAbsent => "the workload's series vanish from the answers".to_owned(),
            Self::MetricsEmpty => "the telemetry source answers with nothing".to_owned(),
            Self::MetricsNotANumber => "every metric is NaN".to_owned(),
            Self::MetricsInfinite => "every metric is infinite".to_owned(),
            Self::MetricsNegative => "every metric is negative".to_owned(),
            Self::MetricsStale => "nothing is scraped any more".to_owned(),
            Self::MetricsHttpError { status } => format!("the telemetry source answers HTTP {status}"),
            Self::MetricsTimeOut => "the telemetry source does not answer in time".to_owned(),
            Self::MetricsUnreachable => "the telemetry source is gone".to_owned(),
            Self::MetricsWrongShape => "the telemetry source answers something else".to_owned(),
            Self::PodsSilent { percent } => format!("{percent} % of the pods are not scraped"),
            Self::MetricsLow { percent } => format!("the metrics tell only {percent} % of the load"),
            Self::PodKill { percent } => format!("{percent} % of the pods die"),
            Self::NodeLoss { nodes } => format!("{nodes} nodes are lost"),
            Self::RollOut => "a new version is rolled out".to_owned(),
            Self::ScaleByHand { to } => format!("a person scales to {to} by hand"),
            Self::ScaleFight { to } => format!("another writer keeps scaling to {to}"),
            Self::TargetDeleted => "the workload is deleted".to_owned(),
            Self::ApiDark => "the API server does not answer".to_owned(),
            Self::ApiConflict { percent } => format!("{percent} % of the writes meet a conflict"),
            Self::ServiceSlow { factor } => format!("a dependency makes answers {factor} times slower"),
            Self::LoadSurge { factor } => format!("the load is multiplied by {factor}"),
        }
    }
}
