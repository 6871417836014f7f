//! What one replica of each policy bears, and how sure that is.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, AtomicU64},
};

use loadline_policies::{
    capacity::{Known, Source},
    plan::Decision,
};
use prometheus_client::{encoding::EncodeLabelSet, registry::Registry};

use super::{Changing, Of, each};

/// Where the capacity comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct From {
    namespace: String,
    policy: String,
    source: &'static str,
}

/// Series of the capacity by policy.
#[derive(Debug, Default)]
pub(super) struct Capacities {
    used: Changing<Of, f64, AtomicU64>,
    lower: Changing<Of, f64, AtomicU64>,
    upper: Changing<Of, f64, AtomicU64>,
    confidence: Changing<Of, f64, AtomicU64>,
    estimate: Changing<Of, f64, AtomicU64>,
    per_thousand: Changing<Of, f64, AtomicU64>,
    windows: Changing<Of, i64, AtomicI64>,
    knees: Changing<Of, i64, AtomicI64>,
    source: Changing<From, i64, AtomicI64>,
}

impl Capacities {
    pub(super) fn register(&self, r: &mut Registry) {
        let mut floats = |name: &str, help: &str, of: &Changing<Of, f64, AtomicU64>| {
            r.register(name, help, of.family.clone());
        };
        floats(
            "capacity_per_replica",
            "Weighted requests per second that one replica bears, as used",
            &self.used,
        );
        floats(
            "capacity_lower_bound",
            "Weighted requests per second that one replica was seen to bear",
            &self.lower,
        );
        floats(
            "capacity_upper_bound",
            "Weighted requests per second at which one replica was seen to become slow",
            &self.upper,
        );
        floats("capacity_confidence", "How far the learned capacity was borne out, 0 to 1", &self.confidence);
        floats(
            "capacity_cpu_estimate",
            "Weighted requests per second that one replica bears by its CPU, until that is learned",
            &self.estimate,
        );
        floats(
            "capacity_cpu_seconds_per_thousand",
            "CPU seconds of 1,000 weighted requests",
            &self.per_thousand,
        );
        r.register(
            "capacity_day_windows",
            "Healthy windows of the day under way that teach",
            self.windows.family.clone(),
        );
        r.register("capacity_knees", "Onsets of slowness that are remembered", self.knees.family.clone());
        r.register("capacity_source", "1 for where the capacity comes from", self.source.family.clone());
    }

    pub(super) fn show(&self, judged: &[(Of, &Decision)]) {
        let of = |value: fn(&Known) -> Option<f64>| each(judged, |d| d.capacity.as_ref().and_then(value));
        self.used.show(of(|known| known.per_replica));
        self.lower.show(of(|known| known.lower));
        self.upper.show(of(|known| known.upper));
        self.confidence.show(of(|known| Some(known.confidence)));
        self.estimate.show(of(|known| known.cpu?.estimate));
        self.per_thousand.show(of(|known| known.cpu?.per_thousand));
        self.windows.show(each(judged, |d| d.capacity.map(|known| i64::from(known.windows))));
        self.knees.show(each(judged, |d| d.capacity.map(|known| i64::from(known.knees))));
        let sources = judged.iter().filter_map(|(of, d)| {
            let source = name(d.capacity?.source);
            Some((From { namespace: of.namespace.clone(), policy: of.policy.clone(), source }, 1))
        });
        self.source.show(sources.collect::<BTreeMap<_, _>>());
    }
}

const fn name(source: Source) -> &'static str {
    match source {
        Source::Declared => "declared",
        Source::Learned => "learned",
        Source::Provisional => "provisional",
        Source::Estimated => "estimated",
        Source::Learning => "learning",
    }
}
