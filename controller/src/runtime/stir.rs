//! Whether somebody else has changed something since the last cycle, other than pods coming up.

use std::collections::HashMap;

use loadline_crds::ElasticPolicy;
use loadline_policies::{
    ids::{ClusterId, Target},
    plan::{Action, Applied, Outcome, Plan},
};

use crate::ports::{Objects, TargetView};

/// Replicas that a cycle wrote, or may have written, by target.
pub(super) type Written = HashMap<(ClusterId, Target), u32>;

/// What a cycle saw, and what it wrote on top.
pub(super) struct Picture {
    pub(super) objects: Objects,
    pub(super) written: Written,
}

impl Picture {
    /// Compares it to what is seen now.
    ///
    /// Our own writes come back through the watches as changes; a tick for each of them would double the
    /// queries to Prometheus for nothing.
    pub(super) fn is_stirred(&self, now: &Objects) -> bool {
        let before = &self.objects;
        policies(before).ne(&policies(now))
            || before.malformed != now.malformed
            || before.lever.as_ref().map(|l| &l.spec) != now.lever.as_ref().map(|l| &l.spec)
            // The end of an outage is the moment to write what waited; its beginning only tells why nothing is.
            || before.outages.keys().ne(now.outages.keys())
            || targets_differ(before, now, &self.written)
            || contenders_differ(before, now)
    }
}

/// What a plan wrote. A write that failed on the way may have arrived: it is not somebody else's doing.
pub(super) fn written(plan: &Plan<Applied>) -> Written {
    plan.actions
        .iter()
        .filter(|applied| matches!(applied.outcome, Outcome::Done | Outcome::Failed(_)))
        .map(|applied| {
            let Action::Scale(scale) = &applied.action;
            ((scale.cluster.clone(), scale.target.clone()), scale.to)
        })
        .collect()
}

/// Who the policies are and what they ask; their status is our own.
fn policies(objects: &Objects) -> HashMap<(Option<&str>, Option<&str>), Input<'_>> {
    objects
        .policies
        .iter()
        .map(|p| ((p.metadata.namespace.as_deref(), p.metadata.name.as_deref()), Input::of(p)))
        .collect()
}

#[derive(PartialEq)]
struct Input<'a> {
    uid: Option<&'a str>,
    generation: Option<i64>,
    annotations: Option<&'a std::collections::BTreeMap<String, String>>,
}

impl<'a> Input<'a> {
    fn of(policy: &'a ElasticPolicy) -> Self {
        let meta = &policy.metadata;
        Self { uid: meta.uid.as_deref(), generation: meta.generation, annotations: meta.annotations.as_ref() }
    }
}

fn targets_differ(before: &Objects, now: &Objects, written: &Written) -> bool {
    let same = |key: &(ClusterId, Target), was: &TargetView, is: &TargetView| {
        was.version.uid == is.version.uid && (was.wanted == is.wanted || written.get(key) == Some(&is.wanted))
    };
    now.targets.iter().any(|(key, is)| match (before.targets.get(key), is) {
        (Some(Ok(was)), Ok(is)) => !same(key, was, is),
        (Some(Err(was)), Err(is)) => was != is,
        _ => true,
    })
}

