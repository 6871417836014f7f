//! The estimate by CPU: what one replica may be asked for until its capacity is learned from windows.
//!
//! ```text
//! CPU of a replica = idle + per work × work of a replica      ridge over the windows of some days
//! estimate         = (0.7 × CPU request − idle) / per work
//!
//! windows   |——— learned ———|——— held out ———|——— held out ———|
//! fit                       ^ tested here    ^ then made anew, of all windows before
//! ```
//!
//! A service that waits for others uses little CPU and would be given too few replicas by it. So the estimate may add
//! replicas and never removes any (see `load::assess`), and what is learned from windows never rests on it.

use std::time::Duration;

use serde::Serialize;

use super::{Window, is_plausible, learner::down_to_three_digits, learner::three_digits};
use crate::{fleet::Footprint, load::settling, memory::ReadyCount, now::Mono, reading::Doubt};

/// The share of its CPU request that a replica is to use (elasticity.md §3).
pub const TARGET_UTILISATION: f64 = 0.7;

/// How many windows are remembered, as a time constant: with one a minute three days, which hold a working day.
const MEMORY: f64 = 3.0 * 1_440.0;

/// Fewest windows of a fit, and fewest held-out windows of a test: an hour or two, so that single odd minutes (a batch
/// job, a collection of garbage) do not decide.
const LEAST: f64 = 60.0;

/// Fewest deviation of the work as a share of its mean: that of a load which rises evenly to 1.7 times itself. Under it
/// nobody can tell the CPU of the work from the CPU of being there.
const SPREAD: f64 = 0.15;

/// Windows that a fit is held against before another one is made. Neighbours are alike, so a window is tested by a fit
/// that has seen none of its own half hour.
const BLOCK: u32 = 30;

/// Pulls the CPU per work to zero by as much of its own evidence: hardly, but a fit of next to nothing stays finite.
const RIDGE: f64 = 1e-3;

/// The mean error on held-out windows, as a share of the CPU used: a capacity that is wrong by more is no help, as the
/// band of redundancy is about so wide.
const ERROR: f64 = 0.15;

/// What of the variance of the CPU may be left unexplained on held-out windows: where work does not explain even half
/// of it, something else uses the CPU.
const UNEXPLAINED: f64 = 0.5;

/// An estimate in use is given up only when it does so much worse, so that it does not come and go.
const LENIENCE: f64 = 1.5;

/// A new fit is taken when it moves the estimate by more than this share: less is noise, and a reason to write status.
const WORTH: f64 = 0.05;

/// What the replicas of a window used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// CPU seconds per second, of all that report.
    pub cores: f64,
    /// Replicas that report, at least 1.
    pub reporting: u32,
    /// What the rate is over.
    pub length: Duration,
}

/// CPU by work: a straight line. Both numbers have three digits, so that status keeps them whole.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fit {
    /// CPU seconds of 1,000 weighted requests; > 0.
    per_thousand: f64,
    /// CPU cores of a replica that does nothing; >= 0.
    idle: f64,
}

impl Fit {
    fn cores(self, work: f64) -> f64 {
        self.idle + self.per_thousand * work / 1_000.0
    }

    /// The work at which a replica uses its share of the request; `None` where being there already takes that.
    fn estimate(self, request: u32) -> Option<f64> {
        let room = TARGET_UTILISATION * f64::from(request) / 1_000.0 - self.idle;
        let work = room / self.per_thousand * 1_000.0;
        is_plausible(work).then(|| down_to_three_digits(work))
    }
}

/// Sums over windows, older ones forgotten: means, and products of what differs from them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    windows: f64,
    work: f64,
    cores: f64,
    work_squared: f64,
    product: f64,
}

impl Sums {
    /// Welford's recurrence (*Technometrics*, 1962) with forgetting: no difference of large sums.
    fn add(&mut self, work: f64, cores: f64) {
        let keep = 1.0 - MEMORY.recip();
        self.windows = self.windows * keep + 1.0;
        let (more_work, more_cores) = (work - self.work, cores - self.cores);
        self.work += more_work / self.windows;
        self.cores += more_cores / self.windows;
        self.work_squared = self.work_squared * keep + more_work * (work - self.work);
        self.product = self.product * keep + more_work * (cores - self.cores);
    }

