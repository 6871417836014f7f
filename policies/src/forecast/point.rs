//! The load some time ahead, as a single number: what a person means by a forecast.
//!
//! It decides nothing. The regression and the season are weighted by how wrong each was, which is closer than either; for
//! a quantile it is not (docs/forecasting.md).

use std::collections::VecDeque;

use super::{
    direct::Direct,
    errors::Decayed,
    features::{Aim, Courses, Minute, features},
    history::Ring,
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
    /// What both said of the windows that have not closed, as levels, oldest first.
    open: VecDeque<[f64; 2]>,
}

impl Point {
    pub(super) fn new(minutes: u32) -> Self {
        Self { minutes, direct: Direct::new(minutes), errors: [Decayed::default(); 2], open: VecDeque::new() }
    }

    /// A minute came in; gives the load that is expected.
    pub(super) fn step(&mut self, minute: &Minute, fives: &Ring) -> f64 {
        if self.open.len() >= usize::try_from(self.minutes).unwrap_or(usize::MAX)
            && let Some(said) = self.open.pop_front()
        {
            for (error, said) in self.errors.iter_mut().zip(said) {
                error.see((minute.level - said).abs(), MEMORY);
            }
        }
        let courses = Courses::look_up(minute, self.minutes, Aim::End, fives);
        let said = self.direct.step(minute, minute.level, &features(minute, &courses));
        let regression = said.level + said.growth;
        let season = minute.level + courses.growth().unwrap_or(0.0);
        self.open.push_back([regression, season]);
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
