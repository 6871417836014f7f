//! The load some time ahead, as a single number: what a person means by a forecast.
//!
//! It decides nothing. The regression and the season are weighted by how wrong each was, which is closer than either; for
//! a quantile it is not (docs/forecasting.md).

use std::collections::VecDeque;

use super::{
    days::{Aim, Days},
    direct::Direct,
    errors::Decayed,
    features::{Minute, features},
    recent::Recent,
    regression::Stands,
};

/// Memory of the errors, minutes: two days.
const MEMORY: f64 = 2.0 * 1_440.0;

/// Forecasts of the load so many minutes ahead.
#[derive(Debug, Clone)]
pub(super) struct Point {
    minutes: u32,
    direct: Direct,
    /// Mean absolute errors of the regression and of the season.
    errors: [Decayed; 2],
    /// The minute, and what both said at its window's end, as levels, of windows that have not closed; oldest first.
    open: VecDeque<(i64, [f64; 2])>,
}

impl Point {
    pub(super) fn new(minutes: u32) -> Self {
        let direct = Direct::new(minutes, Aim::End, 0);
        Self { minutes, direct, errors: [Decayed::default(); 2], open: VecDeque::new() }
    }

    /// A minute came in; gives the load that is expected.
    pub(super) fn step(&mut self, minute: &Minute, recent: &Recent, days: &Days, passed: i64) -> f64 {
        let end = minute.number - i64::from(self.minutes);
        while let Some((opened, said)) = self.open.pop_front_if(|(opened, _)| *opened <= end) {
            let came = recent.back(usize::try_from(end - opened).unwrap_or_default());
            for (error, said) in self.errors.iter_mut().zip(said) {
                error.see((came - said).abs(), MEMORY, Stands::minutes(1));
            }
        }
        let courses = days.courses(minute, self.minutes, Aim::End);
        let said = self.direct.step(minute, recent, &features(minute, &courses), passed);
        let regression = said.level + said.growth;
        let season = minute.level + courses.growth().unwrap_or(0.0);
        self.open.push_back((minute.number, [regression, season]));
        let [wrong, season_wrong] = self.errors.map(|error| error.mean().unwrap_or(1.0).powi(2));
        let weights = wrong + season_wrong;
        let level =
            if weights > 0.0 { (season_wrong * regression + wrong * season) / weights } else { regression };
        minute.scale.load(level)
    }

    /// Forgets the windows that have not closed: minutes are missing in them.
    pub(super) fn interrupt(&mut self) {
        self.open.clear();
        self.direct.interrupt();
    }
}
