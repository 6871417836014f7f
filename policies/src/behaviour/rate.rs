//! Rate rules: how many replicas may be added or removed in a period.
//!
//! The semantics are those of HPA v2 (`pkg/controller/podautoscaler/horizontal.go`). The replicas at the start
//! of a period are the current ones, less what was added and plus what was removed in it; a rule allows its
//! share of those. A percentage rounds so that the change is never zero on the way up (ceiling), and truncates
//! on the way down. Computed in whole numbers: HPA's floats give one more where `n × 1.1` is not exact.

use std::{collections::VecDeque, time::Duration};

use crate::{
    memory::Change,
    now::Mono,
    policy::{Amount, Rules, Select},
};

/// The most replicas that the rules allow at `now`; never below `current`.
#[must_use]
pub fn up_limit(current: u32, rules: &Rules, changes: &VecDeque<Change>, now: Mono) -> u32 {
    let allowed = rules.policies.iter().map(|rule| {
        let start = start_of_period(current, rule.period, changes, now);
        match rule.amount {
            Amount::Replicas(n) => start.saturating_add(i64::from(n)),
            // Ceiling, so that a small percentage of few replicas still allows one.
            Amount::Percent(p) => ceil_div(start.saturating_mul(100 + i64::from(p)), 100),
        }
    });
    let limit = match rules.select {
        Select::Disabled => None,
        Select::Max => allowed.max(),
        Select::Min => allowed.min(),
    };
    limit.map_or(current, |limit| to_replicas(limit).max(current))
}

/// The fewest replicas that the rules allow at `now`; never above `current`.
#[must_use]
pub fn down_limit(current: u32, rules: &Rules, changes: &VecDeque<Change>, now: Mono) -> u32 {
    let allowed = rules.policies.iter().map(|rule| {
        let start = start_of_period(current, rule.period, changes, now);
        match rule.amount {
            Amount::Replicas(n) => start.saturating_sub(i64::from(n)),
            // Truncation, towards the larger change; both are HPA's.
            Amount::Percent(p) => start.saturating_mul((100 - i64::from(p)).max(0)) / 100,
        }
    });
    let limit = match rules.select {
        Select::Disabled => None,
        // The largest change is the lowest limit.
        Select::Max => allowed.min(),
        Select::Min => allowed.max(),
    };
    limit.map_or(current, |limit| to_replicas(limit).min(current))
}

/// When the rules next allow more than now: the first moment that a change leaves its period.
#[must_use]
pub fn next_release(rules: &Rules, changes: &VecDeque<Change>, now: Mono) -> Option<Mono> {
    let releases = rules.policies.iter().flat_map(|rule| {
        changes.iter().filter(move |c| now.since(c.at) < rule.period).map(move |c| c.at.plus(rule.period))
    });
    releases.min()
}

/// Replicas at the start of the period that ends now.
fn start_of_period(current: u32, period: Duration, changes: &VecDeque<Change>, now: Mono) -> i64 {
    // A change exactly one period old is out of it, as in HPA.
    let net: i64 = changes.iter().filter(|c| now.since(c.at) < period).map(|c| c.delta).sum();
    i64::from(current).saturating_sub(net)
}

/// `a / b` rounded up, for `b > 0`.
const fn ceil_div(a: i64, b: i64) -> i64 {
    a.div_euclid(b) + if a.rem_euclid(b) == 0 { 0 } else { 1 }
}

fn to_replicas(n: i64) -> u32 {
    u32::try_from(n.max(0)).unwrap_or(u32::MAX)
}
