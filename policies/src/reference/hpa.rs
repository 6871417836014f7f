//! The Kubernetes HPA v2: its replica calculator, its combination of metrics and its behaviour.
//!
//! After `pkg/controller/podautoscaler/{replica_calculator,horizontal}.go` of Kubernetes 1.36. Quantities are in
//! milli-units (`i64`), as there, because its integer divisions decide near the edges.

use std::cmp::Ordering;

use crate::{
    behaviour::{pace, prune, stabilise, tolerance::Tolerances},
    desired::count,
    memory::{PolicyMemory, record_change},
    now::Mono,
    policy::{Behaviour, Bounds},
};

/// A pod as the replica calculator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pod {
    /// The measured value, in milli-units; `None` when the metric of this pod is missing.
    pub usage: Option<i64>,
    /// The request of the resource, in milli-units.
    pub request: i64,
    /// Its state.
    pub state: PodState,
}

/// The state of a pod, as far as the HPA cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodState {
    /// Running and ready, or of a metric for which readiness does not matter.
    Ready,
    /// Pending, or within its CPU initialisation period and not ready.
    Unready,
    /// Failed or being deleted: does not count at all.
    Ignored,
}

/// Replicas for a resource, by utilisation: `target` in percent of the requests.
///
/// `None` when no pod has a usable metric: the HPA then calls the metric invalid.
#[must_use]
pub fn resource(pods: &[Pod], target: i64, current: u32, tolerances: Tolerances) -> Option<u32> {
    let utilisation = |usage: i64, request: i64| {
        // The HPA truncates to whole percents.
        (request > 0).then(|| ratio(usage.saturating_mul(100) / request, target))
    };
    // On the way down a missing pod counts as at its whole request, or at the target where that is more.
    let missing = |pod: &Pod| pod.request.saturating_mul(target.max(100)) / 100;
    calculate(pods, current, tolerances, |sums| utilisation(sums.usage, sums.request), missing)
}

/// Replicas for a metric by pod: `target` is the average wanted, in milli-units.
///
/// `None` when no pod has a usable metric.
#[must_use]
pub fn per_pod(pods: &[Pod], target: i64, current: u32, tolerances: Tolerances) -> Option<u32> {
    let average = |sums: Sums| (sums.pods > 0).then(|| ratio(sums.usage / i64::from(sums.pods), target));
    calculate(pods, current, tolerances, average, |_| target)
}

/// Sums over the pods that count.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    usage: i64,
    request: i64,
    pods: u32,
}

impl Sums {
    const fn add(self, usage: i64, request: i64) -> Self {
        Self {
            usage: self.usage.saturating_add(usage),
            request: self.request.saturating_add(request),
            pods: self.pods.saturating_add(1),
        }
    }
}

/// The common part of `GetResourceReplicas` and `calcPlainMetricReplicas`.
fn calculate(
    pods: &[Pod],
    current: u32,
    tolerances: Tolerances,
    ratio_of: impl Fn(Sums) -> Option<f64>,
    missing_usage: impl Fn(&Pod) -> i64,
) -> Option<u32> {
    let counted = || pods.iter().filter(|pod| pod.state != PodState::Ignored);
    let unready = || counted().filter(|pod| pod.state == PodState::Unready);
    let ready = || counted().filter(|pod| pod.state == PodState::Ready);
    let missing = || ready().filter(|pod| pod.usage.is_none());

    let measured = ready()
        .filter_map(|pod| Some((pod.usage?, pod.request)))
        .fold(Sums::default(), |s, (u, r)| s.add(u, r));
    let first = ratio_of(measured)?;
    let unready_count = first > 1.0 && unready().next().is_some();
    if !unready_count && missing().next().is_none() {
        let replicas = count::ceil(first * f64::from(measured.pods));
        return Some(if tolerances.contains(first) { current } else { replicas });
    }
    let mut sums = measured;
    if first < 1.0 {
        sums = missing().fold(sums, |s, pod| s.add(missing_usage(pod), pod.request));
    } else if first > 1.0 {
        sums = missing().fold(sums, |s, pod| s.add(0, pod.request));
    }
    if unready_count {
        sums = unready().fold(sums, |s, pod| s.add(0, pod.request));
    }
    let second = ratio_of(sums)?;
    let flips = (first < 1.0 && second > 1.0) || (first > 1.0 && second < 1.0);
    if flips || tolerances.contains(second) {
        return Some(current);
    }
    let replicas = count::ceil(second * f64::from(sums.pods));
    let against = (second < 1.0 && replicas > current) || (second > 1.0 && replicas < current);
    Some(if against { current } else { replicas })
}

#[expect(clippy::cast_precision_loss, reason = "as in the HPA; milli-units stay far below 2^53")]
fn ratio(value: i64, target: i64) -> f64 {
    value as f64 / target as f64
}

/// One HPA with its memory: recommendations and scale events.
#[derive(Debug, Clone)]
pub struct Hpa {
    bounds: Bounds,
    behaviour: Behaviour,
    memory: PolicyMemory,
}

impl Hpa {
    /// A new HPA that remembers nothing.
    #[must_use]
    pub fn new(bounds: Bounds, behaviour: Behaviour) -> Self {
        Self { bounds, behaviour, memory: PolicyMemory::default() }
    }

    /// Replicas wanted by each metric (`None`: the metric is invalid) become the replicas to set.
    ///
    /// The largest metric counts; an invalid one stops a scale-in, but not a scale-out by another. The result
    /// is remembered as written.
    pub fn step(&mut self, current: u32, metrics: &[Option<u32>], now: Mono) -> u32 {
        let Bounds { min, max } = self.bounds;
        let desired = match current {
            0 if min > 0 => 0, // Scaled to zero by hand: disabled.
            n if n > max => max,
            n if n < min => min,
            _ => combine(metrics, current).map_or(current, |n| self.normalise(current, n, now)),
        };
        if desired != current {
            record_change(&mut self.memory, now, i64::from(desired) - i64::from(current));
        }
        desired
    }

    /// Stabilises, limits the rate and applies the bounds.
    pub fn normalise(&mut self, current: u32, desired: u32, now: Mono) -> u32 {
        prune(&mut self.memory, &self.behaviour, now);
        let stable = stabilise::stabilise(&mut self.memory, &self.behaviour, current, desired, now).replicas;
        let paced = pace::pace(current, stable, &self.behaviour, &self.memory.changes, now).replicas;
        paced.clamp(self.bounds.min, self.bounds.max)
    }

    /// Remembers a change of replicas that was made at `at`.
    pub fn remember_change(&mut self, at: Mono, delta: i64) {
        record_change(&mut self.memory, at, delta);
    }

    /// Remembers a recommendation that was made at `at`; in the order of time.
    pub fn remember_recommendation(&mut self, at: Mono, replicas: u32) {
        stabilise::stabilise(&mut self.memory, &self.behaviour, replicas, replicas, at);
    }
}

/// The most of all metrics; `None` (keep) when none is valid, or when one is invalid and the rest say fewer.
fn combine(metrics: &[Option<u32>], current: u32) -> Option<u32> {
    let most = metrics.iter().flatten().max().copied()?;
    let broken = metrics.iter().any(Option::is_none);
    (!broken || most.cmp(&current) != Ordering::Less).then_some(most)
}

#[cfg(test)]
#[path = "hpa_tests.rs"]
mod tests;
