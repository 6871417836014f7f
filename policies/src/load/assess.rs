//! The assessment: what load there is, what of it is certain, and what that allows.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use serde::Serialize;

use crate::{
    capacity::{self, Known, Source, Window},
    fleet::{Histogram, Instance, LoadSample, Workload},
    forecast::{Forecast, trust::Trust},
    ids::ClusterId,
    latency::{self, Evidence, LatencyTerm},
    load::{
        baseline, burst,
        footprint::{self, learn_cpu},
        foresight::foresee,
        histogram::Quantile,
        settling,
        weighted::{Weighed, offered, weigh, weigh_short},
    },
    memory::{PolicyMemory, WeightBaseline},
    now::Now,
    plan::Demand,
    policy::{LatencyObjective, PerReplica, Policy, Weights},
    reading::{Coverage, Doubt, Reading},
    reason::{Reason, ReasonCode},
};

/// The largest share of silent replicas that the way down may count as fully loaded; more is a doubt.
///
/// One broken exporter in a fleet of many must not keep it large for ever, and counting it as fully loaded is
/// safe. When more are silent, something common is wrong (a network, an overload that also starves the
/// metrics), and a silent replica may well bear *more* than it should.
pub(super) const MAX_SILENT: f64 = 0.1;

/// What the load of a workload asks for and allows, over all its clusters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Assessment {
    /// Load for sizing up: the sum of what is certain, silent replicas count as zero. `None` when nothing
    /// usable was read.
    pub up: Option<Demand>,
    /// Load for sizing down: silent, unready and young replicas (those that the rate window has not seen whole,
    /// where scale-in is not stabilised for longer than that) count as fully loaded, each with all that one
    /// bears after the latency term's factor. `None` when any reading is in doubt: then nothing may be removed.
    pub down: Option<Demand>,
    /// A statistically significant burst of the short window, where it is above `up`. It may only raise.
    pub burst: Option<Demand>,
    /// Weighted requests per second that one replica bears; `None` while unknown.
    pub per_replica: Option<f64>,
    /// Where that comes from, and how sure it is.
    pub capacity: Known,
    /// The measured quantile of the latency objective, in seconds. Where it lies above the highest finite
    /// bound of the histogram, that bound.
    pub latency: Option<f64>,
    /// What latency asks for on top of the load.
    pub latency_term: LatencyTerm,
    /// What is expected of the load; `None` while nothing is.
    pub forecast: Option<Forecast>,
    /// The trust of before, which stands in while the forecast's history is read again.
    pub stand_in: Option<Trust>,
    /// Why nothing may be removed although every reading is fresh.
    pub no_scale_in: Option<Reason>,
    /// What is in doubt: the signal (the cluster's name, `burst`, the trigger's name) and why. Any of them
    /// makes `down` `None`.
    pub doubts: Vec<(String, Doubt)>,
}

/// A cluster whose steady load was read: fresh, of the right shape, though perhaps not of all replicas.
struct Certain<'a> {
    cluster: &'a ClusterId,
    instance: &'a Instance,
    reading: &'a Reading<LoadSample>,
    work: Weighed,
    /// Ready replicas that the rate window has not seen whole.
    young: u32,
}

/// Assesses the load of a workload, and learns from it what `memory` keeps: the baseline of request weight
/// and the latency term's try.
///
/// Clusters where the target is not seen are left out, with their replicas: that is a problem of the target,
/// not a doubt about its load.
#[must_use]
pub fn assess(workload: &Workload, memory: &mut PolicyMemory, now: Now) -> Assessment {
    let weights = &workload.policy.load.weights;
    if !matches!(weights, Weights::LearnedEndpoints(_)) {
        return assess_by(weights, workload, memory, now);
    }
    // Weighed by what was learned before, so that a sample never vouches for itself.
    let mut learner = memory.endpoint_weights.take().unwrap_or_default();
    let assessment = assess_by(learner.weights(), workload, memory, now);
    footprint::learn_endpoints(workload, &assessment, &mut learner, memory, now);
    memory.endpoint_weights = Some(learner);
    assessment
}

