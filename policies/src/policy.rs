//! An `ElasticPolicy` as domain values: parsed once, valid by construction, in SI units.
//!
//! `controller::translate` makes these from the custom resource; nothing here can hold a reversed bound
//! or an unsorted cut, so the decisions need not check again.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{
    forecast::trust::Trust,
    ids::{PolicyKey, Target},
};

/// What a person asked for one workload.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Namespace and name.
    pub key: PolicyKey,
    /// UID of the object: a policy deleted and made again starts with an empty memory.
    pub uid: String,
    /// `metadata.generation` that this was parsed from.
    pub generation: i64,
    /// What is scaled.
    pub target: Target,
    /// How much Loadline may do.
    pub mode: Mode,
    /// What a person has paused by annotation.
    pub pause: Pause,
    /// Replica bounds.
    pub bounds: Bounds,
    /// How load is read and weighed.
    pub load: Load,
    /// The promise to the users, if one was given.
    pub objective: Option<LatencyObjective>,
    /// What one replica bears, and the band of redundancy.
    pub capacity: Capacity,
    /// How demand is forecast.
    pub forecast: Forecasting,
    /// Known peaks.
    pub schedules: Vec<Schedule>,
    /// Known multiples of the usual load.
    pub events: Vec<Event>,
    /// Extra signals.
    pub triggers: Vec<Trigger>,
    /// How fast replicas may change.
    pub behaviour: Behaviour,
    /// What to do when there is no data.
    pub fallback: Fallback,
    /// Scale to zero, if asked for.
    pub activation: Option<Activation>,
}

/// How much Loadline may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Mode {
    /// Measure only.
    Observe,
    /// Decide and report, write nothing.
    Recommend,
    /// Decide and write.
    Active,
}

/// Pause annotations, already parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Pause {
    /// `loadline.dev/paused`: no writes; the recommendation is still shown.
    pub all: bool,
    /// `loadline.dev/paused-scale-in`.
    pub scale_in: bool,
    /// `loadline.dev/paused-scale-out`.
    pub scale_out: bool,
    /// `loadline.dev/paused-replicas`: hold exactly this many.
    pub replicas: Option<u32>,
}

/// Replica bounds; `min <= max`, and `max >= 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// Never below this. Zero only together with [`Policy::activation`].
    pub min: u32,
    /// Never above this.
    pub max: u32,
}

/// How load is read and weighed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// Name of the telemetry profile.
    pub profile: String,
    /// How requests are weighed.
    pub weights: Weights,
}

/// How requests are weighed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Weights {
    /// Every request counts 1.
    Plain,
    /// By latency section.
    Latency(LatencyWeights),
    /// By endpoint; an endpoint that is not named counts 1.
    Endpoints(BTreeMap<String, f64>),
    /// By endpoint, as learned from CPU; while nothing is learned every request counts 1. A policy holds none: what is
    /// learned is in its memory.
    LearnedEndpoints(Option<EndpointWeights>),
}

/// What requests weigh by endpoint; all finite and >= 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EndpointWeights {
    /// Of endpoints that are told apart.
    pub by_name: BTreeMap<String, f64>,
    /// Of all others.
    pub others: f64,
}

impl EndpointWeights {
    /// What a request of an endpoint weighs.
    #[must_use]
    pub fn of(&self, endpoint: &str) -> f64 {
        self.by_name.get(endpoint).copied().unwrap_or(self.others)
    }
}

/// Latency sections: `cuts` ascending in seconds, one more factor than cuts, all factors finite and >= 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LatencyWeights {
    /// Borders between sections, in seconds, ascending.
    pub cuts: Vec<f64>,
    /// Weight of a request in each section; `factors.len() == cuts.len() + 1`.
    pub factors: Vec<f64>,
}

impl Default for LatencyWeights {
    /// The weights of CudgX: cuts 10, 50, 100, 500 ms; factors 0.1, 0.5, 2, 4, 8.
    fn default() -> Self {
        Self { cuts: vec![0.010, 0.050, 0.100, 0.500], factors: vec![0.1, 0.5, 2.0, 4.0, 8.0] }
    }
}

/// "This quantile of latency stays at or under this".
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyObjective {
    /// In (0, 1).
    pub quantile: f64,
    /// The bound.
    pub target: Duration,
}

/// What one replica bears and the band of redundancy that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Capacity {
    /// Weighted requests per second that one replica bears.
    pub per_replica: PerReplica,
    /// The band of redundancy; 1.0 is exactly at the benchmark.
    pub redundancy: Band,
}

/// Where the capacity of one replica comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum PerReplica {
    /// Learned from healthy windows. Unknown until learned: the policy behaves as [`Mode::Observe`].
    Learned,
    /// Declared by a benchmark: weighted requests per second, finite and > 0.
    Declared(f64),
}

