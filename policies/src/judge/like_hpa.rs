//! Production against the reference: a policy that is set like an HPA decides like one, tick for tick.

use std::time::Duration;

use proptest::prelude::*;

use super::{scene::*, *};
use crate::{
    behaviour::tolerance::Tolerances,
    plan::Outcome,
    policy::{Behaviour, Bounds, Trigger, TriggerRule},
    reading::{Doubt, Observed, Reading},
    reference::hpa::Hpa,
};

/// What one metric of the HPA proposes, or that it is invalid.
fn proposed(rule: &TriggerRule, signal: &Observed<f64>, replicas: u32) -> Option<u32> {
    let value = signal.as_ref().ok()?.value;
    match rule {
        TriggerRule::PerReplica(each) => {
            Some(trigger::average_value(value, *each, replicas, Tolerances::default()))
        }
        TriggerRule::Target(target) => {
            Some(trigger::value(value, *target, replicas, replicas, Tolerances::default()))
        }
        TriggerRule::Formula(_) => None,
    }
}

fn signals() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![49 => (0.0f64..4_000.0).prop_map(Some), 1 => Just(None)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_that_is_set_like_an_hpa_decides_like_one(
        ticks in proptest::collection::vec((signals(), signals(), 1u64..90), 1..60),
        start in 2u32..40,
        down_window in 0u64..300,
        up_window in 0u64..60,
    ) {
        let rules = [TriggerRule::PerReplica(100.0), TriggerRule::Target(1_000.0)];
        let triggers: Vec<Trigger> = ["average", "value"]
            .iter()
            .zip(&rules)
            .map(|(name, rule)| Trigger { name: (*name).to_owned(), rule: rule.clone() })
            .collect();
        let mut behaviour = Behaviour::hpa_default();
        behaviour.down.stabilization_window = Duration::from_secs(down_window);
        behaviour.up.stabilization_window = Duration::from_secs(up_window);
        let bounds = Bounds { min: 2, max: 40 };
        let mut hpa = Hpa::new(bounds, behaviour.clone());
        // An HPA does not wait for a first window of its own.
        let mut scene =
            Scene::of(Policy { bounds, triggers, behaviour, ..policy() }, start).watched_for_long();

        let (mut replicas, mut seconds) = (start, 0);
        for (average, value, gap) in ticks {
            seconds += gap;
            let now = at(seconds);
            let mut metrics = Vec::new();
            for ((name, rule), signal) in ["average", "value"].iter().zip(&rules).zip([average, value]) {
                let signal = signal.map(|v| Reading::complete(v, now.wall)).ok_or(Doubt::TimedOut);
                metrics.push(proposed(rule, &signal, replicas));
                scene.workload.triggers.insert((*name).to_owned(), signal);
            }
            // A load of zero agrees with every scale-in; an HPA knows nothing of a rate's window.
            scene.instance().load = Ok(requests_over(Duration::ZERO, 0.0, now));
            let (decision, actions) = scene.judge(now);
            // A broken metric stops the HPA before it remembers anything, and Loadline remembers that it held:
            // its next scale-in may come later. So the comparison ends there.
            let expected = hpa.step(replicas, &metrics, now.mono);
            let broken = metrics.iter().any(Option::is_none);
            prop_assert_eq!(decision.desired, expected);
            if broken { return Ok(()); }
            scene.apply(actions, now, Outcome::Done);
            replicas = decision.desired;
        }
    }
}
