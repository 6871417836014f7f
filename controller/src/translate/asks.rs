//! What the telemetry must be asked: one ask for each valid policy.

use std::collections::BTreeMap;

use loadline_policies::{
    ids::{ClusterId, Target},
    policy::Weights,
};

use super::translator::Translator;
use crate::ports::{LoadAsk, Objects};

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
            .filter_map(|entry| entry.parsed.as_ref().ok())
            .map(|parsed| LoadAsk {
                policy: parsed.policy.key.clone(),
                target: parsed.policy.target.clone(),
                profile: parsed.policy.load.profile.clone(),
                selector: parsed.selector.clone(),
                endpoints: matches!(parsed.policy.load.weights, Weights::Endpoints(_)),
                expected: expected(objects, clusters.iter(), &parsed.policy.target),
                triggers: parsed.queries.clone(),
            })
            .collect();
        asks.sort_by(|a, b| a.policy.cmp(&b.policy));
        asks
    }
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
