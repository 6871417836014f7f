//! Reactive demand: keep the redundancy of the load that is there in its band.
//!
//! ```text
//!             min    landing of a scale-in              max
//!  scale out   │   ¼      ½                              │   scale in
//! ─────────────┼────┼─────┼──────────────────────────────┼──────────────> redundancy R = c × ready / W
//! lands at min │              hold                       │ lands near ½, never under ¼
//! ```
//!
//! Scale-out goes to `ceil(W × min / c)`. Scale-in does not go all the way to `min`: there the next ripple of
//! the load would turn it back. It lands in the middle of the band; where whole replicas do not allow that,
//! at the most replicas inside the band, but never in its lowest quarter. So a constant load causes at most
//! one change of direction, and a ripple of up to a quarter of the band causes none.

use crate::{
    behaviour::tolerance::Tolerances,
    desired::{
        count,
        say::{Opinion, Say},
        words,
    },
    fleet::Totals,
    latency::LatencyTerm,
    load::Assessment,
    plan::Demand,
    policy::Band,
    reason::{Reason, ReasonCode},
};

/// Redundancy: `per_replica × replicas / load`; `None` without load.
#[must_use]
pub fn redundancy(load: f64, per_replica: f64, replicas: u32) -> Option<f64> {
    (load > 0.0).then(|| per_replica * f64::from(replicas) / load)
}

/// The fewest replicas that keep redundancy at `min`.
#[must_use]
pub fn out_to(load: f64, per_replica: f64, band: Band) -> u32 {
    count::ceil(load * band.min / per_replica)
}

/// Where a scale-in lands: near the middle of the band, inside it if whole replicas allow, and never in its
/// lowest quarter. Never falls with rising load.
#[must_use]
pub fn in_to(load: f64, per_replica: f64, band: Band) -> u32 {
    let at = |share: f64| load * (band.min + share * (band.max - band.min)) / per_replica;
    let middle = count::ceil(at(0.5)).min(count::floor(at(1.0)));
    middle.max(count::ceil(at(0.25)))
}

/// What the steady load says.
///
/// `replicas.wanted` is what is asked for now, `current` what exists, `ready` what serves.
#[must_use]
pub fn load(assessment: &Assessment, band: Band, tolerances: Tolerances, replicas: Totals) -> Say {
    let say = |opinion, reason| Say { source: "load".into(), opinion, reason };
    let Some(capacity) = capacity(assessment) else {
        return say(Opinion::Doubt, capacity_unknown());
    };
    let Some(up) = assessment.up else {
        return say(Opinion::Doubt, no_load());
    };
    let need = out_to(up.weighted, capacity, band);
    if exceeds(need, replicas.wanted, tolerances.up) {
        return say(Opinion::Up(need), below(&up, capacity, band, replicas, need));
    }
    let Some(down) = assessment.down else {
        return say(Opinion::Doubt, not_certain(&up, capacity, replicas));
    };
    // Silent and unready replicas stand in `down` as fully loaded, so they count here as there.
    let counted = replicas.current.min(replicas.wanted);
    let above = redundancy(down.weighted, capacity, counted)
        .is_none_or(|r| r * (1.0 - tolerances.down) > band.max * (1.0 + count::EPSILON));
    let enough = in_to(down.weighted, capacity, band);
    if above && counted > 0 && enough < replicas.wanted {
        return say(Opinion::Down(enough), self::above(&down, capacity, band, counted, enough));
    }
    say(Opinion::Hold, inside(&up, capacity, band, replicas, above))
}

/// What a burst of the short window says; it can only raise.
#[must_use]
pub fn burst(assessment: &Assessment, band: Band, tolerances: Tolerances, replicas: Totals) -> Option<Say> {
    let (burst, capacity) = (assessment.burst?, capacity(assessment)?);
    let need = out_to(burst.weighted, capacity, band);
    exceeds(need, replicas.wanted, tolerances.up).then(|| Say {
        source: "burst".into(),
        opinion: Opinion::Up(need),
        reason: Reason::new(
            ReasonCode::Burst,
            format!(
                "A burst of {} weighted requests/s in the short window needs {} of {} each.",
                words::number(burst.weighted),
                words::replicas(need),
                words::number(capacity)
            ),
        ),
    })
}

