//! Which workload a pod belongs to, by owner references and never by its name.
//!
//! ```text
//! Pod shop/checkout-7d9f-x2 --> ReplicaSet shop/checkout-7d9f --> Deployment checkout
//! Pod shop/db-0             --> StatefulSet db
//! ```
//!
//! The watch of a cluster's pods and ReplicaSets feeds it; only policies whose profile identifies by pod ask it, and
//! until the first of them does, nothing is watched.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use loadline_policies::ids::ClusterId;
use tokio::sync::watch;

/// How many owners up the chain are followed: Pod, ReplicaSet, Deployment, and one custom kind above.
const MAX_CHAIN: usize = 4;

/// The controller of an object, from its owner references (the one with `controller: true`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Its kind, for example `ReplicaSet`.
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Owner {
    /// An owner by kind and name.
    #[must_use]
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: Arc::from(kind), name: Arc::from(name) }
    }
}

/// The owners of pods and of the objects between pods and workloads, in one cluster.
#[derive(Debug, Clone, Default)]
pub struct PodOwners {
    /// By namespace, then pod.
    pods: HashMap<Box<str>, HashMap<Box<str>, Owner>>,
    /// Owners of owners (of ReplicaSets), by namespace, then owner.
    owners: HashMap<Box<str>, HashMap<Owner, Owner>>,
}

impl PodOwners {
    /// A pod was seen; `controller` is its controlling owner, if it has one.
    pub fn pod_seen(&mut self, namespace: &str, pod: &str, controller: Option<Owner>) {
        match controller {
            Some(owner) => {
                self.pods.entry(namespace.into()).or_default().insert(pod.into(), owner);
            }
            None => self.pod_gone(namespace, pod),
        }
    }

    /// A pod is gone.
    pub fn pod_gone(&mut self, namespace: &str, pod: &str) {
        if let Some(pods) = self.pods.get_mut(namespace) {
            pods.remove(pod);
        }
    }

    /// An object between pods and workloads (a ReplicaSet) was seen, with its controlling owner.
    pub fn owner_seen(&mut self, namespace: &str, object: Owner, controller: Option<Owner>) {
        match controller {
            Some(owner) => {
                self.owners.entry(namespace.into()).or_default().insert(object, owner);
            }
            None => self.owner_gone(namespace, &object),
        }
    }

    /// Such an object is gone.
    pub fn owner_gone(&mut self, namespace: &str, object: &Owner) {
        if let Some(owners) = self.owners.get_mut(namespace) {
            owners.remove(object);
        }
    }

    /// The workload at the top of a pod's chain of owners.
    #[must_use]
    pub fn workload_of(&self, namespace: &str, pod: &str) -> Option<&Owner> {
        let mut owner = self.pods.get(namespace)?.get(pod)?;
        let above = self.owners.get(namespace);
        for _ in 0..MAX_CHAIN {
            match above.and_then(|o| o.get(owner)) {
                Some(next) => owner = next,
                None => break,
            }
        }
        Some(owner)
    }
}

/// The pods of all clusters, shared between the watches that feed it and the telemetry that asks it.
#[derive(Debug, Clone, Default)]
pub struct SharedPodOwners(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    clusters: RwLock<HashMap<ClusterId, PodOwners>>,
    wanted: watch::Sender<bool>,
}

impl SharedPodOwners {
    /// Says that somebody asks: from now on the watches run.
    pub fn want(&self) {
        self.0.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
    }

    /// Waits until somebody asks.
    pub async fn wanted(&self) {
        // The sender is in `self`, so it cannot be gone.
        let _ = self.0.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }

    /// Changes what is known of one cluster.
    pub fn update(&self, cluster: &ClusterId, change: impl FnOnce(&mut PodOwners)) {
        // A writer that panicked left single entries old at worst; every entry is whole.
        let mut clusters = self.0.clusters.write().unwrap_or_else(PoisonError::into_inner);
        change(clusters.entry(cluster.clone()).or_default());
    }

    /// Reads all clusters at one moment.
    pub fn read<R>(&self, read: impl FnOnce(&HashMap<ClusterId, PodOwners>) -> R) -> R {
        read(&self.0.clusters.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_belongs_to_the_top_of_its_chain_of_owners() {
        let mut owners = PodOwners::default();
        let set = Owner::new("ReplicaSet", "checkout-7d9f");
        owners.pod_seen("shop", "checkout-7d9f-x2", Some(set.clone()));
        owners.pod_seen("shop", "db-0", Some(Owner::new("StatefulSet", "db")));
        // the ReplicaSet was not seen yet: the pod is nobody's that a policy could name by Deployment
        assert_eq!(owners.workload_of("shop", "checkout-7d9f-x2"), Some(&set));
        owners.owner_seen("shop", set, Some(Owner::new("Deployment", "checkout")));
        assert_eq!(
            owners.workload_of("shop", "checkout-7d9f-x2"),
            Some(&Owner::new("Deployment", "checkout"))
        );
        assert_eq!(owners.workload_of("shop", "db-0"), Some(&Owner::new("StatefulSet", "db")));
    }

    #[test]
    fn names_are_never_guessed_and_namespaces_never_mixed() {
        let mut owners = PodOwners::default();
        owners.pod_seen("shop", "checkout-7d9f-x2", None);
        owners.pod_seen("bank", "checkout-7d9f-x2", Some(Owner::new("Job", "checkout-7d9f")));
        assert_eq!(owners.workload_of("shop", "checkout-7d9f-x2"), None);
        assert_eq!(owners.workload_of("shop", "unknown"), None);
        owners.pod_gone("bank", "checkout-7d9f-x2");
        assert_eq!(owners.workload_of("bank", "checkout-7d9f-x2"), None);
    }

    #[tokio::test]
    async fn the_watches_wait_until_somebody_asks() {
        let owners = SharedPodOwners::default();
        let watching = tokio::spawn({
            let owners = owners.clone();
            async move { owners.wanted().await }
        });
        tokio::task::yield_now().await;
        assert!(!watching.is_finished());
        owners.want();
        watching.await.unwrap();
        // Who comes later need not wait.
        owners.wanted().await;
    }

    #[test]
    fn owners_that_own_each_other_do_not_loop() {
        let (a, b) = (Owner::new("A", "a"), Owner::new("B", "b"));
        let mut owners = PodOwners::default();
        owners.pod_seen("n", "p", Some(a.clone()));
        owners.owner_seen("n", a.clone(), Some(b.clone()));
        owners.owner_seen("n", b, Some(a));
        assert!(owners.workload_of("n", "p").is_some());
    }
}
