//! Behaviour (how fast replicas may change) and fallback (what happens without data).

use std::time::Duration;

use loadline_crds::elastic_policy as api;
use loadline_policies::policy::{Amount, Behaviour, Fallback, FallbackPolicy, RateRule, Rules, Select};

use super::{
    complaint::Complaints,
    numbers::{all, not_negative, period, replicas},
};

/// The longest period of a rate rule, as in HPA.
const MAX_PERIOD: Duration = Duration::from_mins(30);
/// The longest stabilisation window, as in HPA.
const MAX_WINDOW: Duration = Duration::from_hours(1);
/// HPA's default period.
const PERIOD: Duration = Duration::from_secs(15);

/// The rules of both directions, with defaults for what the policy leaves out.
pub(super) fn behaviour(behaviour: &api::Behaviour, c: &mut Complaints) -> Option<Behaviour> {
    let up = rules(behaviour.scale_up.as_ref(), up_defaults(), "spec.behaviour.scaleUp", c);
    let down = rules(behaviour.scale_down.as_ref(), down_defaults(), "spec.behaviour.scaleDown", c);
    Some(Behaviour { up: up?, down: down? })
}

/// Up: no waiting, and a four-fold step of the load in one move (or 10 replicas, for the small ones).
/// The redundancy band is the tolerance, so there is no other.
fn up_defaults() -> Rules {
    Rules {
        stabilization_window: Duration::ZERO,
        policies: vec![
            RateRule { amount: Amount::Percent(300), period: PERIOD },
            RateRule { amount: Amount::Replicas(10), period: PERIOD },
        ],
        select: Select::Max,
        tolerance: None,
        max_step: None,
        dwell: Duration::ZERO,
    }
}

/// Down: HPA's five minutes, then as far as the highest recommendation of that window allows.
fn down_defaults() -> Rules {
    Rules {
        stabilization_window: Duration::from_mins(5),
        policies: vec![RateRule { amount: Amount::Percent(100), period: PERIOD }],
        select: Select::Max,
        tolerance: None,
        max_step: None,
        dwell: Duration::ZERO,
    }
}

fn rules(
    rules: Option<&api::ScalingRules>,
    defaults: Rules,
    path: &str,
    c: &mut Complaints,
) -> Option<Rules> {
    let Some(rules) = rules else { return Some(defaults) };
    let stabilization_window = match rules.stabilization_window {
        None => Some(defaults.stabilization_window),
        Some(window) if window.0 <= MAX_WINDOW => Some(window.0),
        Some(window) => c.add(
            format!("{path}.stabilizationWindow"),
            format!("{window} is too long"),
            "give at most 1h: a longer memory would hold replicas for a peak that is long over",
        ),
    };
    let policies = match rules.policies.as_deref() {
        None => Some(defaults.policies),
        Some([]) => c.add(
            format!("{path}.policies"),
            "the list is empty",
            "give at least one rate rule, or remove the field; selectPolicy: Disabled switches a direction off",
        ),
        Some(list) => {
            all(list.iter().enumerate().map(|(i, p)| rate(*p, &format!("{path}.policies[{i}]"), c)))
        }
    };
    let tolerance = match rules.tolerance {
        None => Some(defaults.tolerance),
        Some(t) => not_negative(t, &format!("{path}.tolerance"), c).map(Some),
    };
    let max_step = match rules.max_step {
        None => Some(defaults.max_step),
        Some(n) => replicas(n, 1, &format!("{path}.maxStep"), c).map(Some),
    };
    Some(Rules {
        stabilization_window: stabilization_window?,
        policies: policies?,
        select: rules.select_policy.map_or(defaults.select, select),
        tolerance: tolerance?,
        max_step: max_step?,
        dwell: rules.dwell.map_or(defaults.dwell, |d| d.0),
    })
}

fn rate(rule: api::ScalingPolicy, path: &str, c: &mut Complaints) -> Option<RateRule> {
    let value = match u32::try_from(rule.value) {
        Ok(n) if n > 0 => Some(n),
        _ => c.add(
            format!("{path}.value"),
            format!("{} allows no change", rule.value),
            "give a whole number above 0; selectPolicy: Disabled switches a direction off",
        ),
    };
    let period = period(rule.period, Some(MAX_PERIOD), &format!("{path}.period"), c);
    let amount = match rule.kind {
        api::ScalingPolicyType::Percent => Amount::Percent(value?),
        api::ScalingPolicyType::Replicas => Amount::Replicas(value?),
    };
    Some(RateRule { amount, period: period? })
}

