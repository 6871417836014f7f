//! Placement: which cluster runs how many of the replicas wanted.
//!
//! One cluster takes everything. With several, what is there stays where it is: an increase is spread over the
//! healthy clusters in proportion to what they run now, and so is a decrease. A dark cluster is never written,
//! and its replicas count as zero when others are removed, because nobody knows whether they still serve.
//!
//! This is the seam for the hybrid cloud: cost, room and lead times of clusters will decide here, with the same
//! inputs (the slots) and the same output (replicas per cluster and the shortfall).

use crate::{
    fleet::Instance,
    ids::{ByCluster, ClusterId},
};

/// The target in one cluster, as far as placement is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    /// Where.
    pub cluster: &'a ClusterId,
    /// What is seen there.
    pub instance: &'a Instance,
    /// Replicas that are accepted as wanted now: what is seen, after our own and foreign writes were judged.
    pub wanted: u32,
    /// Whether the cluster answers and may be written.
    pub healthy: bool,
    /// Whether a write of ours is on its way there and not seen yet.
    pub in_flight: bool,
}

/// Where replicas go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// Replicas per cluster.
    pub clusters: ByCluster<u32>,
    /// What fits nowhere.
    pub shortfall: u32,
}

/// Places `desired` replicas over the slots.
#[must_use]
pub fn place(desired: u32, slots: &[Slot<'_>]) -> Placement {
    if let [only] = slots {
        let replicas = if only.healthy { desired } else { only.wanted };
        let clusters = ByCluster::from_iter([(only.cluster.clone(), replicas)]);
        return Placement { clusters, shortfall: desired.saturating_sub(replicas) };
    }
    let sum = |slots: &mut dyn Iterator<Item = &Slot<'_>>| slots.map(|s| u64::from(s.wanted)).sum::<u64>();
    let total = sum(&mut slots.iter());
    let healthy = sum(&mut slots.iter().filter(|s| s.healthy));
    let desired = u64::from(desired);
    let added = desired.saturating_sub(total);
    // Removing: the dark ones count as zero, so the healthy ones alone must hold what is desired.
    let removed = if desired < total { healthy.saturating_sub(desired) } else { 0 };
    let weights: Vec<u64> = slots.iter().map(|s| if s.healthy { u64::from(s.wanted) } else { 0 }).collect();
    let weights = if healthy == 0 { slots.iter().map(|s| u64::from(s.healthy)).collect() } else { weights };
    let change = share(added.max(removed), &weights);
    let clusters: ByCluster<u32> = slots
        .iter()
        .zip(change)
        .map(|(slot, change)| {
            let change = u32::try_from(change).unwrap_or(u32::MAX);
            let replicas = if added > 0 {
                slot.wanted.saturating_add(change)
            } else {
                slot.wanted.saturating_sub(change)
            };
            (slot.cluster.clone(), replicas)
        })
        .collect();
    let placed: u64 = clusters.values().map(|n| u64::from(*n)).sum();
    let shortfall = u32::try_from(desired.saturating_sub(placed)).unwrap_or(u32::MAX);
    Placement { clusters, shortfall }
}

/// `amount` in proportion to the weights, by largest remainder; all zero when there is no weight.
fn share(amount: u64, weights: &[u64]) -> Vec<u64> {
    let total: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    if total == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: u64| u128::from(amount) * u128::from(weight);
    let mut shares: Vec<u64> =
        weights.iter().map(|w| u64::try_from(exact(*w) / total).unwrap_or(u64::MAX)).collect();
    let rest = amount.saturating_sub(shares.iter().sum());
    let mut order: Vec<usize> = (0..weights.len()).collect();
    // Ties keep the clusters' order, so that the same world is always placed the same way.
    order.sort_by_key(|i| std::cmp::Reverse(weights.get(*i).map_or(0, |w| exact(*w) % total)));
    for i in order.into_iter().take(usize::try_from(rest).unwrap_or(usize::MAX)) {
        if let Some(share) = shares.get_mut(i) {
            *share += 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{fleet::ObjectVersion, reading::Doubt};

    fn instance() -> Instance {
        Instance {
            wanted: 0,
            current: 0,
            ready: 0,
            rolling_out: false,
            template: None,
            footprint: None,
            cpu: None,
            version: ObjectVersion { uid: "u".to_owned(), resource_version: "1".to_owned() },
            load: Err(Doubt::NotYetRead),
            burst: None,
        }
    }

    fn placed(desired: u32, slots: &[(u32, bool)]) -> (Vec<u32>, u32) {
        let instance = instance();
        let ids: Vec<ClusterId> = (0..slots.len()).map(|i| ClusterId::new(&format!("c{i:02}"))).collect();
        let slots: Vec<Slot<'_>> = ids
            .iter()
            .zip(slots)
            .map(|(cluster, &(wanted, healthy))| Slot {
                cluster,
                instance: &instance,
                wanted,
                healthy,
                in_flight: false,
            })
            .collect();
        let placement = place(desired, &slots);
        (placement.clusters.values().copied().collect(), placement.shortfall)
    }

    #[test]
    fn one_cluster_takes_everything_unless_it_is_dark() {
        assert_eq!(placed(7, &[(3, true)]), (vec![7], 0));
        assert_eq!(placed(7, &[(3, false)]), (vec![3], 4));
    }

    #[test]
    fn several_keep_their_shares() {
        assert_eq!(placed(15, &[(6, true), (4, true)]), (vec![9, 6], 0));
        assert_eq!(placed(5, &[(6, true), (4, true)]), (vec![3, 2], 0));
        assert_eq!(placed(3, &[(0, true), (0, true)]), (vec![2, 1], 0));
    }

    #[test]
    fn a_dark_cluster_is_not_written_and_counts_as_zero_when_others_are_removed() {
        // 5 dark and 10 healthy: 12 wanted needs more than the healthy ones have, so none of those goes.
        assert_eq!(placed(12, &[(5, false), (10, true)]), (vec![5, 10], 0));
        assert_eq!(placed(8, &[(5, false), (10, true)]), (vec![5, 8], 0));
        assert_eq!(placed(18, &[(5, false), (10, true)]), (vec![5, 13], 0));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_cluster_moves_against_the_rest(
            desired in 0u32..500,
            slots in proptest::collection::vec((0u32..100, any::<bool>()), 1..6),
        ) {
            let (clusters, shortfall) = placed(desired, &slots);
            let total: u32 = slots.iter().map(|(n, _)| n).sum();
            for (after, (before, healthy)) in clusters.iter().zip(&slots) {
                prop_assert!(*healthy || after == before);
                let with_the_rest = if desired >= total { after >= before } else { after <= before };
                prop_assert!(with_the_rest, "{before} -> {after} of {total} -> {desired}");
            }
            prop_assert!(clusters.iter().sum::<u32>() + shortfall >= desired);
            if slots.iter().all(|(_, healthy)| *healthy) {
                prop_assert_eq!(clusters.iter().sum::<u32>(), desired);
            }
        }
    }
}
