//! One horizon: every candidate on the same windows, and the one that did best.

use std::collections::VecDeque;

use super::{
    backtest::{Rolling, pinball},
    candidate::{Calibrated, Candidate, Trend, median, simple},
    days::{Aim, Courses, Days},
    direct::{Direct, Said},
    features::{Minute, features},
    level::Level,
    recent::Recent,
    trust::Evidence,
};

/// How much better than the regression another candidate has to be to take its place: less than that is chance.
const BETTER: f64 = 0.95;
/// A loss under this share of the load cannot be better than the last value's by any share that means something.
const PERFECT: f64 = 0.002;
/// What is above the quantile by less is no miss: a bin of the conformal histogram is 5 % of the spread, which is at
/// least 0.2 % of the load, and a load that hardly moves may lie anywhere in it.
const ROUNDING: f64 = 2e-4;
const CANDIDATES: usize = Candidate::ALL.len();
/// All but the regression, in the order of [`Candidate::ALL`].
const OTHERS: usize = CANDIDATES - 1;
/// What is kept of each window: the loss of each candidate and of the last value, whether the used quantile was passed,
/// and the load.
const SCORES: usize = CANDIDATES + 3;

/// Minutes from one window that is scored to the next: windows of five minutes that overlap by more say nearly the same.
const SCORED_EVERY: i64 = 3;

/// The forecast of windows of one length.
#[derive(Debug, Clone)]
pub(super) struct Horizon {
    minutes: u32,
    q: f64,
    direct: Direct,
    others: [Calibrated; OTHERS],
    /// What was said of the windows that have not closed, oldest first.
    open: VecDeque<Open>,
    scores: Rolling<SCORES>,
    chosen: Candidate,
    latest: Option<Latest>,
}

/// What was said last: of the window that begins now.
#[derive(Debug, Clone)]
struct Latest {
    scale: Level,
    ridge: Said,
    /// What the others say; not asked for where they are neither chosen nor scored.
    others: Option<[Word; OTHERS]>,
}

#[derive(Debug, Clone)]
struct Open {
    minute: i64,
    level: f64,
    /// The load when it was said.
    load: f32,
    /// Growth and spread that the others expected.
    said: [(f32, Option<f32>); OTHERS],
    /// The quantile of each candidate, as a load.
    quantiles: [Option<f32>; CANDIDATES],
    used: Option<f32>,
}

/// What one candidate says: the growth, its usual error, and the quantile as a level.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    growth: f64,
    spread: Option<f64>,
    quantile: Option<f64>,
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a load has")]
fn narrow(load: f64) -> f32 {
    load as f32
}

impl Horizon {
    /// Windows of so many minutes, at a quantile; `phase` as of [`Direct::new`].
    pub(super) fn new(minutes: u32, q: f64, phase: u32) -> Self {
        Self {
            minutes,
            q,
            direct: Direct::new(minutes, Aim::Highest, phase),
            others: std::array::from_fn(|_| Calibrated::new(minutes)),
            open: VecDeque::new(),
            scores: Rolling::default(),
            chosen: Candidate::Ridge,
            latest: None,
        }
    }

    /// The same windows at another quantile: what was learned stays, how well it did has to be shown anew.
    pub(super) fn at(&self, q: f64) -> Self {
        Self { q, open: VecDeque::new(), scores: Rolling::default(), ..self.clone() }
    }

    /// Length of its windows, minutes.
    pub(super) const fn minutes(&self) -> u32 {
        self.minutes
    }

    /// The probability that the load stays at or under what it says.
    pub(super) const fn q(&self) -> f64 {
        self.q
    }

    /// Whether it is of windows of so many minutes at this quantile.
    pub(super) fn is_for(&self, minutes: u32, q: f64) -> bool {
        self.minutes == minutes && (self.q - q).abs() < f64::EPSILON
    }

    /// Minutes of the last two days by whose windows it was scored.
    pub(super) fn scored(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few minutes")]
        let each = SCORED_EVERY as f64;
        each * self.scores.samples()
    }

    /// A minute came in, `passed` minutes after the one before: scores the window that it closes, and forecasts the one
    /// that it opens. Over missing minutes nothing is scored, and only the regression learns.
    pub(super) fn step(&mut self, minute: &Minute, recent: &Recent, trend: Trend, days: &Days, passed: i64) {
        let courses = days.courses(minute, self.minutes, Aim::Highest);
        self.close(minute, recent);
        let said = self.direct.step(minute, recent, &features(minute, &courses), passed);
        let scored = passed == 1 && minute.number.rem_euclid(SCORED_EVERY) == 0;
        let asked = scored || self.chosen != Candidate::Ridge;
        let others = asked.then(|| self.others(minute, &courses, trend, &said));
        self.latest = Some(Latest { scale: minute.scale, ridge: said, others });
        if scored {
            self.open(minute, others.unwrap_or_default());
        }
    }

