//! Judging expectations: each either is met by what happened, or says in one line what happened instead.
//!
//! No data never passes: an expectation about a policy that was never decided on, or about a time in which
//! nobody looked, fails.

use std::time::Duration;

use loadline_chaos::world::scenario::Expectation;

use super::scenario::{Entry, Run};

/// Minutes and seconds since the start, as in `12:05`.
#[must_use]
pub fn clock(at: Duration) -> String {
    format!("{}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}

/// Judges one expectation.
///
/// # Errors
/// One line that says what happened instead.
pub fn judge(expectation: &Expectation, run: &Run) -> Result<(), String> {
    match expectation {
        Expectation::NeverLowered { policy, from, to } => never_lowered(&during(run, policy, *from, *to)?),
        Expectation::Condition { policy, kind, status, reason, from, within } => {
            let entries = during(run, policy, *from, from.saturating_add(*within))?;
            condition(&entries, kind, status, reason.as_deref())
        }
        Expectation::Replicas { policy, from, to, at_least, at_most } => {
            replicas(&during(run, policy, *from, *to)?, *at_least, *at_most)
        }
        Expectation::ScaleOut { policy, from, within, at_least } => {
            scale_out(&during(run, policy, *from, from.saturating_add(*within))?, *at_least)
        }
        Expectation::NoFlap { policy, max_transitions } => {
            no_flap(&during(run, policy, Duration::ZERO, Duration::MAX)?, *max_transitions)
        }
        Expectation::Outcome { policy, outcome, from, to } => {
            had_outcome(&during(run, policy, *from, *to)?, outcome)
        }
        Expectation::Reason { policy, code, from, to } => {
            gave_reason(&during(run, policy, *from, *to)?, code)
        }
        Expectation::Served { workload, percent } => served(run, workload, *percent),
    }
    .map_err(|what| format!("{expectation:?}: {what}"))
}

fn during<'a>(run: &'a Run, policy: &str, from: Duration, to: Duration) -> Result<Vec<&'a Entry>, String> {
    let journal = run.journal.get(policy).ok_or_else(|| format!("nothing was ever decided on {policy}"))?;
    let entries: Vec<_> = journal.iter().filter(|entry| (from..=to).contains(&entry.at)).collect();
    if entries.is_empty() {
        return Err(format!("nobody looked at {policy} in that time"));
    }
    Ok(entries)
}

fn never_lowered(entries: &[&Entry]) -> Result<(), String> {
    for entry in entries {
        if let Some((from, to, _)) = entry.writes.iter().find(|(from, to, _)| to < from) {
            return Err(format!("lowered from {from} to {to} at {}", clock(entry.at)));
        }
    }
    Ok(())
}

fn condition(entries: &[&Entry], kind: &str, status: &str, reason: Option<&str>) -> Result<(), String> {
    let mut seen = Vec::new();
    for entry in entries {
        for condition in entry.conditions.iter().filter(|c| c.kind.to_string() == kind) {
            let stands = match condition.status {
                Some(true) => "True",
                Some(false) => "False",
                None => "Unknown",
            };
            if stands == status && reason.is_none_or(|reason| reason == condition.reason) {
                return Ok(());
            }
            let text = format!("{stands} {}", condition.reason);
            if !seen.contains(&text) {
                seen.push(text);
            }
        }
    }
    Err(if seen.is_empty() {
        "no such condition stood".to_owned()
    } else {
        format!("stood: {}", seen.join(", "))
    })
}

fn replicas(entries: &[&Entry], at_least: Option<u32>, at_most: Option<u32>) -> Result<(), String> {
    for entry in entries {
        let n = entry.replicas;
        if at_least.is_some_and(|least| n < least) || at_most.is_some_and(|most| n > most) {
            return Err(format!("{n} replicas at {}", clock(entry.at)));
        }
    }
    Ok(())
}

fn scale_out(entries: &[&Entry], at_least: u32) -> Result<(), String> {
    let most = entries.iter().map(|entry| entry.replicas).max().unwrap_or(0);
    if most >= at_least { Ok(()) } else { Err(format!("at most {most} replicas in that time")) }
}

fn no_flap(entries: &[&Entry], most: u32) -> Result<(), String> {
    let done = entries.iter().flat_map(|entry| &entry.writes).filter(|(.., outcome)| *outcome == "done");
    let writes = done.count();
    if writes <= most as usize { Ok(()) } else { Err(format!("{writes} writes")) }
}

fn had_outcome(entries: &[&Entry], outcome: &str) -> Result<(), String> {
    let outcomes: Vec<_> =
        entries.iter().flat_map(|entry| &entry.writes).map(|(.., outcome)| *outcome).collect();
    if outcomes.contains(&outcome) { Ok(()) } else { Err(format!("the outcomes were {outcomes:?}")) }
}

