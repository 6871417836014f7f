//! What the telemetry must be asked: one ask for each valid policy.

use std::collections::{BTreeMap, BTreeSet};

use loadline_crds::{ElasticPolicy, elastic_policy::LearnedStanding};
use loadline_policies::{
    ids::{ClusterId, Target},
    policy::{PerReplica, Policy, Weights},
};

use super::translator::Translator;
use crate::ports::{Detail, LoadAsk, Objects};

impl Translator {
    /// One ask for each valid policy, in the order of their keys.
    ///
    /// `objects` must be those of the last [`Translator::refresh`].
    #[must_use]
    pub fn asks(&self, objects: &Objects) -> Vec<LoadAsk> {
        let clusters = super::fleet::cluster_ids(objects);
        let mut asks: Vec<LoadAsk> = self
            .policies
            .values()
            .filter_map(|entry| Some((entry.parsed.as_ref().ok()?, &entry.object)))
            .map(|(parsed, object)| LoadAsk {
                policy: parsed.policy.key.clone(),
                target: parsed.policy.target.clone(),
                profile: parsed.policy.load.profile.clone(),
                selector: parsed.selector.clone(),
                detail: detail(&parsed.policy, estimates(&parsed.policy, object, objects, &clusters)),
                expected: expected(objects, clusters.iter(), &parsed.policy.target),
                triggers: parsed.queries.clone(),
            })
            .collect();
        asks.sort_by(|a, b| a.policy.cmp(&b.policy));
        asks
    }
}

/// Latency and endpoints are only asked for where they decide something: most of what a histogram costs is its
/// buckets.
fn detail(policy: &Policy, estimates: bool) -> Detail {
    Detail {
        latency: policy.objective.is_some() || matches!(policy.load.weights, Weights::Latency(_)),
        endpoints: matches!(policy.load.weights, Weights::Endpoints(_) | Weights::LearnedEndpoints(_)),
        cpu: estimates || matches!(policy.load.weights, Weights::LearnedEndpoints(_)),
    }
}

/// Whether anything is learned from CPU: while the capacity is to be learned and is not yet, which its status tells, of
/// replicas that say how much CPU they may use.
fn estimates(
    policy: &Policy,
    object: &ElasticPolicy,
    objects: &Objects,
    clusters: &BTreeSet<ClusterId>,
) -> bool {
    let standing = || Some(object.status.as_ref()?.capacity.as_ref()?.learned.as_ref()?.standing);
    let request = |cluster: &ClusterId| {
        let view = objects.targets.get(&(cluster.clone(), policy.target.clone()))?.as_ref().ok()?;
        view.footprint?.cpu_request
    };
    policy.capacity.per_replica == PerReplica::Learned
        && policy.objective.is_some()
        && standing().is_none_or(|standing| standing == LearnedStanding::Learning)
        && clusters.iter().any(|cluster| request(cluster).is_some())
}

/// Ready replicas by cluster: who is expected to report. A target that is not seen expects nobody.
fn expected<'a>(
    objects: &Objects,
    clusters: impl Iterator<Item = &'a ClusterId>,
    target: &Target,
) -> BTreeMap<ClusterId, u32> {
    clusters
        .filter_map(|cluster| {
            let view = objects.targets.get(&(cluster.clone(), target.clone()))?.as_ref().ok()?;
            Some((cluster.clone(), view.ready))
        })
        .collect()
}
