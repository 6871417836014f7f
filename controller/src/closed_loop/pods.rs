//! The replicas of a workload in the closed loop: each is ready a lead time after it was asked for.

use std::collections::VecDeque;

/// Replicas, in steps of simulated time.
#[derive(Debug, Clone)]
pub(super) struct Pods {
    spec: u32,
    ready: u32,
    /// `(step at which they are ready, how many)`, oldest first.
    starting: VecDeque<(usize, u32)>,
    /// Steps from asking for a replica until it is ready.
    lead: usize,
}

impl Pods {
    /// So many, all of them ready.
    pub(super) const fn new(replicas: u32, lead: usize) -> Self {
        Self { spec: replicas, ready: replicas, starting: VecDeque::new(), lead }
    }

    /// Replicas asked for.
    pub(super) const fn spec(&self) -> u32 {
        self.spec
    }

    /// Replicas that are ready.
    pub(super) const fn ready(&self) -> u32 {
        self.ready
    }

    /// Time goes on to `step`: those that are done starting are ready.
    pub(super) fn advance(&mut self, step: usize) {
        while let Some(&(at, n)) = self.starting.front() {
            if at > step {
                break;
            }
            self.ready += n;
            self.starting.pop_front();
        }
    }

    /// Asks for so many at `step`. Of too many, those that are not ready go first, the youngest before all others.
    pub(super) fn scale(&mut self, step: usize, replicas: u32) {
        if replicas > self.spec {
            self.starting.push_back((step + self.lead, replicas - self.spec));
        }
        let mut superfluous = self.spec.saturating_sub(replicas);
        while superfluous > 0 {
            let Some((_, n)) = self.starting.back_mut() else { break };
            let gone = superfluous.min(*n);
            *n -= gone;
            superfluous -= gone;
            if *n == 0 {
                self.starting.pop_back();
            }
        }
        self.ready -= superfluous.min(self.ready);
        self.spec = replicas;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_ready_a_lead_time_after_it_was_asked_for() {
        let mut pods = Pods::new(2, 12);
        pods.scale(5, 6);
        pods.advance(16);
        assert_eq!((pods.spec(), pods.ready()), (6, 2));
        pods.advance(17);
        assert_eq!((pods.spec(), pods.ready()), (6, 6));
    }

    #[test]
    fn a_scale_in_cancels_the_youngest_that_are_not_ready_first() {
        let mut pods = Pods::new(4, 12);
        pods.scale(0, 6);
        pods.scale(1, 9);
        pods.scale(2, 5);
        assert_eq!((pods.spec(), pods.ready()), (5, 4));
        pods.advance(12);
        assert_eq!(pods.ready(), 5);
        pods.scale(13, 3);
        assert_eq!((pods.spec(), pods.ready()), (3, 3));
    }
}