fn gave_reason(entries: &[&Entry], code: &str) -> Result<(), String> {
    let mut codes: Vec<String> =
        entries.iter().flat_map(|entry| &entry.reasons).map(ToString::to_string).collect();
    codes.sort();
    codes.dedup();
    if codes.iter().any(|given| given == code) { Ok(()) } else { Err(format!("the reasons were {codes:?}")) }
}

fn served(run: &Run, workload: &str, percent: f64) -> Result<(), String> {
    let stats = run.stats.get(workload).ok_or_else(|| format!("there is no workload {workload}"))?;
    if stats.offered <= 0.0 {
        return Err("nothing was offered".to_owned());
    }
    let got = 100.0 * stats.served / stats.offered;
    if got >= percent { Ok(()) } else { Err(format!("{got:.2} % were served")) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use loadline_chaos::world::Stats;
    use loadline_policies::reason::{Condition, ConditionKind, ReasonCode};
    use rstest::rstest;

    use super::*;

    /// Three syncs: a raise from 4 to 6, a refused write, a cut from 6 to 5 with stale data.
    fn run() -> Run {
        let entry = |at, replicas, write, reason, fresh: bool| Entry {
            at: Duration::from_secs(at),
            replicas,
            writes: vec![write],
            reasons: vec![reason],
            conditions: vec![Condition {
                kind: ConditionKind::DataFresh,
                status: Some(fresh),
                reason: if fresh { "Fresh" } else { "Stale" },
                message: String::new(),
            }],
        };
        let journal = vec![
            entry(5, 6, (4, 6, "done"), ReasonCode::BelowBand, true),
            entry(10, 6, (6, 8, "refused"), ReasonCode::BelowBand, true),
            entry(15, 5, (6, 5, "done"), ReasonCode::AboveBand, false),
        ];
        Run {
            journal: BTreeMap::from([("shop/checkout".to_owned(), journal)]),
            stats: BTreeMap::from([(
                "shop/checkout".to_owned(),
                Stats { offered: 1_000.0, served: 990.0, ..Stats::default() },
            )]),
            broken: Vec::new(),
            failures: Vec::new(),
        }
    }

    fn verdict(yaml: &str) -> Result<(), String> {
        judge(&serde_yaml::from_str(yaml).expect("an expectation"), &run())
    }

    /// Every kind of expectation is met once and fails once.
    #[rstest]
    #[case(
        "{kind: NeverLowered, policy: shop/checkout, from: 0s, to: 10s}",
        "{kind: NeverLowered, policy: shop/checkout, from: 0s, to: 15s}"
    )]
    #[case(
        "{kind: Condition, policy: shop/checkout, type: DataFresh, status: 'False', reason: Stale, from: 10s, within: 5s}",
        "{kind: Condition, policy: shop/checkout, type: DataFresh, status: 'False', from: 0s, within: 10s}"
    )]
    #[case(
        "{kind: Replicas, policy: shop/checkout, from: 0s, to: 15s, atLeast: 5, atMost: 6}",
        "{kind: Replicas, policy: shop/checkout, from: 0s, to: 15s, atLeast: 6}"
    )]
    #[case(
        "{kind: Replicas, policy: shop/checkout, from: 15s, to: 15s, atMost: 5}",
        "{kind: Replicas, policy: shop/checkout, from: 0s, to: 15s, atMost: 5}"
    )]
    #[case(
        "{kind: ScaleOut, policy: shop/checkout, from: 0s, within: 5s, atLeast: 6}",
        "{kind: ScaleOut, policy: shop/checkout, from: 0s, within: 15s, atLeast: 8}"
    )]
    #[case(
        "{kind: NoFlap, policy: shop/checkout, maxTransitions: 2}",
        "{kind: NoFlap, policy: shop/checkout, maxTransitions: 1}"
    )]
    #[case(
        "{kind: Outcome, policy: shop/checkout, outcome: refused, from: 10s, to: 15s}",
        "{kind: Outcome, policy: shop/checkout, outcome: failed, from: 0s, to: 15s}"
    )]
    #[case(
        "{kind: Reason, policy: shop/checkout, code: BelowBand, from: 0s, to: 10s}",
        "{kind: Reason, policy: shop/checkout, code: AboveBand, from: 0s, to: 10s}"
    )]
    #[case(
        "{kind: Served, workload: shop/checkout, percent: 99}",
        "{kind: Served, workload: shop/checkout, percent: 99.5}"
    )]
    fn every_kind_of_expectation_can_be_met_and_can_fail(#[case] met: &str, #[case] missed: &str) {
        assert_eq!(verdict(met), Ok(()), "{met}");
        assert!(verdict(missed).is_err(), "{missed}");
    }

    #[rstest]
    #[case("{kind: NeverLowered, policy: shop/other, from: 0s, to: 10s}")]
    #[case("{kind: NeverLowered, policy: shop/checkout, from: 20s, to: 30s}")]
    #[case("{kind: Served, workload: shop/other, percent: 1}")]
    fn no_data_never_passes(#[case] expectation: &str) {
        assert!(verdict(expectation).is_err());
    }
}
