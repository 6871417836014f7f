//! The closed list of reasons, explained one by one in `docs/conditions.md`.

use crate::reading::Doubt;

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
    /// The capacity of one replica is not known yet; `CapacityKnown` says why.
    CapacityUnknown,
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
    /// Nothing is forecast: no load was seen yet, or none for too long.
    NoForecast,
    /// The history is read again after a restart; the trust of before stands in.
    HistoryAwaited,
    /// There is too little history.
    ShortHistory,
    /// The forecast is hardly better than the last value.
    NoSkill,
    /// The load passes the forecast more often than it may.
    NotCalibrated,
    /// It deserves more than it has: trust grows by a step an hour.
    Earning,
    /// It has earned more than the policy lets it do.
    HeldByPolicy,
    /// It may add replicas, and remove none.
    ScaleOutOnly,
    /// It decides in both directions.
    Trusted,
    // CapacityKnown.
    /// Capacity is declared.
    Declared,
    /// Capacity is learned.
    Learned,
    /// Capacity is learned as a lower bound: nobody has seen more.
    LowerBound,
    /// Capacity was learned under another template or objective.
    Provisional,
    /// Capacity is estimated by CPU until it is learned: nothing is removed.
    Estimated,
    /// Capacity is being learned, and no estimate has explained a day yet.
    Learning,
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
