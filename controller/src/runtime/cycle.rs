//! One cycle: observe, translate, read, tick, apply, record. The same function over real and simulated ports.

use std::time::Duration;

use loadline_policies::{
    memory::{self, Memory},
    now::Mono,
    plan::{Applied, Plan},
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
    /// From the telemetry's answer to each write that was sent.
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
    let lags = begun.into_iter().flatten().map(|sent| between(answered.mono, sent)).collect();
    Cycle { done: Done { plan, timings, lags }, objects }
}