    /// Keeps what is said until the window has closed.
    fn open(&mut self, minute: &Minute, others: [Word; OTHERS]) {
        let mut quantiles = [None; CANDIDATES];
        for (place, candidate) in quantiles.iter_mut().zip(Candidate::ALL) {
            *place = self.quantile(candidate).map(narrow);
        }
        self.open.push_back(Open {
            minute: minute.number,
            level: minute.level,
            load: narrow(minute.scale.load(minute.level)),
            said: others.map(|word| (narrow(word.growth), word.spread.map(narrow))),
            quantiles,
            used: self.quantile(self.chosen).map(narrow),
        });
    }

    /// The load that the window which begins now stays at or under with the wanted probability, and who says so; `None`
    /// while nothing came out.
    pub(super) fn outlook(&self) -> Option<(f64, Candidate)> {
        Some((self.quantile(self.chosen)?, self.chosen))
    }

    fn quantile(&self, candidate: Candidate) -> Option<f64> {
        let Latest { scale, ridge, others } = self.latest.as_ref()?;
        let level = match Candidate::ALL.iter().position(|c| *c == candidate)? {
            0 => self.direct.quantile(ridge, self.q)?,
            other => others.as_ref()?.get(other - 1)?.quantile?,
        };
        Some(scale.load(level))
    }

    fn others(&self, minute: &Minute, courses: &Courses, trend: Trend, said: &Said) -> [Word; OTHERS] {
        let simple = simple(minute, courses, trend, self.minutes);
        let mut all = [said.growth; OTHERS];
        for (place, (_, growth)) in all.iter_mut().skip(1).zip(simple) {
            *place = growth;
        }
        let growths = simple.into_iter().map(|(_, growth)| growth).chain([median(&mut all)]);
        let mut words = [Word::default(); OTHERS];
        for ((word, rule), growth) in words.iter_mut().zip(&self.others).zip(growths) {
            let spread = rule.spread();
            let quantile = spread
                .zip(rule.ratio(self.q))
                .map(|(spread, ratio)| said.under_ceiling(minute.level + growth + spread * ratio));
            *word = Word { growth, spread, quantile };
        }
        words
    }

    /// Scores the windows that are over. One that ended while minutes were missing tells nothing.
    fn close(&mut self, minute: &Minute, recent: &Recent) {
        let end = minute.number - i64::from(self.minutes);
        let length = usize::try_from(self.minutes).unwrap_or(usize::MAX);
        while let Some(open) = self.open.pop_front_if(|open| open.minute <= end) {
            if open.minute == end {
                let highest = recent.highest(length, 0);
                for (rule, (growth, spread)) in self.others.iter_mut().zip(open.said) {
                    let residual = highest - open.level - f64::from(growth);
                    rule.learn(residual, spread.map(f64::from), SCORED_EVERY);
                }
                self.score(&open, minute.number, minute.scale.load(highest));
                self.choose();
            }
        }
    }

    fn score(&mut self, open: &Open, minute: i64, actual: f64) {
        let Some(used) = open.used else { return };
        let loss = |quantile: f32| pinball(actual, f64::from(quantile), self.q);
        let losses = open.quantiles.map(|quantile| quantile.map_or(f64::MAX, loss));
        let missed = if actual > f64::from(used) * (1.0 + ROUNDING) { 1.0 } else { 0.0 };
        let mut scores = [0.0; SCORES];
        let values = losses.into_iter().chain([loss(open.load), missed, actual]);
        scores.iter_mut().zip(values).for_each(|(score, value)| *score = value);
        self.scores.see(minute, scores);
    }

    fn choose(&mut self) {
        let Some([means, _]) = self.scores.means() else { return };
        let [ridge, ..] = means;
        let rest = Candidate::ALL.into_iter().zip(means).skip(1);
        let best = rest.min_by(|a, b| a.1.total_cmp(&b.1));
        self.chosen = best.filter(|(_, loss)| *loss < BETTER * ridge).map_or(Candidate::Ridge, |(c, _)| c);
    }

    /// What trust in it is judged by, of so many minutes of history; `None` before anything came out.
    pub(super) fn evidence(&self, history: i64) -> Option<Evidence> {
        let [means, recent] = self.scores.means()?;
        let at = Candidate::ALL.iter().position(|candidate| *candidate == self.chosen)?;
        let (loss, reactive) = (means.get(at)?, means.get(CANDIDATES)?);
        Some(Evidence {
            skill: if *loss <= PERFECT * means.get(CANDIDATES + 2)? { 1.0 } else { 1.0 - loss / reactive },
            calibration: 1.0 - means.get(CANDIDATES + 1)?,
            recent_calibration: 1.0 - recent.get(CANDIDATES + 1)?,
            history,
        })
    }

    /// Forgets the windows that have not closed: minutes are missing in them.
    pub(super) fn interrupt(&mut self) {
        self.open.clear();
        self.latest = None;
        self.direct.interrupt();
    }
}
