//! Permission: whether Loadline may write, and if not, why.

use crate::{
    fleet::{Freeze, Outage, OutageCause, TargetProblem, Workload},
    load::Assessment,
    policy::Mode,
    reason::{Reason, ReasonCode},
};

/// Why nothing may be written. In order: the first that holds counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// The target is nowhere to be scaled.
    Target,
    /// The `SafetyLever` is pulled.
    Frozen,
    /// Another autoscaler has the same target.
    OtherScaler,
    /// Somebody keeps changing the replicas.
    ForeignWrites,
    /// The annotation `loadline.dev/paused`.
    Paused,
    /// `mode: Observe`.
    Observe,
    /// The capacity of one replica is unknown, which is like `Observe`.
    CapacityUnknown,
    /// `mode: Recommend`.
    Recommend,
    /// No cluster with the target answers.
    Dark,
    /// The API server was seen and does not answer now.
    ApiServerAway,
    /// The lease cannot be renewed, without which nothing may be written.
    LeaseNotRenewed,
}

impl Barrier {
    /// Whether nothing is even recommended behind it.
    #[must_use]
    pub const fn measures_only(self) -> bool {
        matches!(self, Self::Target | Self::Observe | Self::CapacityUnknown)
    }
}

/// Whether Loadline may write: the barrier that forbids it, with a sentence.
#[must_use]
pub fn barrier(
    workload: &Workload,
    freeze: Option<&Freeze>,
    assessment: &Assessment,
) -> Option<(Barrier, Reason)> {
    let policy = &workload.policy;
    if let Some(problem) = target_problem(workload) {
        return Some((Barrier::Target, problem));
    }
    if let Some(freeze) = freeze {
        let text =
            format!("Automation is frozen by the SafetyLever: {}.", freeze.reason.trim_end_matches('.'));
        return Some((Barrier::Frozen, Reason::new(ReasonCode::Frozen, text)));
    }
    if let Some(other) = workload.contenders.first() {
        let text = format!(
            "{} {} scales {} too: nothing is written until one of the two is gone.",
            other.kind, other.name, policy.target
        );
        return Some((Barrier::OtherScaler, Reason::new(ReasonCode::Contested, text)));
    }
    if policy.pause.all {
        let text = "The policy is paused by the annotation loadline.dev/paused.";
        return Some((Barrier::Paused, Reason::new(ReasonCode::Paused, text)));
    }
    if policy.mode == Mode::Observe {
        let text = "The mode is Observe: load is measured, nothing is decided.";
        return Some((Barrier::Observe, Reason::new(ReasonCode::NotActive, text)));
    }
    if assessment.per_replica.is_none() {
        let text = "What one replica bears is not known: declare capacity.perReplica; until then Loadline only \
                    observes.";
        return Some((Barrier::CapacityUnknown, Reason::new(ReasonCode::CapacityUnknown, text)));
    }
    if policy.mode == Mode::Recommend {
        let text = "The mode is Recommend: what is wanted is shown and not written.";
        return Some((Barrier::Recommend, Reason::new(ReasonCode::NotActive, text)));
    }
    None
}

/// The barrier of an outage. Its sentence tells a moment and no age: it stays the same as long as the outage.
#[must_use]
pub fn outage(outage: &Outage) -> (Barrier, Reason) {
    // Whole seconds: more is not known, and nobody reads it.
    let since = outage.since.strftime("%H:%M:%S UTC");
    let (barrier, text) = match outage.cause {
        OutageCause::NoAnswer => (
            Barrier::ApiServerAway,
            format!(
                "The API server has not answered since {since}: nothing can be written, replicas stay as they are. \
                 Loadline goes on when it answers."
            ),
        ),
        OutageCause::LeaseRefused => (
            Barrier::LeaseNotRenewed,
            format!(
                "Since {since} the lease cannot be renewed, without which nothing may be written: {}",
                outage.detail
            ),
        ),
    };
    (barrier, Reason::new(ReasonCode::Outage, text))
}

/// The problem of the target, if it cannot be scaled in any cluster.
fn target_problem(workload: &Workload) -> Option<Reason> {
    if workload.instances.values().any(Result::is_ok) {
        return None;
    }
    let target = &workload.policy.target;
    let problem = workload.instances.values().find_map(|i| i.as_ref().err());
    let text = match problem.unwrap_or(&TargetProblem::NotYetSeen) {
        TargetProblem::Missing => format!("{target} does not exist: create it, or correct spec.target."),
        TargetProblem::UnknownKind => format!(
            "The API server knows no {} of {}: correct spec.target or install its CRD.",
            target.kind, target.api_version
        ),
        TargetProblem::NotScalable => format!("{target} has no /scale subresource: it cannot be scaled."),
        TargetProblem::Forbidden => {
            format!("Loadline may not scale {target}: add the kind to the chart's scaleTargets.")
        }
        TargetProblem::Deleting => format!("{target} is being deleted."),
        TargetProblem::NotYetSeen => format!("{target} has not been seen yet."),
    };
    Some(Reason::new(ReasonCode::TargetProblem, text))
}
