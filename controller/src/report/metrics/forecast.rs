//! What is forecast of each policy, and how far it is trusted.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, AtomicU64},
};

use loadline_policies::{
    forecast::{Forecast, trust::Trust},
    plan::Decision,
};
use prometheus_client::{encoding::EncodeLabelSet, registry::Registry};

use super::{Changing, Of, each};

/// A load that is forecast, and for when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Ahead {
    namespace: String,
    policy: String,
    /// `soon`: until new replicas are ready; `hold`: for half an hour.
    window: &'static str,
}

/// Whose forecast is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Chosen {
    namespace: String,
    policy: String,
    candidate: &'static str,
}

/// How long replicas take to become ready.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Lead {
    namespace: String,
    policy: String,
    cluster: String,
    quantile: &'static str,
}

/// Series of the forecast by policy.
#[derive(Debug, Default)]
pub(super) struct Forecasts {
    load: Changing<Ahead, f64, AtomicU64>,
    trust: Changing<Of, i64, AtomicI64>,
    skill: Changing<Of, f64, AtomicU64>,
    calibration: Changing<Of, f64, AtomicU64>,
    candidate: Changing<Chosen, i64, AtomicI64>,
    lead: Changing<Lead, f64, AtomicU64>,
}

impl Forecasts {
    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "forecast_weighted_qps",
            "Weighted requests per second that the load stays under with the policy's quantile: until new replicas are \
             ready (soon), and for half an hour (hold)",
            self.load.family.clone(),
        );
        r.register(
            "forecast_trust",
            "How much the forecast may do: 0 Shadow, 1 Recommend, 2 ScaleOutOnly, 3 Full",
            self.trust.family.clone(),
        );
        r.register(
            "forecast_skill",
            "How much smaller the forecast's loss is than the last value's, over two days; 1 is perfect",
            self.skill.family.clone(),
        );
        r.register(
            "forecast_calibration",
            "Share of the windows of two days that the forecast covered",
            self.calibration.family.clone(),
        );
        r.register(
            "lead_time_seconds",
            "Seconds that replicas take from being asked for to being ready, as far as they were learned",
            self.lead.family.clone(),
        );
        r.register("forecast_candidate", "1 for the candidate that is used", self.candidate.family.clone());
    }

    pub(super) fn show(&self, judged: &[(Of, &Decision)]) {
        let of = |value: fn(&Forecast) -> Option<f64>| {
            each(judged, |d| d.forecast.as_ref().and_then(value).filter(|v| v.is_finite()))
        };
        self.skill.show(of(|f| f.evidence.map(|e| e.skill)));
        self.calibration.show(of(|f| f.evidence.map(|e| e.calibration)));
        self.trust.show(each(judged, |d| d.forecast.map(|f| trust(f.trust))));
        let forecasts = || judged.iter().filter_map(|(of, d)| Some((of, d.forecast?)));
        let windows = forecasts().flat_map(|(of, f)| {
            [("soon", f.soon), ("hold", f.hold)].map(|(window, load)| {
                (Ahead { namespace: of.namespace.clone(), policy: of.policy.clone(), window }, load)
            })
        });
        self.load.show(windows.collect());
        let chosen = forecasts().map(|(of, f)| {
            let candidate = f.candidate.name();
            (Chosen { namespace: of.namespace.clone(), policy: of.policy.clone(), candidate }, 1)
        });
        self.candidate.show(chosen.collect::<BTreeMap<_, _>>());
        let learned = judged.iter().flat_map(|(of, d)| d.lead.iter().map(move |(id, lead)| (of, id, lead)));
        let seconds = learned.flat_map(|(of, id, lead)| {
            [("0.5", lead.p50), ("0.95", lead.p95)].map(|(quantile, time)| {
                let (namespace, policy) = (of.namespace.clone(), of.policy.clone());
                (Lead { namespace, policy, cluster: id.to_string(), quantile }, time.as_secs_f64())
            })
        });
        self.lead.show(seconds.collect());
    }
}

const fn trust(trust: Trust) -> i64 {
    match trust {
        Trust::Shadow => 0,
        Trust::Recommend => 1,
        Trust::ScaleOutOnly => 2,
        Trust::Full => 3,
    }
}
