//! Lead time: how long a replica takes from being asked for to being ready, learned per workload and cluster.
//!
//! Every raise of `spec.replicas` is watched, whoever made it: the replica that makes k ready, where a raise had asked
//! for k, took as long as that raise is ago. A roll-out hides which replicas are new, so nothing is learned in one.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

use crate::{fleet::Instance, forecast::LONGEST, memory::InFlight, now::Mono};

/// What is taken until enough was seen: image pull, start and readiness of a usual service.
pub const UNTIL_LEARNED: Duration = Duration::from_mins(3);
/// Replicas that have to be seen becoming ready before they are believed: of fewer the slowest says little.
const ENOUGH: usize = 8;
/// Replicas that are remembered: the twentieth part of them is still three.
const REMEMBERED: usize = 64;
/// Raises that are watched at once; a service that is raised more often before any replica is ready keeps the newest.
const WATCHED: usize = 32;
/// A replica that took longer waited for room, not for its start.
const LONGEST_START: Duration = Duration::from_mins(LONGEST as u64);

/// What was learned of the lead time in one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LeadTime {
    /// Seconds that replicas took, oldest first.
    samples: VecDeque<u16>,
    /// What an earlier process had learned, until enough is seen again.
    kept: Option<Learned>,
    /// Raises whose replicas are not ready yet, oldest first.
    raises: VecDeque<Raise>,
    /// What was seen last: replicas wanted and ready.
    seen: Option<(u32, u32)>,
}

/// A raise of the replicas that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Raise {
    at: Mono,
    from: u32,
    to: u32,
}

/// A learned lead time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Learned {
    /// Half of the replicas were ready within this.
    pub p50: Duration,
    /// Nineteen of twenty were.
    pub p95: Duration,
    /// Replicas that say so.
    pub samples: u32,
}

impl LeadTime {
    /// What an earlier process had learned.
    #[must_use]
    pub fn kept(learned: Learned) -> Self {
        Self { kept: Some(learned), ..Self::default() }
    }

    /// Sees the target in a cluster; `write` is our own write that may have made the raise.
    pub fn see(&mut self, instance: &Instance, write: Option<&InFlight>, now: Mono) {
        let Instance { wanted, ready, rolling_out, .. } = *instance;
        let Some((wanted_before, ready_before)) = self.seen.replace((wanted, ready)) else { return };
        if rolling_out {
            self.raises.clear();
            return;
        }
        if wanted > wanted_before {
            let at = write.filter(|write| write.to == wanted).map_or(now, |write| write.at);
            self.raises.push_back(Raise { at, from: wanted_before, to: wanted });
            while self.raises.len() > WATCHED {
                self.raises.pop_front();
            }
        } else if wanted < wanted_before {
            // The replicas that are not ready yet are taken away first.
            for raise in &mut self.raises {
                raise.to = raise.to.min(wanted);
            }
        }
        for replica in ready_before.saturating_add(1)..=ready.min(wanted) {
            let asked = self.raises.iter().find(|raise| raise.from < replica && replica <= raise.to);
            if let Some(raise) = asked {
                self.learn(now.since(raise.at));
            }
        }
        self.raises.retain(|raise| raise.from < raise.to && ready < raise.to);
    }

    fn learn(&mut self, took: Duration) {
        if took > LONGEST_START {
            return;
        }
        self.samples.push_back(u16::try_from(took.as_secs()).unwrap_or(u16::MAX));
        while self.samples.len() > REMEMBERED {
            self.samples.pop_front();
        }
    }

    /// What was learned; `None` until it is enough.
    #[must_use]
    pub fn learned(&self) -> Option<Learned> {
        if self.samples.len() < ENOUGH {
            return self.kept;
        }
        let mut sorted: Vec<u16> = self.samples.iter().copied().collect();
        sorted.sort_unstable();
        // The smallest sample that so many of a hundred are not above.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).map_or(Duration::ZERO, |seconds| Duration::from_secs((*seconds).into()))
        };
        let samples = u32::try_from(self.samples.len()).unwrap_or(u32::MAX);
        Some(Learned { p50: at(50), p95: at(95), samples })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{fleet::ObjectVersion, reading::Doubt};

    fn target(wanted: u32, ready: u32) -> Instance {
        Instance {
            wanted,
            current: wanted,
            ready,
            rolling_out: false,
            version: ObjectVersion { uid: String::new(), resource_version: String::new() },
            template: None,
            footprint: None,
            cpu: None,
            load: Err(Doubt::AbsentSeries),
            burst: None,
        }
    }

