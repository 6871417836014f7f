//! Which workload a pod belongs to: the watches that feed the telemetry's index of owners.

use std::{collections::HashSet, fmt};

use futures::StreamExt as _;
use k8s_openapi::{
    api::{apps::v1::ReplicaSet, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use loadline_policies::ids::ClusterId;
use tokio::task::JoinSet;

use super::{store::Trouble, watch::trouble};
use crate::observe::prometheus::pod_owners::{Owner, PodOwners, SharedPodOwners};

/// Watches the metadata of pods and ReplicaSets into `owners`, from the moment when a policy first needs them: the
/// pods of a large cluster are many.
pub fn watch_owners(client: &Client, owners: &SharedPodOwners, tasks: &mut JoinSet<()>) {
    let cluster = ClusterId::local();
    tasks.spawn(follow::<Pod>(client.clone(), cluster.clone(), owners.clone(), pod));
    tasks.spawn(follow::<ReplicaSet>(client.clone(), cluster, owners.clone(), replica_set));
}

/// How one object changes the index; the flag says whether it is there.
type Note = fn(&mut PodOwners, &str, &str, Option<Owner>, bool);

async fn follow<K>(client: Client, cluster: ClusterId, owners: SharedPodOwners, note: Note)
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + Send + Sync + 'static,
{
    owners.wanted().await;
    tracing::info!(kind = %K::kind(&()), "watched from now on: a policy's telemetry tells pods and no workloads");
    let api: Api<PartialObjectMeta<K>> = Api::all(client);
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    // What is there, and what a new list has shown so far: an object that went away while the watch was
    // interrupted is only missed in the list.
    let (mut there, mut listed) = (HashSet::new(), HashSet::new());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => {
                listed.extend(key(&object.metadata));
                tell(&cluster, &owners, &object.metadata, note);
            }
            Ok(Event::InitDone) => {
                let gone: Vec<Key> = there.difference(&listed).cloned().collect();
                owners.update(&cluster, |index| {
                    for (namespace, name) in &gone {
                        note(index, namespace, name, None, false);
                    }
                });
                there = std::mem::take(&mut listed);
            }
            Ok(Event::Apply(object)) => {
                there.extend(key(&object.metadata));
                tell(&cluster, &owners, &object.metadata, note);
            }
            Ok(Event::Delete(object)) => {
                if let Some(key) = key(&object.metadata) {
                    owners.update(&cluster, |index| note(index, &key.0, &key.1, None, false));
                    there.remove(&key);
                }
            }
            Err(error) => {
                let kind = K::kind(&());
                if trouble(&error) == Trouble::Forbidden {
                    let advice = "owners of pods cannot be watched: grant verbs \"list\" and \"watch\"";
                    tracing::warn!(%kind, %error, "{advice}");
                } else {
                    tracing::debug!(%kind, %error, "watch interrupted");
                }
            }
        }
    }
}

/// Namespace and name.
type Key = (Box<str>, Box<str>);

fn key(meta: &ObjectMeta) -> Option<Key> {
    Some((meta.namespace.as_deref()?.into(), meta.name.as_deref()?.into()))
}

fn tell(cluster: &ClusterId, owners: &SharedPodOwners, meta: &ObjectMeta, note: Note) {
    let Some((namespace, name)) = key(meta) else { return };
    let controller = meta
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| Owner::new(&owner.kind, &owner.name));
    owners.update(cluster, |index| note(index, &namespace, &name, controller, true));
}

fn pod(index: &mut PodOwners, namespace: &str, name: &str, controller: Option<Owner>, there: bool) {
    if there {
        index.pod_seen(namespace, name, controller);
    } else {
        index.pod_gone(namespace, name);
    }
}

fn replica_set(index: &mut PodOwners, namespace: &str, name: &str, controller: Option<Owner>, there: bool) {
    let object = Owner::new("ReplicaSet", name);
    if there {
        index.owner_seen(namespace, object, controller);
    } else {
        index.owner_gone(namespace, &object);
    }
}
