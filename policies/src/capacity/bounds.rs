//! Between which bounds the capacity lies, by all days that are remembered.
//!
//! ```text
//!   healthy windows          knees
//! ──────────────────┤      ├───────────────> work per ready replica
//!        lower bound        upper bound
//!                  ^ used
//! ```

/// How long a knee is remembered, in days of looking: two weeks hold every weekday twice.
const MEMORY: u32 = 14;

/// Most knees that are remembered: enough for a p10 that is not the lowest, few enough for status.
const MOST: usize = 20;

/// Fewest knees that make an upper bound: one may be an accident, two a coincidence.
const LEAST: usize = 3;

/// The share of the knees that may lie under the upper bound (elasticity.md §3: p10).
const KNEES_UNDER: f64 = 0.1;

/// A knee under this share of what was proven is not believed, unless more replicas cured it: what was borne before
/// with healthy latency is not too much now; then something else was slow.
const CONTRADICTS: f64 = 0.9;

/// The onset of unhealthy latency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knee {
    /// Weighted requests per second and ready replica.
    pub work: f64,
    /// Whether more replicas were tried, and cured it: then it was the capacity.
    pub cured: bool,
    /// Days of looking that have passed since.
    pub days: u32,
}

/// What is known of the capacity on both sides.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Bounds {
    /// One replica was seen to bear this.
    pub(super) lower: Option<f64>,
    /// Where it was seen not to, oldest first.
    pub(super) knees: Vec<Knee>,
}

impl Bounds {
    /// What the knees say: at least two of them, and a tenth, lie at or under it.
    pub(super) fn upper(&self) -> Option<f64> {
        upper(&self.knees)
    }

    /// Takes a day in: what its healthy windows prove, and its knees. Gives the knees that are believed.
    pub(super) fn take(&mut self, proves: Option<f64>, mut knees: Vec<Knee>) -> Vec<Knee> {
        // What more replicas cured was too much, whatever was borne before.
        let cured = knees.iter().filter(|k| k.cured).map(|k| k.work).reduce(f64::min);
        if let Some(cured) = cured {
            self.lower = self.lower.map(|lower| lower.min(cured));
        }
        self.lower = self.lower.into_iter().chain(proves).reduce(f64::max);
        let lower = self.lower;
        let believed = |k: &Knee| k.cured || lower.is_none_or(|l| k.work >= CONTRADICTS * l);
        knees.retain(believed);
        for knee in &mut self.knees {
            knee.days = knee.days.saturating_add(1);
        }
        self.knees.retain(|k| k.days < MEMORY && believed(k));
        for knee in &knees {
            push(&mut self.knees, *knee);
        }
        knees
    }

    /// What the bounds allow to be used, starting from `value`, which only knees lower.
    pub(super) fn target(&self, value: Option<f64>) -> Option<f64> {
        let proven = value.into_iter().chain(self.lower).reduce(f64::max)?;
        Some(self.upper().map_or(proven, |upper| proven.min(upper)))
    }
}

/// Remembers a knee; the oldest goes where there are too many.
pub(super) fn push(knees: &mut Vec<Knee>, knee: Knee) {
    if knees.len() >= MOST {
        knees.remove(0);
    }
    knees.push(knee);
}

/// See [`Bounds::upper`].
pub(super) fn upper(knees: &[Knee]) -> Option<f64> {
    if knees.len() < LEAST {
        return None;
    }
    let mut works: Vec<f64> = knees.iter().map(|k| k.work).collect();
    works.sort_by(f64::total_cmp);
    // One low knee of a few is an accident, so it is never the lowest alone.
    let rank =
        works.iter().zip(0_u32..).find(|(_, i)| f64::from(i + 1) >= KNEES_UNDER * count(&works) && *i > 0);
    rank.map(|(work, _)| *work)
}

fn count(of: &[f64]) -> f64 {
    f64::from(u32::try_from(of.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knee(work: f64) -> Knee {
        Knee { work, cured: false, days: 0 }
    }

    fn cured(work: f64) -> Knee {
        Knee { cured: true, ..knee(work) }
    }

    #[test]
    fn the_upper_bound_takes_three_knees_and_is_never_the_lowest_alone() {
        let of = |works: &[f64]| upper(&works.iter().map(|w| knee(*w)).collect::<Vec<_>>());
        assert_eq!(of(&[10.0, 90.0]), None);
        assert_eq!(of(&[10.0, 100.0, 90.0]), Some(90.0));
        let many: Vec<f64> = (1..=20).map(|n| f64::from(n * 10)).collect();
        assert_eq!(of(&many), Some(20.0));
    }

    #[test]
    fn what_is_borne_every_day_makes_a_low_knee_unbelievable() {
        let mut bounds = Bounds::default();
        assert_eq!(bounds.take(Some(100.0), vec![knee(20.0), knee(95.0)]), [knee(95.0)]);
        assert_eq!((bounds.lower, bounds.knees.len()), (Some(100.0), 1));
    }

    #[test]
    fn a_low_knee_that_more_replicas_cured_is_believed_and_takes_the_proof_back() {
        let mut bounds = Bounds { lower: Some(100.0), knees: Vec::new() };
        assert_eq!(bounds.take(None, vec![cured(60.0)]), [cured(60.0)]);
        assert_eq!(bounds.lower, Some(60.0));
        // One alone lowers nothing that is used; three do.
        assert_eq!(bounds.target(Some(100.0)), Some(100.0));
        bounds.take(None, vec![cured(61.0), cured(62.0)]);
        assert_eq!(bounds.target(Some(100.0)), Some(61.0));
    }

    #[test]
    fn a_knee_is_forgotten_after_two_weeks() {
        let mut bounds = Bounds::default();
        bounds.take(Some(90.0), vec![knee(100.0), knee(100.0), knee(100.0)]);
        for _ in 0..13 {
            bounds.take(None, Vec::new());
        }
        assert_eq!(bounds.upper(), Some(100.0));
        bounds.take(None, Vec::new());
        assert_eq!(bounds.upper(), None);
    }

    #[test]
    fn only_knees_lower_what_is_used() {
        let bounds = Bounds { lower: Some(50.0), knees: Vec::new() };
        assert_eq!(bounds.target(Some(100.0)), Some(100.0));
        assert_eq!(bounds.target(Some(40.0)), Some(50.0));
        assert_eq!(bounds.target(None), Some(50.0));
    }
}
