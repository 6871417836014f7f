//! The aftermath of an outage: while it lasts nothing can be written, so what waited is told when it is over.

use std::collections::BTreeMap;

use jiff::Timestamp;
use loadline_policies::{
    fleet::{Outage, OutageCause},
    ids::PolicyKey,
    plan::{Applied, Plan},
};

use super::happenings::Happening;

/// What an outage has kept from being written so far.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    outage: Option<Outage>,
    /// What each policy wanted last, where it was not what was there.
    waiting: BTreeMap<PolicyKey, Waiting>,
}

/// Replicas that waited.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    wanted: u32,
    there: u32,
}

impl Aftermath {
    /// Takes in one plan, and the outage that it was applied in, if there was one. Gives what is to be told: once,
    /// by the first plan after an outage.
    pub(super) fn after(
        &mut self,
        plan: &Plan<Applied>,
        outage: Option<&Outage>,
    ) -> Vec<(PolicyKey, Happening)> {
        if let Some(outage) = outage {
            self.outage = Some(outage.clone());
            self.note(plan);
            return Vec::new();
        }
        let Some(outage) = self.outage.take() else { return Vec::new() };
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|(key, waited)| (key, happening(&outage, waited, plan.at.wall))).collect()
    }

    /// A policy that wants no write any more has missed one all the same: its last wish is kept.
    fn note(&mut self, plan: &Plan<Applied>) {
        self.waiting.retain(|key, _| plan.decisions.contains_key(key));
        for (key, decision) in &plan.decisions {
            // What may not write for a reason of its own waits for nothing.
            let held = decision.conditions.iter().any(|c| OUTAGES.contains(&c.reason));
            let (wanted, there) = (decision.desired, decision.replicas.wanted);
            if held && wanted != there {
                self.waiting.insert(key.clone(), Waiting { wanted, there });
            }
        }
    }
}

/// The reasons of the condition `ScalingActive` that an outage gives.
pub(super) const OUTAGES: [&str; 2] = [reason(OutageCause::NoAnswer), reason(OutageCause::LeaseRefused)];

const fn reason(cause: OutageCause) -> &'static str {
    use loadline_policies::conditions::ConditionReason as R;
    match cause {
        OutageCause::NoAnswer => R::APIServerAway.as_str(),
        OutageCause::LeaseRefused => R::LeaseNotRenewed.as_str(),
    }
}

fn happening(outage: &Outage, waited: Waiting, now: Timestamp) -> Happening {
    let what = match outage.cause {
        OutageCause::NoAnswer => "the API server did not answer",
        OutageCause::LeaseRefused => "the lease could not be renewed",
    };
    let note = format!(
        "For {} s from {} {what} ({}), and nothing could be written: {} replicas were wanted, {} stayed. Loadline \
         writes again.",
        now.duration_since(outage.since).as_secs().max(0),
        outage.since.strftime("%H:%M:%S UTC"),
        outage.detail,
        waited.wanted,
        waited.there,
    );
    Happening { warning: true, reason: reason(outage.cause).to_owned(), note, action: "Observe" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use loadline_policies::{
        fleet::Totals,
        now::Now,
        plan::Decision,
        reason::{Condition, ConditionKind},
    };

    use super::*;

    fn now(seconds: i64) -> Now {
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        Now::new(start + jiff::SignedDuration::from_secs(seconds), Duration::from_mins(150))
    }

    fn outage() -> Outage {
        let detail = "get leases loadline/loadline: no answer in time".to_owned();
        Outage { since: now(0).wall, cause: OutageCause::NoAnswer, detail }
    }

    fn plan(seconds: i64, desired: u32, reason: &'static str) -> Plan<Applied> {
        let decision = Decision {
            replicas: Totals { wanted: 4, current: 4, ready: 4 },
            desired,
            conditions: vec![Condition {
                kind: ConditionKind::ScalingActive,
                status: Some(false),
                reason,
                message: String::new(),
            }],
            ..loadline_policies::judge::refuse(&loadline_policies::fleet::InvalidPolicy {
                generation: 1,
                complaints: Vec::new(),
            })
        };
        let decisions = BTreeMap::from([(PolicyKey::new("shop", "checkout"), decision)]);
        Plan { at: now(seconds), actions: Vec::new(), decisions, wake_at: None }
    }

    #[test]
    fn what_waited_is_told_once_when_the_outage_is_over() {
        let mut aftermath = Aftermath::default();
        assert!(aftermath.after(&plan(5, 8, "APIServerAway"), Some(&outage())).is_empty());
        // By its end the load has fallen again: that nothing was done in between is worth telling all the same.
        assert!(aftermath.after(&plan(30, 4, "APIServerAway"), Some(&outage())).is_empty());
        let told = aftermath.after(&plan(61, 4, "Active"), None);
        let [(key, happening)] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(key.to_string(), "shop/checkout");
        assert_eq!(happening.reason, "APIServerAway");
        assert_eq!(
            happening.note,
            "For 61 s from 12:00:00 UTC the API server did not answer (get leases loadline/loadline: no answer in \
             time), and nothing could be written: 8 replicas were wanted, 4 stayed. Loadline writes again."
        );
        assert!(aftermath.after(&plan(62, 4, "Active"), None).is_empty());
    }

    #[test]
    fn a_policy_that_waited_for_nothing_tells_nothing() {
        for (desired, reason) in [(4, "APIServerAway"), (8, "ModeRecommend")] {
            let mut aftermath = Aftermath::default();
            aftermath.after(&plan(5, desired, reason), Some(&outage()));
            assert!(aftermath.after(&plan(61, desired, "Active"), None).is_empty(), "{reason}");
        }
    }
}
