//! Trust: how much a forecast may do, earned by how well it did.
//!
//! ```text
//! Shadow ──a day of history──> Recommend ──two days, 5 % skill, calibrated──> ScaleOutOnly ──10 % skill, calibrated
//!    ^                             ^                                             │      also of late──> Full
//!    └── nothing known             └── skill or calibration of two days lost ────┴───────────────────────┘
//! ```
//!
//! Up one step an hour, down at once. The ladder is climbed whatever a policy allows (`forecast.maxTrust`): what acts is the
//! lesser of the two. Skill is against the reactive loop: the last value, without any quantile.

use serde::Serialize;

use super::backtest::{SHORT, WINDOW};

/// How much a forecast may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
pub enum Trust {
    /// It is only compared with what comes.
    #[default]
    Shadow,
    /// It says what it would do.
    Recommend,
    /// It adds replicas, and removes none.
    ScaleOutOnly,
    /// It decides in both directions, and takes the place of head-room.
    Full,
}

impl Trust {
    /// All, the least first.
    pub const ALL: [Self; 4] = [Self::Shadow, Self::Recommend, Self::ScaleOutOnly, Self::Full];

    /// Its name in status and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shadow => "Shadow",
            Self::Recommend => "Recommend",
            Self::ScaleOutOnly => "ScaleOutOnly",
            Self::Full => "Full",
        }
    }
}

/// What trust is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Evidence {
    /// How much smaller the loss is than the reactive loop's, over two days: 0 is as good, 1 is perfect, below 0 is
    /// worse.
    pub skill: f64,
    /// Share of the windows of two days whose highest load stayed at or under the quantile.
    pub calibration: f64,
    /// The same over six hours.
    pub recent_calibration: f64,
    /// Minutes of history.
    pub history: i64,
}

/// Trust with its history.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Ladder {
    trust: Trust,
    /// The minute of the last step.
    since: i64,
}

/// Minutes on a step before the next one up.
const DWELL: i64 = 60;
/// Minutes of history for anything at all: a day.
const DAY: i64 = 1_440;
/// Skill to scale out with: less than that is chance.
const SOME_SKILL: f64 = 0.05;
/// Skill to scale in with.
const SKILL: f64 = 0.10;
/// Misses that are forgiven beside those that the quantile expects.
const SLACK: f64 = 0.01;
/// So many standard deviations of the share of misses are chance.
const DEVIATIONS: f64 = 3.0;

impl Ladder {
    /// The trust now.
    #[must_use]
    pub const fn trust(self) -> Trust {
        self.trust
    }

    /// Judges the evidence of a minute, on windows of `horizon` minutes at quantile `q`.
    pub fn judge(&mut self, minute: i64, evidence: Option<Evidence>, q: f64, horizon: u32) {
        let deserved = evidence.map_or(Trust::Shadow, |evidence| deserved(&evidence, q, horizon));
        let next = match self.trust {
            Trust::Shadow => Trust::Recommend,
            Trust::Recommend => Trust::ScaleOutOnly,
            Trust::ScaleOutOnly | Trust::Full => Trust::Full,
        };
        if deserved < self.trust {
            *self = Self { trust: deserved, since: minute };
        } else if deserved > self.trust && minute - self.since >= DWELL {
            *self = Self { trust: next, since: minute };
        }
    }

    /// Takes up what was kept in status: trust survives a restart.
    #[must_use]
    pub const fn restored(trust: Trust, minute: i64) -> Self {
        Self { trust, since: minute }
    }
}

/// Where a forecast stands, and what keeps it from more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Standing {
    /// Less than two days were seen.
    ShortHistory,
    /// It is hardly better than the last value.
    NoSkill,
    /// It is passed more often than it may be.
    NotCalibrated,
    /// It did well enough for more than it has.
    Earning,
    /// It has earned more than its policy lets it do.
    HeldByPolicy,
    /// It may add replicas.
    ScaleOutOnly,
    /// It decides.
    Full,
}