    /// Whether there are enough windows, at different loads.
    fn tell(&self) -> bool {
        let deviation = (self.work_squared / self.windows).sqrt();
        self.windows >= LEAST && deviation >= SPREAD * self.work
    }

    /// The ridge of CPU on work with an idle share of at least nothing.
    fn fit(&self) -> Option<Fit> {
        let slope = self.product / (self.work_squared * (1.0 + RIDGE));
        let idle = self.cores - slope * self.work;
        let (slope, idle) = if idle < 0.0 {
            // All of it is work: the line through nothing.
            let squared = self.work_squared + self.windows * self.work * self.work;
            ((self.product + self.windows * self.work * self.cores) / squared, 0.0)
        } else {
            (slope, idle)
        };
        let per_thousand = slope * 1_000.0;
        let sound = is_plausible(per_thousand) && idle.is_finite();
        let rounded = |x: f64| if x > 0.0 { three_digits(x, f64::round) } else { 0.0 };
        sound.then(|| Fit { per_thousand: rounded(per_thousand), idle: rounded(idle) })
    }
}

/// A fit on windows that it was not made of, and how fits did there.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Test {
    /// What is held against the next windows, and the mean CPU of the windows that it was made of.
    held: Option<(Fit, f64)>,
    /// Since it is held.
    in_block: u32,
    windows: f64,
    cores: f64,
    error: f64,
    residual: f64,
    variance: f64,
}

impl Test {
    fn add(&mut self, work: f64, cores: f64) {
        self.in_block = self.in_block.saturating_add(1);
        let Some((fit, mean)) = self.held else { return };
        let off = cores - fit.cores(work);
        let keep = 1.0 - MEMORY.recip();
        let add = |sum: &mut f64, x: f64| *sum = *sum * keep + x;
        add(&mut self.windows, 1.0);
        add(&mut self.cores, cores);
        add(&mut self.error, off.abs());
        add(&mut self.residual, off * off);
        add(&mut self.variance, (cores - mean) * (cores - mean));
    }

    /// Whether the windows were explained, with so much lenience; `None` while they are too few.
    fn explained(&self, lenience: f64) -> Option<bool> {
        let explained = self.error <= ERROR * lenience * self.cores
            && self.residual <= UNEXPLAINED * lenience * self.variance;
        (self.windows >= LEAST).then_some(explained)
    }
}

/// Learns the CPU that work takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CpuLearner {
    footprint: Option<Footprint>,
    images: Option<u64>,
    sums: Sums,
    test: Test,
    fit: Option<Fit>,
    last: Option<Mono>,
    doubt: Option<&'static str>,
}

/// What of it must survive a restart: the fit in use. What was not trusted yet is learned anew, in an hour or two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuKept {
    /// CPU seconds of 1,000 weighted requests.
    pub per_thousand: f64,
    /// CPU cores of a replica that does nothing.
    pub idle: f64,
    /// Identity of the images that it was learned under.
    pub images: Option<u64>,
}

/// What is known of the CPU that work takes, for whoever tells it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CpuKnown {
    /// Weighted requests per second that one replica is estimated to bear; `None` while nothing may be estimated.
    pub estimate: Option<f64>,
    /// CPU seconds of 1,000 weighted requests; `None` until held-out windows were explained.
    pub per_thousand: Option<f64>,
    /// CPU cores of a replica that does nothing.
    pub idle: Option<f64>,
    /// The CPU request of a replica in thousandths of a core; `None` where it has none or is not seen.
    pub request: Option<u32>,
    /// Windows that are remembered.
    pub windows: f64,
    /// Why the last reading of CPU could not be used, a reason as of `DataFresh`.
    pub doubt: Option<&'static str>,
}

