//! Apply: writes what a plan proposes, and says of each action what became of it.
//!
//! ```text
//! Plan<Proposed> ─ actions, at most CONCURRENCY at once, none begun after the budget ─> Actuator ─> Plan<Applied>
//! ```
//!
//! Nothing is decided here. An action that the world has overtaken is refused, and the next tick decides anew
//! from what is seen then.

mod backoff;
mod scale;

use std::time::Duration;

use futures::{StreamExt as _, stream};
use loadline_policies::{
    now::Mono,
    plan::{Action, Applied, Outcome, Plan, Proposed},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    backoff::{Backoff, Patience},
    scale::KubeActuator,
};
use crate::ports::{Actuator, Clock};

/// Writes that are under way at the same time. An API server answers one in some milliseconds: 32 keep it
/// busy (thousands a second) and stay far under its limit of 200 mutating requests in flight.
pub const CONCURRENCY: usize = 32;

/// No action begins later than this after the first one: what it was decided on is too old by then.
pub const BUDGET: Duration = Duration::from_secs(15);

/// A plan after its actions were tried, and when each was begun.
#[derive(Debug)]
pub struct Tried {
    /// The plan with its outcomes.
    pub plan: Plan<Applied>,
    /// When each action was sent, in the order of the actions; `None` when it was skipped here.
    pub begun: Vec<Option<Mono>>,
}

/// Tries every action of a plan, in order but several at once.
pub async fn apply<A: Actuator>(
    plan: Plan<Proposed>,
    actuator: &A,
    clock: &dyn Clock,
    stop: &CancellationToken,
) -> Tried {
    let start = clock.now().mono;
    let mut results: Vec<(usize, Option<Mono>, Outcome)> = stream::iter(plan.actions.iter().enumerate())
        .map(|(i, action)| async move {
            let now = clock.now().mono;
            if stop.is_cancelled() {
                return (i, None, Outcome::Skipped("the process is stopping".to_owned()));
            }
            if now.since(start) > BUDGET {
                let why = format!("more than {} s of writing went before it", BUDGET.as_secs());
                return (i, None, Outcome::Skipped(why));
            }
            match action {
                Action::Scale(scale) => (i, Some(now), actuator.scale(scale).await),
            }
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    results.sort_by_key(|(i, ..)| *i);
    let (begun, outcomes) = results.into_iter().map(|(_, begun, outcome)| (begun, outcome)).unzip();
    Tried { plan: plan.applied(outcomes), begun }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicU64, Ordering},
    };

    use jiff::Timestamp;
    use loadline_policies::{
        fleet::ObjectVersion,
        ids::{ClusterId, PolicyKey, Target},
        now::Now,
        plan::ScaleAction,
        reason::{Reason, ReasonCode},
    };

    use super::*;

    /// A clock that each write moves on by a second.
    #[derive(Default)]
    struct Busy(AtomicU64);

    impl Clock for Busy {
        fn now(&self) -> Now {
            Now::new(Timestamp::UNIX_EPOCH, Duration::from_secs(self.0.load(Ordering::SeqCst)))
        }
    }

    impl Actuator for Busy {
        async fn scale(&self, action: &ScaleAction) -> Outcome {
            self.0.fetch_add(1, Ordering::SeqCst);
            if action.to.is_multiple_of(2) {
                // Ends after its neighbours: the order of outcomes must not be the order of answers.
                tokio::task::yield_now().await;
            }
            Outcome::Refused(action.to.to_string())
        }
    }

    fn plan(actions: u32) -> Plan<Proposed> {
        let action = |to| {
            Action::Scale(ScaleAction {
                policy: PolicyKey::new("shop", "cart"),
                cluster: ClusterId::local(),
                target: Target::new("apps/v1", "Deployment", "shop", "cart"),
                from: 0,
                accepted: 0,
                to,
                version: ObjectVersion { uid: String::new(), resource_version: String::new() },
                reason: Reason::new(ReasonCode::Burst, "burst"),
            })
        };
        let at = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        Plan { at, actions: (0..actions).map(action).collect(), decisions: BTreeMap::new(), wake_at: None }
    }

    fn outcomes(tried: &Tried) -> Vec<&Outcome> {
        tried.plan.actions.iter().map(|a| &a.outcome).collect()
    }

    #[tokio::test]
    async fn every_action_gets_its_own_outcome() {
        let world = Busy::default();
        let tried = apply(plan(9), &world, &world, &CancellationToken::new()).await;
        let expected: Vec<_> = (0..9).map(|to: u32| Outcome::Refused(to.to_string())).collect();
        assert_eq!(outcomes(&tried), expected.iter().collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_is_too_old_is_left_to_the_next_tick() {
        let world = Busy::default();
        let tried = apply(plan(200), &world, &world, &CancellationToken::new()).await;
        let skipped = outcomes(&tried).into_iter().filter(|o| matches!(o, Outcome::Skipped(_))).count();
        assert!(skipped > 100, "{skipped}");
        assert_eq!(skipped, tried.begun.iter().filter(|b| b.is_none()).count());
    }

    #[tokio::test]
    async fn a_process_that_stops_begins_nothing_more() {
        let (world, stop) = (Busy::default(), CancellationToken::new());
        stop.cancel();
        let tried = apply(plan(3), &world, &world, &stop).await;
        assert!(outcomes(&tried).into_iter().all(|o| matches!(o, Outcome::Skipped(_))));
    }
}