/// How demand is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Forecasting {
    /// Quantile of the forecast maximum that capacity is kept for, in (0, 1).
    pub quantile: f64,
    /// How much of the past is read for a new forecast: two days to two weeks.
    pub history: Duration,
    /// The most that it may do, whatever it has earned.
    pub max_trust: Trust,
}

impl Forecasting {
    /// The shortest history: with less, trust never passes Recommend.
    pub const SHORTEST: Duration = Duration::from_hours(48);
    /// The longest: what a forecast remembers.
    pub const LONGEST: Duration = Duration::from_hours(336);
}

impl Default for Forecasting {
    /// One window in twenty may be higher than it was forecast.
    fn default() -> Self {
        Self { quantile: 0.95, history: Self::LONGEST, max_trust: Trust::Full }
    }
}

/// A band of redundancy; `1.0 <= min < max`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Band {
    /// Below this, scale out.
    pub min: f64,
    /// Above this, scale in.
    pub max: f64,
}

/// A known peak: at least `min` replicas from each start for `duration`.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Name, unique in the policy.
    pub name: String,
    /// When it starts, in `time_zone`.
    pub cron: croner::Cron,
    /// How long it holds.
    pub duration: Duration,
    /// IANA zone.
    pub time_zone: jiff::tz::TimeZone,
    /// The floor while it holds.
    pub min: u32,
    /// The floor rises linearly to `min` over this long before the start; zero for a step at the start.
    pub ramp: Duration,
}

/// A known multiple of the usual load between two moments; `from < to`, and `multiple` is finite and at least 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Name, unique in the policy.
    pub name: String,
    /// It begins.
    pub from: jiff::Timestamp,
    /// It is over.
    pub to: jiff::Timestamp,
    /// How many times the usual load of the same time of the day.
    pub multiple: f64,
}

/// An extra signal from the user's own query.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// Name, unique in the policy and usable in a formula.
    pub name: String,
    /// How its value becomes replicas.
    pub rule: TriggerRule,
}

/// How a trigger's value becomes replicas.
#[derive(Debug, Clone)]
pub enum TriggerRule {
    /// `AverageValue`: `ceil(value / per_replica)`; finite and > 0.
    PerReplica(f64),
    /// `Value`: `ceil(ready × value / target)`; finite and > 0.
    Target(f64),
    /// A CEL expression that gives the replicas wanted.
    Formula(std::sync::Arc<crate::policy::Formula>),
}

/// A compiled CEL formula over `value`, `values`, `ready` and `replicas`.
///
/// Made by `desired::formula::compile`.
#[derive(Debug)]
pub struct Formula {
    /// The text as the user wrote it.
    pub source: String,
    /// The compiled program.
    pub program: cel::Program,
    /// Names of the triggers that it reads as `values.<name>`; each must be a trigger of the same policy.
    pub reads: std::collections::BTreeSet<String>,
}

/// How fast replicas may change: HPA v2's shape and meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// On the way up.
    pub up: Rules,
    /// On the way down.
    pub down: Rules,
}

/// The rules of one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Up: the lowest recommendation of this window counts. Down: the highest.
    pub stabilization_window: Duration,
    /// Rate rules.
    pub policies: Vec<RateRule>,
    /// Which of the rate rules counts.
    pub select: Select,
    /// Relative change that is too small to act on, 0.1 for 10 %. `None` when the user said nothing: triggers
    /// then use HPA's 10 %, and the load none, because the redundancy band is its tolerance.
    pub tolerance: Option<f64>,
    /// At most this many replicas in one write.
    pub max_step: Option<u32>,
    /// At least this long between two writes of this direction.
    pub dwell: Duration,
}

/// One rate rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateRule {
    /// What is allowed in one period.
    pub amount: Amount,
    /// The period, at most 30 minutes as in HPA.
    pub period: Duration,
}

/// How much a rate rule allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// Percent of the replicas at the start of the period.
    Percent(u32),
    /// So many replicas.
    Replicas(u32),
}

/// Which of the rate rules counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// The one that allows the largest change.
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: this direction is switched off.
    Disabled,
}

/// What to do when there is no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fallback {
    /// How long without data before it counts.
    pub after: Duration,
    /// What then.
    pub policy: FallbackPolicy,
}

/// What to do after [`Fallback::after`] without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum FallbackPolicy {
    /// Keep what is there.
    Hold,
    /// At least so many; never fewer than there are.
    AtLeast(u32),
    /// Exactly so many, up or down: the only fallback that may lower, because the user wrote it so.
    Static(u32),
}

/// Scale to zero and back.
#[derive(Debug, Clone, PartialEq)]
pub struct Activation {
    /// Which signal wakes the workload.
    pub signal: ActivationSignal,
    /// Active while the signal is above this.
    pub above: f64,
    /// Back to zero only after the signal was at or under `above` for this long.
    pub idle_for: Duration,
}

/// The signal that wakes a workload from zero; it must exist without the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActivationSignal {
    /// The load of the policy's profile (an entry or queue profile).
    Load,
    /// A trigger by name.
    Trigger(String),
}
