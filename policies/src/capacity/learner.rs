//! The learner: what is remembered of a workload to know what one replica of it bears.

use std::time::Duration;

use crate::{latency::LatencyTerm, memory::ReadyCount, now::Mono};

use super::{
    Known, Source,
    bounds::{self, Bounds, Knee},
    day::{Day, FULL_DAY},
    is_plausible,
    tally::Tally,
    trust::{self, Record},
    watch::{Lesson, Watch, Window},
};

/// Under this utilisation, of the present estimate, a window teaches nothing (elasticity.md §3): a service that idles
/// is healthy at any capacity, and what makes it slow there is something else.
const TEACHES: f64 = 0.5;

/// By how much the capacity that is used moves in a day at most (elasticity.md §3).
const A_DAY: f64 = 0.2;

/// What is left of a learned capacity when the template changes, until it is learned anew (elasticity.md §3).
const CAUTION: f64 = 0.8;

/// The longest time between two looks that counts as looking: longer, and nobody looked.
const GAP: Duration = Duration::from_mins(2);

/// Classes of a day's windows that are kept over a restart: the highest, which hold its 95th percentile.
const KEPT_CLASSES: usize = 16;

/// How far the estimate may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// Not at all: it has explained no day yet.
    #[default]
    Learning,
    /// It was learned under another template or objective: with caution.
    Provisional,
    /// As it is.
    Learned,
}

/// What was learned before the template changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Before {
    /// Weighted requests per second of one replica.
    pub value: f64,
    /// The template; `None` where it was not seen, or where the objective was changed.
    pub template: Option<u64>,
}

/// An episode of unhealthy latency that began with a knee.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Episode {
    knee: Knee,
    /// Whether more replicas were tried for it.
    tried: bool,
}

/// Learns what one replica bears.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Learner {
    watch: Watch,
    episode: Option<Episode>,
    looked_at: Option<Mono>,
    day: Day,
    bounds: Bounds,
    value: Option<f64>,
    standing: Standing,
    before: Option<Before>,
    record: Record,
    template: Option<u64>,
}

/// What of a learner must survive a restart: all but the window that is under way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// The estimate; `None` before the first day was learned from.
    pub value: Option<f64>,
    /// How far it may be used.
    pub standing: Standing,
    /// One replica was seen to bear this.
    pub lower: Option<f64>,
    /// Where it was seen not to, oldest first.
    pub knees: Vec<Knee>,
    /// Days that were tested, and that it explained; older ones fade.
    pub tested: f64,
    /// See `tested`.
    pub explained: f64,
    /// Identity of the pod template.
    pub template: Option<u64>,
    /// What was learned before the template changed, while the standing is provisional.
    pub before: Option<Before>,
    /// The day that is under way.
    pub day: KeptDay,
}

/// A learner in short: while it stands, with the passing of its day, so does all that must survive a restart but the
/// windows and knees of that day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outline {
    /// See [`Kept::value`].
    pub value: Option<f64>,
    /// See [`Kept::standing`].
    pub standing: Standing,
    /// See [`Kept::template`].
    pub template: Option<u64>,
    /// See [`KeptDay::seen`].
    pub seen: Duration,
}

/// What of a day must survive a restart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeptDay {
    /// How much of it has passed.
    pub seen: Duration,
    /// Its healthy windows: work per ready replica and their number, ascending.
    pub healthy: Vec<(f64, u32)>,
    /// Its knees, oldest first.
    pub knees: Vec<Knee>,
}

impl Learner {
    /// Learns from one look. `window` is `None` where it cannot be trusted at all.
    ///
    /// `template` is the identity of the pod template, `None` where it is not seen now.
    pub fn learn(&mut self, window: Option<Window>, term: LatencyTerm, template: Option<u64>, now: Mono) {
        self.see_template(template);
        let passed = self.looked_at.replace(now).map_or(Duration::ZERO, |at| now.since(at));
        if passed > GAP {
            self.watch = Watch::default();
            self.episode = None;
        } else {
            self.day.seen = self.day.seen.saturating_add(passed);
        }
        self.judge_episode(term);
        if window.is_none() {
            self.end_episode();
        }
        match self.watch.look(window, now) {
            Some(Lesson::Healthy(work)) => {
                self.end_episode();
                if self.teaches(work) {
                    self.day.healthy.add(work);
                }
            }
            Some(Lesson::Knee(work)) if self.teaches(work) => {
                self.episode = Some(Episode { knee: Knee { work, cured: false, days: 0 }, tried: false });
            }
            Some(Lesson::Knee(_) | Lesson::Overloaded) | None => {}
        }
        if self.day.seen >= FULL_DAY {
            self.close_day();
        }
    }

