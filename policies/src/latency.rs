//! The latency term: latency over its target although the load is not high.
//!
//! Then either one replica bears less than its benchmark says, and more replicas help; or something else is
//! slow (a dependency, a lock), and they do not. The term finds out by trying, and remembers the try.
//!
//! ```text
//!      over target, utilisation        better by 10 %: another step
//!      low, for half a window           ┌──────┐
//!   none ──> Watching ──────> Growing ──┘<─────┘ ── no better ──> Futile
//!    ^                          │   ^                              │
//!    │                  healthy │   │ over target                  │ healthy
//!    │                          v   │ again                        │
//!    └── factor down to 1 ── Easing─┘                              │
//!    └─────────────────────────────────────────────────────────────┘
//! ```
//!
//! A futile step falls back to what helped before it; and more work per replica than in the try is a new case.
//!
//! The factor is transient: it divides the capacity while it lasts and is never learned as capacity.

use std::time::Duration;

use serde::Serialize;

use crate::{
    load::histogram::Quantile,
    memory::{LatencyTry, TryPhase},
    now::Mono,
    policy::LatencyObjective,
};

/// Replicas of one step, as a multiple of those ready (elasticity.md, the latency term: +25 %).
///
/// Large enough that a service near saturation shows it: at a utilisation of 0.9 of an M/M/1 queue a quarter
/// more replicas take two thirds of the latency away.
const STEP: f64 = 1.25;

/// All steps together: at most so many times the replicas that were ready when latency first broke.
///
/// A benchmark that is wrong by more than this is for a person to correct; and a latency that gets a little
/// better by chance must not buy replicas without end.
const MAX_GROWTH: f64 = 3.0;

/// How much of the over-estimate is carried over to *other* loads.
///
/// A workload that lies at its lower bound at night is at a tenth of its capacity; if latency breaks there,
/// a quarter more replicas are twelve times what the load needs. Twelve times the morning's load would be
/// absurd, so beyond this factor the try holds its number of replicas, not its ratio to the load.
const MAX_FACTOR: f64 = 2.0;

/// A step helped if latency fell under this share of what it was: at least 10 % better.
///
/// A quantile from [`MIN_EXCEEDANCES`] slow requests moves by some percent between windows without any cause.
const BETTER: f64 = 0.9;

/// Slow requests that a quantile needs to be worth judging: `n·(1 - q) >= 10`.
///
/// The quantile of n requests is fixed by the `n·(1 - q)` above it; of ten, one standard deviation is a
/// third. For the 0.99 quantile that is 1,000 requests in the window.
const MIN_EXCEEDANCES: f64 = 10.0;

/// How slowly the factor goes back to 1 once latency is healthy: the time constant of its decay.
///
/// A declared capacity that is too high stays too high. Dropping the factor at once would remove the replicas
/// that helped and break the objective again, every few minutes; so it goes by a hundredth every 36 s, and
/// what is removed is put back when latency says so.
const EASING: Duration = Duration::from_hours(1);

/// A factor this close to 1 is let go: less than one replica in fifty.
const GONE: f64 = 1.02;

/// The largest share of new replicas with which a try may begin.
///
/// A replica that fails and comes back now and then must not keep the term from its work; a scale-out after
/// which latency is still being measured should, and it is larger than this.
const MAX_YOUNG: f64 = 0.1;

/// Tolerance on the utilisation that a step is to reach, for the noise of the load while it is waited for.
const REACHED_SLACK: f64 = 1.01;

/// How much more work per replica than in a futile try makes a new case of it.
///
/// The load of a steady service moves by some percent between windows. Without a margin every such ripple would
/// overthrow the verdict, and a slow dependency would let the replicas go up and down by a quarter for as long as it
/// lasts.
const ANEW: f64 = 1.1;

/// Keeps `ceil` from adding a replica for the last bit of a quotient.
const ROUNDING: f64 = 1.0 - 1e-9;

/// What latency asks for on top of the load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum LatencyTerm {
    /// Latency is within its objective.
    Fine,
    /// Latency is over its target while utilisation is not high: one replica bears less than was declared.
    /// Size by `per_replica / factor`.
    ScaleOut {
        /// How much the capacity of one replica is over-estimated, above 1.
        factor: f64,
    },
    /// Latency is within its objective because of more replicas: keep sizing by `per_replica / factor`, a
    /// factor that shrinks over hours.
    Easing {
        /// What is left of the factor, above 1.
        factor: f64,
    },
    /// More replicas were tried and brought no better latency: add none for its sake.
    Futile {
        /// What earlier steps, which did help, found out; 1 where there were none.
        factor: f64,
    },
    /// No objective, no histogram, too few requests, a roll-out, or doubt; or the load itself asks for more.
    NotJudged,
}

