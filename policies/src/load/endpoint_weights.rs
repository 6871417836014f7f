//! Endpoint weights, learned from the CPU that requests take.
//!
//! ```text
//! CPU of a replica = idle + Σ cost of an endpoint × its requests/s      over the windows of a week
//! weight           = cost / mean cost of a request                      so that the mean request weighs 1
//!
//! week: what is fitted      day: held out, then taken into the week
//! ```
//!
//! The fit is a ridge whose costs are not negative, by coordinate descent on the normal equations (Friedman, Hastie and
//! Tibshirani, *Journal of Statistical Software*, 2010); linfa's elastic net knows no bound of the sign. It is pulled
//! towards one cost for all, which is what is believed of an endpoint that tells nothing of itself. Endpoints that always
//! come together share what they cost.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    capacity::FULL_DAY,
    load::settling,
    memory::ReadyCount,
    now::Mono,
    policy::{EndpointWeights, Weights},
};

/// Most endpoints that are told apart: those with the most requests when they were first seen. The rest is one.
pub const MOST: usize = 64;

/// Most bytes of their names: status has 16 KiB for everything.
const NAMES: usize = 6 << 10;

/// Fewest windows of a day that is learned from or tested on: five hours of minutes.
const LEAST: f64 = 300.0;

/// What of the week is left after another day.
const KEEP: f64 = 6.0 / 7.0;

/// How strongly costs are pulled towards one cost for all, as a share of the mean evidence of an endpoint: hardly where an
/// endpoint has ups and downs of its own, of a few percent at least, wholly where it is a hundredth of the others.
const RIDGE: f64 = 1e-4;

/// How much better than with weights of 1 a held-out day must be explained, as a share of the squared error: less is
/// noise, and every change moves what the capacity is measured in.
const BETTER: f64 = 0.9;

/// How much better than the weights in use others must be to take their place.
const BETTER_STILL: f64 = 0.97;

/// Most passes over all endpoints: some milliseconds for 64 of them, once a day. Endpoints that share the hours of the day
/// and differ by noise take hundreds.
const SWEEPS: u32 = 2_000;

/// A pass that moves no cost by more than this share of the common one is the last.
const STILL: f64 = 1e-5;

/// The heaviest weight, as of one that a person declares.
const HEAVIEST: f64 = 1e6;

/// The features before those of the endpoints: being there, and all requests that are not told apart.
const IDLE: usize = 0;
const OTHERS: usize = 1;

/// Products of all features and of the CPU with each: the normal equations.
#[derive(Debug, Clone, PartialEq)]
struct Moments {
    /// The lower triangle, row by row, so that another feature is another row.
    products: Vec<f64>,
    with_cores: Vec<f64>,
    cores_squared: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { products: vec![0.0; 3], with_cores: vec![0.0; 2], cores_squared: 0.0 }
    }
}

impl Moments {
    fn grow(&mut self, features: usize) {
        self.with_cores.resize(features, 0.0);
        self.products.resize(features * (features + 1) / 2, 0.0);
    }

    fn at(&self, i: usize, j: usize) -> f64 {
        let (row, column) = (i.max(j), i.min(j));
        self.products.get(row * (row + 1) / 2 + column).copied().unwrap_or(0.0)
    }

    fn windows(&self) -> f64 {
        self.at(IDLE, IDLE)
    }

    fn add(&mut self, features: &[f64], cores: f64) {
        let pairs = features.iter().enumerate();
        let products = pairs.flat_map(|(i, a)| features.iter().take(i + 1).map(move |b| a * b));
        self.products.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
        self.with_cores.iter_mut().zip(features).for_each(|(sum, x)| *sum += x * cores);
        self.cores_squared += cores * cores;
    }

    /// Takes a day of the same features in.
    fn take(&mut self, day: &Self) {
        let add = |sum: &mut f64, more: f64| *sum = *sum * KEEP + more;
        self.products.iter_mut().zip(&day.products).for_each(|(sum, more)| add(sum, *more));
        self.with_cores.iter_mut().zip(&day.with_cores).for_each(|(sum, more)| add(sum, *more));
        add(&mut self.cores_squared, day.cores_squared);
    }

    /// `Σ costs × products` of one feature with all.
    fn row(&self, i: usize, costs: &[f64]) -> f64 {
        costs.iter().enumerate().map(|(j, cost)| cost * self.at(i, j)).sum()
    }

    /// The squared error of costs.
    fn error(&self, costs: &[f64]) -> f64 {
        let linear: f64 = costs.iter().zip(&self.with_cores).map(|(cost, b)| cost * b).sum();
        let squared: f64 = costs.iter().enumerate().map(|(i, cost)| cost * self.row(i, costs)).sum();
        (self.cores_squared - 2.0 * linear + squared).max(0.0)
    }

