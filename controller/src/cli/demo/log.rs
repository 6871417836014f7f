//! The log: each decision that changed something with its reason, each fault, each doubt that came or went.

use std::{collections::BTreeMap, num::NonZeroU32};

use loadline_chaos::world::Event;
use loadline_dashboards::terminal::{Ink, Paper, paragraph};
use loadline_policies::{
    ids::PolicyKey,
    now::Now,
    plan::{Action, Applied, AppliedAction, Outcome, Plan},
    reason::{Condition, ConditionKind},
};

use super::day::Day;

/// Conditions that are worth a line when they change.
const TOLD: [ConditionKind; 3] =
    [ConditionKind::DataFresh, ConditionKind::Contested, ConditionKind::LatencyNotCapacityBound];

/// Which conditions are bad, so that only changes are told; one that is Unknown is not bad.
#[derive(Debug, Default)]
pub(super) struct Log {
    bad: BTreeMap<(PolicyKey, ConditionKind), bool>,
}

/// The first lines.
pub(super) fn greeting(seed: u64, pace: Option<NonZeroU32>, paper: Paper) -> String {
    let pace = pace
        .map_or_else(|| "as fast as it goes".to_owned(), |times| format!("{times} times as fast as life"));
    let text = format!(
        "SIMULATED: no cluster, no network, no real traffic. The decisions are those of the production loop; the \
         fleet, its load and its faults are a model (seed {seed}). One day, {pace}."
    );
    format!("{}\n\n", paragraph("", &text, Some(Ink::Bold), paper))
}

impl Log {
    /// The lines of one sync; usually none.
    pub(super) fn entries(
        &mut self,
        day: &Day,
        plan: &Plan<Applied>,
        events: &[Event],
        paper: Paper,
    ) -> String {
        let at = clock(plan.at);
        let mut lines = Vec::new();
        for event in events {
            let whom = event.workload.as_deref().unwrap_or("everything");
            lines.push(entry(&at, &format!("! {whom}: {}", event.text), Some(Ink::Warn), paper));
        }
        for (key, decision) in &plan.decisions {
            for condition in &decision.conditions {
                lines.extend(
                    self.change(key, condition).map(|(text, ink)| entry(&at, &text, Some(ink), paper)),
                );
            }
        }
        lines.extend(plan.actions.iter().map(|applied| {
            let (text, ink) = told(day, applied);
            entry(&at, &text, ink, paper)
        }));
        lines.into_iter().map(|line| line + "\n").collect()
    }

    fn change(&mut self, key: &PolicyKey, condition: &Condition) -> Option<(String, Ink)> {
        if !TOLD.contains(&condition.kind) {
            return None;
        }
        let bad = condition.status == Some(condition.kind != ConditionKind::DataFresh);
        let before = self.bad.insert((key.clone(), condition.kind), bad).unwrap_or(false);
        if before == bad {
            return None;
        }
        let (mark, ink) = if bad { ("?", Ink::Warn) } else { ("✓", Ink::Good) };
        let stands = match condition.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let text = format!(
            "{mark} {key}: {} is {stands} ({}): {}",
            condition.kind, condition.reason, condition.message
        );
        Some((text, ink))
    }
}

fn told(day: &Day, applied: &AppliedAction) -> (String, Option<Ink>) {
    let Action::Scale(scale) = &applied.action;
    let mark = if scale.to > scale.from { "▲" } else { "▼" };
    let load = day.pulse(&scale.target).offered;
    let head = format!("{mark} {}: {} -> {} at {load:.0}/s.", scale.policy, scale.from, scale.to);
    match &applied.outcome {
        Outcome::Done => (format!("{head} {}", scale.reason), None),
        Outcome::Skipped(why) | Outcome::Refused(why) | Outcome::Failed(why) => {
            (format!("{head} Not written ({}): {why}", applied.outcome.label()), Some(Ink::Bad))
        }
    }
}

fn entry(at: &str, text: &str, ink: Option<Ink>, paper: Paper) -> String {
    paragraph(at, text, ink, paper)
}

/// The time of day in the simulation, `14:05:30`.
pub(super) fn clock(now: Now) -> String {
    now.wall.strftime("%H:%M:%S").to_string()
}