impl LatencyTerm {
    /// What the capacity of one replica is divided by; 1 unless replicas are added or kept for latency.
    #[must_use]
    pub const fn factor(self) -> f64 {
        match self {
            Self::ScaleOut { factor } | Self::Easing { factor } | Self::Futile { factor } => factor,
            Self::Fine | Self::NotJudged => 1.0,
        }
    }
}

/// What the latency of a workload is judged by: complete readings, outside of a roll-out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// The measured quantile of the objective.
    pub quantile: Quantile,
    /// Share of the requests that were slower than the target, 0 to 1.
    pub slow: f64,
    /// Requests in the window.
    pub requests: f64,
    /// The window.
    pub window: Duration,
    /// Weighted load, a burst's where there is one, over the capacity of the ready replicas, without any
    /// factor.
    pub utilisation: f64,
    /// Ready replicas.
    pub ready: u32,
    /// Those of them that are ready for less than a window: what is measured is in part from before they were.
    pub young: u32,
    /// Lower end of the band of redundancy.
    pub min_redundancy: f64,
}

impl Evidence {
    /// The replicas that the load alone asks for, before rounding up.
    fn by_load(&self) -> f64 {
        self.utilisation * f64::from(self.ready) * self.min_redundancy
    }

    /// Whether the load itself asks for more replicas than are ready, or there is none to speak of: then
    /// latency tells nothing new.
    fn load_decides(&self) -> bool {
        self.utilisation <= 0.0 || self.by_load() >= f64::from(self.ready)
    }

    /// Whether so many replicas are new that the window tells of the time before them: the slow requests may
    /// be those that they came for.
    fn is_of_the_past(&self) -> bool {
        f64::from(self.young) > MAX_YOUNG * f64::from(self.ready)
    }
}

/// The latency term of this tick. `None` as evidence stands for doubt, a roll-out or unknown capacity: then
/// a try that is under way stands as it is.
pub fn judge(
    objective: &LatencyObjective,
    evidence: Option<Evidence>,
    memory: &mut Option<LatencyTry>,
    now: Mono,
) -> LatencyTerm {
    if let Some(e) = evidence {
        match is_over(objective, e.quantile, e.requests) {
            Some(false) if memory.is_none() => return LatencyTerm::Fine,
            Some(false) => {
                *memory = memory.and_then(|t| recover(t, &e, now));
                return memory.map_or(LatencyTerm::Fine, |t| standing(&t, evidence));
            }
            Some(true) if e.load_decides() || (!is_under_way(memory.as_ref()) && e.is_of_the_past()) => {
                *memory = memory.map(|t| restart(t, &e, now));
            }
            Some(true) => *memory = Some(pursue(*memory, &e, now)),
            None => {}
        }
    }
    memory.as_ref().map_or(LatencyTerm::NotJudged, |t| standing(t, evidence))
}

/// Whether replicas were asked for by a try.
fn is_under_way(memory: Option<&LatencyTry>) -> bool {
    memory.is_some_and(|t| t.phase != TryPhase::Watching)
}

/// Whether latency is over its target; `None` where nobody can tell: too few requests, or a quantile in the
/// `+Inf` bucket of a histogram that ends before the target.
pub(crate) fn is_over(objective: &LatencyObjective, measured: Quantile, requests: f64) -> Option<bool> {
    let target = objective.target.as_secs_f64();
    let Quantile { seconds, at_least } = measured;
    if requests * (1.0 - objective.quantile) < MIN_EXCEEDANCES || (at_least && seconds < target) {
        return None;
    }
    Some(at_least || seconds > target)
}

/// What a try says as it stands.
fn standing(t: &LatencyTry, evidence: Option<Evidence>) -> LatencyTerm {
    let factor = evidence.map_or(t.factor, |e| effective(t, &e));
    match t.phase {
        // What earlier steps found out holds meanwhile.
        TryPhase::Watching if factor > 1.0 => LatencyTerm::ScaleOut { factor },
        TryPhase::Watching => LatencyTerm::NotJudged,
        TryPhase::Growing => LatencyTerm::ScaleOut { factor },
        TryPhase::Easing => LatencyTerm::Easing { factor },
        TryPhase::Futile => LatencyTerm::Futile { factor },
    }
}

/// The factor at this load: the ratio that is carried over, or more while the try's replicas exceed it.
fn effective(t: &LatencyTry, evidence: &Evidence) -> f64 {
    let by_load = evidence.by_load();
    if by_load > 0.0 { t.factor.max(t.replicas * ROUNDING / by_load) } else { t.factor }
}