    /// The costs where these weights are right: an idle share and one cost for a weighted request.
    fn costs_of(&self, weights: &[f64]) -> Vec<f64> {
        let weights: Vec<f64> = std::iter::once(0.0).chain(weights.iter().copied()).collect();
        let (windows, all) = (self.windows(), self.with_cores.first().copied().unwrap_or(0.0));
        let sum = self.row(IDLE, &weights);
        let with_cores: f64 = weights.iter().zip(&self.with_cores).map(|(w, b)| w * b).sum();
        let squared: f64 = weights.iter().enumerate().map(|(i, w)| w * self.row(i, &weights)).sum();
        let sound = |x: f64| if x.is_finite() && x > 0.0 { x } else { 0.0 };
        let mut cost = sound((with_cores - sum * all / windows) / (squared - sum * sum / windows));
        let mut idle = (all - cost * sum) / windows;
        if idle < 0.0 {
            (cost, idle) = (sound(with_cores / squared), 0.0);
        }
        let mut costs: Vec<f64> = weights.iter().map(|w| w * cost).collect();
        if let Some(first) = costs.first_mut() {
            *first = sound(idle);
        }
        costs
    }

    /// The ridge: the idle share, and the cost of each endpoint, none of them negative.
    ///
    /// With the idle share everything is seen as it differs from its mean, where endpoints are hardly alike and the
    /// descent is quick; where that share would be negative, there is none.
    fn fit(&self) -> Vec<f64> {
        let windows = self.windows();
        let costs = self.descend(windows.recip());
        let idle = (self.with_cores.first().copied().unwrap_or(0.0) - self.row(IDLE, &costs)) / windows;
        if idle < 0.0 {
            return self.descend(0.0);
        }
        let mut costs = costs;
        if let Some(first) = costs.first_mut() {
            *first = idle;
        }
        costs
    }

    /// Coordinate descent over the endpoints, with nothing for the idle share. `centre` is what of the product of two
    /// sums is taken off: 1 over the windows, or nothing.
    fn descend(&self, centre: f64) -> Vec<f64> {
        let features = self.with_cores.len();
        let all = self.with_cores.first().copied().unwrap_or(0.0);
        let product = |i, j| self.at(i, j) - centre * self.at(IDLE, i) * self.at(IDLE, j);
        // Written out once: they are read thousands of times.
        let rows: Vec<Vec<f64>> =
            (0..features).map(|i| (0..features).map(|j| product(i, j)).collect()).collect();
        let wanted = self.with_cores.iter().enumerate().map(|(i, b)| b - centre * self.at(IDLE, i) * all);
        let wanted: Vec<f64> = wanted.collect();
        let mut costs = self.costs_of(&vec![1.0; features.saturating_sub(1)]);
        let common = costs.get(OTHERS).copied().unwrap_or(0.0);
        costs.iter_mut().take(OTHERS).for_each(|idle| *idle = 0.0);
        let evidence: f64 = (OTHERS..features).map(|i| product(i, i)).sum();
        #[expect(clippy::cast_precision_loss, reason = "at most 66")]
        let pull = RIDGE * evidence / features.saturating_sub(1) as f64;
        for _ in 0..SWEEPS {
            let mut moved = 0.0_f64;
            for (i, (row, wanted)) in rows.iter().zip(&wanted).enumerate().skip(OTHERS) {
                let (Some(cost), Some(own)) = (costs.get(i).copied(), row.get(i)) else { continue };
                let fitted: f64 = row.iter().zip(&costs).map(|(product, cost)| product * cost).sum();
                let next = (wanted - fitted + own * cost + pull * common) / (own + pull);
                let next = if next.is_finite() { next.max(0.0) } else { common };
                moved = moved.max((next - cost).abs());
                if let Some(cost) = costs.get_mut(i) {
                    *cost = next;
                }
            }
            if moved <= STILL * common {
                break;
            }
        }
        costs
    }
}

/// Learns what requests weigh.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointLearner {
    /// What is in use, as the load is weighed by it.
    weights: Weights,
    names: Vec<String>,
    week: Moments,
    day: Moments,
    /// When the day under way began.
    began: Option<Mono>,
    /// Since when the ready replicas have been steady.
    steady: Option<ReadyCount>,
    last: Option<Mono>,
}

impl Default for EndpointLearner {
    fn default() -> Self {
        Self {
            weights: Weights::LearnedEndpoints(None),
            names: Vec::new(),
            week: Moments::default(),
            day: Moments::default(),
            began: None,
            steady: None,
            last: None,
        }
    }
}

/// A window of which the CPU was read: per replica.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointWindow<'a> {
    /// Requests per second by endpoint.
    pub rates: BTreeMap<&'a str, f64>,
    /// CPU cores.
    pub cores: f64,
    /// What the rates are over.
    pub length: Duration,
}

impl EndpointLearner {
    /// A learner that goes on with the weights that another one had in use. Numbers that cannot be are left out.
    #[must_use]
    pub fn restored(mut kept: EndpointWeights) -> Self {
        let sound = |w: &f64| (0.0..=HEAVIEST).contains(w);
        kept.by_name.retain(|_, weight| sound(weight));
        let known = !kept.by_name.is_empty() && sound(&kept.others);
        Self { weights: Weights::LearnedEndpoints(known.then_some(kept)), ..Self::default() }
    }