fn assess_by(weights: &Weights, workload: &Workload, memory: &mut PolicyMemory, now: Now) -> Assessment {
    let policy = &workload.policy;
    let capacity = footprint::capacity(workload, memory);
    let per_replica = capacity.per_replica;
    let mut doubts = Vec::new();
    let certain = read((workload, weights), per_replica, memory, now, &mut doubts);
    let known = memory.baseline;
    let sizing = Sizing { weights, baseline: known.as_ref(), now };

    let up = sizing.demand(certain.iter().map(|c| (c.work, c.reading)));
    let burst = sizing.burst(&certain, up, &mut doubts);
    doubts.extend(unread_bursts(workload));
    if !doubts.is_empty() {
        memory.doubted_at = Some(now.mono);
    }
    for (name, trigger) in &workload.triggers {
        if let Err(doubt) = trigger {
            doubts.push((name.clone(), doubt.clone()));
        }
    }

    let measured = policy.objective.and_then(|o| Measured::new(o, &certain));
    let settled = settled(workload, &certain, per_replica);
    if settled && baseline::needed(weights) {
        let bears = (per_replica, policy.capacity.redundancy.min);
        learn(policy.objective.as_ref(), measured.as_ref(), &certain, bears, memory, now);
    }
    let latency_term = policy.objective.map_or(LatencyTerm::NotJudged, |objective| {
        let evidence = up.zip(per_replica).zip(measured.as_ref()).filter(|_| settled && doubts.is_empty());
        // At the onset of an overload the long window still holds the quiet before it, while a quantile shows the
        // first slow requests: what the short window sees is the load that made them slow.
        let evidence = evidence.and_then(|((up, c), m)| m.at(burst.unwrap_or(up), c, &certain, policy));
        latency::judge(&objective, evidence, &mut memory.latency, now.mono)
    });
    if policy.capacity.per_replica == PerReplica::Learned {
        let window = up
            .filter(|_| settled && doubts.is_empty() && unfilled(&certain, memory, now).is_none())
            .filter(|_| !baseline::needed(weights) || baseline::learned(known.as_ref()).is_some())
            .and_then(|up| window(policy.objective.as_ref()?, measured.as_ref()?, up, burst, &certain));
        let learner = memory.capacity.get_or_insert_default();
        learner.learn(window, latency_term, template(workload), now.mono);
        learn_cpu(workload, window, memory, now);
    }
    let bears = per_replica.map(|c| c / latency_term.factor());
    let forecast = foresee(policy, up.filter(|_| doubts.is_empty()), memory, now);
    let down = up.filter(|_| doubts.is_empty()).and_then(|up| unheard(up, &certain, bears, policy));
    Assessment {
        up,
        down,
        burst,
        per_replica,
        capacity,
        latency: measured.map(|m| m.quantile.seconds),
        latency_term,
        forecast,
        stand_in: memory.awaited.and_then(|awaited| awaited.stands_in(now.mono)),
        no_scale_in: unfilled(&certain, memory, now)
            .or_else(|| no_scale_in(weights, known.as_ref(), up))
            .or_else(|| estimated(&capacity))
            .or_else(|| memory.awaited?.no_scale_in(now)),
        doubts,
    }
}

/// The clusters whose steady load was read; what was not, or not of enough replicas, becomes a doubt.
fn read<'a>(
    (workload, weights): (&'a Workload, &Weights),
    per_replica: Option<f64>,
    memory: &mut PolicyMemory,
    now: Now,
    doubts: &mut Vec<(String, Doubt)>,
) -> Vec<Certain<'a>> {
    let mut certain = Vec::with_capacity(workload.instances.len());
    memory.ready.retain(|cluster, _| workload.instances.contains_key(cluster));
    for (cluster, instance) in &workload.instances {
        let Ok(instance) = instance else { continue };
        let weighed = instance
            .load
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|reading| weigh(&reading.value, weights).map(|work| (reading, work)));
        match weighed {
            Ok((reading, work)) => {
                if too_silent(reading.coverage, per_replica) {
                    doubts.push((cluster.to_string(), Doubt::Partial(reading.coverage)));
                }
                let counts = memory.ready.entry(cluster.clone()).or_default();
                let young = settling::young(counts, instance.ready, reading.value.window, now.mono);
                certain.push(Certain { cluster, instance, reading, work, young });
            }
            Err(doubt) => doubts.push((cluster.to_string(), doubt)),
        }
    }
    certain
}

/// Whether so many replicas are silent that they cannot be counted as fully loaded instead.
fn too_silent(coverage: Coverage, per_replica: Option<f64>) -> bool {
    let silent = f64::from(coverage.silent());
    silent > 0.0 && (per_replica.is_none() || silent > MAX_SILENT * f64::from(coverage.expected))
}

/// How work becomes demand.
struct Sizing<'a> {
    weights: &'a Weights,
    baseline: Option<&'a WeightBaseline>,
    now: Now,
}