/// Latency is within its objective: forget a futile try, ease a factor that helped.
fn recover(t: LatencyTry, evidence: &Evidence, now: Mono) -> Option<LatencyTry> {
    match t.phase {
        TryPhase::Watching | TryPhase::Futile if effective(&t, evidence) <= GONE => None,
        TryPhase::Watching | TryPhase::Futile | TryPhase::Growing => {
            Some(LatencyTry { phase: TryPhase::Easing, at: now, ..t })
        }
        TryPhase::Easing => {
            // One healthy window speaks for no more than itself, as after a gap in the data.
            let passed = now.since(t.at).min(evidence.window);
            let left = (-passed.as_secs_f64() / EASING.as_secs_f64()).exp();
            let eased =
                LatencyTry { factor: (t.factor * left).max(1.0), replicas: t.replicas * left, at: now, ..t };
            (effective(&eased, evidence) > GONE).then_some(eased)
        }
    }
}

/// Latency is over its target and the load is not the cause: try, wait, judge.
fn pursue(memory: Option<LatencyTry>, evidence: &Evidence, now: Mono) -> LatencyTry {
    match memory {
        None => watch(evidence, now),
        Some(t) => match t.phase {
            // Both windows must hold the load that made the requests slow before it is called low: a quantile
            // shows the first slow requests of an overload at once, a rate only when its window has filled.
            TryPhase::Watching if now.since(t.at) < evidence.window / 2 => t,
            // The verdict was on less work per replica than there is now.
            TryPhase::Futile if evidence.utilisation > t.utilisation * ANEW => {
                let limit = watch(evidence, now).limit.max(t.limit);
                LatencyTry { phase: TryPhase::Watching, at: now, limit, ..t }
            }
            TryPhase::Futile => t,
            TryPhase::Watching | TryPhase::Easing => step(t, evidence, now),
            TryPhase::Growing => grow(t, evidence, now),
        },
    }
}

/// Latency is over its target and the load does not look like the cause: it is watched before anything is tried.
fn watch(evidence: &Evidence, now: Mono) -> LatencyTry {
    LatencyTry {
        since: now,
        at: now,
        latency: 0.0,
        slow: 0.0,
        utilisation: evidence.utilisation,
        replicas: 0.0,
        factor: 1.0,
        before: (1.0, 0.0),
        limit: f64::from(evidence.ready) * MAX_GROWTH,
        reached: None,
        phase: TryPhase::Watching,
    }
}

/// The next step: a quarter more replicas than are ready, within the limit.
fn step(t: LatencyTry, evidence: &Evidence, now: Mono) -> LatencyTry {
    let replicas = (f64::from(evidence.ready) * STEP).min(t.limit).max(t.replicas);
    if replicas <= f64::from(evidence.ready) {
        // All that may be tried is there already.
        return LatencyTry { phase: TryPhase::Futile, at: now, utilisation: evidence.utilisation, ..t };
    }
    LatencyTry {
        at: now,
        latency: evidence.quantile.seconds,
        slow: evidence.slow,
        utilisation: evidence.utilisation,
        before: (t.factor, t.replicas),
        replicas,
        factor: (replicas / evidence.by_load()).min(MAX_FACTOR).max(t.factor),
        reached: None,
        phase: TryPhase::Growing,
        ..t
    }
}

/// A step is under way: wait for its replicas, then for a window with them, then judge.
fn grow(t: LatencyTry, evidence: &Evidence, now: Mono) -> LatencyTry {
    let Some(reached) = t.reached else {
        // "A quarter more replicas" is meant for the same load, so it is seen in the utilisation: with more
        // load as well, nothing would have been tried. Until then the worst counts as "before": the window
        // in which latency first crossed its target holds only the beginning of the trouble.
        let there = evidence.utilisation * STEP <= t.utilisation * REACHED_SLACK;
        return LatencyTry {
            latency: t.latency.max(evidence.quantile.seconds),
            slow: t.slow.max(evidence.slow),
            reached: there.then_some(now),
            ..t
        };
    };
    if now.since(reached) < evidence.window {
        return t;
    }
    // In the +Inf bucket every latency looks the same; the share of slow requests still tells.
    let better = evidence.quantile.seconds < t.latency * BETTER
        || (evidence.quantile.at_least && evidence.slow < t.slow * BETTER);
    if !better {
        let (factor, replicas) = t.before;
        LatencyTry { phase: TryPhase::Futile, factor, replicas, at: now, ..t }
    } else if t.replicas < t.limit {
        step(t, evidence, now)
    } else {
        t
    }
}

/// The load itself asks for more replicas by now: what was measured before tells nothing about this step.
fn restart(t: LatencyTry, evidence: &Evidence, now: Mono) -> LatencyTry {
    if !matches!(t.phase, TryPhase::Watching | TryPhase::Growing) {
        return t;
    }
    LatencyTry {
        at: now,
        latency: evidence.quantile.seconds,
        slow: evidence.slow,
        utilisation: evidence.utilisation,
        reached: None,
        ..t
    }
}

#[cfg(test)]
#[path = "latency_tests.rs"]
mod tests;
