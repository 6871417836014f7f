//! Behaviour: how fast a recommendation may become replicas, with the shape and meaning of HPA v2.
//!
//! ```text
//! recommendation -> stabilise (window) -> floors -> pace (rate rules, max step, dwell) -> bounds
//! ```
//!
//! The same code runs in production and in the HPA reference model (`reference::hpa`), and is held to HPA's
//! published vectors there.

pub mod pace;
pub mod rate;
pub mod stabilise;
pub mod tolerance;

use std::time::Duration;

use crate::{
    memory::PolicyMemory,
    now::Mono,
    policy::{Amount, Behaviour, RateRule, Rules, Select},
};

/// Longest period of a rate rule, as in HPA: 30 minutes.
pub const MAX_PERIOD: Duration = Duration::from_mins(30);

/// HPA's default for scaling down: hold the highest recommendation of five minutes.
pub const DEFAULT_DOWN_WINDOW: Duration = Duration::from_mins(5);

impl Behaviour {
    /// HPA's defaults: up by 100 % or 4 replicas in 15 s, whichever is more, at once; down by 100 % in 15 s
    /// after a stabilisation window of five minutes.
    #[must_use]
    pub fn hpa_default() -> Self {
        let period = Duration::from_secs(15);
        let rules = |window, policies| Rules {
            stabilization_window: window,
            policies,
            select: Select::Max,
            tolerance: None,
            max_step: None,
            dwell: Duration::ZERO,
        };
        let double = RateRule { amount: Amount::Percent(100), period };
        Self {
            up: rules(Duration::ZERO, vec![double, RateRule { amount: Amount::Replicas(4), period }]),
            down: rules(DEFAULT_DOWN_WINDOW, vec![double]),
        }
    }

    /// How long a change must be remembered for these rules: the longest period or dwell.
    #[must_use]
    pub fn retention(&self) -> Duration {
        let rules = [&self.up, &self.down];
        let periods = rules.iter().flat_map(|r| r.policies.iter().map(|p| p.period));
        periods.chain(rules.iter().map(|r| r.dwell)).max().unwrap_or_default()
    }
}

/// Forgets the changes that no rule can need any more.
pub fn prune(memory: &mut PolicyMemory, behaviour: &Behaviour, now: Mono) {
    // MAX_PERIOD: a rule that is edited to a longer period finds its history.
    let keep = behaviour.retention().max(MAX_PERIOD);
    while memory.changes.front().is_some_and(|change| now.since(change.at) > keep) {
        memory.changes.pop_front();
    }
}
