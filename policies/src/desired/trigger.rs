//! Triggers: the user's own signals, with HPA's arithmetic for values and averages, and formulas.
//!
//! The two functions of arithmetic are those of HPA's replica calculator; the HPA reference model uses them too.

use crate::{
    behaviour::tolerance::Tolerances,
    desired::{
        count, formula,
        say::{Opinion, Say},
        words,
    },
    fleet::{Totals, Workload},
    policy::{Trigger, TriggerRule},
    reading::{Doubt, finite},
    reason::{Reason, ReasonCode},
};

/// HPA's `AverageValue`: replicas so that each has `per_replica` of `value`; `current` within the tolerance.
///
/// Without replicas there is no average yet, so the tolerance does not apply.
#[must_use]
pub fn average_value(value: f64, per_replica: f64, current: u32, tolerances: Tolerances) -> u32 {
    let ratio = value / (per_replica * f64::from(current));
    if current > 0 && tolerances.contains(ratio) { current } else { count::ceil(value / per_replica) }
}

/// HPA's `Value`: ready replicas times the ratio of `value` to `target`; `current` within the tolerance.
///
/// From zero replicas the ratio itself is the number, as in HPA.
#[must_use]
pub fn value(value: f64, target: f64, current: u32, ready: u32, tolerances: Tolerances) -> u32 {
    let ratio = value / target;
    if current == 0 {
        count::ceil(ratio)
    } else if tolerances.contains(ratio) {
        current
    } else {
        count::ceil(ratio * f64::from(ready))
    }
}

/// What every trigger of the workload says.
pub fn all(workload: &Workload, tolerances: Tolerances, replicas: Totals) -> impl Iterator<Item = Say> + '_ {
    workload.policy.triggers.iter().map(move |trigger| {
        let source = format!("trigger {}", trigger.name).into();
        let (opinion, reason) = match wanted(workload, trigger, tolerances, replicas) {
            Ok(n) => opinion(trigger, n, replicas.wanted),
            Err(doubt) => (Opinion::Doubt, doubtful(trigger, &doubt)),
        };
        Say { source, opinion, reason }
    })
}

/// What became of each formula, if it could not be evaluated: the trigger's name and the doubt.
pub fn formula_doubts(workload: &Workload, replicas: Totals) -> impl Iterator<Item = (String, Doubt)> + '_ {
    workload.policy.triggers.iter().filter_map(move |trigger| {
        let TriggerRule::Formula(_) = trigger.rule else { return None };
        // A trigger without a reading is already told by the assessment.
        workload.triggers.get(&trigger.name)?.as_ref().ok()?;
        let doubt = wanted(workload, trigger, Tolerances::default(), replicas).err()?;
        Some((trigger.name.clone(), doubt))
    })
}

fn wanted(
    workload: &Workload,
    trigger: &Trigger,
    tolerances: Tolerances,
    replicas: Totals,
) -> Result<u32, Doubt> {
    let reading = workload.triggers.get(&trigger.name).ok_or(Doubt::NotYetRead)?;
    let reading = reading.as_ref().map_err(Clone::clone)?;
    let reading = finite(reading.value)?;
    let ready = replicas.ready.min(replicas.wanted);
    match &trigger.rule {
        TriggerRule::PerReplica(each) => Ok(average_value(reading, *each, replicas.wanted, tolerances)),
        TriggerRule::Target(target) => Ok(by_target(reading, *target, replicas.wanted, ready, tolerances)),
        TriggerRule::Formula(program) => {
            let values: Vec<(&str, f64)> = workload
                .triggers
                .iter()
                .filter_map(|(name, observed)| Some((name.as_str(), observed.as_ref().ok()?.value)))
                .collect();
            let inputs =
                formula::Inputs { value: reading, values: &values, ready, replicas: replicas.wanted };
            Ok(count::ceil(formula::evaluate(program, &inputs)?))
        }
    }
}

/// `Value` as production counts it: replicas that are not ready count as at target on the way down, so that a
/// slow start is not taken for spare capacity; on the way up as nothing. A flip of direction holds.
fn by_target(reading: f64, target: f64, current: u32, ready: u32, tolerances: Tolerances) -> u32 {
    let n = value(reading, target, current, ready, tolerances);
    if current == 0 || reading >= target {
        return if current > 0 { n.max(current) } else { n };
    }
    n.saturating_add(current.saturating_sub(ready)).min(current)
}

fn opinion(trigger: &Trigger, n: u32, current: u32) -> (Opinion, Reason) {
    let (opinion, verb) = match n.cmp(&current) {
        std::cmp::Ordering::Greater => (Opinion::Up(n), "needs"),
        std::cmp::Ordering::Less => (Opinion::Down(n), "would do with"),
        std::cmp::Ordering::Equal => (Opinion::Hold, "is content with"),
    };
    let text = format!("Trigger {} {verb} {}.", trigger.name, words::replicas(n));
    (opinion, Reason::new(ReasonCode::Trigger, text))
}

fn doubtful(trigger: &Trigger, doubt: &Doubt) -> Reason {
    Reason::new(ReasonCode::Doubt, format!("Trigger {} is in doubt: {doubt}.", trigger.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_PERCENT: Tolerances = Tolerances { up: 0.1, down: 0.1 };

    #[test]
    fn replicas_that_are_not_ready_count_as_busy_on_the_way_down() {
        // 12 of 20 on 5 replicas: 3 when all are ready, 5 when two are not (1.8 -> 2, and two, and one is 4).
        assert_eq!(by_target(12.0, 20.0, 5, 5, TEN_PERCENT), 3);
        assert_eq!(by_target(12.0, 20.0, 5, 3, TEN_PERCENT), 4);
        assert_eq!(by_target(12.0, 20.0, 5, 0, TEN_PERCENT), 5);
    }

    #[test]
    fn on_the_way_up_they_count_as_nothing_and_never_turn_it_down() {
        assert_eq!(by_target(40.0, 20.0, 6, 5, TEN_PERCENT), 10);
        assert_eq!(by_target(40.0, 20.0, 6, 2, TEN_PERCENT), 6);
    }

    #[test]
    fn from_zero_the_ratio_is_the_number() {
        assert_eq!(by_target(45.0, 20.0, 0, 0, TEN_PERCENT), 3);
        assert_eq!(average_value(45.0, 20.0, 0, TEN_PERCENT), 3);
    }
}
