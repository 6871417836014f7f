//! The conditions of a policy, derived from the facts of its decision.
//!
//! Reasons come from a closed list, [`ConditionReason`], which `docs/conditions.md` explains one by one.
//! Messages hold no number that changes by itself (no ages, no loads): an unchanged world writes no status.

use crate::{
    desired::permission::Barrier,
    fleet::{TargetProblem, Totals, Workload},
    latency::LatencyTerm,
    load::Assessment,
    policy::{ActivationSignal, PerReplica},
    reading::Doubt,
    reason::{Condition, ConditionKind, Reason, ReasonCode},
};

/// Longest message of a condition, in characters. The API server allows 32,768; people read less.
pub const MAX_MESSAGE: usize = 1024;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a condition stands as it does: the closed list of `docs/conditions.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ConditionReason { $($(#[$doc])* $name,)* }

        impl ConditionReason {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it stands in status.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

reasons! {
    // Ready.
    /// Ready: data is read, the target is found, decisions are made.
    LoopClosed,
    /// The policy is not valid.
    InvalidSpec,
    /// The target does not exist.
    TargetMissing,
    /// The API server does not know the target's kind.
    TargetKindUnknown,
    /// The target has no `/scale`.
    TargetNotScalable,
    /// Loadline may not read or scale the target.
    TargetForbidden,
    /// The target is being deleted.
    TargetDeleting,
    /// The target has not been seen yet.
    TargetNotYetSeen,
    /// No signal at all can be read.
    NoData,
    // ScalingActive.
    /// Loadline writes.
    Active,
    /// Loadline writes in one direction only.
    PartlyPaused,
    /// A pause annotation forbids writes.
    Paused,
    /// An annotation holds a number of replicas.
    PausedAtReplicas,
    /// `mode: Observe`.
    ModeObserve,
    /// `mode: Recommend`.
    ModeRecommend,
    /// The `SafetyLever` is pulled.
    Frozen,
    /// The target cannot be scaled; `Ready` says why.
    TargetUnavailable,
    /// No cluster with the target answers.
    ClustersDark,
    /// The API server was seen and does not answer now.
    APIServerAway,
    /// The lease cannot be renewed, without which nothing may be written.
    LeaseNotRenewed,
    // ScalingLimited.
    /// Nothing keeps the workload from what it needs.
    WithinLimits,
    /// `bounds.max` does.
    AtMax,
    /// A rate rule, `maxStep` or `dwell` does.
    RateLimited,
    /// `selectPolicy: Disabled` does.
    DirectionDisabled,
    /// Scale-out is paused.
    ScaleOutPaused,
    /// Replicas fit nowhere.
    Shortfall,
    // DataFresh.
    /// Every reading is fresh and complete.
    Fresh,
    /// The workload is at zero and gives no telemetry, as expected.
    AtZero,
    /// Nothing was read yet.
    NotYetRead,
    /// The operator's configuration does not say where or how to read.
    NotConfigured,
    /// The answer holds no series of this workload.
    AbsentSeries,
    /// The answer was empty.
    EmptyVector,
    /// A value is NaN.
    NotANumber,
    /// A value is infinite.
    Infinite,
    /// A value is negative.
    Negative,
    /// Some replicas did not report.
    PartialCoverage,
    /// The newest sample is too old.
    Stale,
    /// The source answered with an HTTP error.
    HttpStatus,
    /// The source did not answer in time.
    TimedOut,
    /// No connection to the source.
    Unreachable,
    /// The answer has another shape than asked for.
    WrongShape,
    /// The source refused the query.
    QueryRefused,
    // ForecastTrusted.
    /// There is no forecast for this policy.
    NoForecast,
    // CapacityKnown.
    /// Capacity is declared.
    Declared,
    /// Capacity is learned.
    Learned,
    /// Capacity is to be learned and is not known yet.
    CapacityUnknown,
    // Contested.
    /// Nobody else scales the target.
    Uncontested,
    /// Another autoscaler names the same target.
    OtherScaler,
    /// Somebody keeps changing the replicas.
    ForeignWrites,
    // LatencyNotCapacityBound.
    /// Latency is within its objective.
    WithinObjective,
    /// Latency is over its target and replicas are being added for it.
    ScalingOut,
    /// Latency is within its objective because of replicas that were added for it.
    Easing,
    /// More replicas brought no better latency.
    MoreReplicasDoNotHelp,
    /// There is no latency objective.
    NoObjective,
    /// Latency cannot be judged now.
    NotJudged,
}

impl From<&Doubt> for ConditionReason {
    fn from(doubt: &Doubt) -> Self {
        match doubt {
            Doubt::NotYetRead => Self::NotYetRead,
            Doubt::NotConfigured(_) => Self::NotConfigured,
            Doubt::AbsentSeries => Self::AbsentSeries,
            Doubt::EmptyVector => Self::EmptyVector,
            Doubt::NotANumber => Self::NotANumber,
            Doubt::Infinite => Self::Infinite,
            Doubt::Negative => Self::Negative,
            Doubt::Partial(_) => Self::PartialCoverage,
            Doubt::Stale { .. } => Self::Stale,
            Doubt::HttpStatus(_) => Self::HttpStatus,
            Doubt::TimedOut => Self::TimedOut,
            Doubt::Unreachable => Self::Unreachable,
            Doubt::WrongShape(_) => Self::WrongShape,
            Doubt::QueryRefused(_) => Self::QueryRefused,
        }
    }
}

/// What the conditions are derived from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The policy and what is seen of its workload.
    pub workload: &'a Workload,
    /// Its load.
    pub assessment: &'a Assessment,
    /// What forbids to write.
    pub barrier: Option<&'a (Barrier, Reason)>,
    /// A fight over the replicas.
    pub contested: Option<&'a Reason>,
    /// What keeps the workload from replicas that it needs.
    pub limited: Option<&'a Reason>,
    /// Replicas that fit nowhere.
    pub shortfall: u32,
    /// Whether no signal at all could be read.
    pub no_data: bool,
    /// Replicas over all clusters.
    pub replicas: Totals,
}

/// All conditions of a policy that was judged.
#[must_use]
pub fn of(facts: &Facts<'_>) -> Vec<Condition> {
    vec![
        ready(facts),
        scaling_active(facts),
        scaling_limited(facts),
        data_fresh(facts),
        forecast_trusted(),
        capacity_known(facts),
        contested(facts),
        latency(facts),
    ]
}

/// The conditions of a policy that could not be parsed.
#[must_use]
pub fn of_invalid(complaints: &str) -> Vec<Condition> {
    use ConditionReason as R;
    vec![
        condition(ConditionKind::Ready, Some(false), R::InvalidSpec, complaints),
        condition(ConditionKind::ScalingActive, Some(false), R::InvalidSpec, "The policy is not valid."),
    ]
}

fn condition(
    kind: ConditionKind,
    status: Option<bool>,
    reason: ConditionReason,
    message: impl Into<String>,
) -> Condition {
    let mut message = message.into();
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
        message.truncate(end);
    }
    Condition { kind, status, reason: reason.as_str(), message }
}

fn ready(facts: &Facts<'_>) -> Condition {
    use ConditionReason as R;
    let kind = ConditionKind::Ready;
    if let Some((Barrier::Target, reason)) = facts.barrier {
        let problem = facts.workload.instances.values().find_map(|i| i.as_ref().err());
        let (status, code) = match problem {
            Some(TargetProblem::Missing) => (Some(false), R::TargetMissing),
            Some(TargetProblem::UnknownKind) => (Some(false), R::TargetKindUnknown),
            Some(TargetProblem::NotScalable) => (Some(false), R::TargetNotScalable),
            Some(TargetProblem::Forbidden) => (Some(false), R::TargetForbidden),
            Some(TargetProblem::Deleting) => (Some(false), R::TargetDeleting),
            Some(TargetProblem::NotYetSeen) | None => (None, R::TargetNotYetSeen),
        };
        return condition(kind, status, code, reason.text.clone());
    }
    if facts.assessment.per_replica.is_none() {
        let text = "The capacity of one replica is not known yet; CapacityKnown says what to do.";
        return condition(kind, Some(false), R::CapacityUnknown, text);
    }
    if facts.no_data && !asleep_without_telemetry(facts) {
        let text = "No signal can be read; DataFresh says why. Replicas stay as they are.";
        return condition(kind, Some(false), R::NoData, text);
    }
    condition(kind, Some(true), R::LoopClosed, "Load is read, the target is found, decisions are made.")
}

fn scaling_active(facts: &Facts<'_>) -> Condition {
    use ConditionReason as R;
    let kind = ConditionKind::ScalingActive;
    let pause = facts.workload.policy.pause;
    let Some((barrier, reason)) = facts.barrier else {
        return if pause.replicas.is_some() {
            let text = "The annotation loadline.dev/paused-replicas holds the replicas.";
            condition(kind, Some(false), R::PausedAtReplicas, text)
        } else if pause.scale_in || pause.scale_out {
            let text = "An annotation pauses one direction (loadline.dev/paused-scale-in or -scale-out).";
            condition(kind, Some(true), R::PartlyPaused, text)
        } else {
            condition(kind, Some(true), R::Active, "Loadline writes the replicas.")
        };
    };
    let code = match barrier {
        Barrier::Target => R::TargetUnavailable,
        Barrier::Frozen => R::Frozen,
        Barrier::OtherScaler => R::OtherScaler,
        Barrier::ForeignWrites => R::ForeignWrites,
        Barrier::Paused => R::Paused,
        Barrier::Observe => R::ModeObserve,
        Barrier::CapacityUnknown => R::CapacityUnknown,
        Barrier::Recommend => R::ModeRecommend,
        Barrier::Dark => R::ClustersDark,
        Barrier::ApiServerAway => R::APIServerAway,
        Barrier::LeaseNotRenewed => R::LeaseNotRenewed,
    };
    let text = match barrier {
        // Its sentence counts down; see Contested.
        Barrier::ForeignWrites => "Somebody else keeps changing the replicas; Contested says what to do.",
        _ => &reason.text,
    };
    condition(kind, Some(false), code, text)
}

fn scaling_limited(facts: &Facts<'_>) -> Condition {
    use ConditionReason as R;
    let kind = ConditionKind::ScalingLimited;
    if facts.shortfall > 0 {
        return condition(kind, Some(true), R::Shortfall, "Some of the replicas wanted fit nowhere.");
    }
    let (code, text) = match facts.limited.map(|reason| reason.code) {
        None => {
            let text = "Nothing keeps the workload from the replicas that it needs.";
            return condition(kind, Some(false), R::WithinLimits, text);
        }
        Some(ReasonCode::AtMax) => {
            (R::AtMax, "The load needs more replicas than bounds.max allows: raise it.")
        }
        Some(ReasonCode::DirectionDisabled) => (
            R::DirectionDisabled,
            "The load needs more replicas, and behaviour.scaleUp.selectPolicy is Disabled.",
        ),
        Some(ReasonCode::Paused) => {
            (R::ScaleOutPaused, "The load needs more replicas, and loadline.dev/paused-scale-out is set.")
        }
        Some(_) => (R::RateLimited, "The load needs more replicas than behaviour.scaleUp allows at once."),
    };
    condition(kind, Some(true), code, text)
}

fn data_fresh(facts: &Facts<'_>) -> Condition {
    use ConditionReason as R;
    let kind = ConditionKind::DataFresh;
    if asleep_without_telemetry(facts) {
        let text = "The workload is at zero and gives no telemetry; its activation signal is fresh.";
        return condition(kind, Some(true), R::AtZero, text);
    }
    let Some((signal, doubt)) = facts.assessment.doubts.first() else {
        return condition(kind, Some(true), R::Fresh, "Every reading is fresh and complete.");
    };
    let what = match doubt {
        // Ages and counts change by themselves; metrics and `loadline explain` have them.
        Doubt::Stale { .. } => "the newest sample is older than two scrapes".to_owned(),
        Doubt::Partial(_) => "some replicas do not report".to_owned(),
        other => other.to_string(),
    };
    let more = match facts.assessment.doubts.len() {
        1 => String::new(),
        n => format!(" ({} more signals are in doubt)", n.saturating_sub(1)),
    };
    let status = if *doubt == Doubt::NotYetRead { None } else { Some(false) };
    condition(kind, status, doubt.into(), format!("{signal}: {what}{more}. Nothing is removed meanwhile."))
}

/// At zero replicas the workload's own telemetry is absent by nature; only a trigger that wakes it matters.
fn asleep_without_telemetry(facts: &Facts<'_>) -> bool {
    let policy = &facts.workload.policy;
    let Some(ActivationSignal::Trigger(name)) = policy.activation.as_ref().map(|a| &a.signal) else {
        return false;
    };
    facts.replicas.wanted == 0
        && facts.workload.triggers.get(name).is_some_and(Result::is_ok)
        && facts.assessment.doubts.iter().all(|(_, doubt)| {
            matches!(
                doubt,
                Doubt::AbsentSeries | Doubt::EmptyVector | Doubt::Stale { .. } | Doubt::Partial(_)
            )
        })
}

fn forecast_trusted() -> Condition {
    let text = "There is no forecast for this policy: it follows the load that is there.";
    condition(ConditionKind::ForecastTrusted, Some(false), ConditionReason::NoForecast, text)
}

fn capacity_known(facts: &Facts<'_>) -> Condition {
    use ConditionReason as R;
    let kind = ConditionKind::CapacityKnown;
    match (facts.assessment.per_replica, facts.workload.policy.capacity.per_replica) {
        (Some(_), PerReplica::Declared(_)) => {
            condition(kind, Some(true), R::Declared, "capacity.perReplica is declared.")
        }
        (Some(_), PerReplica::Learned) => condition(kind, Some(true), R::Learned, "The capacity is learned."),
        (None, _) => {
            let text = "What one replica bears is not known yet: declare capacity.perReplica (weighted requests/s \
                        of one replica, from a benchmark). Until then the policy only observes.";
            condition(kind, Some(false), R::CapacityUnknown, text)
        }
    }
}

fn contested(facts: &Facts<'_>) -> Condition {
    use ConditionReason as R;
    let kind = ConditionKind::Contested;
    if let Some(other) = facts.workload.contenders.first() {
        let text = format!(
            "{} {} scales {} too: delete one of the two.",
            other.kind, other.name, facts.workload.policy.target
        );
        return condition(kind, Some(true), R::OtherScaler, text);
    }
    if facts.contested.is_some() {
        let text = "Somebody else changed the replicas three times within ten minutes: find who writes \
                    spec.replicas (kubectl get --show-managed-fields) and stop one of the two. Loadline writes \
                    again after ten quiet minutes.";
        return condition(kind, Some(true), R::ForeignWrites, text);
    }
    condition(kind, Some(false), R::Uncontested, "Nobody else scales this target.")
}

fn latency(facts: &Facts<'_>) -> Condition {
    use ConditionReason as R;
    let kind = ConditionKind::LatencyNotCapacityBound;
    if facts.workload.policy.objective.is_none() {
        return condition(kind, Some(false), R::NoObjective, "The policy has no latency objective.");
    }
    match facts.assessment.latency_term {
        LatencyTerm::Fine => {
            condition(kind, Some(false), R::WithinObjective, "Latency is within its objective.")
        }
        LatencyTerm::ScaleOut { .. } => {
            let text = "Latency is over its target: replicas are being added to see whether that helps.";
            condition(kind, Some(false), R::ScalingOut, text)
        }
        LatencyTerm::Easing { .. } => {
            let text =
                "Latency is within its objective thanks to replicas that were added for it; they go slowly.";
            condition(kind, Some(false), R::Easing, text)
        }
        LatencyTerm::Futile => {
            let text = "Latency is over its target and a quarter more replicas brought nothing: look for a slow \
                        dependency. No more are added for the sake of latency.";
            condition(kind, Some(true), R::MoreReplicasDoNotHelp, text)
        }
        LatencyTerm::NotJudged => condition(kind, None, R::NotJudged, "Latency cannot be judged now."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons that `docs/conditions.md` lists: rows of its tables, `| reason | meaning | what to do |`.
    fn documented() -> Vec<String> {
        let page = include_str!("../../docs/conditions.md");
        page.lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
            .collect()
    }

    #[test]
    fn the_documentation_lists_exactly_these_reasons() {
        let mut documented = documented();
        documented.sort();
        let repeated = documented.len();
        documented.dedup();
        assert!(repeated >= documented.len());
        let mut known: Vec<_> = ConditionReason::ALL.iter().map(|r| r.as_str().to_owned()).collect();
        known.sort();
        assert_eq!(documented, known);
    }

    #[test]
    fn a_doubt_has_the_same_name_everywhere() {
        let doubts = [
            Doubt::NotYetRead,
            Doubt::AbsentSeries,
            Doubt::EmptyVector,
            Doubt::NotANumber,
            Doubt::Infinite,
            Doubt::Negative,
            Doubt::Partial(crate::reading::Coverage::full(1)),
            Doubt::Stale { age: std::time::Duration::ZERO },
            Doubt::HttpStatus(500),
            Doubt::TimedOut,
            Doubt::Unreachable,
            Doubt::WrongShape(String::new()),
            Doubt::QueryRefused(String::new()),
            Doubt::NotConfigured(String::new()),
        ];
        for doubt in doubts {
            assert_eq!(ConditionReason::from(&doubt).as_str(), doubt.code());
        }
    }

    #[test]
    fn a_message_is_cut_at_a_character() {
        let condition =
            condition(ConditionKind::Ready, Some(false), ConditionReason::InvalidSpec, "ä".repeat(2_000));
        assert_eq!(condition.message.chars().count(), MAX_MESSAGE);
    }
}