impl CpuLearner {
    /// Sees what a replica is made of now: other images use other CPU for the same work, another request only moves the
    /// estimate. `None` where it is not seen.
    pub fn see(&mut self, footprint: Option<Footprint>) {
        self.footprint = footprint;
        let Some(seen) = footprint else { return };
        let known = self.images.replace(seen.images);
        if known.is_some_and(|known| known != seen.images) {
            *self = Self { footprint, images: Some(seen.images), ..Self::default() };
        }
    }

    /// Learns from one reading of CPU, together with the window that the capacity is learned from at this moment;
    /// `None` where that cannot be trusted. `steady` says since when the ready replicas have been so many.
    pub fn learn(
        &mut self,
        window: Option<Window>,
        usage: Result<Usage, Doubt>,
        steady: Option<ReadyCount>,
        now: Mono,
    ) {
        let usage = match usage {
            Ok(usage) => usage,
            Err(doubt) => {
                self.doubt = Some(doubt.code());
                return;
            }
        };
        self.doubt = None;
        let Some(window) = window.filter(|w| w.healthy == Some(true)) else { return };
        let length = window.length.max(usage.length);
        // One window is one sample, and it tells what one replica did only while the replicas stayed the same.
        let whole = steady.is_some_and(|s| now.since(s.at) >= settling::whole(length));
        if !whole || self.last.is_some_and(|last| now.since(last) < length) {
            return;
        }
        let work = window.work / f64::from(window.ready.saturating_sub(window.silent));
        let cores = usage.cores / f64::from(usage.reporting);
        // A replica that does nothing tells what idling costs; less than nothing was measured wrong.
        let sound = (work == 0.0 || is_plausible(work)) && cores > 0.0 && is_plausible(cores);
        if !sound {
            return;
        }
        self.last = Some(now);
        self.test.add(work, cores);
        self.sums.add(work, cores);
        if self.test.in_block >= BLOCK {
            self.close_block();
        }
    }

    /// What may be used in the place of a capacity; `None` while nothing may.
    #[must_use]
    pub fn estimate(&self) -> Option<f64> {
        self.fit?.estimate(self.footprint?.cpu_request?)
    }

    /// What is known, for whoever tells it.
    #[must_use]
    pub fn known(&self) -> CpuKnown {
        CpuKnown {
            estimate: self.estimate(),
            per_thousand: self.fit.map(|fit| fit.per_thousand),
            idle: self.fit.map(|fit| fit.idle),
            request: self.footprint.and_then(|f| f.cpu_request),
            windows: self.sums.windows,
            doubt: self.doubt,
        }
    }

    /// What must survive a restart.
    #[must_use]
    pub fn kept(&self) -> Option<CpuKept> {
        let Fit { per_thousand, idle } = self.fit?;
        Some(CpuKept { per_thousand, idle, images: self.images })
    }

    /// A learner that goes on where another one stopped; with nothing, where the numbers cannot be.
    #[must_use]
    pub fn restored(kept: CpuKept) -> Self {
        let CpuKept { per_thousand, idle, images } = kept;
        let sound = is_plausible(per_thousand) && idle.is_finite() && idle >= 0.0;
        Self { fit: sound.then_some(Fit { per_thousand, idle }), images, ..Self::default() }
    }

    /// A fit of all windows so far is held against the next ones; one that did well in the last ones is used.
    fn close_block(&mut self) {
        self.test.in_block = 0;
        if !self.sums.tell() {
            return;
        }
        let fit = self.sums.fit();
        self.test.held = fit.map(|fit| (fit, self.sums.cores));
        if self.test.explained(LENIENCE) == Some(false) {
            self.fit = None;
        } else if self.test.explained(1.0) == Some(true) && self.is_worth_it(fit) {
            self.fit = fit;
        }
    }

    /// Whether a new fit moves the estimate.
    fn is_worth_it(&self, new: Option<Fit>) -> bool {
        let request = self.footprint.and_then(|f| f.cpu_request);
        let of = |fit: Option<Fit>| fit?.estimate(request?);
        match (of(self.fit), of(new)) {
            (Some(old), Some(new)) => (new - old).abs() > WORTH * old,
            _ => self.fit != new,
        }
    }
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