/// What the latency objective says while it is broken: it raises or holds, and never speaks for scale-in.
#[must_use]
pub fn latency(assessment: &Assessment, band: Band, tolerances: Tolerances, replicas: Totals) -> Option<Say> {
    let LatencyTerm::ScaleOut { .. } = assessment.latency_term else { return None };
    let (up, declared, capacity) = (assessment.up?, assessment.per_replica?, capacity(assessment)?);
    let need = out_to(up.weighted, capacity, band);
    let measured =
        assessment.latency.map_or_else(String::new, |s| format!(" ({} ms)", words::number(s * 1e3)));
    let opinion =
        if exceeds(need, replicas.wanted, tolerances.up) { Opinion::Up(need) } else { Opinion::Hold };
    let what = match opinion {
        Opinion::Up(_) => format!("{} {} needed", words::replicas(need), words::are(need)),
        _ => "nothing is removed".to_owned(),
    };
    Some(Say {
        source: "latency".into(),
        opinion,
        reason: Reason::new(
            ReasonCode::LatencyObjective,
            format!(
                "Latency{measured} is over its target although utilisation is not high, so one replica bears \
                 {} instead of {} weighted requests/s: {what}.",
                words::number(capacity),
                words::number(declared)
            ),
        ),
    })
}

/// What one replica bears now, as sizing counts it.
fn capacity(assessment: &Assessment) -> Option<f64> {
    assessment.per_replica.map(|c| c / assessment.latency_term.factor())
}

/// Whether `need` is more than `wanted` by more than the tolerance.
fn exceeds(need: u32, wanted: u32, tolerance: f64) -> bool {
    need > wanted && f64::from(need) > f64::from(wanted) * (1.0 + tolerance)
}

fn capacity_unknown() -> Reason {
    Reason::new(
        ReasonCode::CapacityUnknown,
        "What one replica bears is not known: declare capacity.perReplica; until then Loadline only observes.",
    )
}

fn no_load() -> Reason {
    Reason::new(ReasonCode::Doubt, "The load could not be read: nothing is removed.")
}

fn not_certain(up: &Demand, capacity: f64, replicas: Totals) -> Reason {
    let r = redundancy(up.weighted, capacity, replicas.ready);
    Reason::new(
        ReasonCode::Doubt,
        format!(
            "Redundancy is {} by what could be read; that is not certain, so nothing is removed.",
            told(r)
        ),
    )
}

fn told(redundancy: Option<f64>) -> String {
    redundancy.map_or_else(|| UNBOUNDED.to_owned(), words::number)
}

/// A redundancy that is told together with the edge of the band that it crossed.
fn told_beside(redundancy: Option<f64>, edge: f64) -> String {
    redundancy.map_or_else(|| UNBOUNDED.to_owned(), |r| words::number_beside(r, edge))
}

const UNBOUNDED: &str = "unbounded (no load)";

fn below(up: &Demand, capacity: f64, band: Band, replicas: Totals, need: u32) -> Reason {
    let serving = replicas.ready.min(replicas.wanted);
    let r = redundancy(up.weighted, capacity, serving);
    Reason::new(
        ReasonCode::BelowBand,
        format!(
            "Redundancy {} is below {}: {} weighted requests/s on {} ready of {} each need {need}.",
            told_beside(r, band.min),
            words::number(band.min),
            words::number(up.weighted),
            words::replicas(serving),
            words::number(capacity),
        ),
    )
}

fn above(down: &Demand, capacity: f64, band: Band, counted: u32, enough: u32) -> Reason {
    Reason::new(
        ReasonCode::AboveBand,
        format!(
            "Redundancy {} is above {}: for {} weighted requests/s, {} of {} each {} enough.",
            told_beside(redundancy(down.weighted, capacity, counted), band.max),
            words::number(band.max),
            words::number(down.weighted),
            words::replicas(enough),
            words::number(capacity),
            words::are(enough),
        ),
    )
}

