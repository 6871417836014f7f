//! Predicted demand: replicas for the load that is coming, before it is there.
//!
//! ```text
//! need   = ceil(Q(until ready) / c)      more than wanted: scale out, to what the next half hour is expected to need
//! keep   = ceil(Q(half an hour) / c)     clearly fewer than wanted: scale in
//! ```
//!
//! Scale-out aims ahead and scale-in looks ahead, so that a morning is climbed in few steps and a dip is sat out: better
//! anticipation must not mean more scale operations.

use std::time::Duration;

use crate::{
    desired::{
        count,
        say::{Opinion, Say},
        words,
    },
    fleet::Totals,
    forecast::{Forecast, trust::Trust},
    load::Assessment,
    memory::{PolicyMemory, Surplus},
    now::Now,
    policy::Band,
    reason::{Reason, ReasonCode},
};

/// The smallest scale-in that is worth a change at once, as a share of the replicas: HPA's tolerance.
const WORTH: f64 = 0.1;
/// The smallest in replicas: one more or less is noise.
const LEAST: u32 = 2;
/// A smaller one is worth it when it could have been done for so long.
const PATIENCE: Duration = Duration::from_hours(2);

/// The band that the load itself is kept in: a forecast that is trusted in full takes the place of head-room, so its
/// lower end falls to the benchmark, and it alone says how much is too much.
#[must_use]
pub fn band(assessment: &Assessment, band: Band) -> Band {
    let trusted = assessment.forecast.is_some_and(|forecast| forecast.trust == Trust::Full);
    if trusted {
        return Band { min: 1.0, max: 1.0 };
    }
    // While its history is read again the head-room that it was trusted to save is not put back.
    if assessment.stand_in == Some(Trust::Full) { Band { min: 1.0, ..band } } else { band }
}

/// What the forecast says; `None` where it may not act.
#[must_use]
pub fn forecast(
    assessment: &Assessment,
    replicas: Totals,
    memory: &mut PolicyMemory,
    now: Now,
) -> Option<Say> {
    let forecast = assessment.forecast.filter(|f| f.trust >= Trust::ScaleOutOnly)?;
    let capacity = assessment.per_replica? / assessment.latency_term.factor();
    let needed = |load: f64| count::ceil(load / capacity);
    let (need, keep, ahead) = (needed(forecast.soon), needed(forecast.hold), needed(forecast.expected));
    let say = |opinion, text: String| {
        let reason = Reason::new(ReasonCode::Predicted, text);
        Some(Say { source: "forecast".into(), opinion, reason })
    };
    let wanted = replicas.wanted;
    if need > wanted {
        memory.surplus = None;
        let to = need.max(ahead);
        return say(Opinion::Up(to), coming(&forecast, need, to));
    }
    let keep = keep.max(ahead).max(need);
    if forecast.trust < Trust::Full {
        // It may not remove; what it needs is not removed by others either.
        let opinion = if need < wanted { Opinion::Down(need) } else { Opinion::Hold };
        return say(opinion, enough(&forecast, need));
    }
    if keep >= wanted {
        memory.surplus = None;
        return say(Opinion::Hold, enough(&forecast, keep));
    }
    let since = match memory.surplus {
        Some(surplus) if surplus.wanted == wanted => surplus.since,
        _ => now.mono,
    };
    memory.surplus = Some(Surplus { since, wanted });
    if keep.saturating_add(worth(wanted)) <= wanted || now.mono.since(since) >= PATIENCE {
        return say(Opinion::Down(keep), enough(&forecast, keep));
    }
    say(Opinion::Hold, enough(&forecast, keep))
}

/// Replicas that a scale-in has to save.
fn worth(wanted: u32) -> u32 {
    count::ceil(WORTH * f64::from(wanted)).max(LEAST)
}

fn coming(forecast: &Forecast, need: u32, to: u32) -> String {
    let further =
        if to > need { format!("; the next half hour is expected to need {to}") } else { String::new() };
    format!(
        "Up to {} weighted requests/s are forecast before more replicas could be ready: {} {} needed{further}.",
        words::number(forecast.soon),
        words::replicas(need),
        words::are(need)
    )
}

fn enough(forecast: &Forecast, enough: u32) -> String {
    format!(
        "Up to {} weighted requests/s are forecast for the next half hour: {} {} enough.",
        words::number(forecast.hold),
        words::replicas(enough),
        words::are(enough)
    )
}