    /// Another objective: where latency breaks is another capacity, so what is known holds with caution.
    pub fn judged_anew(&mut self) {
        self.start_over();
    }

    /// Since when the ready replicas have been steady, and how many; `None` where the last look could not be trusted.
    #[must_use]
    pub fn steady(&self) -> Option<ReadyCount> {
        self.watch.steady()
    }

    /// Whether nothing of it may be used yet.
    #[must_use]
    pub fn is_learning(&self) -> bool {
        self.standing == Standing::Learning
    }

    /// What is known, for whoever uses or tells it.
    #[must_use]
    pub fn known(&self) -> Known {
        let source = match self.standing {
            Standing::Learning => Source::Learning,
            Standing::Provisional => Source::Provisional,
            Standing::Learned => Source::Learned,
        };
        let knees = self.bounds.knees.len().saturating_add(self.day.knees.len());
        Known {
            per_replica: self.value.filter(|_| self.standing != Standing::Learning),
            source,
            lower: self.bounds.lower,
            upper: self.bounds.upper(),
            confidence: self.record.confidence(),
            windows: self.day.healthy.count(),
            knees: u32::try_from(knees).unwrap_or(u32::MAX),
            cpu: None,
        }
    }

    /// What moves whenever anything of [`Learner::kept`] does but the day that is under way; cheap to ask.
    #[must_use]
    pub fn outline(&self) -> Outline {
        Outline { value: self.value, standing: self.standing, template: self.template, seen: self.day.seen }
    }

