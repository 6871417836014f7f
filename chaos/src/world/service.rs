//! A service under load: what its replicas serve, how slow they get, what they turn away.
//!
//! ```text
//! offered requests/s ─> [ bounded queue ] ─> n ready replicas, each c units of work/s ─> latency
//!                             └─> rejected (still offered load: it shows in the histogram)
//! ```
//!
//! Two queueing effects are added up, both in closed form so that ten thousand services a second are cheap:
//!
//! * **Below saturation** a request waits by chance. Each replica is an M/M/k queue of `workers` = k: a request
//!   waits with probability about `ρ^(√(2(k+1)) − 1)` (Sakasegawa's approximation of Erlang C, *Journal of the
//!   Operations Research Society of Japan*, 1977), and then exponentially long with mean `1 / (c (1 − ρ))`.
//! * **Above saturation** work piles up: a fluid backlog grows by `offered − capacity`, delays everybody by
//!   `backlog / capacity`, and is bounded; what does not fit is rejected at once.
//!
//! The service time itself is log-logistic: a heavy tail like that of real services, and a closed form.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Nodes and weights of the five-point Gauss-Laguerre quadrature, `∫₀^∞ e⁻ˣ g(x) dx ≈ Σ wᵢ g(xᵢ)`
/// (Abramowitz and Stegun, table 25.9): it folds the exponential wait into the service time.
const LAGUERRE: [(f64, f64); 5] = [
    (0.263_560_319_718, 0.521_755_610_583),
    (1.413_403_059_107, 0.398_666_811_083),
    (3.596_425_771_041, 0.075_942_449_681_7),
    (7.085_810_005_859, 0.003_611_758_679_92),
    (12.640_800_844_276, 0.000_023_369_972_385_8),
];

/// The utilisation at which the wait by chance stops growing; beyond it the fluid backlog speaks.
const SATURATED: f64 = 0.99;

/// How a service answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceModel {
    /// Units of work per second that one replica bears when it is fully busy; a request of cost 1 is one unit.
    pub capacity: f64,
    /// CPU cores that one replica uses when it is fully busy.
    #[serde(default = "one")]
    pub cpu: f64,
    /// CPU cores that one replica uses when it does nothing.
    #[serde(default)]
    pub idle_cpu: f64,
    /// Requests that one replica works on at the same time.
    #[serde(default = "eight")]
    pub workers: u32,
    /// Time to serve a request of cost 1 on an idle replica.
    #[serde(default)]
    pub latency: BaseLatency,
    /// What happens to work that has to wait.
    #[serde(default)]
    pub queue: Queue,
    /// What requests there are; one endpoint of cost 1 when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
}

const fn one() -> f64 {
    1.0
}

const fn eight() -> u32 {
    8
}

/// Service time of an idle replica, in seconds; log-logistic through these two quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BaseLatency {
    /// Half of the requests are faster, seconds.
    pub median: f64,
    /// 99 of 100 are faster, seconds; above `median`.
    pub p99: f64,
}

impl Default for BaseLatency {
    /// A usual web service: 20 ms, and 120 ms at the 99th percentile.
    fn default() -> Self {
        Self { median: 0.020, p99: 0.120 }
    }
}

/// What happens to work that has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Queue {
    /// It waits inside the replicas, at most so many seconds of their capacity; the rest is rejected.
    Bounded {
        /// Seconds.
        seconds: f64,
    },
    /// It waits outside as messages, for as long as it takes: a consumer of a queue.
    Backlog,
}

impl Default for Queue {
    fn default() -> Self {
        Self::Bounded { seconds: 2.0 }
    }
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// For example `GET /cart`.
    pub name: String,
    /// Its part of all requests, relative to the other endpoints' shares; >= 0.
    pub share: f64,
    /// Units of work of one request; its service time grows with it. > 0.
    pub cost: f64,
}

/// What waits from step to step.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ServiceState {
    /// Requests or messages that wait.
    pub backlog: f64,
}

/// What a service did in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// Requests per second that were served.
    pub served: f64,
    /// Requests per second that were turned away.
    pub rejected: f64,
    /// Work offered over work that the ready replicas can do; over 1 when overloaded, infinite without replicas.
    pub utilisation: f64,
    /// Latency of everything that was answered, rejections included.
    pub latency: Latency,
    /// CPU seconds that all replicas used in this step.
    pub cpu_seconds: f64,
}

