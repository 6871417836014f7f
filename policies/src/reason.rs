//! Why: the closed lists of conditions and reasons, and sentences for people.
//!
//! Status, Events, metrics, the console and `loadline explain` all show the same [`Reason`].

use std::fmt;

use serde::Serialize;

/// One reason of a decision: a code for machines, a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// From the closed list.
    pub code: ReasonCode,
    /// What happened, why, and where it helps what to do.
    pub text: String,
}

impl Reason {
    /// A reason from its code and sentence.
    pub fn new(code: ReasonCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Codes of reasons: what proposed, what limited, what blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ReasonCode {
    // What decided.
    /// Redundancy fell under the band.
    BelowBand,
    /// Redundancy rose over the band.
    AboveBand,
    /// Redundancy is inside the band.
    InsideBand,
    /// A burst in the short window.
    Burst,
    /// The latency objective is broken although utilisation is not high.
    LatencyObjective,
    /// The forecast.
    Predicted,
    /// A schedule's floor.
    Schedule,
    /// A known multiple of the usual load.
    Event,
    /// A trigger.
    Trigger,
    /// The fallback for missing data.
    Fallback,
    /// A person's `kubectl scale` up, or `paused-replicas`.
    Person,
    /// The activation signal woke the workload.
    Activated,
    /// The workload is idle and goes to zero.
    Idle,
    // What limited or blocked.
    /// `bounds.min`.
    AtMin,
    /// `bounds.max`.
    AtMax,
    /// A rate rule, `maxStep` or `dwell`.
    RateLimited,
    /// The stabilisation window.
    Stabilized,
    /// A change smaller than the tolerance.
    WithinTolerance,
    /// `selectPolicy: Disabled`.
    DirectionDisabled,
    /// Doubtful data: hold, or raise only.
    Doubt,
    /// A roll-out is under way: no scale-in.
    RollingOut,
    /// The rate window may be partly empty, after a doubt: no scale-in.
    WindowNotFilled,
    /// The history of the forecast is read again: no scale-in.
    HistoryAwaited,
    /// No baseline of request weight yet: no scale-in.
    NoBaseline,
    /// Requests weigh more than the guard allows, so the load is under-stated: no scale-in.
    WeightCapped,
    /// The capacity of one replica is only estimated, by CPU: no scale-in.
    CapacityEstimated,
    /// The capacity of one replica is not known.
    CapacityUnknown,
    /// More replicas did not bring better latency.
    LatencyNotCapacityBound,
    /// A pause annotation.
    Paused,
    /// The mode is not `Active`.
    NotActive,
    /// The `SafetyLever` is pulled.
    Frozen,
    /// Another scaler works on the same target.
    Contested,
    /// The target cannot be scaled.
    TargetProblem,
    /// The API server is away, or the lease cannot be renewed: nothing can be written.
    Outage,
    /// The policy is not valid.
    InvalidSpec,
    /// What fits nowhere.
    Shortfall,
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Types of conditions of an `ElasticPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ConditionKind {
    /// The policy is valid, its target is found, and the loop is closed.
    Ready,
    /// Loadline may write.
    ScalingActive,
    /// Bounds, rates or shortfall keep the workload from what it needs.
    ScalingLimited,
    /// Every reading is fresh and complete.
    DataFresh,
    /// The forecast has influence.
    ForecastTrusted,
    /// The capacity of one replica is declared, learned or estimated.
    CapacityKnown,
    /// Another scaler works on the same target.
    Contested,
    /// Latency is over its target and more replicas do not help.
    LatencyNotCapacityBound,
}

impl fmt::Display for ConditionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A condition as it will stand in status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Which one.
    pub kind: ConditionKind,
    /// True, False, or None for Unknown.
    pub status: Option<bool>,
    /// From the closed list in `docs/conditions.md`, UpperCamelCase.
    pub reason: &'static str,
    /// For a person; at most 1,024 characters.
    pub message: String,
}
