//! The status of the `SafetyLever`: who pulled it sees that it is honoured, since when, and by whom.

use std::{sync::Arc, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::ResourceExt as _;
use loadline_crds::{SafetyLever, safety_lever::SafetyLeverStatus};
use loadline_policies::now::{Mono, Now};

use super::status::whole_seconds;
use crate::translate::freeze;

/// The condition that says whether automation is held.
const FROZEN: &str = "Frozen";

/// A status that was sent and is not seen yet is not sent again for so long; after that, it was lost. (Of a lever that
/// cannot be read as one, status is never seen: that costs a write a minute, while it holds everything.)
const PATIENCE: Duration = Duration::from_mins(1);

/// What was last written about the lever.
#[derive(Debug, Default)]
pub(super) struct LeverReport {
    sent: Option<Sent>,
}

#[derive(Debug)]
struct Sent {
    /// UID of the lever that it was made of.
    uid: Option<String>,
    status: SafetyLeverStatus,
    at: Mono,
}

impl LeverReport {
    /// The lever with the status that is to be written now, if it must change.
    pub(super) fn due(&mut self, lever: &Arc<SafetyLever>, instance: &str, now: Now) -> Option<SafetyLever> {
        let uid = lever.uid();
        let sent = self.sent.as_ref().filter(|sent| sent.uid == uid);
        let known = sent.map(|sent| &sent.status).or(lever.status.as_ref());
        let status = of(lever, known, instance, now);
        let waits = |sent: &Sent| sent.status == status && now.mono.since(sent.at) < PATIENCE;
        if lever.status.as_ref() == Some(&status) || sent.is_some_and(waits) {
            return None;
        }
        self.sent = Some(Sent { uid, status: status.clone(), at: now.mono });
        Some(SafetyLever { status: Some(status), ..lever.as_ref().clone() })
    }
}

/// What a process that may write makes of the lever; `known` is what it, or another one, has said before.
fn of(lever: &SafetyLever, known: Option<&SafetyLeverStatus>, instance: &str, now: Now) -> SafetyLeverStatus {
    let frozen = freeze(Some(lever), now).is_some();
    let (reason, message) = if frozen {
        (
            "Held",
            format!(
                "{instance} changes no replicas while the lever is pulled; what it would do is in the policies."
            ),
        )
    } else if lever.spec.freeze {
        ("Expired", format!("The lever has let go by itself at its expiresAt: {instance} acts again."))
    } else {
        ("Released", format!("The lever is not pulled: {instance} acts."))
    };
    let condition = Condition {
        last_transition_time: since(known, frozen).unwrap_or_else(|| whole_seconds(now.wall)),
        message,
        observed_generation: lever.metadata.generation,
        reason: reason.to_owned(),
        status: truth(frozen).to_owned(),
        type_: FROZEN.to_owned(),
    };
    SafetyLeverStatus { observed_generation: lever.metadata.generation, conditions: vec![condition] }
}

const fn truth(frozen: bool) -> &'static str {
    if frozen { "True" } else { "False" }
}

/// Since when it is as it is, if that was said before.
fn since(known: Option<&SafetyLeverStatus>, frozen: bool) -> Option<Time> {
    let known = known?.conditions.iter().find(|c| c.type_ == FROZEN)?;
    (known.status == truth(frozen)).then(|| known.last_transition_time.clone())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn now(seconds: i64) -> Now {
        let start: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let passed = jiff::SignedDuration::from_secs(seconds);
        Now::new(start + passed, Duration::try_from(passed).unwrap())
    }

    fn lever(freeze: bool, version: &str) -> SafetyLever {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "loadline.dev/v1alpha1", "kind": "SafetyLever",
            "metadata": {"name": "default", "uid": "u", "resourceVersion": version, "generation": 2},
            "spec": {"freeze": freeze, "reason": "INC-4711", "expiresAt": "2026-03-01T13:00:00Z"},
        }))
        .unwrap()
    }

    fn frozen(lever: &SafetyLever) -> (&str, &str, Timestamp) {
        let condition = &lever.status.as_ref().unwrap().conditions[0];
        (&condition.status, &condition.reason, condition.last_transition_time.0)
    }

    #[test]
    fn a_pulled_lever_is_answered_once_and_when_it_lets_go() {
        let mut report = LeverReport::default();
        let pulled = report.due(&Arc::new(lever(true, "1")), "loadline-0", now(0)).unwrap();
        assert_eq!(frozen(&pulled), ("True", "Held", now(0).wall));
        assert_eq!(pulled.status.as_ref().unwrap().observed_generation, Some(2));
        assert!(pulled.status.as_ref().unwrap().conditions[0].message.contains("loadline-0"));
        // Not again while it is on its way, nor once it is there.
        assert!(report.due(&Arc::new(lever(true, "1")), "loadline-0", now(5)).is_none());
        let there = SafetyLever { status: pulled.status.clone(), ..lever(true, "2") };
        for second in (10..3_600).step_by(50) {
            assert!(report.due(&Arc::new(there.clone()), "loadline-0", now(second)).is_none());
        }
        // When its time has come, then that is told.
        let over = report.due(&Arc::new(there), "loadline-0", now(3_600)).unwrap();
        assert_eq!(frozen(&over), ("False", "Expired", now(3_600).wall));
    }

    #[test]
    fn a_new_leader_says_that_it_honours_it_too_and_since_when() {
        let pulled = LeverReport::default().due(&Arc::new(lever(true, "1")), "loadline-0", now(0)).unwrap();
        let told = LeverReport::default().due(&Arc::new(pulled), "loadline-1", now(60)).unwrap();
        assert_eq!(frozen(&told), ("True", "Held", now(0).wall));
        assert!(told.status.unwrap().conditions[0].message.contains("loadline-1"));
    }

    #[test]
    fn a_status_that_was_lost_is_sent_again() {
        let mut report = LeverReport::default();
        assert!(report.due(&Arc::new(lever(true, "1")), "loadline-0", now(0)).is_some());
        assert!(report.due(&Arc::new(lever(true, "1")), "loadline-0", now(59)).is_none());
        assert!(report.due(&Arc::new(lever(true, "1")), "loadline-0", now(60)).is_some());
    }
}
