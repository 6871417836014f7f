//! The forecast of a workload's load: fed with what is certain, asked at every tick, given its past when that was read.

use super::awaited::Awaited;
use crate::{
    forecast::{Forecast, Forecaster, trust::Trust},
    memory::PolicyMemory,
    now::{Mono, Now},
    plan::Demand,
    policy::Policy,
};

/// Minutes of the window that must be covered before more replicas could help: a lead time of 180 s, two syncs of
/// 15 s, and a reading that is up to a minute old, in whole minutes.
pub const HORIZON: u32 = 5;

/// Shows the forecaster the load, unless it is in doubt, and asks it what is expected.
pub(super) fn foresee(
    policy: &Policy,
    certain: Option<Demand>,
    memory: &mut PolicyMemory,
    now: Now,
) -> Option<Forecast> {
    let quantile = policy.forecast.quantile;
    if let Some(other) = memory.forecaster.take_if(|f| !f.is_for(HORIZON, quantile)) {
        let trust = other.forecast(now.wall).map_or(Trust::Shadow, |f| f.trust);
        let before = memory.awaited.and_then(|awaited| awaited.stands_in(now.mono));
        memory.awaited = Some(Awaited::new(trust.max(before.unwrap_or_default()), now.mono));
    }
    if memory.forecaster.is_none() {
        memory.awaited.get_or_insert(Awaited::new(Trust::Shadow, now.mono));
    }
    let forecaster = memory.forecaster.get_or_insert_with(|| Box::new(Forecaster::new(HORIZON, quantile)));
    if let Some(demand) = certain {
        forecaster.observe(now, demand.weighted);
        if let Some(awaited) = &mut memory.awaited {
            awaited.see(&demand);
        }
    }
    forecaster.forecast(now.wall)
}

/// Puts a forecaster that has learned the past in the place of one that awaits it since `asked`; it then learns what
/// that one has seen meanwhile. False, and nothing is changed, where it is not awaited any more: the policy is
/// another one by now, or has other weights or another quantile.
pub fn adopt(memory: &mut PolicyMemory, asked: Mono, mut learned: Box<Forecaster>) -> bool {
    let awaited = memory.awaited.is_some_and(|awaited| awaited.since == asked);
    let Some(live) = memory.forecaster.as_ref().filter(|live| awaited && live.is_alike(&learned)) else {
        return false;
    };
    learned.take_over(live);
    memory.forecaster = Some(learned);
    memory.awaited = None;
    true
}