/// Whether somebody else began or ceased to scale a target of ours.
fn contenders_differ(before: &Objects, now: &Objects) -> bool {
    let differ = |target: &Target| {
        let object = target.object();
        before.contenders.get(&object) != now.contenders.get(&object)
    };
    before.contenders != now.contenders && now.targets.keys().any(|(_, target)| differ(target))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    use jiff::Timestamp;
    use loadline_policies::{
        fleet::{Contender, ObjectVersion, Outage, OutageCause, TargetProblem},
        ids::PolicyKey,
        now::Now,
        plan::{AppliedAction, ScaleAction},
        reason::{Reason, ReasonCode},
    };

    use super::*;

    fn target() -> Target {
        Target::new("apps/v1", "Deployment", "shop", "cart")
    }

    fn version() -> ObjectVersion {
        ObjectVersion { uid: "u".into(), resource_version: "1".into() }
    }

    fn objects(wanted: u32, ready: u32) -> Objects {
        let view = TargetView {
            wanted,
            current: ready,
            ready,
            rolling_out: false,
            template: None,
            footprint: None,
            version: version(),
        };
        let mut policy = ElasticPolicy::new("cart", serde_json::from_str(SPEC).unwrap());
        policy.metadata.generation = Some(1);
        Objects {
            policies: vec![Arc::new(policy)],
            targets: HashMap::from([((ClusterId::local(), target()), Ok(view))]),
            ..Objects::default()
        }
    }

    const SPEC: &str = r#"{"target":{"apiVersion":"apps/v1","kind":"Deployment","name":"cart"},
        "bounds":{"min":1,"max":9},"load":{"profile":"otel-http"}}"#;

    fn plan(writes: &[(u32, Outcome)]) -> Plan<Applied> {
        let actions = writes.iter().map(|(to, outcome)| AppliedAction {
            action: Action::Scale(ScaleAction {
                policy: PolicyKey::new("shop", "cart"),
                cluster: ClusterId::local(),
                target: target(),
                from: 3,
                accepted: 3,
                to: *to,
                version: version(),
                reason: Reason::new(ReasonCode::BelowBand, "below"),
            }),
            outcome: outcome.clone(),
        });
        let at = Now::new(Timestamp::UNIX_EPOCH, Duration::ZERO);
        Plan { at, actions: actions.collect(), decisions: BTreeMap::new(), wake_at: None }
    }

    fn by_others(before: &Objects, now: &Objects, plan: &Plan<Applied>) -> bool {
        Picture { objects: before.clone(), written: written(plan) }.is_stirred(now)
    }

    #[test]
    fn the_end_of_an_outage_is_a_change() {
        let mut cut = objects(3, 3);
        let since = Timestamp::UNIX_EPOCH;
        let outage = Outage { since, cause: OutageCause::NoAnswer, detail: "no answer in time".into() };
        cut.outages.insert(ClusterId::local(), outage);
        let picture = Picture { objects: cut.clone(), written: Written::default() };
        assert!(picture.is_stirred(&objects(3, 3)));
        assert!(!picture.is_stirred(&cut));
    }

    #[test]
    fn pods_that_come_up_stir_nothing() {
        assert!(!by_others(&objects(3, 1), &objects(3, 3), &plan(&[])));
    }

    #[test]
    fn our_own_write_stirs_nothing_but_a_persons_does() {
        let written = plan(&[(5, Outcome::Done)]);
        assert!(!by_others(&objects(3, 3), &objects(5, 3), &written));
        assert!(by_others(&objects(3, 3), &objects(4, 3), &written));
        assert!(by_others(&objects(3, 3), &objects(5, 3), &plan(&[(5, Outcome::Refused(String::new()))])));
    }

    #[test]
    fn a_write_of_unknown_fate_that_arrived_is_ours() {
        let failed = plan(&[(5, Outcome::Failed("no answer".into()))]);
        assert!(!by_others(&objects(3, 3), &objects(5, 3), &failed));
    }

    #[test]
    fn an_edit_an_annotation_or_a_new_policy_stirs() {
        let edited = |edit: fn(&mut ElasticPolicy)| {
            let mut now = objects(3, 3);
            edit(Arc::make_mut(&mut now.policies[0]));
            by_others(&objects(3, 3), &now, &plan(&[]))
        };
        assert!(edited(|p| p.metadata.generation = Some(2)));
        assert!(edited(|p| p.metadata.annotations =
            Some(BTreeMap::from([("loadline.dev/paused".into(), "true".into())]))));
        assert!(edited(|p| p.metadata.name = Some("other".into())));
        assert!(
            !edited(|p| p.status = Some(loadline_crds::ElasticPolicyStatus::default())),
            "our own status"
        );
    }

    #[test]
    fn a_target_that_goes_and_another_scaler_stir() {
        let mut gone = objects(3, 3);
        gone.targets.values_mut().for_each(|t| *t = Err(TargetProblem::Missing));
        assert!(by_others(&objects(3, 3), &gone, &plan(&[])));
        let mut contested = objects(3, 3);
        let hpa = Contender { kind: "HorizontalPodAutoscaler".into(), name: "cart".into() };
        contested.contenders.insert(target().object(), vec![hpa]);
        assert!(by_others(&objects(3, 3), &contested, &plan(&[])));
    }
}
