//! The schedule of faults as it unfolds: what begins, what stays, what ends.

use std::time::Duration;

use loadline_policies::ids::ClusterId;

use super::{
    World,
    event::Event,
    fault::{Fault, FaultKind},
    workload::Instance,
};

/// Faults that are still to come, and those in effect.
#[derive(Debug, Clone, Default)]
pub(super) struct Schedule {
    /// Latest first, so that the next one is popped.
    coming: Vec<Fault>,
    active: Vec<Fault>,
    /// Nodes that an active fault of a cluster took, to be given back at this time.
    lost: Vec<(Duration, ClusterId, Vec<usize>)>,
}

/// Time between two writes of a fighting writer.
const FIGHT: Duration = Duration::from_secs(30);

impl Schedule {
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        // Stable: of two faults at the same time the first in the file comes first.
        faults.sort_by_key(|fault| fault.at);
        faults.reverse();
        Self { coming: faults, ..Self::default() }
    }

    pub(super) fn active(&self) -> &[Fault] {
        &self.active
    }

    fn begin(&mut self, now: Duration) -> Vec<Fault> {
        let mut begun = Vec::new();
        while let Some(fault) = self.coming.pop_if(|fault| fault.at <= now) {
            if fault.end() > now {
                self.active.push(fault.clone());
            }
            begun.push(fault);
        }
        begun
    }

    fn end(&mut self, now: Duration) -> Vec<Fault> {
        self.active.extract_if(.., |fault| fault.end() <= now).collect()
    }
}

impl World {
    /// Schedules one more fault.
    pub fn inject(&mut self, fault: Fault) {
        let at = self.faults.coming.partition_point(|other| other.at > fault.at);
        self.faults.coming.insert(at, fault);
    }

    /// Ends and begins what is due at this step.
    pub(super) fn unfold(&mut self) {
        let now = self.elapsed;
        for fault in self.faults.end(now) {
            self.finish(&fault);
        }
        for fault in self.faults.begin(now) {
            self.tell(fault.workload.clone(), fault.fault.story());
            self.start(&fault);
        }
        self.bring_nodes_back();
        self.fight();
    }

    fn tell(&mut self, workload: Option<String>, text: String) {
        self.events.push(Event { at: self.elapsed, workload, text });
    }

    fn start(&mut self, fault: &Fault) {
        match fault.fault {
            FaultKind::PodKill { percent } => self.each(fault, |instance, cluster| {
                instance.pods.kill(percent, cluster);
            }),
            FaultKind::RollOut => self.each(fault, |instance, _| instance.pods.roll_out()),
            FaultKind::ScaleByHand { to } => self.each(fault, |instance, _| {
                instance.wanted = instance.wanted.map(|_| to);
            }),
            FaultKind::TargetDeleted => self.each(fault, |instance, _| instance.wanted = None),
            FaultKind::NodeLoss { nodes } => self.lose_nodes(fault, nodes),
            FaultKind::ApiDark => self.darken(fault),
            // The others only change what is read, asked or answered while they are active.
            _ => {}
        }
    }

    fn finish(&mut self, fault: &Fault) {
        match fault.fault {
            FaultKind::TargetDeleted => {
                let first: Vec<_> = self.workloads.iter().map(|w| w.config.replicas.clone()).collect();
                for (workload, replicas) in self.workloads.iter_mut().zip(first) {
                    let target = workload.target.clone();
                    for (id, instance) in
                        workload.instances.iter_mut().filter(|(id, _)| fault.hits(id, &target))
                    {
                        instance.wanted = replicas.get(id.as_str()).copied();
                        instance.made += 1;
                    }
                }
            }
            FaultKind::ApiDark => {
                let active = &self.faults.active;
                self.remembered.retain(|id, _| {
                    active.iter().any(|f| f.fault == FaultKind::ApiDark && f.hits_cluster(id))
                });
            }
            _ => {}
        }
        self.tell(fault.workload.clone(), format!("over: {}", fault.fault.story()));
    }

    fn each(&mut self, fault: &Fault, mut act: impl FnMut(&mut Instance, &mut super::cluster::Cluster)) {
        for workload in &mut self.workloads {
            let target = workload.target.clone();
            for (id, instance) in workload.instances.iter_mut().filter(|(id, _)| fault.hits(id, &target)) {
                if let Some(cluster) = self.clusters.get_mut(id) {
                    act(instance, cluster);
                    instance.touch();
                }
            }
        }
    }

    fn lose_nodes(&mut self, fault: &Fault, nodes: u32) {
        for (id, cluster) in self.clusters.iter_mut().filter(|(id, _)| fault.hits_cluster(id)) {
            let lost = cluster.lose(nodes);
            for instance in self.workloads.iter_mut().filter_map(|w| w.instances.get_mut(id)) {
                instance.pods.lose_nodes(&lost);
            }
            self.faults.lost.push((fault.end(), id.clone(), lost));
        }
    }

    fn bring_nodes_back(&mut self) {
        let now = self.elapsed;
        for (_, id, lost) in self.faults.lost.extract_if(.., |(until, ..)| *until <= now) {
            if let Some(cluster) = self.clusters.get_mut(&id) {
                cluster.bring_back(&lost);
            }
        }
    }

    fn darken(&mut self, fault: &Fault) {
        let ids: Vec<_> = self.clusters.keys().filter(|id| fault.hits_cluster(id)).cloned().collect();
        for id in ids {
            let seen = self.seen_in(&id).collect();
            // A cluster that is dark already keeps showing what was seen first.
            self.remembered.entry(id).or_insert(seen);
        }
    }

    fn fight(&mut self) {
        let rounds = |since: Duration| since.as_secs() / FIGHT.as_secs();
        let (now, step) = (self.elapsed, self.config.resolution);
        let due = |fault: &Fault| {
            let since = now.saturating_sub(fault.at);
            since < step || rounds(since) > rounds(since.saturating_sub(step))
        };
        let fights: Vec<(Fault, u32)> = self
            .faults
            .active
            .iter()
            .filter_map(|f| match f.fault {
                FaultKind::ScaleFight { to } if due(f) => Some((f.clone(), to)),
                _ => None,
            })
            .collect();
        for (fault, to) in fights {
            self.each(&fault, |instance, _| instance.wanted = instance.wanted.map(|_| to));
        }
    }
}