impl Sizing<'_> {
    /// The demand of several clusters, each with the reading that it comes from; `None` of none.
    fn demand<'r>(&self, parts: impl Iterator<Item = (Weighed, &'r Reading<LoadSample>)>) -> Option<Demand> {
        let (work, age) = parts
            .map(|(work, reading)| (work, reading.age(self.now.wall)))
            .reduce(|(sum, oldest), (work, age)| (sum + work, oldest.max(age)))?;
        let weighted = baseline::guard(work, self.weights, self.baseline);
        Some(Demand {
            weighted,
            raw: work.weighted,
            requests: work.requests,
            interpolated: work.share_interpolated(),
            capped: weighted < work.weighted,
            age,
        })
    }

    /// The demand of the short window, if it is significantly above the long one's. A cluster without a
    /// short window takes part with its long one.
    fn burst(
        &self,
        certain: &[Certain<'_>],
        up: Option<Demand>,
        doubts: &mut Vec<(String, Doubt)>,
    ) -> Option<Demand> {
        let (mut count, mut expected) = (0.0, 0.0);
        let mut parts = Vec::with_capacity(certain.len());
        for c in certain {
            let short = c.instance.burst.as_ref().and_then(|b| b.as_ref().ok());
            match short.map(|s| (s, weigh_short(&s.value, &c.reading.value, self.weights))) {
                Some((short, Ok(work))) => {
                    let seconds = short.value.window.as_secs_f64();
                    count += offered(&short.value).unwrap_or(0.0) * seconds;
                    expected += offered(&c.reading.value).unwrap_or(0.0) * seconds;
                    parts.push((work, short));
                }
                Some((_, Err(doubt))) => {
                    doubts.push((burst_name(c.cluster), doubt));
                    parts.push((c.work, c.reading));
                }
                None => parts.push((c.work, c.reading)),
            }
        }
        let demand = self.demand(parts.into_iter())?;
        (burst::significant(count, expected) && demand.weighted > up?.weighted).then_some(demand)
    }
}

/// The name of a short window among the doubts: `burst` at home, with the cluster elsewhere.
fn burst_name(cluster: &ClusterId) -> String {
    if *cluster == ClusterId::local() { "burst".to_owned() } else { format!("burst in {cluster}") }
}

/// The short windows that could not be read.
fn unread_bursts(workload: &Workload) -> impl Iterator<Item = (String, Doubt)> + '_ {
    workload.instances.iter().filter_map(|(cluster, instance)| {
        let doubt = instance.as_ref().ok()?.burst.as_ref()?.as_ref().err()?;
        Some((burst_name(cluster), doubt.clone()))
    })
}