fn inside(up: &Demand, capacity: f64, band: Band, replicas: Totals, above: bool) -> Reason {
    let r = redundancy(up.weighted, capacity, replicas.ready.min(replicas.wanted));
    let (min, max) = (words::number(band.min), words::number(band.max));
    let text = match r {
        Some(x) if x < band.min => format!(
            "Redundancy {} is below {min}, and the {} that {} asked for will be enough; {} {} ready.",
            words::number_beside(x, band.min),
            words::replicas(replicas.wanted),
            words::are(replicas.wanted),
            replicas.ready,
            words::are(replicas.ready),
        ),
        Some(x) if x <= band.max => format!("Redundancy {} is inside {min} to {max}.", words::number(x)),
        _ if !above => format!(
            "Redundancy {} is above {max} by what was measured, but not surely: replicas that are silent, not \
             ready or new count as fully loaded, and a tolerance may be set.",
            told_beside(r, band.max),
        ),
        _ => format!(
            "Redundancy {} is above {max}, but fewer than {} would leave no margin over {min}.",
            told_beside(r, band.max),
            words::replicas(replicas.wanted)
        ),
    };
    Reason::new(ReasonCode::InsideBand, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BAND: Band = Band { min: 1.1, max: 1.6 };

    fn demand(weighted: f64) -> Demand {
        Demand {
            weighted,
            raw: weighted,
            requests: weighted,
            interpolated: 0.0,
            capped: false,
            age: std::time::Duration::ZERO,
        }
    }

    fn assessment(weighted: f64, per_replica: f64) -> Assessment {
        Assessment {
            up: Some(demand(weighted)),
            down: Some(demand(weighted)),
            burst: None,
            per_replica: Some(per_replica),
            capacity: crate::capacity::known(crate::policy::PerReplica::Declared(per_replica), None, None),
            latency: None,
            latency_term: LatencyTerm::NotJudged,
            forecast: None,
            stand_in: None,
            no_scale_in: None,
            doubts: Vec::new(),
        }
    }

    fn said(a: &Assessment, n: u32) -> Say {
        load(a, BAND, Tolerances { up: 0.0, down: 0.0 }, Totals { wanted: n, current: n, ready: n })
    }

    #[test]
    fn below_the_band_it_goes_to_the_fewest_that_reach_its_lower_edge() {
        let say = said(&assessment(545.0, 100.0), 5);
        assert_eq!(say.opinion, Opinion::Up(6));
        assert_eq!(
            say.reason.text,
            "Redundancy 0.92 is below 1.1: 545 weighted requests/s on 5 replicas ready of 100 each need 6."
        );
    }

    #[test]
    fn above_the_band_it_lands_in_the_middle_of_it() {
        // 20 × 100 / 1000 = 2.0; 1000 × 1.35 / 100 = 13.5.
        assert_eq!(said(&assessment(1_000.0, 100.0), 20).opinion, Opinion::Down(14));
    }

    #[test]
    fn few_replicas_land_inside_the_band_or_stay() {
        // One replica for 0.8 of its capacity is R = 1.25, inside the band.
        assert_eq!(said(&assessment(80.0, 100.0), 2).opinion, Opinion::Down(1));
        // For 0.9 it would be 1.11: the next ripple would turn it back, so two stay.
        assert_eq!(said(&assessment(90.0, 100.0), 2).opinion, Opinion::Hold);
    }

    #[test]
    fn no_load_needs_no_replica() {
        assert_eq!(said(&assessment(0.0, 100.0), 3).opinion, Opinion::Down(0));
    }

    #[test]
    fn doubt_about_the_load_raises_but_never_lowers() {
        let mut a = assessment(1_000.0, 100.0);
        a.down = None;
        assert_eq!(said(&a, 20).opinion, Opinion::Doubt);
        assert_eq!(said(&a, 5).opinion, Opinion::Up(11));
        a.up = None;
        assert_eq!(said(&a, 5).opinion, Opinion::Doubt);
    }

    #[test]
    fn replicas_that_are_asked_for_but_not_ready_are_not_asked_for_twice() {
        let a = assessment(545.0, 100.0);
        let say =
            load(&a, BAND, Tolerances { up: 0.0, down: 0.0 }, Totals { wanted: 6, current: 6, ready: 3 });
        assert_eq!(say.opinion, Opinion::Hold);
        assert!(say.reason.text.contains("will be enough; 3 are ready"), "{}", say.reason.text);
    }

    #[test]
    fn the_latency_term_raises_by_its_factor() {
        let mut a = assessment(500.0, 100.0);
        a.latency_term = LatencyTerm::ScaleOut { factor: 1.5 };
        a.latency = Some(0.42);
        let replicas = Totals { wanted: 6, current: 6, ready: 6 };
        let say = latency(&a, BAND, Tolerances { up: 0.0, down: 0.0 }, replicas).unwrap();
        assert_eq!(say.opinion, Opinion::Up(9));
        let enough = Totals { wanted: 9, current: 9, ready: 9 };
        assert_eq!(
            latency(&a, BAND, Tolerances { up: 0.0, down: 0.0 }, enough).unwrap().opinion,
            Opinion::Hold
        );
    }

    fn bands() -> impl Strategy<Value = Band> {
        (1.0f64..2.0, 0.05f64..2.0).prop_map(|(min, width)| Band { min, max: min + width })
    }

    proptest! {
        #[test]
        fn a_scale_in_never_lands_where_it_would_scale_out_again(
            load in 0.0f64..1e6, capacity in 0.1f64..1e4, band in bands(),
        ) {
            prop_assert!(in_to(load, capacity, band) >= out_to(load, capacity, band));
        }

        #[test]
        fn more_load_never_needs_fewer(
            a in 0.0f64..1e6, b in 0.0f64..1e6, capacity in 0.1f64..1e4, band in bands(),
        ) {
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!(out_to(less, capacity, band) <= out_to(more, capacity, band));
            prop_assert!(in_to(less, capacity, band) <= in_to(more, capacity, band));
        }

        #[test]
        fn after_following_what_it_says_it_says_hold(
            weighted in 0.0f64..1e5, capacity in 1.0f64..1e3, start in 1u32..2_000,
        ) {
            let a = assessment(weighted, capacity);
            if let Opinion::Up(n) | Opinion::Down(n) = said(&a, start).opinion && n > 0 {
                prop_assert_eq!(said(&a, n).opinion, Opinion::Hold);
            }
        }
    }
}
