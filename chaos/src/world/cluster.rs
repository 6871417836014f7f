//! A cluster's nodes and the scheduler's one question: where does this pod fit?

use super::config::ClusterConfig;

/// The nodes of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    nodes: Vec<Node>,
    /// CPU of a whole node, in thousandths of a core.
    node_cpu: u64,
    /// Where the last pod was placed: the search goes on from there, so that pods spread.
    cursor: usize,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    up: bool,
    free: u64,
}

/// CPU in thousandths of a core: whole numbers add up without drift.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and `as` saturates"
)]
pub(super) fn millicores(cores: f64) -> u64 {
    (cores.max(0.0) * 1_000.0).round() as u64
}

impl Cluster {
    pub(super) fn new(config: &ClusterConfig) -> Self {
        let node_cpu = millicores(config.node_cpu);
        let node = Node { up: true, free: node_cpu };
        Self { nodes: (0..config.nodes).map(|_| node).collect(), node_cpu, cursor: 0 }
    }

    /// Takes room for a pod on the next node that has it.
    pub(super) fn place(&mut self, cpu: u64) -> Option<usize> {
        let count = self.nodes.len();
        let (late, early) = (self.cursor + 1..count, 0..(self.cursor + 1).min(count));
        for index in late.chain(early) {
            if let Some(node) = self.nodes.get_mut(index).filter(|node| node.up && node.free >= cpu) {
                node.free -= cpu;
                self.cursor = index;
                return Some(index);
            }
        }
        None
    }

    /// Gives the room of a pod back; nothing when its node is gone.
    pub(super) fn release(&mut self, node: usize, cpu: u64) {
        if let Some(node) = self.nodes.get_mut(node).filter(|node| node.up) {
            node.free = node.free.saturating_add(cpu).min(self.node_cpu);
        }
    }

    /// Loses the first `count` nodes that are up, and says which.
    pub(super) fn lose(&mut self, count: u32) -> Vec<usize> {
        let up = self.nodes.iter_mut().enumerate().filter(|(_, node)| node.up);
        up.take(count as usize)
            .map(|(index, node)| {
                *node = Node { up: false, free: 0 };
                index
            })
            .collect()
    }

    /// Brings lost nodes back, empty.
    pub(super) fn bring_back(&mut self, lost: &[usize]) {
        for &index in lost {
            if let Some(node) = self.nodes.get_mut(index).filter(|node| !node.up) {
                *node = Node { up: true, free: self.node_cpu };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_spread_until_no_node_has_room() {
        let mut cluster = Cluster::new(&ClusterConfig { nodes: 2, node_cpu: 2.0 });
        let placed: Vec<_> = (0..5).map(|_| cluster.place(1_000)).collect();
        assert_eq!(placed, [Some(1), Some(0), Some(1), Some(0), None]);
        cluster.release(0, 1_000);
        assert_eq!(cluster.place(1_000), Some(0));
    }

    #[test]
    fn a_lost_node_takes_nobody_until_it_is_back() {
        let mut cluster = Cluster::new(&ClusterConfig { nodes: 1, node_cpu: 1.0 });
        let lost = cluster.lose(3);
        assert_eq!((lost.as_slice(), cluster.place(500)), (&[0][..], None));
        cluster.bring_back(&lost);
        assert_eq!(cluster.place(500), Some(0));
    }

    #[test]
    fn a_cluster_without_nodes_places_nothing() {
        assert_eq!(Cluster::new(&ClusterConfig { nodes: 0, node_cpu: 1.0 }).place(1), None);
    }
}
