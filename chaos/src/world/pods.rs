//! The pods of one workload in one cluster: created, placed, started, ready, replaced, deleted.
//!
//! ```text
//! wanted ─> created ─> Pending ──placed──> starting ──start-up time──> Ready
//!                        └ no node has room          scale-in takes them from the left
//! ```

use std::time::Duration;

use super::{
    chance::Chance,
    cluster::{Cluster, millicores},
    config::{StartUp, WorkloadConfig},
};

/// The pods of one workload in one cluster.
#[derive(Debug, Clone)]
pub(super) struct Pods {
    all: Vec<Pod>,
    cpu: u64,
    start_up: StartUp,
    chance: Chance,
    template: u32,
    ready: u32,
    /// Nothing can change by itself: every pod is ready, of the newest template, and none is missing.
    settled: bool,
}

#[derive(Debug, Clone, Copy)]
struct Pod {
    template: u32,
    node: Option<usize>,
    ready_at: Option<Duration>,
    created: Duration,
}

impl Pod {
    fn is_ready(&self, now: Duration) -> bool {
        self.ready_at.is_some_and(|at| at <= now)
    }
}

impl Pods {
    pub(super) fn new(config: &WorkloadConfig, chance: Chance) -> Self {
        Self {
            all: Vec::new(),
            cpu: millicores(config.pod_cpu),
            start_up: config.start_up,
            chance,
            template: 0,
            ready: 0,
            settled: false,
        }
    }

    /// CPU that one pod asks for, in thousandths of a core.
    pub(super) fn cpu_request(&self) -> u32 {
        u32::try_from(self.cpu).unwrap_or(u32::MAX)
    }

    /// Pods that exist.
    pub(super) fn current(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(u32::MAX)
    }

    /// Pods that are ready, as of the last [`Pods::advance`].
    pub(super) fn ready(&self) -> u32 {
        self.ready
    }

    /// The template of new pods.
    pub(super) fn template(&self) -> u64 {
        u64::from(self.template)
    }

    /// Whether pods of an older template exist.
    pub(super) fn rolling_out(&self) -> bool {
        self.all.iter().any(|pod| pod.template != self.template)
    }

    /// Pods that no node has room for.
    pub(super) fn pending(&self) -> u32 {
        u32::try_from(self.all.iter().filter(|pod| pod.node.is_none()).count()).unwrap_or(u32::MAX)
    }

    /// Starts with every wanted pod that fits already ready.
    pub(super) fn begin(&mut self, wanted: u32, cluster: &mut Cluster) {
        self.advance(Duration::ZERO, wanted, cluster);
        for pod in self.all.iter_mut().filter(|pod| pod.node.is_some()) {
            pod.ready_at = Some(Duration::ZERO);
        }
        self.settled = false;
        self.advance(Duration::ZERO, wanted, cluster);
    }

    /// Moves the pods to `now`.
    pub(super) fn advance(&mut self, now: Duration, wanted: u32, cluster: &mut Cluster) {
        if self.settled && self.current() == wanted {
            return;
        }
        if self.rolling_out() {
            self.roll(now, wanted, cluster);
        } else {
            self.resize(now, wanted, cluster);
        }
        for pod in self.all.iter_mut().filter(|pod| pod.node.is_none()) {
            let Some(node) = cluster.place(self.cpu) else { break };
            pod.node = Some(node);
            pod.ready_at = Some(now.saturating_add(draw(self.start_up, &mut self.chance)));
        }
        let ready = self.all.iter().filter(|pod| pod.is_ready(now)).count();
        self.ready = u32::try_from(ready).unwrap_or(u32::MAX);
        self.settled = self.ready == wanted && self.current() == wanted && !self.rolling_out();
    }

    /// Begins to roll out a new template.
    pub(super) fn roll_out(&mut self) {
        self.template = self.template.wrapping_add(1);
        self.settled = false;
    }

    /// Removes `percent` of the pods, rounded up, chosen by chance; their controller replaces them.
    pub(super) fn kill(&mut self, percent: u32, cluster: &mut Cluster) {
        let percent = usize::try_from(percent.min(100)).unwrap_or(100);
        for _ in 0..(self.all.len() * percent).div_ceil(100) {
            let victim = self.chance.below(self.all.len());
            self.remove(victim, cluster);
        }
    }

    /// Removes the pods on lost nodes.
    pub(super) fn lose_nodes(&mut self, lost: &[usize]) {
        self.all.retain(|pod| pod.node.is_none_or(|node| !lost.contains(&node)));
        self.settled = false;
    }

    fn resize(&mut self, now: Duration, wanted: u32, cluster: &mut Cluster) {
        while self.current() < wanted {
            self.create(now);
        }
        while self.current() > wanted {
            match self.least_useful(now, |_| true) {
                Some(index) => self.remove(index, cluster),
                None => break,
            }
        }
    }

