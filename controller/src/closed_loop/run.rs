//! The closed loop: one strategy on one trace, step by step.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use loadline_policies::{
    policy::{PerReplica, Policy},
    reference::cudgx,
};

use super::{
    Accuracy, Grid, STEP_SECONDS, Score, Strategy,
    accuracy::{Influence, calibration},
    grid::count,
    loadline::LoadlineScaler,
    pods::Pods,
    score::{Scorer, Seen, demand},
    strategy::{CudgxScaler, HpaScaler, Scaler, View},
};

/// The share of the time under which the load lies that is taken for its peak: what is above is a spike.
const PEAK: f64 = 0.995;
const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// What is simulated: a load, and what its replicas are like.
#[derive(Debug, Clone)]
pub struct Simulation {
    /// The load.
    pub grid: Grid,
    /// What one replica bears, requests per second.
    pub per_replica: f64,
    /// From asking for a replica until it is ready.
    pub lead_time: Duration,
    /// Steps at the beginning that are not scored.
    pub warmup: usize,
    /// The policy; its bounds hold for every strategy.
    pub policy: Policy,
}

/// What became of it under one strategy.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// Which.
    pub strategy: Strategy,
    /// How well it did.
    pub score: Score,
    /// How long it took to simulate.
    pub took: Duration,
    /// How good its forecast was.
    pub accuracy: Accuracy,
    /// How much its forecast was trusted, and whose it was.
    pub influence: Influence,
    /// Replicas over time.
    pub course: Course,
}

/// Replicas over time, by step.
#[derive(Debug, Clone, Default)]
pub struct Course {
    /// Replicas asked for.
    pub spec: Vec<u32>,
    /// Replicas that are ready.
    pub ready: Vec<u32>,
    /// The load that was planned for; NaN where nothing was forecast.
    pub forecast: Vec<f64>,
}

impl Simulation {
    /// A simulation in which one replica bears what the policy declares; where it declares nothing, `peak_replicas`
    /// replicas bear the peak (p99.5) of the load.
    #[must_use]
    pub fn new(
        grid: Grid,
        mut policy: Policy,
        peak_replicas: f64,
        lead_time: Duration,
        warmup: Duration,
    ) -> Self {
        let per_replica = match policy.capacity.per_replica {
            PerReplica::Declared(value) => value,
            PerReplica::Learned => grid.quantile(PEAK) / peak_replicas,
        };
        policy.capacity.per_replica = PerReplica::Declared(per_replica);
        let warmup = steps(warmup);
        Self { grid, per_replica, lead_time, warmup, policy }
    }

    /// Unix time of each step, seconds.
    pub fn times(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.grid.load.len()).map(|step| self.grid.start + count(step) * f64::from(STEP_SECONDS))
    }

    /// Replicas that the load of each step needs; `None` in a gap.
    pub fn needed(&self) -> impl Iterator<Item = Option<u32>> + '_ {
        self.grid.load.iter().map(|load| load.is_finite().then(|| demand(*load, self.per_replica)))
    }

    /// Runs the closed loop under a strategy.
    #[must_use]
    pub fn run(&self, strategy: Strategy) -> Simulated {
        let began = Instant::now();
        let mut scaler = self.scaler(strategy);
        let bounds = self.policy.bounds;
        let load = &self.grid.load;
        let first = load.first().copied().unwrap_or_default();
        let start = demand(first, self.per_replica).clamp(bounds.min.max(1), bounds.max);
        let mut pods = Pods::new(start, steps(self.lead_time));
        let mut scorer = Scorer::default();
        let (mut course, mut influence) = (Course::default(), Influence::default());
        for (step, now) in load.iter().enumerate() {
            pods.advance(step);
            let past = load.get(..step).unwrap_or_default();
            let view = View { past, spec: pods.spec(), ready: pods.ready() };
            let wanted = scaler.decide(&view);
            pods.scale(step, wanted);
            let seen =
                Seen { load: *now, per_replica: self.per_replica, spec: pods.spec(), ready: pods.ready() };
            match (step + 1).cmp(&self.warmup) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => scorer.before(seen),
                std::cmp::Ordering::Greater => scorer.add(seen),
            }
            course.spec.push(pods.spec());
            course.ready.push(pods.ready());
            let forecast = scaler.forecast();
            course.forecast.push(forecast.map_or(f64::NAN, |forecast| forecast.soon));
            if let Some(forecast) = forecast.filter(|_| step >= self.warmup) {
                influence.see(&forecast);
            }
        }
        let counted = count(load.len().saturating_sub(self.warmup));
        let days = counted * f64::from(STEP_SECONDS) / SECONDS_OF_A_DAY;
        let accuracy = self.accuracy(scaler.as_ref(), &course);
        let (score, took) = (scorer.score(days), began.elapsed());
        Simulated { strategy, score, took, accuracy, influence, course }
    }

    fn accuracy(&self, scaler: &dyn Scaler, course: &Course) -> Accuracy {
        #[expect(clippy::cast_possible_truncation, reason = "Unix seconds; `as` saturates")]
        let scored = (self.grid.start + count(self.warmup) * f64::from(STEP_SECONDS)) as i64;
        let [wape_15m, wape_60m] = scaler.wape(scored.div_euclid(60));
        // Until replicas that are asked for at the next look are ready.
        let window = steps(self.lead_time) + 2;
        let calibration = calibration(&self.grid.load, &course.forecast, window, self.warmup);
        Accuracy { calibration, wape_15m, wape_60m }
    }

    fn scaler(&self, strategy: Strategy) -> Box<dyn Scaler> {
        let bounds = self.policy.bounds;
        match strategy {
            Strategy::Loadline { quantile } => {
                let mut policy = self.policy.clone();
                if let Some(quantile) = quantile {
                    policy.forecast.quantile = quantile;
                }
                #[expect(clippy::cast_possible_truncation, reason = "Unix seconds; `as` saturates")]
                let start = Timestamp::from_second(self.grid.start as i64).unwrap_or_default();
                Box::new(LoadlineScaler::new(policy, start))
            }
            Strategy::Hpa { target } => Box::new(HpaScaler::new(target, self.per_replica, bounds)),
            Strategy::Cudgx { min, max, ratio } => {
                let rule = cudgx::Rule { min, max, execute_ratio: ratio, bounds };
                Box::new(CudgxScaler::new(rule, self.per_replica))
            }
        }
    }
}

/// Whole steps of a time.
fn steps(time: Duration) -> usize {
    usize::try_from(time.as_secs() / u64::from(STEP_SECONDS)).unwrap_or(usize::MAX)
}
