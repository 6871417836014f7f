//! From a recommendation to what one write may do now: stabilise, floors, pace, bounds, pauses.

use crate::{
    behaviour::{
        pace::{self, Limit},
        prune,
        stabilise::{Stabilised, stabilise},
    },
    desired::{Recommendation, earliest, person, schedule, words},
    memory::PolicyMemory,
    now::{Mono, Now},
    policy::Policy,
    reason::{Reason, ReasonCode},
};

/// The replicas desired now, and why not others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Replicas.
    pub desired: u32,
    /// Why; the decisive one first.
    pub reasons: Vec<Reason>,
    /// What keeps the workload from replicas that it needs, if anything does.
    pub limited: Option<Reason>,
    /// When the result may change without a new reading.
    pub wake_at: Option<Mono>,
}

/// Settles a recommendation for a workload of `current` replicas.
pub fn settle(
    policy: &Policy,
    recommendation: Recommendation,
    current: u32,
    memory: &mut PolicyMemory,
    now: Now,
) -> Settled {
    let Recommendation { replicas: recommended, exact, not_before, lower, reasons, wake_at, .. } =
        recommendation;
    let behaviour = &policy.behaviour;
    prune(memory, behaviour, now.mono);
    let mut limits = Limits { list: Vec::new(), limited: None, wake_at };

    let stabilised = stabilise(memory, behaviour, current, recommended, now.mono);
    let mut held = if exact { recommended } else { stabilised.replicas };
    if let Some(end) = not_before.filter(|end| now.mono < *end && held < current) {
        held = current;
        limits.first_window(end, now.mono);
    } else if !exact {
        limits.stabilised(policy, stabilised, recommended, now.mono);
    }

    let (wanted, floors) = raise_to_floors(policy, held, current, memory, now, &mut limits);

    // Bounds are explicit and need no evidence: a change starts and ends inside them.
    let max = policy.bounds.max;
    let base = current.max(lower).min(max);
    let raised = current < lower && wanted < lower;
    let target = wanted.max(lower).min(max);
    let paced = pace::pace(base, target, behaviour, &memory.changes, now.mono);
    limits.paced(paced, base, target, now.mono);
    limits.bounded(max, current, wanted);
    let bounded = paced.replicas;
    if raised {
        let text = format!("{current} is below bounds.min: raised to {lower} at once.");
        limits.list.push(Reason::new(ReasonCode::AtMin, text));
    }
    let desired = limits.pauses(policy, current, bounded);

    let reasons = order(reasons, floors, limits.list, current, recommended, desired);
    Settled { desired, reasons, limited: limits.limited, wake_at: limits.wake_at }
}

/// Raises to the highest floor, and tells it where it matters.
fn raise_to_floors(
    policy: &Policy,
    held: u32,
    current: u32,
    memory: &mut PolicyMemory,
    now: Now,
    limits: &mut Limits,
) -> (u32, Vec<Reason>) {
    let (schedule, edge) = schedule::floor(policy, memory, now);
    let person = person::floor(memory, now.mono);
    limits.wake_at = earliest([limits.wake_at, edge, person.as_ref().map(|(floor, _)| floor.until)]);
    let floors = [
        schedule.map(|floor| (floor.replicas, floor.reason)),
        person.map(|(floor, reason)| (floor.replicas, reason)),
    ];
    let highest = floors.into_iter().flatten().max_by_key(|(replicas, _)| *replicas);
    match highest {
        // A floor matters when it asks for more, or keeps from going as low as the load allows.
        Some((replicas, reason)) if replicas > held || replicas >= current => {
            (held.max(replicas), vec![reason])
        }
        Some((replicas, _)) => (held.max(replicas), Vec::new()),
        None => (held, Vec::new()),
    }
}

/// The decisive reason first: what moved the replicas, or what kept them from moving.
fn order(
    sources: Vec<Reason>,
    floors: Vec<Reason>,
    limits: Vec<Reason>,
    current: u32,
    recommended: u32,
    desired: u32,
) -> Vec<Reason> {
    let bound_moved = limits.iter().any(|r| moved_by_bound(r.code, current, desired));
    if desired == current && recommended != current || bound_moved {
        return limits.into_iter().chain(floors).chain(sources).collect();
    }
    if desired > recommended {
        return floors.into_iter().chain(sources).chain(limits).collect();
    }
    sources.into_iter().chain(floors).chain(limits).collect()
}

