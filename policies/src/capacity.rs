//! What one replica bears, in weighted requests per second.

use crate::policy::PerReplica;

/// Weighted requests per second that one replica bears; `None` while it is not known.
///
/// A declared benchmark is taken as it stands. [`PerReplica::Learned`] is unknown until it was learned from
/// healthy windows: the policy then behaves as `Observe`, with `CapacityKnown=False`.
#[must_use]
pub fn per_replica(source: PerReplica) -> Option<f64> {
    match source {
        PerReplica::Declared(value) => Some(value),
        PerReplica::Learned => None,
    }
}

/// Share of the capacity that is in use: `load / (per_replica × ready)`, the reciprocal of redundancy.
///
/// `None` where there is nothing to divide by: no ready replica, or a capacity of zero.
#[must_use]
pub fn utilisation(load: f64, per_replica: f64, ready: u32) -> Option<f64> {
    let capacity = per_replica * f64::from(ready);
    (capacity > 0.0).then(|| load / capacity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_capacity_is_taken_as_it_stands() {
        assert_eq!(per_replica(PerReplica::Declared(120.0)), Some(120.0));
    }

    #[test]
    fn a_capacity_to_be_learned_is_not_known_yet() {
        assert_eq!(per_replica(PerReplica::Learned), None);
    }

    #[test]
    fn utilisation_is_the_reciprocal_of_redundancy_and_unknown_without_replicas() {
        assert_eq!(utilisation(50.0, 10.0, 10), Some(0.5));
        assert_eq!(utilisation(50.0, 10.0, 0), None);
    }
}
