//! Load, capacity and objective of a policy.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use loadline_crds::elastic_policy as api;
use loadline_policies::{
    forecast::trust::Trust,
    policy::{Band, Capacity, Forecasting, LatencyObjective, LatencyWeights, Load, PerReplica, Weights},
};

use super::{
    complaint::Complaints,
    numbers::{all, not_negative, period, positive},
};
use crate::ports::SeriesSelector;

/// How load is read and weighed.
pub(super) fn load(load: &api::Load, c: &mut Complaints) -> Option<Load> {
    let profile = if load.profile.is_empty() {
        c.add("spec.load.profile", "no profile is named", "name a telemetry profile, for example otel-http")
    } else {
        Some(load.profile.clone())
    };
    let weights = match &load.weights {
        None => Some(Weights::Plain),
        Some(api::Weights {
            latency: None,
            endpoints: None,
            learned: Some(api::LearnedWeights::Endpoints),
        }) => Some(Weights::LearnedEndpoints(None)),
        Some(api::Weights { latency: Some(latency), endpoints: None, learned: None }) => {
            latency_weights(latency, c)
        }
        Some(api::Weights { latency: None, endpoints: Some(weights), learned: None }) => {
            let path = |name: &str| format!("spec.load.weights.endpoints[{name}]");
            all(weights.iter().map(|(name, w)| Some((name.clone(), not_negative(*w, &path(name), c)?))))
                .map(|pairs| Weights::Endpoints(pairs.into_iter().collect()))
        }
        Some(_) => c.add(
            "spec.load.weights",
            "exactly one of latency, endpoints and learned is needed",
            "keep one of them, or remove weights to count every request as 1",
        ),
    };
    Some(Load { profile: profile?, weights: weights? })
}

fn latency_weights(w: &api::LatencyWeights, c: &mut Complaints) -> Option<Weights> {
    let path = "spec.load.weights.latency";
    let cuts: Vec<f64> = w.cuts.iter().map(|cut| cut.0.as_secs_f64()).collect();
    let ascending = cuts.first().is_some_and(|first| *first > 0.0)
        && cuts.iter().zip(cuts.iter().skip(1)).all(|(lower, upper)| lower < upper);
    if !ascending {
        c.add::<()>(
            format!("{path}.cuts"),
            "the cuts do not ascend from above 0",
            "list at least one, each longer than the one before, for example [10ms, 50ms, 100ms]",
        );
    }
    if w.factors.len() != cuts.len() + 1 {
        c.add::<()>(
            format!("{path}.factors"),
            format!("{} factors for {} cuts", w.factors.len(), cuts.len()),
            format!("{} cuts make {} sections: give one factor for each", cuts.len(), cuts.len() + 1),
        );
    }
    let factors =
        all(w.factors.iter().enumerate().map(|(i, f)| not_negative(*f, &format!("{path}.factors[{i}]"), c)))?;
    (ascending && factors.len() == cuts.len() + 1)
        .then_some(Weights::Latency(LatencyWeights { cuts, factors }))
}

/// How the workload's series are found.
pub(super) fn selector(load: &api::Load, c: &mut Complaints) -> Option<SeriesSelector> {
    let path = "spec.load.match";
    match &load.selector {
        None => Some(SeriesSelector::Profile),
        Some(api::SeriesMatch { labels: Some(labels), route: None, service: None }) => {
            if labels.is_empty() {
                return c.add(
                    format!("{path}.labels"),
                    "an empty selector would match every series",
                    "give at least one label, or remove match to use the profile's own way",
                );
            }
            Some(SeriesSelector::Labels(labels.clone()))
        }
        Some(api::SeriesMatch { labels: None, route: Some(route), service: None }) if !route.is_empty() => {
            Some(SeriesSelector::Route(route.clone()))
        }
        Some(api::SeriesMatch { labels: None, route: None, service: Some(service) })
            if !service.is_empty() =>
        {
            Some(SeriesSelector::Service(service.clone()))
        }
        Some(_) => c.add(
            path,
            "exactly one of labels, route and service is needed, and not empty",
            "keep one of them, or remove match to use the profile's own way",
        ),
    }
}

/// How demand is forecast.
pub(super) fn forecast(forecast: &api::Forecast, c: &mut Complaints) -> Option<Forecasting> {
    let (quantile, history) = (forecast.quantile, forecast.history.0);
    let quantile = if quantile > 0.0 && quantile < 1.0 {
        Some(quantile)
    } else {
        c.add(
            "spec.forecast.quantile",
            format!("{quantile} is no quantile"),
            "write a number between 0 and 1, for example 0.95",
        )
    };
    let history = if (Forecasting::SHORTEST..=Forecasting::LONGEST).contains(&history) {
        Some(history)
    } else {
        c.add(
            "spec.forecast.history",
            format!("{} is no history that a forecast can use", forecast.history),
            "write 48h to 336h; trust takes two days, and a forecast remembers two weeks",
        )
    };
    let max_trust = trust(forecast.max_trust);
    Some(Forecasting { quantile: quantile?, history: history?, max_trust })
}

/// A trust as the API writes it.
pub(crate) const fn trust(written: api::ForecastTrust) -> Trust {
    match written {
        api::ForecastTrust::Shadow => Trust::Shadow,
        api::ForecastTrust::Recommend => Trust::Recommend,
        api::ForecastTrust::ScaleOutOnly => Trust::ScaleOutOnly,
        api::ForecastTrust::Full => Trust::Full,
    }
}

/// What one replica bears, and the band of redundancy.
pub(super) fn capacity(capacity: &api::Capacity, c: &mut Complaints) -> Option<Capacity> {
    let path = "spec.capacity.perReplica";
    let per_replica = match &capacity.per_replica {
        IntOrString::Int(n) => positive(f64::from(*n), path, c).map(PerReplica::Declared),
        IntOrString::String(s) if s == "Learned" => Some(PerReplica::Learned),
        IntOrString::String(s) => match s.parse::<f64>() {
            Ok(n) => positive(n, path, c).map(PerReplica::Declared),
            Err(_) => c.add(
                path,
                format!("{s:?} is neither Learned nor a number"),
                "write Learned, or the weighted requests/s that one replica bears, for example 200 or \"12.5\"",
            ),
        },
    };
    let (min, max) = (capacity.redundancy.min, capacity.redundancy.max);
    let band = if min.is_finite() && max.is_finite() && 1.0 <= min && min < max {
        Some(Band { min, max })
    } else {
        c.add(
            "spec.capacity.redundancy",
            format!("the band from {min} to {max} is not possible"),
            "1.0 is exactly at the benchmark: make min at least 1.0, and max more than min",
        )
    };
    Some(Capacity { per_replica: per_replica?, redundancy: band? })
}

/// The promise to the users.
pub(super) fn objective(objective: &api::Objective, c: &mut Complaints) -> Option<LatencyObjective> {
    let api::LatencyObjective { quantile, target } = objective.latency;
    let quantile = if quantile > 0.0 && quantile < 1.0 {
        Some(quantile)
    } else {
        c.add(
            "spec.objective.latency.quantile",
            format!("{quantile} is not a quantile"),
            "give a number between 0 and 1, for example 0.99",
        )
    };
    let target = period(target, None, "spec.objective.latency.target", c);
    Some(LatencyObjective { quantile: quantile?, target: target? })
}