impl Standing {
    /// Of a trust with its evidence, on windows of `horizon` minutes at quantile `q`.
    #[must_use]
    pub fn of(trust: Trust, evidence: &Evidence, q: f64, horizon: u32) -> Self {
        let verdict = verdict(evidence, q, horizon);
        match trust {
            Trust::Full => Self::Full,
            Trust::ScaleOutOnly => Self::ScaleOutOnly,
            Trust::Shadow | Trust::Recommend => match verdict {
                (Trust::ScaleOutOnly | Trust::Full, _) => Self::Earning,
                (_, why) => why,
            },
        }
    }
}

fn deserved(evidence: &Evidence, q: f64, horizon: u32) -> Trust {
    verdict(evidence, q, horizon).0
}

/// What the evidence deserves, and what keeps it from more.
fn verdict(evidence: &Evidence, q: f64, horizon: u32) -> (Trust, Standing) {
    let Evidence { skill, calibration, recent_calibration, history } = *evidence;
    let enough = |calibration: f64, minutes: i64| 1.0 - calibration <= most_misses(q, horizon, minutes);
    if history < DAY || !skill.is_finite() {
        (Trust::Shadow, Standing::ShortHistory)
    } else if history < WINDOW {
        (Trust::Recommend, Standing::ShortHistory)
    } else if skill < SOME_SKILL {
        (Trust::Recommend, Standing::NoSkill)
    } else if !enough(calibration, WINDOW) {
        (Trust::Recommend, Standing::NotCalibrated)
    } else if skill < SKILL {
        (Trust::ScaleOutOnly, Standing::NoSkill)
    } else if !enough(recent_calibration, SHORT) {
        (Trust::ScaleOutOnly, Standing::NotCalibrated)
    } else {
        (Trust::Full, Standing::Full)
    }
}

/// The share of misses that a calibrated forecast has by chance in so many minutes of overlapping windows.
fn most_misses(q: f64, horizon: u32, minutes: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "minutes of days")]
    let independent = minutes as f64 / f64::from(horizon.max(1));
    (1.0 - q) + SLACK + DEVIATIONS * (q * (1.0 - q) / independent).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Evidence =
        Evidence { skill: 0.4, calibration: 0.95, recent_calibration: 0.95, history: 5 * DAY };

    fn after(hours: i64, evidence: Evidence) -> Ladder {
        let mut ladder = Ladder::default();
        (0..=hours * 60).for_each(|minute| ladder.judge(minute, Some(evidence), 0.95, 5));
        ladder
    }

    #[test]
    fn trust_is_earned_a_step_an_hour_and_lost_at_once() {
        assert_eq!(
            [1, 2, 3].map(|h| after(h, GOOD).trust()),
            [Trust::Recommend, Trust::ScaleOutOnly, Trust::Full]
        );
        let mut ladder = after(5, GOOD);
        ladder.judge(400, Some(Evidence { calibration: 0.8, ..GOOD }), 0.95, 5);
        assert_eq!(ladder.trust(), Trust::Recommend);
        ladder.judge(401, None, 0.95, 5);
        assert_eq!(ladder.trust(), Trust::Shadow);
    }

    #[test]
    fn too_little_history_never_passes_recommend() {
        assert_eq!(after(9, Evidence { history: 2 * DAY - 1, ..GOOD }).trust(), Trust::Recommend);
        assert_eq!(after(9, Evidence { history: DAY - 1, ..GOOD }).trust(), Trust::Shadow);
    }

    #[test]
    fn without_skill_it_stays_below_acting_and_a_bad_afternoon_only_stops_scale_in() {
        let chance = Evidence { skill: 0.04, ..GOOD };
        assert_eq!(after(9, chance).trust(), Trust::Recommend);
        assert_eq!(Standing::of(Trust::Recommend, &chance, 0.95, 5), Standing::NoSkill);
        assert_eq!(Standing::of(Trust::Recommend, &GOOD, 0.95, 5), Standing::Earning);
        assert_eq!(after(9, Evidence { skill: f64::NAN, ..GOOD }).trust(), Trust::Shadow);
        assert_eq!(after(9, Evidence { recent_calibration: 0.7, ..GOOD }).trust(), Trust::ScaleOutOnly);
    }
}
