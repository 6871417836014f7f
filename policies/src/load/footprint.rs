//! What the replicas of all clusters use of the CPU, and what they ask for: what the estimate by CPU and the weights of
//! endpoints are learned from.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    capacity::{self, Known, Learner, Usage, Window},
    fleet::{Footprint, Instance, Workload},
    latency::LatencyTerm,
    load::{
        Assessment,
        assess::MAX_SILENT,
        endpoint_weights::{EndpointLearner, EndpointWindow},
        foresight::phase,
        settling,
    },
    memory::PolicyMemory,
    now::Now,
    reading::{Coverage, Doubt, finite},
};

/// What a replica is made of. Where clusters differ, the images of all of them and the smallest request, which gives the
/// smallest capacity. `None` unless it is seen everywhere.
fn footprint(workload: &Workload) -> Option<Footprint> {
    let mut seen = workload.instances.values().map(|instance| instance.as_ref().ok()?.footprint);
    let first = seen.next()??;
    seen.try_fold(first, |all, one| {
        let one = one?;
        let images =
            if all.images == one.images { all.images } else { all.images.rotate_left(1) ^ one.images };
        let cpu_request = all.cpu_request.zip(one.cpu_request).map(|(a, b)| a.min(b));
        Some(Footprint { images, cpu_request })
    })
}

/// What is known of the capacity of one replica: what it asks for by now moves the estimate at once.
pub(super) fn capacity(workload: &Workload, memory: &mut PolicyMemory) -> Known {
    if let Some(cpu) = &mut memory.cpu {
        cpu.see(footprint(workload));
    }
    let declared = workload.policy.capacity.per_replica;
    capacity::known(declared, memory.capacity.as_deref(), memory.cpu.as_deref())
}

/// Learns from a reading of CPU, if this tick has one; forgets it all once the capacity is learned.
pub(super) fn learn_cpu(workload: &Workload, window: Option<Window>, memory: &mut PolicyMemory, now: Now) {
    let learner = memory.capacity.as_deref();
    if learner.is_some_and(|learner| !learner.is_learning()) {
        memory.cpu = None;
        return;
    }
    let Some(usage) = usage(workload, now) else { return };
    let steady = learner.and_then(Learner::steady);
    let cpu = memory.cpu.get_or_insert_default();
    cpu.see(footprint(workload));
    cpu.learn(window, usage, steady, now.mono);
}

/// Learns what requests weigh from a reading of CPU, if this tick has one, of a window that can be trusted: settled,
/// without doubt, and not of an overloaded service.
pub(super) fn learn_endpoints(
    workload: &Workload,
    assessment: &Assessment,
    learner: &mut EndpointLearner,
    memory: &PolicyMemory,
    now: Now,
) {
    learner.see(workload.totals().ready, now.mono);
    let Some(Ok(usage)) = usage(workload, now) else { return };
    let fine = matches!(assessment.latency_term, LatencyTerm::Fine | LatencyTerm::NotJudged);
    if !fine || !assessment.doubts.is_empty() || workload.instances.values().any(Result::is_err) {
        return;
    }
    let (mut rates, mut reporting, mut length) = (BTreeMap::<&str, f64>::new(), 0_u32, usage.length);
    for instance in workload.instances.values().flatten() {
        let Ok(load) = &instance.load else { return };
        if instance.rolling_out {
            return;
        }
        // Where an entry counts the requests, these are of all replicas.
        let silent = load.coverage.silent().min(instance.ready);
        reporting = reporting.saturating_add(instance.ready.saturating_sub(silent));
        length = length.max(load.value.window);
        for (endpoint, rate) in &load.value.endpoints {
            *rates.entry(endpoint).or_default() += rate;
        }
    }
    if reporting == 0 || settling::unfilled(memory, length, now.mono).is_some() {
        return;
    }
    for rate in rates.values_mut() {
        *rate /= f64::from(reporting);
    }
    let cores = usage.cores / f64::from(usage.reporting);
    learner.learn(&EndpointWindow { rates, cores, length }, phase(&workload.policy), now.mono);
}

/// The CPU of all clusters together; `None` where none was asked for.
fn usage(workload: &Workload, now: Now) -> Option<Result<Usage, Doubt>> {
    let mut seen = workload.instances.values().flatten().filter(|instance| instance.ready > 0);
    let asked = |instance: &Instance| instance.cpu.is_some();
    if !seen.clone().any(asked) {
        return None;
    }
    let nothing = Usage { cores: 0.0, reporting: 0, length: Duration::ZERO };
    Some(seen.try_fold(nothing, |sum, instance| {
        let reading = instance.cpu.as_ref().map_or(Err(Doubt::NotYetRead), Clone::clone)?;
        let age = reading.age(now.wall);
        let sample = reading.value;
        // What is older than its own window is of another load.
        if age > sample.window {
            return Err(Doubt::Stale { age });
        }
        let Coverage { reporting, expected } = reading.coverage;
        if reporting == 0 || f64::from(reading.coverage.silent()) > MAX_SILENT * f64::from(expected) {
            return Err(Doubt::Partial(reading.coverage));
        }
        Ok(Usage {
            cores: sum.cores + finite(sample.cores)?,
            reporting: sum.reporting.saturating_add(reporting),
            length: sum.length.max(sample.window),
        })
    }))
}
