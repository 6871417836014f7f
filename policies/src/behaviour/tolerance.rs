//! Tolerance: a ratio that is close enough to 1 changes nothing.

use crate::policy::Behaviour;

/// HPA's default tolerance, in both directions.
pub const HPA_DEFAULT: f64 = 0.1;

/// The tolerance of each direction, as a share: 0.1 for 10 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerances {
    /// On the way up.
    pub up: f64,
    /// On the way down.
    pub down: f64,
}

impl Default for Tolerances {
    fn default() -> Self {
        Self { up: HPA_DEFAULT, down: HPA_DEFAULT }
    }
}

impl Tolerances {
    /// For a trigger: what the user said, or HPA's 10 %.
    #[must_use]
    pub fn of_triggers(behaviour: &Behaviour) -> Self {
        Self {
            up: behaviour.up.tolerance.unwrap_or(HPA_DEFAULT),
            down: behaviour.down.tolerance.unwrap_or(HPA_DEFAULT),
        }
    }

    /// For the load: what the user said, or none, because the redundancy band is a tolerance already.
    #[must_use]
    pub fn of_load(behaviour: &Behaviour) -> Self {
        Self {
            up: behaviour.up.tolerance.unwrap_or_default(),
            down: behaviour.down.tolerance.unwrap_or_default(),
        }
    }

    /// Whether a ratio of wanted to given is close enough to 1; both ends belong to it, as in HPA.
    #[must_use]
    pub fn contains(self, ratio: f64) -> bool {
        1.0 - self.down <= ratio && ratio <= 1.0 + self.up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_direction_has_its_own_tolerance_and_the_ends_belong_to_it() {
        let tolerances = Tolerances { up: 0.5, down: 0.25 };
        assert!(tolerances.contains(1.5) && tolerances.contains(0.75));
        assert!(!tolerances.contains(1.51) && !tolerances.contains(0.74));
    }
}