const fn select(select: api::SelectPolicy) -> Select {
    match select {
        api::SelectPolicy::Max => Select::Max,
        api::SelectPolicy::Min => Select::Min,
        api::SelectPolicy::Disabled => Select::Disabled,
    }
}

/// What to do without data.
pub(super) fn fallback(fallback: api::Fallback, c: &mut Complaints) -> Option<Fallback> {
    let path = "spec.fallback.replicas";
    let after = period(fallback.after, None, "spec.fallback.after", c);
    let policy = match (fallback.policy, fallback.replicas) {
        (api::FallbackPolicy::Hold, None) => Some(FallbackPolicy::Hold),
        (api::FallbackPolicy::Hold, Some(_)) => c.add(
            path,
            "Hold keeps what is there and takes no number",
            "remove replicas, or set policy to AtLeast or Static",
        ),
        (api::FallbackPolicy::AtLeast, Some(n)) => replicas(n, 1, path, c).map(FallbackPolicy::AtLeast),
        (api::FallbackPolicy::Static, Some(n)) => replicas(n, 1, path, c).map(FallbackPolicy::Static),
        (policy, None) => c.add(
            path,
            format!("{policy:?} needs a number"),
            "set replicas to what the workload needs on a usual day, or set policy to Hold",
        ),
    };
    Some(Fallback { after: after?, policy: policy? })
}

#[cfg(test)]
mod tests {
    use loadline_crds::ApiDuration;

    use super::*;

    fn parse(b: &api::Behaviour) -> Result<Behaviour, Vec<String>> {
        let mut c = Complaints::default();
        behaviour(b, &mut c).ok_or_else(|| c.into_vec().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_step_of_four_times_fits_in_one_move_by_default() {
        let b = parse(&api::Behaviour::default()).unwrap();
        assert_eq!(b.up.policies[0].amount, Amount::Percent(300));
        assert_eq!(b.up.stabilization_window, Duration::ZERO);
        assert_eq!(b.down.stabilization_window, Duration::from_mins(5));
    }

    #[test]
    fn what_is_written_replaces_the_default_and_the_rest_stays() {
        let written = api::ScalingRules {
            stabilization_window: Some(ApiDuration::secs(60)),
            max_step: Some(3),
            ..api::ScalingRules::default()
        };
        let b = parse(&api::Behaviour { scale_up: None, scale_down: Some(written) }).unwrap();
        assert_eq!(b.down.stabilization_window, Duration::from_mins(1));
        assert_eq!(b.down.max_step, Some(3));
        assert_eq!(b.down.policies, down_defaults().policies);
        assert_eq!(b.up, up_defaults());
    }

    #[test]
    fn every_wrong_rule_is_named_with_its_index() {
        let rule = |value, secs| api::ScalingPolicy {
            kind: api::ScalingPolicyType::Replicas,
            value,
            period: ApiDuration::secs(secs),
        };
        let written =
            api::ScalingRules { policies: Some(vec![rule(4, 15), rule(0, 1_801)]), ..Default::default() };
        let complaints = parse(&api::Behaviour { scale_up: Some(written), scale_down: None }).unwrap_err();
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("spec.behaviour.scaleUp.policies[1].value"), "{complaints:?}");
        assert!(complaints[1].contains("at most 30m"), "{complaints:?}");
    }

    #[test]
    fn a_fallback_takes_a_number_exactly_where_it_needs_one() {
        let with = |policy, replicas| {
            let mut c = Complaints::default();
            fallback(api::Fallback { policy, replicas, ..api::Fallback::default() }, &mut c).map(|f| f.policy)
        };
        assert_eq!(with(api::FallbackPolicy::Hold, None), Some(FallbackPolicy::Hold));
        assert_eq!(with(api::FallbackPolicy::AtLeast, Some(4)), Some(FallbackPolicy::AtLeast(4)));
        assert_eq!(with(api::FallbackPolicy::Hold, Some(4)), None);
        assert_eq!(with(api::FallbackPolicy::Static, None), None);
        assert_eq!(with(api::FallbackPolicy::Static, Some(-1)), None);
    }
}
