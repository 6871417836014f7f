//! The conditions of a policy, derived from the facts of its decision.
//!
//! Reasons come from a closed list, [`ConditionReason`], which `docs/conditions.md` explains one by one.
//! Messages hold no number that changes by itself (no ages, no loads): an unchanged world writes no status.

mod closed_list;

pub use closed_list::ConditionReason;

use crate::{
    capacity::Source,
    desired::permission::Barrier,
    fleet::{TargetProblem, Totals, Workload},
    forecast::{
        Forecast,
        trust::{Standing, Trust},
    },
    latency::LatencyTerm,
    load::Assessment,
    policy::ActivationSignal,
    reading::Doubt,
    reason::{Condition, ConditionKind, Reason, ReasonCode},
};

/// Longest message of a condition, in characters. The API server allows 32,768; people read less.
pub const MAX_MESSAGE: usize = 1024;

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
        forecast_trusted(facts),
        capacity_known(facts),
        contested(facts),
        latency(facts),
    ]
}

/// The conditions of a policy that could not be parsed.
#[must_use]
pub fn of_invalid(complaints: &str) -> Vec<Condition> {
    use ConditionKind as Kind;
    let invalid = |kind, status, text| condition(kind, status, ConditionReason::InvalidSpec, text);
    let mut all = vec![
        invalid(Kind::Ready, Some(false), complaints),
        invalid(Kind::ScalingActive, Some(false), "The policy is not valid: nothing is written."),
    ];
    let unknown = [
        Kind::ScalingLimited,
        Kind::DataFresh,
        Kind::ForecastTrusted,
        Kind::CapacityKnown,
        Kind::Contested,
        Kind::LatencyNotCapacityBound,
    ];
    all.extend(unknown.map(|kind| invalid(kind, None, "The policy is not valid: this is not looked at.")));
    all
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
            (R::AtMax, "More replicas are wanted than bounds.max allows: raise it, or ask for fewer.")
        }
        Some(ReasonCode::DirectionDisabled) => (
            R::DirectionDisabled,
            "More replicas are wanted, and behaviour.scaleUp.selectPolicy is Disabled.",
        ),
        Some(ReasonCode::Paused) => {
            (R::ScaleOutPaused, "More replicas are wanted, and loadline.dev/paused-scale-out is set.")
        }
        Some(_) => (R::RateLimited, "More replicas are wanted than behaviour.scaleUp allows at once."),
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
        let loads = facts.workload.instances.values().flatten().filter_map(|i| i.load.as_ref().ok());
        let text = if loads.into_iter().all(|reading| reading.coverage.is_full()) {
            "Every reading is fresh and complete."
        } else {
            "Every reading is fresh. A few replicas, at most a tenth, are silent: they count as fully loaded \
             before anything is removed."
        };
        return condition(kind, Some(true), R::Fresh, text);
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

fn forecast_trusted(facts: &Facts<'_>) -> Condition {
    use ConditionReason as R;
    // Without numbers: they move all the time, and stand in status.forecast and the metrics.
    if facts.assessment.stand_in.is_some() {
        let text = "The history is read again; the trust from before stands in until then: the band stays where it was, \
                    and nothing is removed.";
        return condition(ConditionKind::ForecastTrusted, Some(true), R::HistoryAwaited, text);
    }
    let forecast = facts.assessment.forecast;
    let trusted = forecast.is_some_and(|forecast| forecast.trust >= Trust::ScaleOutOnly);
    let held = forecast.as_ref().map_or_else(String::new, held);
    let (reason, text) = match forecast.map(|forecast| forecast.standing) {
        None => (R::NoForecast, "Nothing is forecast: it follows the load that is there."),
        Some(Standing::ShortHistory) => {
            (R::ShortHistory, "There are less than two days of history: it only says what it would do.")
        }
        Some(Standing::NoSkill) => {
            (R::NoSkill, "The forecast is hardly better than the last value: it only says what it would do.")
        }
        Some(Standing::NotCalibrated) => (
            R::NotCalibrated,
            "The load passes the forecast more often than it may: it only says what it would do.",
        ),
        Some(Standing::Earning) => {
            (R::Earning, "The forecast did well: it is trusted a step more every hour.")
        }
        Some(Standing::ScaleOutOnly) => {
            (R::ScaleOutOnly, "The forecast adds replicas, and keeps those that it needs.")
        }
        Some(Standing::HeldByPolicy) => (R::HeldByPolicy, held.as_str()),
        Some(Standing::Full) => (R::Trusted, "The forecast decides, in the place of head-room."),
    };
    condition(ConditionKind::ForecastTrusted, Some(trusted), reason, text)
}

fn held(forecast: &Forecast) -> String {
    format!(
        "The forecast has earned {} and is held to {} by spec.forecast.maxTrust: raise that to let it do more.",
        forecast.earned.name(),
        forecast.trust.name()
    )
}

fn capacity_known(facts: &Facts<'_>) -> Condition {
    use ConditionReason as R;
    let kind = ConditionKind::CapacityKnown;
    let known = &facts.assessment.capacity;
    // Without numbers: they move by themselves, and stand in status.capacity and the metrics.
    let (reason, text) = match known.source {
        Source::Declared => (R::Declared, "capacity.perReplica is declared."),
        Source::Learned if known.upper.is_none() => (
            R::LowerBound,
            "One replica was seen to bear this and perhaps bears more: its knee was not seen. Too many replicas are \
             the price; a benchmark declared in capacity.perReplica ends that.",
        ),
        Source::Learned => (R::Learned, "The capacity is learned, from both sides."),
        Source::Provisional => (
            R::Provisional,
            "The pod template or the objective has changed: four fifths of what was learned before are used, until \
             a day has borne it out.",
        ),
        Source::Learning if facts.workload.policy.objective.is_none() => (
            R::NoObjective,
            "The capacity cannot be learned without objective.latency, which says what healthy is: set one, or \
             declare capacity.perReplica. Until then the policy only observes.",
        ),
        Source::Estimated => (
            R::Estimated,
            "What one replica bears is estimated by the CPU that its requests take, until it is learned: replicas are \
             added by it and none removed. Declare capacity.perReplica to end that.",
        ),
        Source::Learning if asks_for_no_cpu(facts.workload) => (
            R::Learning,
            "What one replica bears is being learned: from one day, tested on the next; status.capacity says how far \
             that is. Until then the policy only observes; declare capacity.perReplica to use it now. It cannot be \
             estimated by CPU meanwhile: not every container has resources.requests.cpu.",
        ),
        Source::Learning => (
            R::Learning,
            "What one replica bears is being learned: from one day, tested on the next; status.capacity says how far \
             that is. Until then the policy only observes; declare capacity.perReplica to use it now.",
        ),
    };
    condition(kind, Some(known.per_replica.is_some()), reason, text)
}

/// Whether a pod template is seen that does not say how much CPU a replica may use.
fn asks_for_no_cpu(workload: &Workload) -> bool {
    let mut seen = workload.instances.values().flatten().filter_map(|instance| instance.footprint);
    seen.any(|footprint| footprint.cpu_request.is_none())
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
        let text = "Somebody else undid what Loadline wrote three times within ten minutes: find who writes \
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
        LatencyTerm::Futile { .. } => {
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
        let page = include_str!("../../../docs/conditions.md");
        page.lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_owned()))
            .collect()
    }

    #[test]
    fn the_documentation_lists_exactly_these_reasons() {
        let mut documented = documented();
        documented.sort();
        // InvalidSpec and the like stand in the tables of several conditions.
        documented.dedup();
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