    fn at(seconds: u64) -> Mono {
        Mono(Duration::from_secs(seconds))
    }

    /// Adds one replica a minute, each ready after what `took` says, in steps of five seconds.
    fn raises(count: u32, took: impl Fn(u32) -> u64) -> LeadTime {
        let mut lead = LeadTime::default();
        for second in (0..u64::from(count) * 60 + 2_000).step_by(5) {
            let wanted = 2 + u32::try_from(second / 60).unwrap().min(count);
            let ready = 2 + (1..=count).take_while(|n| u64::from(*n) * 60 + took(*n) <= second).count();
            lead.see(&target(wanted, u32::try_from(ready).unwrap()), None, at(second));
        }
        lead
    }

    #[test]
    fn replicas_that_become_ready_tell_how_long_they_took() {
        // Given twenty replicas of which every fifth takes twice as long,
        let lead = raises(20, |n| if n == 20 { 240 } else { 120 });
        // then half of them are ready within two minutes, and nineteen of twenty as well.
        let learned = lead.learned().unwrap();
        assert_eq!(
            learned,
            Learned { p50: Duration::from_mins(2), p95: Duration::from_mins(2), samples: 20 }
        );
        let lead = raises(20, |n| if n > 15 { 240 } else { 120 });
        assert_eq!(lead.learned().unwrap().p95, Duration::from_mins(4));
    }

    #[test]
    fn a_few_replicas_say_nothing_and_what_was_kept_stands_until_there_are_more() {
        assert_eq!(raises(7, |_| 120).learned(), None);
        let kept = Learned { p50: Duration::from_mins(1), p95: Duration::from_secs(90), samples: 64 };
        assert_eq!(LeadTime::kept(kept).learned(), Some(kept));
    }

    #[test]
    fn a_crash_a_roll_out_and_a_wait_for_room_teach_nothing() {
        // Given ten replicas of which one crashes and comes back,
        let mut lead = LeadTime::default();
        for (second, ready) in [(0, 10), (5, 9), (300, 10)] {
            lead.see(&target(10, ready), None, at(second));
        }
        assert!(lead.samples.is_empty());
        // when ten are asked for in the middle of a roll-out, or come only after hours, nothing is learned either.
        lead.see(&target(20, 10), None, at(305));
        lead.see(&Instance { rolling_out: true, ..target(20, 12) }, None, at(400));
        lead.see(&target(20, 20), None, at(500));
        assert!(lead.samples.is_empty());
        lead.see(&target(30, 20), None, at(505));
        lead.see(&target(30, 30), None, at(505 + 3_601));
        assert!(lead.samples.is_empty() && lead.raises.is_empty());
    }

    #[test]
    fn our_own_write_counts_from_the_moment_of_the_write() {
        let write = InFlight {
            at: at(90),
            from: 2,
            accepted: 2,
            to: 12,
            resource_version: String::new(),
            confirmed: true,
        };
        let mut lead = LeadTime::default();
        lead.see(&target(2, 2), None, at(90));
        lead.see(&target(12, 2), Some(&write), at(95));
        lead.see(&target(12, 12), None, at(150));
        assert_eq!(lead.learned().unwrap().p50, Duration::from_mins(1));
    }

    #[test]
    fn a_scale_in_takes_the_wait_for_what_it_removes_away() {
        let mut lead = LeadTime::default();
        lead.see(&target(2, 2), None, at(0));
        lead.see(&target(12, 2), None, at(5));
        lead.see(&target(4, 2), None, at(60));
        // Asked for again, they count from then.
        lead.see(&target(12, 4), None, at(1_000));
        lead.see(&target(12, 12), None, at(1_030));
        let samples: Vec<_> = lead.samples.iter().copied().collect();
        assert_eq!(samples, [995, 995, 30, 30, 30, 30, 30, 30, 30, 30]);
    }

    proptest! {
        #[test]
        fn whatever_is_seen_it_stays_small_and_in_order(
            seen in prop::collection::vec((0..300_u32, 0..300_u32, any::<bool>(), 1..4_000_u64), 1..200)
        ) {
            let (mut lead, mut second) = (LeadTime::default(), 0);
            for (wanted, ready, rolling_out, passed) in seen {
                second += passed;
                lead.see(&Instance { rolling_out, ..target(wanted, ready) }, None, at(second));
                prop_assert!(lead.samples.len() <= REMEMBERED && lead.raises.len() <= WATCHED);
                if let Some(learned) = lead.learned() {
                    prop_assert!(learned.p50 <= learned.p95 && learned.p95 <= LONGEST_START);
                }
            }
        }
    }
}
