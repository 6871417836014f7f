//! The forecast of a workload's load: fed with what is certain, asked at every tick, given its past when that was read.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use super::awaited::Awaited;
use crate::{
    forecast::{Forecast, Forecaster, LONGEST, trust::Trust},
    lead_time::{LeadTime, UNTIL_LEARNED},
    memory::PolicyMemory,
    now::{Mono, Now},
    plan::Demand,
    policy::Policy,
};

/// What passes beside the lead time between a rise of the load and the replicas for it: two syncs of 15 s, and the age
/// of a reading, which is the mean of a minute and up to half a minute old when it is read.
const BESIDE: Duration = Duration::from_secs(97);
/// The shortest window, minutes: loads are learned by the minute.
const SHORTEST: u32 = 2;
/// A window is shortened only by more than this share of it: learning another one costs its trust two days.
const WORTH: u32 = 5;

/// Minutes in which each policy has its turn once. What is learned anew is judged for days before it is used.
const TURNS: i64 = 30;

/// Shows the forecaster the load, unless it is in doubt, and asks it what is expected.
pub(super) fn foresee(
    policy: &Policy,
    certain: Option<Demand>,
    memory: &mut PolicyMemory,
    now: Now,
) -> Option<Forecast> {
    let quantile = policy.forecast.quantile;
    let horizon = horizon(memory);
    if memory.forecaster.is_none() {
        memory.awaited.get_or_insert(Awaited::new(Trust::Shadow, now.mono));
    }
    if let Some(awaited) = &mut memory.awaited {
        awaited.most = policy.forecast.max_trust;
    }
    let forecaster =
        memory.forecaster.get_or_insert_with(|| Box::new(Forecaster::new(horizon, quantile, phase(policy))));
    // Another window is learned from the history that there is, which takes half a millisecond: when a step of all loads
    // teaches ten thousand lead times at once, no tick waits for all of them.
    let horizon = if is_turn(phase(policy), now) { horizon } else { forecaster.aimed_at() };
    forecaster.aim(horizon, quantile);
    if let Some(demand) = certain {
        forecaster.observe(now, demand.weighted);
        if let Some(awaited) = &mut memory.awaited {
            awaited.see(&demand);
        }
    }
    forecaster.forecast(now.wall).map(|forecast| forecast.held_to(policy.forecast.max_trust))
}

/// Puts a forecaster that has learned the past in the place of one that awaits it since `asked`; it then learns what
/// that one has seen meanwhile. Of one that has learned only the `newest` days the rest is still awaited: the trust of
/// before goes on standing in for it, unless it already deserves as much. False, and nothing is changed, where it is
/// not awaited any more: the policy is another one by now, or has other weights.
pub fn adopt(memory: &mut PolicyMemory, asked: Mono, mut learned: Box<Forecaster>, newest: bool) -> bool {
    let Some(awaited) = memory.awaited.as_mut().filter(|awaited| awaited.since == asked) else {
        return false;
    };
    let Some(live) = &memory.forecaster else { return false };
    learned.take_over(live);
    awaited.meet(learned.earned());
    memory.forecaster = Some(learned);
    if !newest {
        memory.awaited = None;
    }
    true
}

/// Minutes of the window that must be covered before more replicas could help: until nineteen of twenty are ready in the
/// slowest cluster.
#[must_use]
pub fn horizon(memory: &PolicyMemory) -> u32 {
    let lead = memory.lead.values().filter_map(LeadTime::learned).map(|learned| learned.p95).max();
    let minutes = (lead.unwrap_or(UNTIL_LEARNED) + BESIDE).as_secs().div_ceil(60);
    let needed = u32::try_from(minutes).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
    let present = memory.forecaster.as_ref().map_or(needed, |forecaster| forecaster.aimed_at());
    if needed < present && needed + (present / WORTH).max(1) >= present { present } else { needed }
}

/// Whether it is the turn of a policy to be given another window: a minute in every [`TURNS`].
fn is_turn(phase: u32, now: Now) -> bool {
    (now.wall.as_second().div_euclid(60) + i64::from(phase)).rem_euclid(TURNS) == 0
}

/// Any number that differs from policy to policy.
#[must_use]
pub fn phase(policy: &Policy) -> u32 {
    let mut hasher = DefaultHasher::new();
    policy.uid.hash(&mut hasher);
    #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
    let phase = hasher.finish() as u16;
    phase.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::ClusterId, lead_time::Learned};

    fn memory(seconds: u64, present: Option<u32>) -> PolicyMemory {
        let p95 = Duration::from_secs(seconds);
        let lead = LeadTime::kept(Learned { p50: p95, p95, samples: 20 });
        let mut memory = PolicyMemory::default();
        memory.lead.insert(ClusterId::local(), lead);
        memory.forecaster = present.map(|minutes| Box::new(Forecaster::new(minutes, 0.95, 0)));
        memory
    }

    #[test]
    fn the_window_is_as_long_as_replicas_take() {
        assert_eq!(horizon(&PolicyMemory::default()), 5, "three minutes until learned");
        for (seconds, minutes) in [(5, 2), (60, 3), (185, 5), (195, 5), (600, 12), (3_600, 60)] {
            assert_eq!(horizon(&memory(seconds, None)), minutes, "{seconds} s");
        }
    }

    #[test]
    fn in_half_an_hour_each_has_its_turn_and_no_minute_has_many() {
        let minute = |n: i64| Now::new(jiff::Timestamp::from_second(60 * n).unwrap(), Duration::ZERO);
        for phase in 0..1_000 {
            assert_eq!((7..37).filter(|n| is_turn(phase, minute(*n))).count(), 1);
        }
        for n in 7..37 {
            assert!((0..1_000).filter(|phase| is_turn(*phase, minute(n))).count() <= 34);
        }
    }

    #[test]
    fn it_is_lengthened_at_once_and_shortened_only_where_it_is_worth_it() {
        assert_eq!(horizon(&memory(600, Some(5))), 12);
        assert_eq!(horizon(&memory(560, Some(12))), 12);
        assert_eq!(horizon(&memory(180, Some(12))), 5);
        assert_eq!(horizon(&memory(120, Some(5))), 5);
        assert_eq!(horizon(&memory(60, Some(5))), 3);
    }
}