const fn moved_by_bound(code: ReasonCode, current: u32, desired: u32) -> bool {
    match code {
        ReasonCode::AtMin => desired > current,
        ReasonCode::AtMax => desired < current,
        _ => false,
    }
}

/// What limits the way, collected on it.
struct Limits {
    list: Vec<Reason>,
    limited: Option<Reason>,
    wake_at: Option<Mono>,
}

impl Limits {
    /// A limit; `needed` when it keeps the workload from replicas that it needs.
    fn add(&mut self, reason: Reason, needed: bool) {
        if needed {
            self.limited.get_or_insert_with(|| reason.clone());
        }
        self.list.push(reason);
    }

    fn first_window(&mut self, end: Mono, now: Mono) {
        let text = format!(
            "Loadline has not watched for a whole window yet: nothing is removed for another {}.",
            words::duration(end.since(now))
        );
        self.list.push(Reason::new(ReasonCode::Stabilized, text));
    }

    fn stabilised(&mut self, policy: &Policy, stabilised: Stabilised, recommended: u32, now: Mono) {
        let Some(by) = stabilised.held_by else { return };
        let up = stabilised.replicas < recommended;
        let rules = if up { &policy.behaviour.up } else { &policy.behaviour.down };
        let end = by.at.plus(rules.stabilization_window);
        self.wake_at = earliest([self.wake_at, Some(end)]);
        let extreme = if up { "only" } else { "still" };
        let text = format!(
            "{} would do now, but {extreme} {} were wanted {} ago and the stabilisation window is {}: looked at \
             again in {}.",
            words::replicas(recommended),
            by.replicas,
            words::duration(now.since(by.at)),
            words::duration(rules.stabilization_window),
            words::duration(end.since(now))
        );
        self.list.push(Reason::new(ReasonCode::Stabilized, text));
    }

    fn paced(&mut self, paced: pace::Paced, base: u32, wanted: u32, now: Mono) {
        let Some(limit) = paced.limit else { return };
        self.wake_at = earliest([self.wake_at, paced.release]);
        let up = wanted > base;
        let field = if up { "behaviour.scaleUp" } else { "behaviour.scaleDown" };
        let again = paced.release.map_or_else(String::new, |at| {
            format!("; more is allowed in {}", words::duration(at.since(now)))
        });
        let (code, what) = match limit {
            Limit::Disabled => (ReasonCode::DirectionDisabled, "selectPolicy is Disabled".to_owned()),
            Limit::Dwell => (ReasonCode::RateLimited, "dwell: the last change is too recent".to_owned()),
            Limit::Rate => (ReasonCode::RateLimited, "the rate rules".to_owned()),
            Limit::MaxStep => (ReasonCode::RateLimited, "maxStep".to_owned()),
        };
        let text = format!(
            "{} {} wanted; {} {} allowed now by {field} ({what}){again}.",
            words::replicas(wanted),
            words::are(wanted),
            paced.replicas,
            words::are(paced.replicas),
        );
        let reason = Reason::new(code, text);
        self.add(reason, up);
    }

    fn bounded(&mut self, max: u32, current: u32, wanted: u32) {
        if wanted <= max && current <= max {
            return;
        }
        let text = if wanted > max {
            format!("{} {} wanted; bounds.max is {max}.", words::replicas(wanted), words::are(wanted))
        } else {
            format!("{current} is above bounds.max: lowered to at most {max} at once.")
        };
        let reason = Reason::new(ReasonCode::AtMax, text);
        // Lowering to a new maximum takes away nothing that the load asks for.
        self.add(reason, wanted > current);
    }

    fn pauses(&mut self, policy: &Policy, current: u32, bounded: u32) -> u32 {
        let (direction, paused) = if bounded > current {
            ("scale-out", policy.pause.scale_out)
        } else {
            ("scale-in", policy.pause.scale_in && bounded < current)
        };
        if !paused {
            return bounded;
        }
        let text = format!(
            "{} {} wanted; {direction} is paused by the annotation loadline.dev/paused-{direction}.",
            words::replicas(bounded),
            words::are(bounded)
        );
        let reason = Reason::new(ReasonCode::Paused, text);
        self.add(reason, bounded > current);
        current
    }
}