    /// One step of a rolling update with Kubernetes' defaults: 25 % surge (rounded up), 25 % unavailable
    /// (rounded down).
    fn roll(&mut self, now: Duration, wanted: u32, cluster: &mut Cluster) {
        let most = wanted.saturating_add(wanted.div_ceil(4));
        let fewest = wanted.saturating_sub(wanted / 4);
        let template = self.template;
        let fresh = |pods: &[Pod]| pods.iter().filter(|pod| pod.template == template).count();
        while self.current() < most && fresh(&self.all) < wanted as usize {
            self.create(now);
        }
        while let Some(index) = self.least_useful(now, |pod| pod.template != template) {
            let available = self.all.iter().filter(|pod| pod.is_ready(now)).count();
            let loses = self.all.get(index).is_some_and(|pod| pod.is_ready(now));
            if loses && available <= fewest as usize {
                break;
            }
            self.remove(index, cluster);
        }
        while self.current() > most {
            match self.least_useful(now, |_| true) {
                Some(index) => self.remove(index, cluster),
                None => break,
            }
        }
    }

    /// The pod that a scale-in takes first: not placed, then not ready, then the youngest.
    fn least_useful(&self, now: Duration, of: impl Fn(&Pod) -> bool) -> Option<usize> {
        let pods = self.all.iter().enumerate().filter(|(_, pod)| of(pod));
        pods.max_by_key(|(_, pod)| (pod.node.is_none(), !pod.is_ready(now), pod.created)).map(|(i, _)| i)
    }

    fn create(&mut self, now: Duration) {
        self.all.push(Pod { template: self.template, node: None, ready_at: None, created: now });
        self.settled = false;
    }

    fn remove(&mut self, index: usize, cluster: &mut Cluster) {
        if index < self.all.len() {
            let pod = self.all.swap_remove(index);
            if let Some(node) = pod.node {
                cluster.release(node, self.cpu);
            }
            self.settled = false;
        }
    }
}

/// Draws a start-up time: log-logistic through its median and 95th percentile, at most ten times the latter.
fn draw(start_up: StartUp, chance: &mut Chance) -> Duration {
    let (median, p95) = (start_up.median.as_secs_f64(), start_up.p95.as_secs_f64());
    let u = chance.uniform();
    if median <= 0.0 || p95 <= median {
        return start_up.median;
    }
    let shape = 19.0_f64.ln() / (p95 / median).ln();
    let seconds = median * (u / (1.0 - u)).powf(shape.recip());
    Duration::from_secs_f64(seconds.min(10.0 * p95))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{
        chance::Topic,
        config::ClusterConfig,
        service::ServiceModel,
        traffic::{Shape, Traffic},
    };

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pods(start_up: u64) -> (Pods, Cluster) {
        let config = WorkloadConfig {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: "shop".into(),
            name: "checkout".into(),
            replicas: [("local".to_owned(), 4)].into(),
            pod_cpu: 1.0,
            start_up: StartUp { median: s(start_up), p95: s(start_up) },
            service: ServiceModel::plain(100.0),
            traffic: Traffic::plain(Shape::Constant { rate: 1.0 }),
            measured_at: super::super::config::MeasuredAt::Pods,
            objective: super::super::config::Objective::default(),
        };
        let mut cluster = Cluster::new(&ClusterConfig { nodes: 2, node_cpu: 4.0 });
        let mut pods = Pods::new(&config, Chance::new(1, Topic::Pods, 0));
        pods.begin(4, &mut cluster);
        (pods, cluster)
    }

    #[test]
    fn new_pods_are_ready_only_after_their_start_up_time() {
        let (mut pods, mut cluster) = pods(30);
        pods.advance(s(1), 6, &mut cluster);
        assert_eq!((pods.current(), pods.ready()), (6, 4));
        pods.advance(s(30), 6, &mut cluster);
        assert_eq!(pods.ready(), 4);
        pods.advance(s(31), 6, &mut cluster);
        assert_eq!(pods.ready(), 6);
    }

    #[test]
    fn pods_that_do_not_fit_stay_pending_until_there_is_room() {
        let (mut pods, mut cluster) = pods(0);
        pods.advance(s(1), 10, &mut cluster);
        assert_eq!((pods.current(), pods.pending(), pods.ready()), (10, 2, 8));
        pods.advance(s(2), 9, &mut cluster);
        assert_eq!((pods.current(), pods.pending(), pods.ready()), (9, 1, 8), "the pending one goes first");
    }

    #[test]
    fn a_scale_in_takes_pods_that_are_not_ready_first() {
        let (mut pods, mut cluster) = pods(60);
        pods.advance(s(1), 8, &mut cluster);
        pods.advance(s(2), 5, &mut cluster);
        assert_eq!((pods.current(), pods.ready()), (5, 4));
    }

    #[test]
    fn a_roll_out_never_leaves_too_few_ready_pods() {
        let (mut pods, mut cluster) = pods(10);
        pods.roll_out();
        let mut fewest = pods.ready();
        for t in 1..60 {
            pods.advance(s(t), 4, &mut cluster);
            fewest = fewest.min(pods.ready());
        }
        assert_eq!((fewest, pods.ready(), pods.rolling_out()), (3, 4, false));
    }

    #[test]
    fn killed_pods_are_replaced() {
        let (mut pods, mut cluster) = pods(10);
        pods.kill(50, &mut cluster);
        pods.advance(s(1), 4, &mut cluster);
        assert_eq!((pods.current(), pods.ready()), (4, 2));
        pods.advance(s(11), 4, &mut cluster);
        assert_eq!(pods.ready(), 4);
    }
}