impl ServiceModel {
    /// A usual web service whose replicas bear `capacity` requests/s each; everything else by default.
    #[must_use]
    pub fn plain(capacity: f64) -> Self {
        Self {
            capacity,
            cpu: one(),
            idle_cpu: 0.0,
            workers: eight(),
            latency: BaseLatency::default(),
            queue: Queue::default(),
            endpoints: Vec::new(),
        }
    }

    /// Serves `offered` requests/s on `ready` replicas for `dt` seconds.
    ///
    /// Pure but for `state`, which holds what waits. Offered load that is not a positive number counts as none.
    pub fn serve(&self, offered: f64, ready: u32, dt: f64, state: &mut ServiceState) -> Served {
        let offered = if offered.is_finite() { offered.max(0.0) } else { 0.0 };
        let dt = if dt.is_finite() { dt.max(0.0) } else { 0.0 };
        let cost = self.mean_cost();
        // Requests per second that can be served at most.
        let room = self.capacity.max(f64::MIN_POSITIVE) * f64::from(ready) / cost;
        let utilisation = match (ready, offered > 0.0 || state.backlog > 0.0) {
            (0, true) => f64::INFINITY,
            (0, false) => 0.0,
            _ => offered / room,
        };

        let before = state.backlog.max(0.0);
        let come = offered * dt;
        let done = (before + come).min(room * dt);
        let left = before + come - done;
        let limit = match self.queue {
            Queue::Bounded { seconds } => room * seconds.max(0.0),
            Queue::Backlog => f64::INFINITY,
        };
        let rejected = (left - limit).max(0.0);
        state.backlog = left - rejected;

        let busy = if room > 0.0 && dt > 0.0 { (done / (room * dt)).min(1.0) } else { 0.0 };
        let per_second = |requests: f64| if dt > 0.0 { requests / dt } else { 0.0 };
        Served {
            served: per_second(done),
            rejected: per_second(rejected),
            utilisation,
            latency: self.latency_at(busy, room, f64::midpoint(before, state.backlog), done, rejected),
            cpu_seconds: f64::from(ready) * dt * (self.idle_cpu + (self.cpu - self.idle_cpu).max(0.0) * busy),
        }
    }

    /// Mean units of work of one request.
    #[must_use]
    pub fn mean_cost(&self) -> f64 {
        let shares: f64 = self.endpoints.iter().map(|e| e.share.max(0.0)).sum();
        if shares <= 0.0 {
            return 1.0;
        }
        let cost: f64 = self.endpoints.iter().map(|e| e.share.max(0.0) * e.cost).sum::<f64>() / shares;
        cost.max(f64::MIN_POSITIVE)
    }

    /// Requests per second by endpoint, for `requests` in all; empty when the service has no endpoints.
    pub fn by_endpoint(&self, requests: f64) -> impl Iterator<Item = (&str, f64)> {
        let shares: f64 = self.endpoints.iter().map(|e| e.share.max(0.0)).sum();
        self.endpoints.iter().map(move |e| {
            (e.name.as_str(), if shares > 0.0 { requests * e.share.max(0.0) / shares } else { 0.0 })
        })
    }

    fn latency_at(&self, busy: f64, room: f64, backlog: f64, done: f64, rejected: f64) -> Latency {
        let rho = busy.min(SATURATED);
        let k = f64::from(self.workers.max(1));
        let all = done + rejected;
        let cost = self.mean_cost();
        let parts: Vec<Part> = if self.endpoints.is_empty() {
            vec![Part { share: 1.0, median: self.latency.median }]
        } else {
            let total: f64 = self.endpoints.iter().map(|e| e.share.max(0.0)).sum();
            let share = |e: &Endpoint| if total > 0.0 { e.share.max(0.0) / total } else { 0.0 };
            self.endpoints
                .iter()
                .map(|e| Part {
                    share: share(e),
                    median: self.latency.median * e.cost.max(f64::MIN_POSITIVE),
                })
                .collect()
        };
        // Messages wait in the queue, not in the consumer: its own latency shows no wait.
        let (chance, delay) = match self.queue {
            Queue::Bounded { .. } if room > 0.0 => (rho.powf((2.0 * (k + 1.0)).sqrt() - 1.0), backlog / room),
            _ => (0.0, 0.0),
        };
        Latency {
            parts,
            shape: self.latency.shape(),
            wait_probability: chance,
            wait_mean: cost / (self.capacity.max(f64::MIN_POSITIVE) * (1.0 - rho)),
            delay,
            rejected: if all > 0.0 { rejected / all } else { 0.0 },
        }
    }
}

