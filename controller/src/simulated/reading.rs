//! What the simulated telemetry source says, read with the same discipline as a real one's answers.

use std::{sync::LazyLock, time::Duration};

use loadline_chaos::world::{Answer, Failure, Gauge, Rates, World};
use loadline_policies::{
    fleet::{CpuSample, Histogram, LoadSample},
    now::Now,
    reading::{Coverage, Doubt, Observed, Reading, finite},
};

use crate::{
    config::Config,
    ports::{LoadAsk, LoadReading, Readings},
    translate::KnownProfiles,
};

/// What the profiles can tell: those that the operator ships.
#[must_use]
pub fn profiles() -> &'static KnownProfiles {
    static SHIPPED: LazyLock<KnownProfiles> =
        LazyLock::new(|| KnownProfiles::of(&Config::default().profiles));
    &SHIPPED
}

/// Answers every ask.
pub(super) fn all(world: &World, asks: &[LoadAsk], now: Now) -> Readings {
    let mut readings = Readings::default();
    for ask in asks {
        for (cluster, &expected) in &ask.expected {
            let telemetry = &world.config().telemetry;
            let read = |window| {
                let answer = world.load(cluster, &ask.target, window);
                answered(answer).and_then(|rates| load(world, ask, rates, expected, now))
            };
            let reading = LoadReading {
                steady: read(telemetry.window),
                burst: Some(read(telemetry.burst_window)),
                cpu: ask.detail.cpu.then(|| {
                    let answer = world.load(cluster, &ask.target, telemetry.window);
                    answered(answer).and_then(|rates| cpu(world, &rates, expected, now))
                }),
            };
            readings.loads.insert((ask.policy.clone(), cluster.clone()), reading);
        }
        for (name, query) in &ask.triggers {
            let value = answered(world.signal(query)).and_then(|gauge| trigger(world, gauge, now));
            readings.triggers.insert((ask.policy.clone(), name.clone()), value);
        }
    }
    readings
}

fn answered<T>(answer: Answer<T>) -> Result<T, Doubt> {
    match answer {
        Answer::Value(value) => Ok(value),
        Answer::Absent => Err(Doubt::AbsentSeries),
        Answer::Empty => Err(Doubt::EmptyVector),
        Answer::Failed(Failure::Http(status)) => Err(Doubt::HttpStatus(status)),
        Answer::Failed(Failure::TimedOut) => Err(Doubt::TimedOut),
        Answer::Failed(Failure::Unreachable) => Err(Doubt::Unreachable),
        Answer::Failed(Failure::WrongShape) => {
            Err(Doubt::WrongShape("a matrix where a vector was asked for".to_owned()))
        }
    }
}

fn load(world: &World, ask: &LoadAsk, rates: Rates, expected: u32, now: Now) -> Observed<LoadSample> {
    fresh(world, rates.observed_at, now)?;
    let requests = finite(rates.requests)?;
    // A profile without a histogram is one of queues: arrivals and backlog.
    let queue = profiles().get(&ask.profile).is_some_and(|facts| !facts.histogram);
    let histogram = if queue { None } else { Some(Histogram::from_rates(rates.histogram)?) };
    let backlog = if queue { Some(finite(rates.backlog)?) } else { None };
    let endpoints = if ask.detail.endpoints { rates.endpoints } else { Vec::new() };
    let endpoints = endpoints.into_iter().map(|(name, rate)| Ok((name, finite(rate)?)));
    let sample = LoadSample {
        window: rates.window,
        histogram,
        endpoints: endpoints.collect::<Result<_, Doubt>>()?,
        requests,
        backlog,
    };
    let coverage = rates.reporting.map_or(Coverage::full(1), |reporting| Coverage { reporting, expected });
    Ok(Reading { value: sample, observed_at: world.wall(rates.observed_at), coverage })
}

fn cpu(world: &World, rates: &Rates, expected: u32, now: Now) -> Observed<CpuSample> {
    if !world.config().telemetry.cpu {
        return Err(Doubt::AbsentSeries);
    }
    fresh(world, rates.observed_at, now)?;
    let value = CpuSample { window: rates.window, cores: finite(rates.cpu)? };
    let reporting = rates.reporting.unwrap_or(expected);
    let coverage = Coverage { reporting, expected };
    Ok(Reading { value, observed_at: world.wall(rates.observed_at), coverage })
}

fn trigger(world: &World, gauge: Gauge, now: Now) -> Observed<f64> {
    fresh(world, gauge.observed_at, now)?;
    Ok(Reading::complete(finite(gauge.value)?, world.wall(gauge.observed_at)))
}

/// A sample is stale when it is older than two scrapes, not counting the time that it takes to be readable.
fn fresh(world: &World, observed_at: Duration, now: Now) -> Result<(), Doubt> {
    let telemetry = &world.config().telemetry;
    let age = now.mono.0.saturating_sub(observed_at);
    if age > telemetry.scrape.saturating_mul(2).saturating_add(telemetry.delay) {
        return Err(Doubt::Stale { age });
    }
    Ok(())
}