/// The demand on the way down: every silent, unready or young replica counts as fully loaded. `None` where
/// there are such replicas and nobody knows what they bear.
fn unheard(up: Demand, certain: &[Certain<'_>], bears: Option<f64>, policy: &Policy) -> Option<Demand> {
    let stabilization = policy.behaviour.down.stabilization_window;
    let unheard: u32 = certain
        .iter()
        .map(|c| {
            let unready = c.instance.current.saturating_sub(c.instance.ready);
            // A stabilisation window that is longer than the dip still holds what was wanted before it.
            let short = stabilization < settling::whole(c.reading.value.window);
            let young = if short { c.young } else { 0 };
            let silent = c.reading.coverage.silent().saturating_add(young).min(c.instance.ready);
            silent.saturating_add(unready)
        })
        .fold(0, u32::saturating_add);
    if unheard == 0 {
        return Some(up);
    }
    let load = f64::from(unheard) * bears?;
    Some(Demand { weighted: up.weighted + load, raw: up.raw + load, ..up })
}

/// Ready replicas in the clusters whose load is known.
fn ready(certain: &[Certain<'_>]) -> u32 {
    certain.iter().map(|c| c.instance.ready).fold(0, u32::saturating_add)
}

/// Ready replicas that the rate windows have not seen whole.
fn young(certain: &[Certain<'_>]) -> u32 {
    certain.iter().map(|c| c.young).fold(0, u32::saturating_add)
}

/// Why nothing may be removed although every reading is fresh: a window that may be partly empty.
fn unfilled(certain: &[Certain<'_>], memory: &PolicyMemory, now: Now) -> Option<Reason> {
    let longest = certain.iter().map(|c| c.reading.value.window).max()?;
    settling::unfilled(memory, longest, now.mono)
}

/// Whether the load was read everywhere, of nearly every replica, with no roll-out under way: only then is anything
/// learned, and latency judged.
fn settled(workload: &Workload, certain: &[Certain<'_>], per_replica: Option<f64>) -> bool {
    let seen = workload.instances.values().flatten().count();
    seen > 0
        && certain.len() == seen
        && certain.iter().all(|c| !too_silent(c.reading.coverage, per_replica) && !c.instance.rolling_out)
}

/// The latency of all clusters together.
struct Measured {
    quantile: Quantile,
    slow: f64,
    requests: f64,
    window: Duration,
}

impl Measured {
    /// `None` where no cluster has a histogram with requests and a finite bound.
    fn new(objective: LatencyObjective, certain: &[Certain<'_>]) -> Option<Self> {
        let samples = || {
            let timed = |c: &&Certain<'_>| c.reading.value.histogram.is_some();
            certain.iter().filter(timed).map(|c| &c.reading.value)
        };
        let histogram = samples()
            .filter_map(|s| s.histogram.as_ref().map(Cow::Borrowed))
            .reduce(|a: Cow<'_, Histogram>, b| Cow::Owned(a.merge(&b)))?;
        let quantile = histogram.quantile(objective.quantile)?;
        let slow = 1.0 - histogram.at_or_under(objective.target.as_secs_f64()) / histogram.total();
        let count =
            |s: &LoadSample| s.histogram.as_ref().map_or(0.0, Histogram::total) * s.window.as_secs_f64();
        let requests = samples().map(count).sum();
        let window = samples().map(|s| s.window).max()?;
        Some(Self { quantile, slow, requests, window })
    }

    /// What it is evidence of at a load, where one replica bears so much; `None` without ready replicas.
    fn at(
        &self,
        load: Demand,
        per_replica: f64,
        certain: &[Certain<'_>],
        policy: &Policy,
    ) -> Option<Evidence> {
        let &Self { quantile, slow, requests, window } = self;
        let (ready, young) = (ready(certain), young(certain));
        let utilisation = capacity::utilisation(load.weighted, per_replica, ready)?;
        let min_redundancy = policy.capacity.redundancy.min;
        Some(Evidence { quantile, slow, requests, window, utilisation, ready, young, min_redundancy })
    }
}

/// The window that the capacity is learned from.
fn window(
    objective: &LatencyObjective,
    measured: &Measured,
    up: Demand,
    burst: Option<Demand>,
    certain: &[Certain<'_>],
) -> Option<Window> {
    let silent = certain.iter().map(|c| c.reading.coverage.silent().min(c.instance.ready));
    let length = certain.iter().map(|c| c.reading.value.window).max()?;
    let healthy = latency::is_over(objective, measured.quantile, measured.requests).map(|over| !over);
    let peak = burst.unwrap_or(up).weighted;
    let silent = silent.fold(0, u32::saturating_add);
    Some(Window { work: up.weighted, peak, ready: ready(certain), silent, length, healthy })
}

/// The identity of the pod template; of several clusters', where these differ, of all of them. `None` unless it is seen
/// everywhere: a cluster that is away is no new template.
fn template(workload: &Workload) -> Option<u64> {
    let seen = workload.instances.values().map(|instance| instance.as_ref().ok()?.template);
    let different: BTreeSet<u64> = seen.collect::<Option<_>>()?;
    different.into_iter().reduce(|all, one| all.rotate_left(1) ^ one)
}

/// Moves the baseline of request weight, if latency is healthy.
///
/// It is called after the guard has used the old one, so that a sample never vouches for itself.
fn learn(
    objective: Option<&LatencyObjective>,
    measured: Option<&Measured>,
    certain: &[Certain<'_>],
    (per_replica, min_redundancy): (Option<f64>, f64),
    memory: &mut PolicyMemory,
    now: Now,
) {
    let work = certain.iter().fold(Weighed::default(), |sum, c| sum + c.work);
    let utilisation = per_replica.and_then(|c| capacity::utilisation(work.weighted, c, ready(certain)));
    let window = certain.iter().map(|c| c.reading.value.window).min().unwrap_or_default();
    if baseline::healthy(objective, measured.map(|m| m.quantile), utilisation, min_redundancy) {
        baseline::learn(&mut memory.baseline, work, window, now.mono);
    } else if objective.is_none() {
        baseline::creep(&mut memory.baseline, work, window, now.mono);
    }
}

/// Why nothing may be removed although every reading is fresh: what a replica bears is only estimated.
///
/// CPU is not all that a replica may lack. A service that waits for others uses little of it, and would be scaled into an
/// outage by it.
fn estimated(known: &Known) -> Option<Reason> {
    (known.source == Source::Estimated).then(|| {
        let text = "What one replica bears is only estimated by CPU until it is learned: nothing is removed.";
        Reason::new(ReasonCode::CapacityEstimated, text)
    })
}

/// Why nothing may be removed although every reading is fresh: the weight is not to be believed.
fn no_scale_in(weights: &Weights, known: Option<&WeightBaseline>, up: Option<Demand>) -> Option<Reason> {
    let up = up.filter(|_| baseline::needed(weights))?;
    let Some(known) = baseline::learned(known) else {
        let text = "No baseline of request weight was learned yet (it needs a window of healthy latency with \
                    100 requests): a request counts 1 at most, and nothing is removed.";
        return Some(Reason::new(ReasonCode::NoBaseline, text));
    };
    up.capped.then(|| {
        let times = up.raw / up.requests / known.mean;
        let text = format!(
            "A request weighs {times:.1} times its healthy baseline; {:.1} times are believed. It is saturation \
             or a new mix of requests: nothing is removed until that is clear.",
            baseline::KAPPA
        );
        Reason::new(ReasonCode::WeightCapped, text)
    })
}

#[cfg(test)]
#[path = "assess_tests.rs"]
mod tests;
