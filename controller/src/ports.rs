//! The ports: the few traits by which the shell reaches the world.
//!
//! Each has a real adapter (kube, Prometheus) and a thin one over `loadline_chaos::world`, so that the same
//! tick runs in the operator, in `loadline demo` and in the property tests of the whole tick.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use loadline_crds::{ElasticPolicy, SafetyLever};
use loadline_policies::{
    fleet::{Contender, CpuSample, Footprint, LoadSample, ObjectVersion, Outage, TargetProblem},
    ids::{ClusterId, PolicyKey, Target, TargetObject},
    now::Now,
    plan::{Outcome, ScaleAction},
    reading::{Doubt, Observed},
};

/// Reads the time.
pub trait Clock: Send + Sync {
    /// Wall time and a monotonic reading that counts suspend.
    fn now(&self) -> Now;
}

/// Reads the objects of the fleet from memory (watch caches); never blocks on the network.
pub trait FleetSource: Send + Sync {
    /// Everything that is seen now.
    fn objects(&self) -> Objects;
}

/// Reads load and triggers. Asks for all policies at once, so that an adapter can group its queries.
pub trait Telemetry: Send + Sync {
    /// One answer for each ask; what could not be read is a doubt in the answer, never an error of the whole.
    fn read(&self, asks: &[LoadAsk], now: Now) -> impl Future<Output = Readings> + Send;
}

impl<T: Telemetry> Telemetry for Arc<T> {
    fn read(&self, asks: &[LoadAsk], now: Now) -> impl Future<Output = Readings> + Send {
        (**self).read(asks, now)
    }
}

/// Reads loads of the past, in bulk.
pub trait Archive: Send + Sync {
    /// Sorts asks into batches, each of which one query answers for any span of time; and what has no readable past.
    fn batches(&self, asks: &[LoadAsk]) -> (Vec<Batch>, Vec<Unreadable>);

    /// The slots of a span, for all of a batch. A slot that is not in the page is a gap.
    fn read(&self, batch: &Batch, span: Span) -> impl Future<Output = Result<Page, Doubt>> + Send;
}

/// Asks that are answered together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Name of the source.
    pub source: String,
    /// Name of the telemetry profile.
    pub profile: String,
    /// The asks, each with the clusters that this source knows.
    pub asks: Vec<LoadAsk>,
}

/// An ask in a cluster without a readable past.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Whose.
    pub policy: PolicyKey,
    /// Why, for a person.
    pub why: String,
}

/// Slots of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The start of the first: a multiple of `slot` since 1970.
    pub start: Timestamp,
    /// How many; at least 1.
    pub slots: usize,
    /// Length of each: one minute or five.
    pub slot: Duration,
}

/// What an archive tells of a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The loads; who has none in the whole span is left out.
    pub loads: Vec<PastLoad>,
    /// How many queries it took.
    pub queries: u64,
    /// How many points they gave, also those of nobody.
    pub points: usize,
}

/// The past of one workload in one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct PastLoad {
    /// Whose.
    pub policy: PolicyKey,
    /// Where.
    pub cluster: ClusterId,
    /// A moment in each slot that is known, and the highest offered load in it: requests per second, each counting 1.
    pub points: Vec<(Timestamp, f64)>,
}

/// Writes replicas.
pub trait Actuator: Send + Sync {
    /// Sets the replicas of one target, if the world is still as it was when it was decided.
    fn scale(&self, action: &ScaleAction) -> impl Future<Output = Outcome> + Send;
}

/// The objects of the fleet at one moment.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// All policies that could be parsed as objects.
    pub policies: Vec<Arc<ElasticPolicy>>,
    /// Objects in the API server that are not of the schema (made before a CRD change): named, not fatal.
    pub malformed: BTreeMap<PolicyKey, String>,
    /// The lever, if one exists.
    pub lever: Option<Arc<SafetyLever>>,
    /// What is seen of each target that a policy names, per cluster.
    pub targets: HashMap<(ClusterId, Target), Result<TargetView, TargetProblem>>,
    /// Other scalers (HPA, ScaledObject) by the object that they scale.
    pub contenders: HashMap<TargetObject, Vec<Contender>>,
    /// Clusters that cannot be written now, and why; what is seen of them is what was seen last.
    pub outages: BTreeMap<ClusterId, Outage>,
}

/// A scale target as the API server shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetView {
    /// `spec.replicas`.
    pub wanted: u32,
    /// Replicas that exist.
    pub current: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Whether a roll-out is under way, or cannot be ruled out.
    pub rolling_out: bool,
    /// Identity of the pod template's images and resources; `None` where no template is seen.
    pub template: Option<u64>,
    /// What of the pod template its CPU is judged by; `None` where no template is seen.
    pub footprint: Option<Footprint>,
    /// UID and resourceVersion.
    pub version: ObjectVersion,
}

/// What one policy needs to know about its load.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadAsk {
    /// Who asks.
    pub policy: PolicyKey,
    /// The workload.
    pub target: Target,
    /// Name of the telemetry profile.
    pub profile: String,
    /// How this workload's series are found; the profile's own way when empty.
    pub selector: SeriesSelector,
    /// What it needs besides the number of requests.
    pub detail: Detail,
    /// Ready replicas by cluster: who is expected to report, and where.
    pub expected: BTreeMap<ClusterId, u32>,
    /// The policy's own queries, by trigger name.
    pub triggers: BTreeMap<String, String>,
}

/// What is asked for besides the number of requests, which costs more to ask for than that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Detail {
    /// Rates by latency bucket: for weights by latency, or a latency objective.
    pub latency: bool,
    /// Rates by endpoint: for weights by endpoint.
    pub endpoints: bool,
    /// CPU seconds, about once a minute: while the capacity is not learned yet, or for weights that are learned.
    pub cpu: bool,
}

impl Detail {
    /// What either needs.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            latency: self.latency || other.latency,
            endpoints: self.endpoints || other.endpoints,
            cpu: self.cpu || other.cpu,
        }
    }
}

/// How a workload's series are found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SeriesSelector {
    /// As the profile says.
    #[default]
    Profile,
    /// Series with all these labels; each must be one that the profile groups by.
    Labels(BTreeMap<String, String>),
    /// Series of this route.
    Route(String),
    /// Series of this service.
    Service(String),
}

/// The answers to all asks of a tick.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// Load by policy and cluster.
    pub loads: HashMap<(PolicyKey, ClusterId), LoadReading>,
    /// Triggers by policy and trigger name.
    pub triggers: HashMap<(PolicyKey, String), Observed<f64>>,
}

/// The load of one workload in one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadReading {
    /// Over the long window.
    pub steady: Observed<LoadSample>,
    /// Over the short window, where there is one.
    pub burst: Option<Observed<LoadSample>>,
    /// The CPU that the replicas use; `None` where it was not asked for this time.
    pub cpu: Option<Observed<CpuSample>>,
}
