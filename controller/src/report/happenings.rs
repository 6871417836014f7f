//! What is told as Kubernetes Events: writes, and conditions that turned.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{Condition, MicroTime},
};
use kube::{Resource, ResourceExt as _, api::ObjectMeta};
use loadline_crds::ElasticPolicy;
use loadline_policies::{
    ids::PolicyKey,
    now::Mono,
    plan::{Action, AppliedAction, Outcome},
    reason::ReasonCode,
};

use super::status::cut;

/// Longest note that an API server takes, in bytes.
const MAX_NOTE: usize = 1024;

/// Conditions whose normal state is False.
const BAD_WHEN_TRUE: &[&str] = &["ScalingLimited", "Contested", "LatencyNotCapacityBound"];

/// Conditions that tell nothing new by turning: the forecast is not part of this version's decisions.
const SILENT: &[&str] = &["ForecastTrusted"];

/// One thing worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happening {
    /// Whether a person should look.
    pub(super) warning: bool,
    /// `ScaledOut`, `Stale`, …
    pub(super) reason: String,
    /// For a person.
    pub(super) note: String,
    /// What was done or seen: `Scale`, `Observe`.
    pub(super) action: &'static str,
}

/// A write that fails again for the same reason is told again after this long: a person who looks then sees that it
/// still does, and the API server is not filled with one sentence.
const AGAIN: Duration = Duration::from_mins(10);

/// What was last told of the writes of each policy.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<PolicyKey, (String, Mono)>);

impl Told {
    /// Whether something that a write gave has not just been told. A success always is news, and makes the next
    /// failure news too.
    pub(super) fn is_news(&mut self, policy: &PolicyKey, happening: &Happening, now: Mono) -> bool {
        if !happening.warning {
            self.0.remove(policy);
            return true;
        }
        let known = self.0.get(policy);
        let is_news = known.is_none_or(|(reason, at)| *reason != happening.reason || now.since(*at) >= AGAIN);
        if is_news {
            self.0.insert(policy.clone(), (happening.reason.clone(), now));
        }
        is_news
    }

    /// Forgets policies that are gone.
    pub(super) fn retain(&mut self, there: impl Fn(&PolicyKey) -> bool) {
        self.0.retain(|policy, _| there(policy));
    }
}

/// What an applied action tells; a skipped one tells nothing, it is tried again.
#[must_use]
pub(super) fn of_action(applied: &AppliedAction) -> Option<Happening> {
    let Action::Scale(scale) = &applied.action;
    let what = format!("{}: {} -> {} replicas in {}", scale.target, scale.from, scale.to, scale.cluster);
    let (warning, reason, note) = match &applied.outcome {
        Outcome::Done => {
            let reason = match (scale.reason.code, scale.to > scale.from) {
                (ReasonCode::Person, _) => "Restored",
                (_, true) => "ScaledOut",
                (_, false) => "ScaledIn",
            };
            (false, reason, format!("{what}. {}", scale.reason))
        }
        Outcome::Refused(why) => (true, "ScaleRefused", format!("{what} was refused: {why}")),
        Outcome::Failed(why) => (true, "ScaleFailed", format!("{what} failed: {why}")),
        Outcome::Skipped(_) => return None,
    };
    Some(Happening { warning, reason: reason.to_owned(), note, action: "Scale" })
}

/// What turned between two lists of conditions. Of a policy that is new, only what is bad is told.
#[must_use]
pub(super) fn of_conditions(old: &[Condition], new: &[Condition]) -> Vec<Happening> {
    new.iter()
        .filter(|c| !SILENT.contains(&c.type_.as_str()))
        .filter_map(|c| {
            let bad = (c.status == "True") == BAD_WHEN_TRUE.contains(&c.type_.as_str());
            let turned = match old.iter().find(|o| o.type_ == c.type_) {
                Some(o) => o.status != c.status || (bad && o.reason != c.reason),
                None => bad,
            };
            turned.then(|| Happening {
                warning: bad,
                reason: c.reason.clone(),
                note: format!("{}={}: {}", c.type_, c.status, c.message),
                action: "Observe",
            })
        })
        .collect()
}

/// The Event object of a happening.
#[must_use]
pub(super) fn event(happening: &Happening, policy: &ElasticPolicy, instance: &str, now: Timestamp) -> Event {
    let name = policy.name_any();
    let regarding = ObjectReference {
        api_version: Some(ElasticPolicy::api_version(&()).into_owned()),
        kind: Some(ElasticPolicy::kind(&()).into_owned()),
        name: Some(name.clone()),
        namespace: policy.namespace(),
        resource_version: policy.resource_version(),
        uid: policy.uid(),
        field_path: None,
    };
    let related = ObjectReference {
        api_version: Some(policy.spec.target.api_version.clone()),
        kind: Some(policy.spec.target.kind.clone()),
        name: Some(policy.spec.target.name.clone()),
        namespace: policy.namespace(),
        ..ObjectReference::default()
    };
    Event {
        metadata: ObjectMeta {
            // 253 characters are allowed; the API server adds five of its own. It refuses a prefix that ends in
            // anything but a letter, a digit or a dash.
            generate_name: Some(format!("{}-", name.chars().take(240).collect::<String>())),
            namespace: policy.namespace(),
            ..ObjectMeta::default()
        },
        action: Some(happening.action.to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(cut(&happening.note)).filter(|n| n.len() <= MAX_NOTE),
        reason: Some(happening.reason.clone()),
        regarding: Some(regarding),
        related: Some(related),
        reporting_controller: Some("loadline.dev/operator".to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(if happening.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn condition(type_: &str, status: &str, reason: &str) -> Condition {
        Condition {
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            message: "m".into(),
            observed_generation: None,
            reason: reason.into(),
            status: status.into(),
            type_: type_.into(),
        }
    }

    #[test]
    fn a_new_policy_tells_only_what_is_bad() {
        let new = [condition("Ready", "True", "LoopClosed"), condition("DataFresh", "False", "Stale")];
        let told = of_conditions(&[], &new);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].reason.as_str(), told[0].warning), ("Stale", true));
    }

    #[test]
    fn a_condition_that_turned_is_told_once_and_its_recovery_too() {
        let fresh = [condition("DataFresh", "True", "Fresh")];
        let stale = [condition("DataFresh", "False", "Stale")];
        assert!(of_conditions(&fresh, &stale)[0].warning);
        assert!(of_conditions(&stale, &stale).is_empty());
        assert!(!of_conditions(&stale, &fresh)[0].warning);
    }

    #[test]
    fn contested_is_bad_when_it_is_true() {
        let no = [condition("Contested", "False", "Uncontested")];
        let yes = [condition("Contested", "True", "OtherScaler")];
        assert!(of_conditions(&no, &yes)[0].warning);
        assert!(!of_conditions(&yes, &no)[0].warning);
    }
}
