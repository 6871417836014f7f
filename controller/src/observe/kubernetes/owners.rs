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
    runtime::watcher::{self, Event, watcher},
};
use loadline_policies::ids::ClusterId;
use tokio::{task::JoinSet, time};

use super::{
    store::Trouble,
    watch::{PATIENCE, PAUSES, trouble},
};
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
    // By this type kube asks for metadata alone: the bodies of all pods of a cluster never cross the wire.
    let api: Api<PartialObjectMeta<K>> = Api::all(client);
    let mut events = watcher(api, watcher::Config::default()).boxed();
    let mut known = Known { cluster, owners, note, there: HashSet::new(), listed: HashSet::new() };
    let mut pause = PAUSES.0;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                pause = PAUSES.0;
                known.take(event);
            }
            Err(error) => {
                let kind = K::kind(&());
                if trouble(&error) == Trouble::Forbidden {
                    let advice = "owners of pods cannot be watched: grant verbs \"list\" and \"watch\"";
                    tracing::warn!(%kind, %error, "{advice}");
                    time::sleep(PATIENCE).await;
                } else {
                    tracing::debug!(%kind, %error, "watch interrupted");
                    time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }
}

/// The objects of one kind, as the index of owners knows them.
struct Known {
    cluster: ClusterId,
    owners: SharedPodOwners,
    note: Note,
    /// What was told to the index and not taken back.
    there: HashSet<Key>,
    /// What a new list has shown so far: an object that went away while the watch was interrupted is only missed there.
    listed: HashSet<Key>,
}

impl Known {
    fn take<K>(&mut self, event: Event<PartialObjectMeta<K>>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => {
                self.listed.extend(key(&object.metadata));
                self.seen(&object.metadata);
            }
            Event::InitDone => {
                let gone: Vec<Key> = self.there.difference(&self.listed).cloned().collect();
                self.owners.update(&self.cluster, |index| {
                    for (namespace, name) in &gone {
                        (self.note)(index, namespace, name, None, false);
                    }
                });
                self.there = std::mem::take(&mut self.listed);
            }
            Event::Apply(object) => self.seen(&object.metadata),
            Event::Delete(object) => {
                if let Some(key) = key(&object.metadata) {
                    self.owners
                        .update(&self.cluster, |index| (self.note)(index, &key.0, &key.1, None, false));
                    self.there.remove(&key);
                }
            }
        }
    }

    /// Also what a list shows is there at once: a list that is cut off half-way is followed by another one, which must
    /// take back what went away in between.
    fn seen(&mut self, meta: &ObjectMeta) {
        let Some(key) = key(meta) else { return };
        let controller = meta
            .owner_references
            .iter()
            .flatten()
            .find(|owner| owner.controller == Some(true))
            .map(|owner| Owner::new(&owner.kind, &owner.name));
        self.owners.update(&self.cluster, |index| (self.note)(index, &key.0, &key.1, controller, true));
        self.there.insert(key);
    }
}

/// Namespace and name.
type Key = (Box<str>, Box<str>);

fn key(meta: &ObjectMeta) -> Option<Key> {
    Some((meta.namespace.as_deref()?.into(), meta.name.as_deref()?.into()))
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

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower_test::mock;

    use super::*;

    fn object(name: &str) -> PartialObjectMeta<Pod> {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "u", "controller": true}]);
        let metadata = json!({"namespace": "shop", "name": name, "ownerReferences": owner});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn what_a_list_that_was_cut_off_has_shown_is_taken_back_by_the_next_one() {
        let owners = SharedPodOwners::default();
        let (there, listed) = (HashSet::new(), HashSet::new());
        let mut known =
            Known { cluster: ClusterId::local(), owners: owners.clone(), note: pod, there, listed };
        let is_known = |name: &str| {
            owners.read(|all| {
                all.get(&ClusterId::local()).is_some_and(|index| index.workload_of("shop", name).is_some())
            })
        };
        // Given a list that ends half-way, after a pod that is gone by the time of the next one.
        known.take(Event::<PartialObjectMeta<Pod>>::Init);
        known.take(Event::InitApply(object("db-0")));
        assert!(is_known("db-0"), "known at once");
        known.take(Event::<PartialObjectMeta<Pod>>::Init);
        known.take(Event::InitApply(object("db-1")));
        known.take(Event::<PartialObjectMeta<Pod>>::InitDone);
        assert!(is_known("db-1") && !is_known("db-0"));
    }

    #[tokio::test]
    async fn pods_are_asked_for_without_their_bodies() {
        let (service, mut server) = mock::pair::<Request<Body>, Response<Body>>();
        let client = Client::new(service, "default");
        let owners = SharedPodOwners::default();
        owners.want();
        let watching = tokio::spawn(follow::<Pod>(client, ClusterId::local(), owners, pod));
        let (request, _answer) = server.next_request().await.unwrap();
        let accepted = request.headers().get(http::header::ACCEPT).unwrap().to_str().unwrap();
        assert!(accepted.contains("as=PartialObjectMetadata"), "{accepted}");
        watching.abort();
    }
}