impl BaseLatency {
    /// The shape β of the log-logistic distribution with this median and 99th percentile: `ln 99 / ln(p99/median)`.
    ///
    /// At least 1.05, below which the distribution has no mean.
    fn shape(self) -> f64 {
        let spread = (self.p99 / self.median).max(1.001).ln();
        (99.0_f64.ln() / spread).max(1.05)
    }
}

/// The distribution of latency in one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    parts: Vec<Part>,
    shape: f64,
    wait_probability: f64,
    wait_mean: f64,
    delay: f64,
    rejected: f64,
}

/// One endpoint's part of the distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    share: f64,
    median: f64,
}

/// How long it takes to turn a request away, seconds: much less than any work.
const REJECTION: f64 = 0.001;

impl Latency {
    /// The share of answers at or under each of these bounds (seconds), cumulative, 0 to 1.
    ///
    /// An infinite bound gives 1; ascending bounds give ascending shares.
    #[must_use]
    pub fn counts(&self, bounds: &[f64]) -> Vec<f64> {
        bounds.iter().map(|&bound| self.share_within(bound)).collect()
    }

    /// The share of answers that took `seconds` or less.
    #[must_use]
    pub fn share_within(&self, seconds: f64) -> f64 {
        if seconds == f64::INFINITY {
            return 1.0;
        }
        let refused = if seconds >= REJECTION { self.rejected } else { 0.0 };
        let served: f64 = self.parts.iter().map(|part| part.share * self.part_within(*part, seconds)).sum();
        (refused + (1.0 - self.rejected) * served).clamp(0.0, 1.0)
    }

    /// The latency that a share `q` of the answers keeps, seconds; by bisection, to a thousandth of itself.
    #[must_use]
    pub fn quantile(&self, q: f64) -> f64 {
        // A day and a microsecond: no answer of this model lies outside.
        let (mut low, mut high) = (1e-6_f64, 86_400.0_f64);
        while high / low > 1.001 {
            let middle = (low * high).sqrt();
            if self.share_within(middle) < q { low = middle } else { high = middle }
        }
        high
    }

    /// The mean latency in seconds: what a histogram's `_sum` grows by per answer.
    #[must_use]
    pub fn mean(&self) -> f64 {
        // The mean of a log-logistic distribution: α (π/β) / sin(π/β).
        let angle = PI / self.shape;
        let served: f64 = self.parts.iter().map(|p| p.share * p.median * angle / angle.sin()).sum();
        let served = served + self.delay + self.wait_probability * self.wait_mean;
        self.rejected * REJECTION + (1.0 - self.rejected) * served
    }

