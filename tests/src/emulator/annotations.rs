//! Takes a workload's traffic and service from its annotations, so that a person can drive it with kubectl:
//!
//! ```text
//! kubectl annotate deployment web --overwrite \
//!   rig.loadline.dev/service='{capacity: 50}' rig.loadline.dev/traffic='{kind: Constant, rate: 400}'
//! ```
//!
//! Both are YAML, of the simulated world's service model and traffic shape. Instead of the traffic,
//! `rig.loadline.dev/trace='crane_input0 60 2000'` replays a trace of `LOADLINE_TRACES` 60 times as fast with
//! a peak of 2,000 requests/s.

use std::{collections::HashMap, fmt::Debug, path::PathBuf};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use loadline_chaos::world::{Shape, service::ServiceModel};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    Shared,
    fleet::Workload,
    trace::{self, Replay},
};
use crate::cluster::client;

const SERVICE: &str = "rig.loadline.dev/service";
const TRAFFIC: &str = "rig.loadline.dev/traffic";
const TRACE: &str = "rig.loadline.dev/trace";
/// What a replica bears when only the traffic is given: requests/s.
const DEFAULT_CAPACITY: f64 = 100.0;

pub(super) async fn watch(cluster: String, kubeconfig: PathBuf, state: Shared) {
    match client(&cluster, &kubeconfig).await {
        Ok(client) => {
            tokio::join!(
                follow::<Deployment>(&cluster, client.clone(), &state),
                follow::<StatefulSet>(&cluster, client, &state),
            );
        }
        Err(error) => tracing::error!(%error, "the emulator does not see the cluster's annotations"),
    }
}

async fn follow<K>(cluster: &str, client: Client, state: &Shared)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let watch = watcher(Api::<PartialObjectMeta<K>>::all(client), watcher::Config::default());
    let mut objects = watch.default_backoff().applied_objects().boxed();
    // What was taken last, so that a change of something else does not start the traffic anew.
    let mut taken = HashMap::new();
    loop {
        match objects.try_next().await {
            Ok(Some(object)) => {
                let Some(words) = words(&object) else { continue };
                let namespace = object.namespace().unwrap_or_default();
                let workload = Workload::new(cluster, &namespace, &object.name_any());
                if taken.get(&workload) == Some(&words) {
                    continue;
                }
                match parse(&words) {
                    Ok((model, traffic)) => {
                        state.lock().fleet.serve(&workload, model, traffic, Instant::now());
                    }
                    Err(why) => tracing::warn!(%workload, why, "cannot use the annotations"),
                }
                taken.insert(workload, words);
            }
            Ok(None) => return,
            Err(error) => tracing::debug!(%error, cluster, "the watch of the annotations broke"),
        }
    }
}

/// The three annotations as they are written.
#[derive(Debug, Default, PartialEq)]
struct Words {
    service: Option<String>,
    traffic: Option<String>,
    trace: Option<String>,
}

fn words<K>(object: &PartialObjectMeta<K>) -> Option<Words>
where
    K: Resource<DynamicType = ()>,
{
    let get = |name| object.metadata.annotations.as_ref()?.get(name).cloned();
    let words = Words { service: get(SERVICE), traffic: get(TRAFFIC), trace: get(TRACE) };
    (words != Words::default()).then_some(words)
}

fn parse(words: &Words) -> Result<(ServiceModel, Shape), String> {
    let usual = format!("{{capacity: {DEFAULT_CAPACITY}}}");
    let model = serde_yaml::from_str(words.service.as_ref().unwrap_or(&usual))
        .map_err(|e| format!("{SERVICE}: {e}"))?;
    let shape = match (&words.traffic, &words.trace) {
        (Some(traffic), None) => serde_yaml::from_str(traffic).map_err(|e| format!("{TRAFFIC}: {e}"))?,
        (None, Some(trace)) => {
            let replay: Replay = trace.parse().map_err(|e| format!("{TRACE}: {e}"))?;
            trace::load(&replay).map_err(|e| format!("{TRACE}: {e}"))?
        }
        (None, None) => Shape::Constant { rate: 0.0 },
        (Some(_), Some(_)) => return Err(format!("give {TRAFFIC} or {TRACE}, not both")),
    };
    Ok((model, shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_documentation_work() {
        let words = Words {
            service: Some("{capacity: 50}".into()),
            traffic: Some("{kind: Constant, rate: 400}".into()),
            trace: None,
        };
        let (model, shape) = parse(&words).unwrap();
        assert!((model.capacity - 50.0).abs() < 1e-12);
        assert_eq!(shape, Shape::Constant { rate: 400.0 });
    }

    #[test]
    fn a_wrong_annotation_is_named() {
        let words = Words { traffic: Some("{kind: Wave}".into()), ..Words::default() };
        assert!(parse(&words).unwrap_err().starts_with(TRAFFIC));
        let words = Words { trace: Some("crane_input0 fast".into()), ..Words::default() };
        assert!(parse(&words).unwrap_err().starts_with(TRACE));
    }
}
