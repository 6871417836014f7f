//! One horizon: every candidate on the same windows, and the one that did best.

use std::collections::VecDeque;

use super::{
    backtest::{Rolling, SHORT, WINDOW, pinball},
    candidate::{Calibrated, Candidate, Trend, median, simple},
    direct::Direct,
    features::{Aim, Courses, Minute, Recent, features},
    history::Ring,
    trust::Evidence,
};

/// How much better than the regression another candidate has to be to take its place: less than that is chance.
const BETTER: f64 = 0.95;
/// A loss under this share of the load cannot be better than the last value's by any share that means something.
const PERFECT: f64 = 0.002;
const CANDIDATES: usize = Candidate::ALL.len();

/// The forecast of windows of one length.
#[derive(Debug, Clone)]
pub(super) struct Horizon {
    minutes: u32,
    q: f64,
    direct: Direct,
    /// All candidates but the regression, in the order of [`Candidate::ALL`].
    others: [Calibrated; CANDIDATES - 1],
    /// What was said of the windows that have not closed, oldest first.
    open: VecDeque<Open>,
    /// The loss of each candidate, of the last value, whether the used quantile was passed, and the load.
    scores: Rolling<{ CANDIDATES + 3 }>,
    chosen: Candidate,
}

#[derive(Debug, Clone)]
struct Open {
    /// The quantile of each candidate, as a load.
    quantiles: [Option<f32>; CANDIDATES],
    used: Option<f32>,
    load: f32,
    level: f64,
}

/// What is said of the window that begins now, as loads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outlook {
    /// The load that the window stays at or under with the wanted probability; `None` while nothing came out.
    pub(super) quantile: Option<f64>,
    /// Whose it is.
    pub(super) candidate: Candidate,
}

impl Horizon {
    /// Windows of so many minutes, at a quantile.
    pub(super) fn new(minutes: u32, q: f64) -> Self {
        Self {
            minutes,
            q,
            direct: Direct::new(minutes),
            others: std::array::from_fn(|_| Calibrated::new(minutes)),
            open: VecDeque::new(),
            scores: Rolling::default(),
            chosen: Candidate::Ridge,
        }
    }

    /// Length of its windows, minutes.
    pub(super) const fn minutes(&self) -> u32 {
        self.minutes
    }

    /// A minute came in: scores the window that it closes, and forecasts the one that it opens.
    pub(super) fn step(&mut self, minute: &Minute, recent: &Recent, trend: Trend, fives: &Ring) -> Outlook {
        let length = usize::try_from(self.minutes).unwrap_or(usize::MAX);
        let highest = recent.last(length).fold(f64::NEG_INFINITY, f64::max);
        if self.open.len() >= length {
            self.close(minute, highest);
        }
        let courses = Courses::look_up(minute, self.minutes, Aim::Highest, fives);
        let said = self.direct.step(minute, highest, &features(minute, &courses));
        let simple = simple(minute, &courses, trend, self.minutes);
        let mut all: Vec<f64> =
            std::iter::once(said.growth).chain(simple.map(|(_, growth)| growth)).collect();
        let middle = median(&mut all);
        let growths = simple.into_iter().map(|(_, growth)| growth).chain([middle]);
        let mut levels: [(f64, Option<f64>); CANDIDATES] = [(0.0, None); CANDIDATES];
        let regression = (said.level + said.growth, self.direct.quantile(&said, self.q));
        let others = self.others.iter_mut().zip(growths).map(|(rule, growth)| {
            let expected = minute.level + growth;
            let quantile = rule.say(growth).zip(rule.ratio(self.q));
            (expected, quantile.map(|(spread, ratio)| said.under_ceiling(expected + spread * ratio)))
        });
        for (place, level) in levels.iter_mut().zip(std::iter::once(regression).chain(others)) {
            *place = level;
        }
        self.choose(minute.number);
        let loads = levels.map(|(expected, quantile)| {
            (minute.scale.load(expected), quantile.map(|level| minute.scale.load(level)))
        });
        let at = Candidate::ALL.iter().position(|candidate| *candidate == self.chosen).unwrap_or(0);
        let (_, quantile) = loads.get(at).copied().unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a load has")]
        let narrow = |load: f64| load as f32;
        self.open.push_back(Open {
            quantiles: loads.map(|(_, quantile)| quantile.map(narrow)),
            used: quantile.map(narrow),
            load: narrow(minute.scale.load(minute.level)),
            level: minute.level,
        });
        Outlook { quantile, candidate: self.chosen }
    }

    fn close(&mut self, minute: &Minute, highest: f64) {
        let Some(open) = self.open.pop_front() else { return };
        for rule in &mut self.others {
            rule.close(Some(highest - open.level));
        }
        let actual = minute.scale.load(highest);
        let Some(used) = open.used else { return };
        let loss = |quantile: f32| pinball(actual, f64::from(quantile), self.q);
        let mut scores = [0.0; CANDIDATES + 3];
        let losses = open.quantiles.map(|quantile| quantile.map_or(f64::MAX, loss));
        let missed = if actual > f64::from(used) * (1.0 + 1e-6) { 1.0 } else { 0.0 };
        for (score, value) in
            scores.iter_mut().zip(losses.into_iter().chain([loss(open.load), missed, actual]))
        {
            *score = value;
        }
        self.scores.see(minute.number, scores);
    }

    fn choose(&mut self, minute: i64) {
        let Some(means) = self.scores.means(minute, WINDOW) else { return };
        let [ridge, ..] = means;
        let rest = Candidate::ALL.into_iter().zip(means).skip(1);
        let best = rest.min_by(|a, b| a.1.total_cmp(&b.1));
        self.chosen = best.filter(|(_, loss)| *loss < BETTER * ridge).map_or(Candidate::Ridge, |(c, _)| c);
    }

    /// What trust in it is judged by; `None` before anything came out.
    pub(super) fn evidence(&self, minute: i64, history: i64) -> Option<Evidence> {
        let means = self.scores.means(minute, WINDOW)?;
        let recent = self.scores.means(minute, SHORT)?;
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
        self.direct.interrupt();
        self.others.iter_mut().for_each(Calibrated::interrupt);
    }
}