    fn part_within(&self, part: Part, seconds: f64) -> f64 {
        let at = |t: f64| if t <= 0.0 { 0.0 } else { 1.0 / (1.0 + (t / part.median).powf(-self.shape)) };
        let left = seconds - self.delay;
        let free = at(left);
        if left <= 0.0 || self.wait_probability <= 0.0 {
            return free;
        }
        let waited: f64 = LAGUERRE.iter().map(|(x, w)| w * at(left - x * self.wait_mean)).sum();
        (1.0 - self.wait_probability) * free + self.wait_probability * waited
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn web() -> ServiceModel {
        ServiceModel { idle_cpu: 0.05, ..ServiceModel::plain(100.0) }
    }

    fn settle(model: &ServiceModel, offered: f64, ready: u32) -> Served {
        let mut state = ServiceState::default();
        let mut last = model.serve(offered, ready, 1.0, &mut state);
        for _ in 0..60 {
            last = model.serve(offered, ready, 1.0, &mut state);
        }
        last
    }

    #[test]
    fn an_idle_service_answers_at_its_base_latency() {
        let served = settle(&web(), 1.0, 10);
        assert!((served.latency.quantile(0.5) - 0.020).abs() < 0.001, "{}", served.latency.quantile(0.5));
        assert!((served.latency.quantile(0.99) - 0.120).abs() < 0.002, "{}", served.latency.quantile(0.99));
    }

    #[test]
    fn latency_grows_slowly_at_first_and_steeply_near_saturation() {
        let p99 = |offered| settle(&web(), offered, 10).latency.quantile(0.99);
        assert!(p99(500.0) < 1.1 * p99(10.0), "half full: hardly slower");
        assert!(p99(990.0) > 2.0 * p99(500.0), "nearly full: much slower");
        assert!(p99(1_050.0) > 1.0, "over full: the queue is felt, {}", p99(1_050.0));
    }

    #[test]
    fn an_overloaded_service_serves_its_capacity_and_rejects_the_rest() {
        let served = settle(&web(), 1_500.0, 10);
        assert!((served.served - 1_000.0).abs() < 1e-6);
        assert!((served.rejected - 500.0).abs() < 1e-6);
        assert!((served.utilisation - 1.5).abs() < 1e-9);
        // A third is turned away at once: it shows in the fastest bucket.
        assert!((served.latency.share_within(0.002) - 1.0 / 3.0).abs() < 0.01);
    }

    #[test]
    fn a_service_recovers_once_its_backlog_is_worked_off() {
        let (model, mut state) = (web(), ServiceState::default());
        for _ in 0..30 {
            model.serve(1_500.0, 10, 1.0, &mut state);
        }
        assert!(state.backlog > 0.0);
        for _ in 0..30 {
            model.serve(500.0, 10, 1.0, &mut state);
        }
        assert!(state.backlog.abs() < 1e-9);
    }

    #[test]
    fn without_replicas_everything_is_rejected_and_nothing_is_served() {
        let served = settle(&web(), 10.0, 0);
        assert!(served.served.abs() < 1e-12 && (served.rejected - 10.0).abs() < 1e-9);
        assert!(served.utilisation.is_infinite() && served.cpu_seconds.abs() < 1e-12);
    }

    #[test]
    fn dearer_endpoints_take_more_capacity_and_more_time() {
        let dear = Endpoint { name: "POST /order".into(), share: 1.0, cost: 4.0 };
        let cheap = Endpoint { name: "GET /cart".into(), share: 3.0, cost: 0.5 };
        let model = ServiceModel { endpoints: vec![cheap, dear], ..web() };
        assert!((model.mean_cost() - 1.375).abs() < 1e-12);
        assert!(settle(&model, 800.0, 10).utilisation > 1.0, "ten replicas bear 727 such requests");
        let rates: Vec<_> = model.by_endpoint(400.0).collect();
        assert_eq!(rates, [("GET /cart", 300.0), ("POST /order", 100.0)]);
        let latency = settle(&model, 10.0, 10).latency;
        assert!(latency.quantile(0.5) < 0.020 && latency.quantile(0.99) > 0.120);
    }

    #[test]
    fn messages_wait_in_the_backlog_and_are_never_lost() {
        let (model, mut state) = (ServiceModel { queue: Queue::Backlog, ..web() }, ServiceState::default());
        for _ in 0..10 {
            let served = model.serve(150.0, 0, 1.0, &mut state);
            assert!(served.rejected.abs() < 1e-12);
        }
        assert!((state.backlog - 1_500.0).abs() < 1e-9);
        let served = model.serve(0.0, 5, 1.0, &mut state);
        assert!((served.served - 500.0).abs() < 1e-9 && (state.backlog - 1_000.0).abs() < 1e-9);
        assert!(served.latency.quantile(0.5) < 0.05, "the consumer itself stays quick");
    }

    proptest! {
        #[test]
        fn what_comes_is_served_rejected_or_waits(
            offered in 0.0..5_000.0_f64, ready in 0..60_u32, dt in 0.1..30.0_f64, before in 0.0..500.0_f64,
        ) {
            let mut state = ServiceState { backlog: before };
            let s = web().serve(offered, ready, dt, &mut state);
            let (come, gone) = (offered * dt + before, (s.served + s.rejected) * dt + state.backlog);
            prop_assert!((come - gone).abs() < 1e-6 * come.max(1.0));
        }

        #[test]
        fn shares_ascend_from_zero_to_one(
            offered in 0.0..2_000.0_f64, ready in 0..30_u32, mut bounds in prop::collection::vec(0.0..20.0_f64, 1..20),
        ) {
            bounds.sort_by(f64::total_cmp);
            bounds.push(f64::INFINITY);
            let shares = settle(&web(), offered, ready).latency.counts(&bounds);
            prop_assert!(shares.iter().all(|s| (0.0..=1.0).contains(s)));
            prop_assert!(shares.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
            prop_assert!((shares.last().unwrap() - 1.0).abs() < 1e-9);
        }

        #[test]
        fn more_replicas_are_never_slower(offered in 1.0..2_000.0_f64, ready in 1..30_u32, more in 1..30_u32) {
            let p99 = |n| {
                let served = settle(&web(), offered, n);
                prop_assume!(served.rejected <= 0.0); // Rejections are fast: they would hide the slow ones.
                Ok(served.latency.quantile(0.99))
            };
            prop_assert!(p99(ready + more)? <= p99(ready)? * 1.002);
        }
    }
}
