//! Pace: how far one write may go now: rate rules, `maxStep`, `dwell`.

use std::{collections::VecDeque, time::Duration};

use crate::{
    behaviour::rate,
    memory::Change,
    now::Mono,
    policy::{Behaviour, Rules, Select},
};

/// What kept a write from going all the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `selectPolicy: Disabled`.
    Disabled,
    /// `dwell`: the last write of this direction is too recent.
    Dwell,
    /// A rate rule.
    Rate,
    /// `maxStep`.
    MaxStep,
}

/// Replicas as far as one write may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paced {
    /// Replicas.
    pub replicas: u32,
    /// What limited it, if anything.
    pub limit: Option<Limit>,
    /// When more will be allowed, where that is known.
    pub release: Option<Mono>,
}

/// Paces a change from `current` to `wanted`; the result lies between the two.
#[must_use]
pub fn pace(
    current: u32,
    wanted: u32,
    behaviour: &Behaviour,
    changes: &VecDeque<Change>,
    now: Mono,
) -> Paced {
    let up = wanted > current;
    let rules = if up { &behaviour.up } else { &behaviour.down };
    if wanted == current {
        return Paced { replicas: current, limit: None, release: None };
    }
    if rules.select == Select::Disabled {
        return Paced { replicas: current, limit: Some(Limit::Disabled), release: None };
    }
    if let Some(end) = dwell_end(rules, changes, up, now) {
        return Paced { replicas: current, limit: Some(Limit::Dwell), release: Some(end) };
    }
    let step = rules.max_step.unwrap_or(u32::MAX);
    let (rate, stepped) = if up {
        (rate::up_limit(current, rules, changes, now), current.saturating_add(step))
    } else {
        (rate::down_limit(current, rules, changes, now), current.saturating_sub(step))
    };
    let toward = |limit: u32| if up { wanted.min(limit) } else { wanted.max(limit) };
    let (by_rate, by_step) = (toward(rate), toward(stepped));
    let (replicas, limit) = match (by_rate == wanted, by_step == wanted) {
        (true, true) => (wanted, None),
        _ if distance(current, by_rate) <= distance(current, by_step) => (by_rate, Some(Limit::Rate)),
        _ => (by_step, Some(Limit::MaxStep)),
    };
    let release = limit.filter(|l| *l == Limit::Rate).and_then(|_| rate::next_release(rules, changes, now));
    Paced { replicas, limit, release }
}

/// When the dwell of this direction ends, if it has not.
fn dwell_end(rules: &Rules, changes: &VecDeque<Change>, up: bool, now: Mono) -> Option<Mono> {
    if rules.dwell == Duration::ZERO {
        return None;
    }
    let last = changes.iter().filter(|c| (c.delta > 0) == up && c.delta != 0).map(|c| c.at).max()?;
    (now.since(last) < rules.dwell).then(|| last.plus(rules.dwell))
}