    /// How requests are weighed now.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The weights in use; `None` while all weigh 1.
    #[must_use]
    pub fn in_use(&self) -> Option<&EndpointWeights> {
        match &self.weights {
            Weights::LearnedEndpoints(learned) => learned.as_ref(),
            _ => None,
        }
    }

    /// How many endpoints have a learned weight in use.
    #[must_use]
    pub fn told_apart(&self) -> u32 {
        self.in_use().map_or(0, |used| u32::try_from(used.by_name.len()).unwrap_or(u32::MAX))
    }

    /// Sees how many replicas are ready.
    pub fn see(&mut self, ready: u32, now: Mono) {
        if self.steady.is_none_or(|steady| steady.replicas != ready) {
            self.steady = Some(ReadyCount { at: now, replicas: ready });
        }
    }

    /// Learns from a window. `phase` is any number that differs from policy to policy: it moves the end of the first day,
    /// so that not all of them are fitted at once.
    pub fn learn(&mut self, window: &EndpointWindow<'_>, phase: u32, now: Mono) {
        let early = self.last.is_some_and(|last| now.since(last) < window.length);
        let whole = self.steady.is_some_and(|s| now.since(s.at) >= settling::whole(window.length));
        let sound = |x: &f64| (0.0..=1e9).contains(x);
        let all: f64 = window.rates.values().sum();
        if early || !whole || !window.rates.values().all(sound) || !sound(&window.cores) || all <= 0.0 {
            return;
        }
        self.last = Some(now);
        self.name(&window.rates);
        let mut features = vec![1.0, all];
        features
            .extend(self.names.iter().map(|name| window.rates.get(name.as_str()).copied().unwrap_or(0.0)));
        let told: f64 = features.iter().skip(OTHERS + 1).sum();
        if let Some(others) = features.get_mut(OTHERS) {
            *others = (all - told).max(0.0);
        }
        self.day.add(&features, window.cores);
        let spread = Duration::from_mins(u64::from(phase % 360));
        let began = *self.began.get_or_insert(now.plus(spread));
        if now.since(began) >= FULL_DAY && self.day.windows() >= LEAST {
            self.began = Some(now);
            self.close_day();
        }
    }

    /// Tells new endpoints apart while there is room, those with the most requests first.
    fn name(&mut self, rates: &BTreeMap<&str, f64>) {
        let mut new: Vec<_> =
            rates.iter().filter(|(name, _)| !self.names.iter().any(|known| known == *name)).collect();
        new.sort_by(|a, b| b.1.total_cmp(a.1));
        for (name, _) in new {
            let bytes: usize = self.names.iter().map(String::len).sum();
            if self.names.len() >= MOST || bytes + name.len() > NAMES {
                break;
            }
            self.names.push((*name).to_owned());
        }
        let features = OTHERS + 1 + self.names.len();
        self.day.grow(features);
        self.week.grow(features);
    }

    /// Tests on the day what the week says, and takes the day into the week.
    fn close_day(&mut self) {
        let day = std::mem::take(&mut self.day);
        self.day.grow(day.with_cores.len());
        if self.week.windows() >= LEAST {
            let fitted = self.week.fit();
            let error = |weights: &[f64]| day.error(&self.week.costs_of(weights));
            let plain = error(&vec![1.0; fitted.len() - 1]);
            let new = day.error(&fitted);
            let present = self.in_use().map(|used| error(&self.in_order(used)));
            let worth = new <= BETTER * plain && present.is_none_or(|present| new <= BETTER_STILL * present);
            if worth {
                self.weights = Weights::LearnedEndpoints(self.normalised(&fitted));
            } else if present.is_some_and(|present| present >= plain) {
                self.weights = Weights::LearnedEndpoints(None);
            }
        }
        self.week.take(&day);
    }

    /// Weights in the order of the features, without that of being there.
    fn in_order(&self, weights: &EndpointWeights) -> Vec<f64> {
        let named = self.names.iter().map(|name| weights.of(name));
        std::iter::once(weights.others).chain(named).collect()
    }

    /// Costs as weights, of which the mean request of the week has 1; three digits, as status keeps them.
    fn normalised(&self, costs: &[f64]) -> Option<EndpointWeights> {
        let requests: f64 = (OTHERS..costs.len()).map(|i| self.week.at(IDLE, i)).sum();
        let cost: f64 = costs.iter().enumerate().skip(OTHERS).map(|(i, c)| c * self.week.at(IDLE, i)).sum();
        let mean = cost / requests;
        let weight = |cost: &f64| {
            let weight = (cost / mean).min(HEAVIEST);
            format!("{weight:.2e}").parse().unwrap_or(weight)
        };
        if !(mean.is_finite() && mean > 0.0) {
            return None;
        }
        let named = costs.iter().skip(OTHERS + 1).map(weight);
        Some(EndpointWeights {
            by_name: self.names.iter().cloned().zip(named).collect(),
            others: costs.get(OTHERS).map_or(1.0, weight),
        })
    }
}

#[cfg(test)]
#[path = "endpoint_weights_tests.rs"]
mod tests;
