//! The forecast of a workload's load: fed with what is certain, asked at every tick.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::{
    forecast::{Forecast, Forecaster},
    memory::PolicyMemory,
    now::Now,
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
    let forecaster = memory.forecaster.get_or_insert_with(|| {
        let mut hasher = DefaultHasher::new();
        policy.uid.hash(&mut hasher);
        #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
        let phase = hasher.finish() as u16;
        Box::new(Forecaster::new(HORIZON, quantile, phase.into()))
    });
    forecaster.aim(HORIZON, quantile);
    if let Some(demand) = certain {
        forecaster.observe(now, demand.weighted);
    }
    forecaster.forecast(now.wall)
}
