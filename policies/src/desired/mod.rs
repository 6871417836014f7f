//! How many replicas a workload should have: what each source says, and what follows from all of it.
//!
//! ```text
//! load, burst, latency, triggers ──says──> combine ──> recommendation ──> settle ──> desired
//!                    vetoes of scale-in ────┘   fallback,                  stabilise, floors (schedule,
//!                    (doubt, roll-out, …)       activation                 person), pace, bounds, pauses
//! ```

pub mod activation;
pub mod combine;
pub mod count;
pub mod event;
pub mod fallback;
pub mod formula;
pub mod permission;
pub mod person;
pub mod predicted;
pub mod reactive;
pub mod say;
pub mod schedule;
pub mod settle;
pub mod trigger;
pub mod words;

use std::time::Duration;

use crate::{
    behaviour::tolerance::Tolerances,
    fleet::{Totals, Workload},
    load::{Assessment, settling},
    memory::PolicyMemory,
    now::{Mono, Now},
    plan::Proposal,
    reason::{Reason, ReasonCode},
};

/// What the sources recommend, before behaviour and bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recommendation {
    /// Replicas.
    pub replicas: u32,
    /// Whether it passes the stabilisation windows by: a fallback that the user wrote as exact, the idle time,
    /// which is a window of its own, and waking.
    pub exact: bool,
    /// Nothing is removed before this moment: this process has not watched for a whole window yet.
    pub not_before: Option<Mono>,
    /// Fewest replicas that the bounds allow in this state: 0 only while asleep or going to sleep.
    pub lower: u32,
    /// Why; the decisive one first.
    pub reasons: Vec<Reason>,
    /// Every source that had a say.
    pub proposals: Vec<Proposal>,
    /// When it may change without a new reading.
    pub wake_at: Option<Mono>,
}

/// Recommends replicas for a workload of `replicas`, of which `wanted` are accepted as asked for.
pub fn recommend(
    workload: &Workload,
    assessment: &Assessment,
    replicas: Totals,
    memory: &mut PolicyMemory,
    now: Now,
) -> Recommendation {
    let policy = &workload.policy;
    let current = replicas.wanted;
    let says = say_all(workload, assessment, replicas, memory, now);
    let proposals = says.iter().filter_map(|say| say.proposal(current)).collect();
    let vetoes = vetoes(workload, assessment);
    let window_end = first_window_end(workload, memory, now);
    let (state, idle_end) = activation::judge(workload, assessment, current, memory, now);
    let (fallback, fallback_at) =
        fallback::judge(policy.fallback, no_data(workload, assessment), memory, now);
    let awake_min = if state == activation::State::Off { policy.bounds.min } else { 1 };
    let mut result = Recommendation {
        replicas: current,
        exact: false,
        not_before: window_end,
        lower: awake_min,
        reasons: Vec::new(),
        proposals,
        wake_at: earliest([window_end, idle_end, fallback_at]),
    };
    match state {
        activation::State::Asleep(reason) => {
            result.lower = 0;
            result.reasons.push(reason);
        }
        activation::State::Waking(reason) => {
            // The first replicas come at once; more as soon as they are measured.
            result = Recommendation { replicas: awake_min, exact: true, ..result };
            result.reasons.push(reason);
        }
        activation::State::Awake { idle: Some(reason) } if may_sleep(workload, &says, &vetoes) => {
            result = Recommendation { replicas: 0, exact: true, lower: 0, ..result };
            result.reasons.push(reason);
        }
        activation::State::Off | activation::State::Awake { .. } => {
            let combined = combine::combine(says, current, &vetoes);
            result.replicas = combined.replicas;
            result.reasons = combined.reasons;
        }
    }
    fall_back(result, fallback, &vetoes, current)
}