const fn distance(a: u32, b: u32) -> u32 {
    a.abs_diff(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{Amount, RateRule};

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    #[test]
    fn a_step_is_never_longer_than_max_step() {
        let mut behaviour = Behaviour::hpa_default();
        behaviour.up.max_step = Some(3);
        let paced = pace(10, 20, &behaviour, &VecDeque::new(), at(0));
        assert_eq!((paced.replicas, paced.limit), (13, Some(Limit::MaxStep)));
    }

    #[test]
    fn a_dwell_holds_its_own_direction_only() {
        // Given a dwell of a minute on the way down, and a removal 20 s ago.
        let mut behaviour = Behaviour::hpa_default();
        behaviour.down.dwell = Duration::from_mins(1);
        let changes = VecDeque::from([Change { at: at(100), delta: -2 }]);
        // When 5 are wanted, then it waits for the end of the dwell.
        let paced = pace(10, 5, &behaviour, &changes, at(120));
        assert_eq!(paced, Paced { replicas: 10, limit: Some(Limit::Dwell), release: Some(at(160)) });
        // But up is free, and down after the dwell too.
        assert_eq!(pace(10, 12, &behaviour, &changes, at(120)).replicas, 12);
        assert_eq!(pace(10, 5, &behaviour, &changes, at(160)).replicas, 5);
    }

    #[test]
    fn a_rate_rule_says_when_it_allows_more() {
        let behaviour = Behaviour::hpa_default();
        let changes = VecDeque::from([Change { at: at(100), delta: 4 }]);
        let paced = pace(8, 50, &behaviour, &changes, at(105));
        assert_eq!(paced, Paced { replicas: 8, limit: Some(Limit::Rate), release: Some(at(115)) });
    }

    fn arbitrary_rules() -> impl Strategy<Value = Rules> {
        let amount =
            prop_oneof![(0u32..200).prop_map(Amount::Percent), (0u32..20).prop_map(Amount::Replicas)];
        let rule =
            (amount, 1u64..120).prop_map(|(amount, s)| RateRule { amount, period: Duration::from_secs(s) });
        let select = prop_oneof![Just(Select::Max), Just(Select::Min), Just(Select::Disabled)];
        (proptest::collection::vec(rule, 1..4), select, proptest::option::of(1u32..30), 0u64..90).prop_map(
            |(policies, select, max_step, dwell)| Rules {
                stabilization_window: Duration::ZERO,
                policies,
                select,
                tolerance: None,
                max_step,
                dwell: Duration::from_secs(dwell),
            },
        )
    }

    /// The change that `select` and the rules allow over any window of a rule's period that ends now, judged
    /// from the history alone.
    fn allowed(rule: &RateRule, start: u32, up: bool) -> u32 {
        match (rule.amount, up) {
            (Amount::Replicas(n), _) => n,
            (Amount::Percent(p), true) => (start * p).div_ceil(100),
            (Amount::Percent(p), false) => start - start * (100u32.saturating_sub(p)) / 100,
        }
    }

    proptest! {
        /// Over any sequence of wishes, in no period does the net change exceed what the most generous rule
        /// (the least generous with `Min`) allows of the replicas at its start.
        #[test]
        fn a_rate_limit_is_never_exceeded(
            rules in arbitrary_rules(),
            wishes in proptest::collection::vec((1u64..20, 0u32..200), 1..60),
            start in 0u32..100,
        ) {
            let behaviour = Behaviour { up: rules.clone(), down: rules.clone() };
            let (mut current, mut now, mut changes) = (start, 0, VecDeque::<Change>::new());
            for (gap, wanted) in wishes {
                now += gap;
                let paced = pace(current, wanted, &behaviour, &changes, at(now));
                prop_assert!(paced.replicas.abs_diff(wanted) <= current.abs_diff(wanted));
                if paced.replicas == current { continue; }
                let up = paced.replicas > current;
                prop_assert!(rules.select != Select::Disabled);
                let within = |rule: &RateRule| {
                    let net: i64 = changes.iter().filter(|c| at(now).since(c.at) < rule.period).map(|c| c.delta).sum();
                    let begin = i64::from(current) - net;
                    let gone = i64::from(paced.replicas) - begin;
                    let change = if up { gone } else { -gone };
                    u32::try_from(begin).is_ok_and(|begin| change <= i64::from(allowed(rule, begin, up)))
                };
                let fine = match rules.select {
                    Select::Max => rules.policies.iter().any(within),
                    Select::Min => rules.policies.iter().all(within),
                    Select::Disabled => false,
                };
                prop_assert!(fine, "{} -> {} at {}", current, paced.replicas, now);
                if let Some(step) = rules.max_step {
                    prop_assert!(paced.replicas.abs_diff(current) <= step);
                }
                changes.push_back(Change { at: at(now), delta: i64::from(paced.replicas) - i64::from(current) });
                current = paced.replicas;
            }
        }
    }
}