    /// What must survive a restart.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept {
            value: self.value,
            standing: self.standing,
            lower: self.bounds.lower,
            knees: self.bounds.knees.clone(),
            tested: self.record.tested,
            explained: self.record.explained,
            template: self.template,
            before: self.before,
            day: KeptDay {
                seen: self.day.seen,
                healthy: self.day.healthy.top(KEPT_CLASSES),
                knees: self.day.knees.clone(),
            },
        }
    }

    /// A learner that goes on where another one stopped. Numbers that cannot be are left out: an estimate that is none
    /// is learned anew.
    #[must_use]
    pub fn restored(kept: Kept) -> Self {
        let sane = |x: &f64| is_plausible(*x);
        let Kept { value, standing, lower, knees, tested, explained, template, before, day } = kept;
        let value = value.filter(sane);
        let sound = |knees: Vec<Knee>| {
            let mut sound = Vec::new();
            knees.into_iter().filter(|k| sane(&k.work)).for_each(|knee| bounds::push(&mut sound, knee));
            sound
        };
        let mut healthy = Tally::default();
        day.healthy.iter().for_each(|(work, n)| healthy.add_times(*work, *n));
        let tested = if tested.is_finite() { tested.max(0.0) } else { 0.0 };
        let explained = if explained.is_finite() { explained.clamp(0.0, tested) } else { 0.0 };
        Self {
            day: Day { seen: day.seen.min(FULL_DAY), healthy, knees: sound(day.knees) },
            bounds: Bounds { lower: lower.filter(sane), knees: sound(knees) },
            value,
            standing: if value.is_some() { standing } else { Standing::Learning },
            before: before.filter(|b| sane(&b.value)),
            record: Record { tested, explained },
            template,
            ..Self::default()
        }
    }

    /// Whether a window at this work per replica teaches anything. While nothing is known, every one does.
    fn teaches(&self, work: f64) -> bool {
        self.value.is_none_or(|value| work >= TEACHES * value)
    }

    /// What the latency term found out about the slowness that began with a knee.
    fn judge_episode(&mut self, term: LatencyTerm) {
        let Some(episode) = &mut self.episode else { return };
        match term {
            LatencyTerm::ScaleOut { .. } => episode.tried = true,
            // More replicas cured it: it was the capacity.
            LatencyTerm::Easing { .. } if episode.tried => {
                episode.knee.cured = true;
                self.end_episode();
            }
            // They did not: something else is slow.
            LatencyTerm::Futile { .. } => self.episode = None,
            LatencyTerm::Easing { .. } | LatencyTerm::Fine | LatencyTerm::NotJudged => {}
        }
    }

    fn end_episode(&mut self) {
        if let Some(episode) = self.episode.take() {
            self.day.add(episode.knee);
        }
    }

    /// Takes the day in: tests the estimate on it, then learns from it.
    fn close_day(&mut self) {
        let Day { healthy, knees, .. } = std::mem::take(&mut self.day);
        let day = Day { healthy, ..Day::default() };
        let proves = day.proves();
        if proves.is_none() {
            // Too few windows prove nothing yet; a service with little load has them in a few days.
            self.day = day;
        }
        let believed = self.bounds.take(proves, knees);
        let explained = self.value.zip(proves).is_some_and(|(value, proves)| {
            let explained = trust::explains(value, proves, bounds::upper(&believed));
            self.record.add(explained);
            explained
        });
        self.settle(explained);
    }

    /// Moves the estimate to where the bounds are, and its standing to what it deserves.
    fn settle(&mut self, explained: bool) {
        match (self.standing, self.value) {
            (Standing::Learning, _) | (_, None) => {
                // Nobody uses it: it goes where the evidence is at once.
                self.value = self.bounds.target(None).map(down_to_three_digits);
                if explained && self.value.is_some() {
                    self.standing = Standing::Learned;
                }
            }
            (Standing::Learned, Some(value)) => {
                let target = self.bounds.target(Some(value)).map(down_to_three_digits);
                self.value = target.map(|target| in_a_day(value, target));
            }
            (Standing::Provisional, Some(value)) => self.return_to_before(value, explained),
        }
    }

    /// While a new template gives no reason to believe that it bears less, what was learned before comes back day by
    /// day. Otherwise nothing would ever bring it back: used with caution, a replica is never asked for more.
    fn return_to_before(&mut self, value: f64, explained: bool) {
        // Any knee of the new template is a reason.
        let lowest = self.bounds.knees.iter().map(|k| k.work).reduce(f64::min);
        let before = self.before.map(|b| lowest.map_or(b.value, |lowest| lowest.min(b.value)));
        let hoped = if explained { before } else { None };
        let from = hoped.map_or(value, |hoped| hoped.max(value));
        let Some(target) = self.bounds.target(Some(from)).map(down_to_three_digits) else { return };
        let next = in_a_day(value, target);
        self.value = Some(next);
        if explained && next >= target {
            self.standing = Standing::Learned;
            self.before = None;
        }
    }

    fn see_template(&mut self, seen: Option<u64>) {
        let Some(seen) = seen else { return };
        let known = self.template.replace(seen);
        if known.is_none_or(|known| known == seen) {
            return;
        }
        // A second change before the first was learned takes nothing more off.
        self.before = self.before.or_else(|| self.learned(known));
        self.start_over();
        if let Some(before) = self.before.filter(|before| before.template == Some(seen)) {
            // Rolled back: what was learned of it holds as it did.
            self.value = Some(before.value);
            self.standing = Standing::Learned;
            self.before = None;
        }
    }

    fn learned(&self, template: Option<u64>) -> Option<Before> {
        let value = self.value.filter(|_| self.standing == Standing::Learned)?;
        Some(Before { value, template })
    }

    /// Forgets the evidence; a capacity that was in use stays so, with caution.
    fn start_over(&mut self) {
        let before = self.before.or_else(|| self.learned(None));
        *self = Self {
            value: before.map(|before| down_to_three_digits(before.value * CAUTION)),
            standing: if before.is_some() { Standing::Provisional } else { Standing::Learning },
            before,
            template: self.template,
            looked_at: self.looked_at,
            ..Self::default()
        };
    }
}

/// As far towards the target as a day allows; both have three digits.
fn in_a_day(value: f64, target: f64) -> f64 {
    let (low, high) = (value * (1.0 - A_DAY), value * (1.0 + A_DAY));
    if target > high {
        down_to_three_digits(high)
    } else if target < low {
        up_to_three_digits(low)
    } else {
        target
    }
}

/// What is used has the three digits that status keeps, so that a restart changes nothing: the next lower such number.
pub(super) fn down_to_three_digits(x: f64) -> f64 {
    three_digits(x, f64::floor)
}

fn up_to_three_digits(x: f64) -> f64 {
    three_digits(x, f64::ceil)
}

pub(super) fn three_digits(x: f64, round: fn(f64) -> f64) -> f64 {
    let unit = 10_f64.powf(x.log10().floor() - 2.0);
    // A number that has three digits already stays, whatever its quotient was rounded to.
    let steps = x / unit;
    let whole = if (steps - steps.round()).abs() < 1e-9 * steps { steps.round() } else { round(steps) };
    let rounded = whole * unit;
    // The shortest decimal, as it is read back.
    format!("{rounded:.2e}").parse().unwrap_or(rounded)
}

#[cfg(test)]
#[path = "learner_tests.rs"]
mod tests;