/// Applies the fallback on top of a recommendation that was made without data.
fn fall_back(
    mut result: Recommendation,
    fallback: fallback::Verdict,
    vetoes: &[Reason],
    current: u32,
) -> Recommendation {
    match fallback {
        fallback::Verdict::NotYet => {}
        fallback::Verdict::Hold(reason) => result.reasons.insert(0, reason),
        fallback::Verdict::AtLeast(n, reason) => {
            result.replicas = result.replicas.max(n);
            result.reasons.insert(0, reason);
        }
        fallback::Verdict::Exactly(n, reason) => {
            // Doubt is what this fallback is for; a roll-out or a pause still forbids to remove.
            let of_data = |veto: &&Reason| {
                use ReasonCode::{Doubt, HistoryAwaited, NoBaseline, WindowNotFilled};
                matches!(veto.code, Doubt | HistoryAwaited | NoBaseline | WindowNotFilled)
            };
            let veto = vetoes.iter().find(|veto| !of_data(veto));
            match veto {
                Some(veto) if n < current => {
                    result.reasons.insert(0, reason);
                    result.reasons.insert(0, veto.clone());
                }
                _ => {
                    result.replicas = n;
                    result.exact = true;
                    result.reasons.insert(0, reason);
                }
            }
        }
    }
    result
}

fn say_all(
    workload: &Workload,
    assessment: &Assessment,
    replicas: Totals,
    memory: &mut PolicyMemory,
    now: Now,
) -> Vec<say::Say> {
    let policy = &workload.policy;
    let band = policy.capacity.redundancy;
    let tolerances = Tolerances::of_load(&policy.behaviour);
    let band = predicted::band(assessment, band);
    let mut says = Vec::with_capacity(2 + policy.triggers.len());
    // Latency and load want the same number then, and latency is why.
    says.extend(reactive::latency(assessment, band, tolerances, replicas));
    says.push(reactive::load(assessment, band, tolerances, replicas));
    says.extend(predicted::forecast(assessment, replicas, memory, now));
    says.extend(event::all(policy, assessment, memory, replicas, now));
    says.extend(reactive::burst(assessment, band, tolerances, replicas));
    says.extend(trigger::all(workload, Tolerances::of_triggers(&policy.behaviour), replicas));
    says
}

/// What forbids to remove replicas now, whatever the sources say.
fn vetoes(workload: &Workload, assessment: &Assessment) -> Vec<Reason> {
    let mut vetoes = Vec::new();
    if let Some((signal, doubt)) = assessment.doubts.first() {
        let text = format!("{signal} is in doubt ({doubt}): nothing is removed.");
        vetoes.push(Reason::new(ReasonCode::Doubt, text));
    }
    vetoes.extend(assessment.no_scale_in.clone());
    for (cluster, instance) in &workload.instances {
        match instance {
            Ok(instance) if instance.rolling_out => {
                let text = format!(
                    "A roll-out is under way in cluster {cluster}, or cannot be ruled out: nothing is removed."
                );
                vetoes.push(Reason::new(ReasonCode::RollingOut, text));
            }
            Ok(_) => {}
            Err(_) => {
                let text =
                    format!("The target in cluster {cluster} is not seen: nothing is removed elsewhere.");
                vetoes.push(Reason::new(ReasonCode::TargetProblem, text));
            }
        }
    }
    if workload.policy.pause.scale_in {
        let text = "Scale-in is paused by the annotation loadline.dev/paused-scale-in.";
        vetoes.push(Reason::new(ReasonCode::Paused, text));
    }
    vetoes
}

/// When the first windows of this process end, if they have not: that of scale-in, and that of the load's rate,
/// which may have begun when this process did (they were away together).
fn first_window_end(workload: &Workload, memory: &mut PolicyMemory, now: Now) -> Option<Mono> {
    let first = *memory.first_seen.get_or_insert(now.mono);
    let loads = workload.instances.values().flatten().filter_map(|instance| instance.load.as_ref().ok());
    let rate = loads.map(|reading| settling::whole(reading.value.window)).max().unwrap_or_default();
    let window = workload.policy.behaviour.down.stabilization_window.max(rate);
    (window > Duration::ZERO && now.mono.since(first) < window).then(|| first.plus(window))
}

fn may_sleep(workload: &Workload, says: &[say::Say], vetoes: &[Reason]) -> bool {
    let Some(activation) = &workload.policy.activation else { return false };
    vetoes.is_empty() && says.iter().all(|say| activation::lets_sleep(activation, say))
}

/// Whether no signal at all could be read, of a target that is there to be measured.
pub(crate) fn no_data(workload: &Workload, assessment: &Assessment) -> bool {
    workload.instances.values().any(Result::is_ok)
        && assessment.up.is_none()
        && assessment.burst.is_none()
        && workload.triggers.values().all(Result::is_err)
}

/// The earliest of several moments.
pub(crate) fn earliest<const N: usize>(moments: [Option<Mono>; N]) -> Option<Mono> {
    moments.into_iter().flatten().min()
}
