//! What a cluster of the rig is made of, as the files that kwokctl reads.

use std::time::Duration;

use crate::ports::{Ports, PortsError};

/// What a cluster is like.
#[derive(Debug, Clone)]
pub struct Options {
    /// Fake nodes.
    pub nodes: u32,
    /// CPUs of each node.
    pub cpus_per_node: u32,
    /// Pods that each node takes.
    pub pods_per_node: u32,
    /// How long a pod takes from being bound to a node to being ready.
    pub start_delay: Duration,
    /// The most that a start takes; each pod draws its own between the two.
    pub start_until: Duration,
    /// What the API server's audit log holds.
    pub audit: Audit,
    /// Whether the control plane may work as fast as it can (its clients are limited to 20–50 requests a
    /// second otherwise); for scale tests.
    pub no_qps_limits: bool,
    /// Whether Loadline's CRDs are installed.
    pub crds: bool,
}

/// What the API server's audit log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audit {
    /// Nothing: there is none.
    #[default]
    Off,
    /// Every write of a person or an operator, with its body.
    Writes,
    /// Which writes the ServiceAccounts of the operator's namespace made, and when, without their bodies: of a
    /// fleet of thousands everything would be a gigabyte.
    Operators,
}

impl Audit {
    /// The policy to give to the API server.
    pub(super) fn policy(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Writes => Some(include_str!("audit.yaml")),
            Self::Operators => Some(include_str!("audit-operators.yaml")),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 10,
            cpus_per_node: 32,
            pods_per_node: 110,
            start_delay: Duration::ZERO,
            start_until: Duration::ZERO,
            audit: Audit::Off,
            no_qps_limits: false,
            crds: true,
        }
    }
}

impl Options {
    /// Every pod takes exactly this long to start.
    #[must_use]
    pub fn start_delay(mut self, delay: Duration) -> Self {
        (self.start_delay, self.start_until) = (delay, delay);
        self
    }

    /// With an audit log of all writes.
    #[must_use]
    pub fn audited(mut self) -> Self {
        self.audit = Audit::Writes;
        self
    }

    /// With this many nodes of this many CPUs.
    #[must_use]
    pub fn nodes(mut self, nodes: u32, cpus_per_node: u32) -> Self {
        (self.nodes, self.cpus_per_node) = (nodes, cpus_per_node);
        self
    }

    /// kwokctl's configuration: what has no flag, and the stages.
    pub(super) fn kwok_config(&self, ports: &ClusterPorts) -> String {
        let stages = include_str!("stages.yaml")
            .replace("START_DELAY_MS", &self.start_delay.as_millis().to_string())
            .replace("START_UNTIL_MS", &self.start_until.max(self.start_delay).as_millis().to_string());
        let ClusterPorts { api, etcd, etcd_peer, controller_manager, scheduler, kwok } = ports;
        format!(
            "apiVersion: config.kwok.x-k8s.io/v1alpha1\n\
             kind: KwokctlConfiguration\n\
             options:\n  \
               runtime: binary\n  \
               bindAddress: 127.0.0.1\n  \
               kubeApiserverPort: {api}\n  \
               etcdPort: {etcd}\n  \
               etcdPeerPort: {etcd_peer}\n  \
               kubeControllerManagerPort: {controller_manager}\n  \
               kubeSchedulerPort: {scheduler}\n  \
               kwokControllerPort: {kwok}\n  \
               disableQPSLimits: {}\n\
             ---\n{stages}",
            self.no_qps_limits
        )
    }
}

/// The ports of a cluster's components.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClusterPorts {
    pub(super) api: u16,
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) controller_manager: u16,
    pub(super) scheduler: u16,
    pub(super) kwok: u16,
}

impl ClusterPorts {
    pub(super) fn take(ports: &mut Ports) -> Result<Self, PortsError> {
        Ok(Self {
            api: ports.give()?,
            etcd: ports.give()?,
            etcd_peer: ports.give()?,
            controller_manager: ports.give()?,
            scheduler: ports.give()?,
            kwok: ports.give()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_delay_reaches_the_stage_of_the_pods() {
        let ports = ClusterPorts::take(&mut Ports::take().unwrap()).unwrap();
        let text = Options::default().start_delay(Duration::from_millis(1_500)).kwok_config(&ports);
        assert!(text.contains("durationMilliseconds: 1500\n"), "{text}");
        assert!(text.contains("jitterDurationMilliseconds: 1500\n"), "{text}");
        assert!(!text.contains("_MS"), "every placeholder is filled");
        let documents = text.split("\n---\n").count();
        assert_eq!(documents, 6, "the configuration and five stages");
    }
}
