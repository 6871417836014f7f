//! One cycle: observe, translate, read, tick, apply, record. The same function over real and simulated ports.

use std::time::Duration;

use loadline_policies::{
    memory::{self, Memory},
    now::Mono,
    plan::{Applied, Outcome, Plan},
};
use tokio_util::sync::CancellationToken;

use super::Ports;
use crate::{
    apply::{self, Tried},
    ports::{Actuator, FleetSource, Objects, Telemetry},
    tick::tick,
    translate::{KnownProfiles, Translator},
};

/// What the loop keeps from cycle to cycle.
#[derive(Debug, Default)]
pub struct Mind {
    /// Policies that were parsed.
    pub translator: Translator,
    /// What the decisions remember.
    pub memory: Memory,
    /// The telemetry profiles that exist.
    pub profiles: KnownProfiles,
}

/// What one cycle saw and did.
#[derive(Debug)]
pub struct Cycle {
    /// What it did.
    pub done: Done,
    /// The objects that it was decided on.
    pub objects: Objects,
}

/// What one cycle did.
#[derive(Debug)]
pub struct Done {
    /// What was decided, and what became of it.
    pub plan: Plan<Applied>,
    /// How long each step took.
    pub timings: Timings,
    /// From the telemetry's answer to the moment when each write that was done was sent.
    pub lags: Vec<Duration>,
}

/// How long each step of a cycle took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Taking the objects from the caches and translating them (before and after the telemetry was read).
    pub observe: Duration,
    /// Reading the telemetry.
    pub read: Duration,
    /// Deciding.
    pub tick: Duration,
    /// Writing.
    pub apply: Duration,
}

/// Runs one cycle. After `stop`, it begins no more writes.
pub async fn cycle<F, T, A>(ports: &Ports<F, T, A>, mind: &mut Mind, stop: &CancellationToken) -> Cycle
where
    F: FleetSource,
    T: Telemetry,
    A: Actuator,
{
    let Ports { fleet, telemetry, actuator, clock } = ports;
    let now = || clock.now();
    let start = now();
    let objects = fleet.objects();
    mind.translator.refresh(&objects);
    let asks = mind.translator.asks(&objects);
    let asked = now();
    let readings = telemetry.read(&asks, asked).await;
    let answered = now();

    // The telemetry may have taken seconds: what is written must carry the versions of now.
    let objects = fleet.objects();
    mind.translator.refresh(&objects);
    let fleet = mind.translator.fleet(&objects, &readings, &mind.profiles, answered);
    let seen = now();
    let plan = tick(&fleet, &mut mind.memory);
    drop(fleet);
    let decided = now();
    let Tried { plan, begun } = apply::apply(plan, actuator, clock.as_ref(), stop).await;
    memory::record(&mut mind.memory, &plan);
    let done = now();

    let between = |from: Mono, to: Mono| to.since(from);
    let timings = Timings {
        observe: between(start.mono, asked.mono) + between(answered.mono, seen.mono),
        read: between(asked.mono, answered.mono),
        tick: between(seen.mono, decided.mono),
        apply: between(decided.mono, done.mono),
    };
    let lags = lags(&plan, &begun, answered.mono);
    Cycle { done: Done { plan, timings, lags }, objects }
}

/// From the telemetry's answer to each write that was done. One that was skipped was never sent, and one that was refused
/// or has failed changed nothing.
fn lags(plan: &Plan<Applied>, begun: &[Option<Mono>], answered: Mono) -> Vec<Duration> {
    let tried = plan.actions.iter().zip(begun);
    let done = tried.filter(|(applied, _)| applied.outcome == Outcome::Done);
    done.filter_map(|(_, sent)| Some(sent.as_ref()?.since(answered))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use loadline_policies::{
        fleet::ObjectVersion,
        ids::{ClusterId, PolicyKey, Target},
        now::Now,
        plan::{Action, AppliedAction, ScaleAction},
        reason::{Reason, ReasonCode},
    };

    use super::*;

    #[test]
    fn only_writes_that_were_done_count_for_the_decision_lag() {
        let at = |ms: u64| Mono(Duration::from_millis(ms));
        let scale = || ScaleAction {
            policy: PolicyKey::new("shop", "cart"),
            cluster: ClusterId::local(),
            target: Target::new("apps/v1", "Deployment", "shop", "cart"),
            from: 3,
            accepted: 3,
            to: 5,
            version: ObjectVersion { uid: "u".into(), resource_version: "1".into() },
            reason: Reason::new(ReasonCode::BelowBand, "below"),
        };
        // Given that the actuator was asked for all but the last, and put one of them off itself.
        let outcomes = [
            Outcome::Done,
            Outcome::Skipped("no permit".into()),
            Outcome::Refused("changed".into()),
            Outcome::Failed("reset".into()),
            Outcome::Skipped("stopping".into()),
        ];
        let begun = [Some(at(120)), Some(at(130)), Some(at(140)), Some(at(150)), None];
        let actions = outcomes.map(|outcome| AppliedAction { action: Action::Scale(scale()), outcome });
        let now = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        let plan = Plan { at: now, actions: actions.into(), decisions: BTreeMap::new(), wake_at: None };
        assert_eq!(lags(&plan, &begun, at(100)), [Duration::from_millis(20)]);
    }
}
