//! The report: status, Events, metrics and the view of the last plan, all from the same applied plan.
//!
//! ```text
//! Plan<Applied> ─┬─> status (only what changed) ─┐
//!                ├─> happenings (Events) ────────┼─> writer (background, bounded)
//!                ├─> metrics
//!                └─> view (/debug/plan)
//! ```

mod aftermath;
mod capacity;
mod happenings;
mod lever;
pub mod metrics;
pub mod status;
mod view;
pub mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use kube::ResourceExt as _;
use loadline_crds::{ElasticPolicy, ElasticPolicyStatus, SafetyLever};
use loadline_policies::{
    fleet::Outage,
    ids::PolicyKey,
    memory::Memory,
    now::{Mono, Now},
    plan::{Action, Applied, Outcome, Plan},
};

use self::{
    aftermath::Aftermath,
    happenings::Told,
    lever::LeverReport,
    metrics::Metrics,
    status::Urgency,
    writer::{Queue, StatusWrite, Written},
};
use crate::apply::Backoff;
pub use view::View;

/// Reports applied plans.
#[derive(Debug)]
pub struct Reporter {
    metrics: Arc<Metrics>,
    queue: Arc<Queue>,
    view: View,
    /// Name of this process in Events.
    instance: String,
    /// A change that is only worth a write soon waits until the last one is this old.
    pace: Duration,
    // Boxed: a table is up to half empty.
    ledger: HashMap<PolicyKey, Box<Entry>>,
    backoff: Backoff<PolicyKey>,
    told: Told,
    aftermath: Aftermath,
    lever: LeverReport,
}

/// What is to stand about a policy.
#[derive(Debug)]
struct Entry {
    uid: String,
    status: ElasticPolicyStatus,
    /// When it last changed.
    at: Mono,
    /// It is not written: the last try has failed, or was put off because of the one before it.
    owed: bool,
    /// The resourceVersion that the last write was on, and the one that it gave.
    versions: Option<(String, String)>,
}

impl Reporter {
    /// A reporter that has written nothing yet. What changes by itself is written at most every `pace`.
    #[must_use]
    pub fn new(
        metrics: Arc<Metrics>,
        queue: Arc<Queue>,
        view: View,
        instance: String,
        pace: Duration,
    ) -> Self {
        Self {
            metrics,
            queue,
            view,
            instance,
            pace,
            ledger: HashMap::new(),
            backoff: Backoff::default(),
            told: Told::default(),
            aftermath: Aftermath::default(),
            lever: LeverReport::default(),
        }
    }

    /// Reports a plan. Writes are queued only when `writes` (this process is the leader).
    pub fn report(
        &mut self,
        plan: Plan<Applied>,
        policies: &[Arc<ElasticPolicy>],
        memory: &Memory,
        writes: bool,
    ) {
        self.metrics.plan(&plan);
        if writes {
            self.settle_results(plan.at.mono);
            let objects: HashMap<PolicyKey, &Arc<ElasticPolicy>> =
                policies.iter().map(|p| (key_of(p), p)).collect();
            self.ledger.retain(|key, _| objects.contains_key(key));
            self.backoff.retain(|key| objects.contains_key(key));
            self.told.retain(|key| objects.contains_key(key));
            let changes = changes(&plan);
            for (key, object) in &objects {
                self.report_status(key, object, &plan, memory, changes.get(key).copied());
            }
            self.report_actions(&plan, &objects);
        }
        self.view.publish(plan);
    }

    /// Takes in the outage in which a plan was applied; by the first plan after one, tells of each policy that
    /// waited what it has waited for.
    pub fn outage(&mut self, outage: Option<&Outage>, plan: &Plan<Applied>, policies: &[Arc<ElasticPolicy>]) {
        let mut told: BTreeMap<_, _> = self.aftermath.after(plan, outage).into_iter().collect();
        for object in policies {
            if told.is_empty() {
                return;
            }
            if let Some(happening) = told.remove(&key_of(object)) {
                self.tell(&happening, object, plan);
            }
        }
    }

    /// Answers the lever, if there is one and its status does not say yet what is made of it at `now`. Only for a
    /// process that may write.
    pub fn lever(&mut self, lever: Option<&Arc<SafetyLever>>, now: Now) {
        if let Some(answer) = lever.and_then(|lever| self.lever.due(lever, &self.instance, now)) {
            self.queue.lever(answer);
        }
    }

    /// Takes in what became of earlier writes. One that failed is owed: it is tried again after a pause, and what it
    /// told as Events is not told again.
    fn settle_results(&mut self, now: Mono) {
        for (key, written) in self.queue.results() {
            let Some(entry) = self.ledger.get_mut(&key) else { continue };
            match written {
                Written::Failed(patience, why) => {
                    (entry.owed, entry.versions) = (true, None);
                    self.backoff.failed(&key, patience, &why, now);
                }
                Written::Done(version) => {
                    entry.versions = entry.versions.take().map(|(on, _)| (on, version));
                    self.backoff.succeeded(&key);
                }
            }
        }
    }

    fn report_status(
        &mut self,
        key: &PolicyKey,
        object: &Arc<ElasticPolicy>,
        plan: &Plan<Applied>,
        memory: &Memory,
        change: Option<(u32, u32)>,
    ) {
        let Some(decision) = plan.decisions.get(key) else { return };
        let uid = object.uid().unwrap_or_default();
        let known = self.ledger.get(key).filter(|entry| entry.uid == uid);
        let empty = ElasticPolicyStatus::default();
        let previous = known.map(|e| &e.status).or(object.status.as_ref()).unwrap_or(&empty);
        let status =
            status::of(decision, memory.policies.get(key).map(Box::as_ref), change, previous, plan.at);
        let changed = match status::urgency(previous, &status) {
            Urgency::None => false,
            Urgency::Soon => known.is_none_or(|e| plan.at.mono.since(e.at) >= self.pace),
            Urgency::Now => true,
        };
        if !changed && known.is_none_or(|e| !e.owed) {
            return;
        }
        let happened = if changed {
            happenings::of_conditions(&previous.conditions, &status.conditions)
        } else {
            Vec::new()
        };
        let at = known.filter(|_| !changed).map_or(plan.at.mono, |e| e.at);
        let seen = object.resource_version();
        let versions = known.and_then(|e| e.versions.clone());
        let version = match &versions {
            Some((on, gave)) if Some(on) == seen.as_ref() => Some(gave.clone()),
            _ => seen.clone(),
        };
        for happening in happened {
            self.tell(&happening, object, plan);
        }
        let owed = self.backoff.pausing(key, plan.at.mono).is_some();
        let versions = if owed { versions } else { seen.zip(version.clone()) };
        if !owed {
            let policy = Arc::clone(object);
            let write = StatusWrite { policy, resource_version: version, status: status.clone() };
            self.queue.status(key.clone(), write);
        }
        let entry = Entry { uid, status, at, owed, versions };
        self.ledger.insert(key.clone(), Box::new(entry));
    }

    fn report_actions(&mut self, plan: &Plan<Applied>, objects: &HashMap<PolicyKey, &Arc<ElasticPolicy>>) {
        for applied in &plan.actions {
            let Action::Scale(scale) = &applied.action;
            if let (Some(happening), Some(object)) =
                (happenings::of_action(applied), objects.get(&scale.policy))
                && self.told.is_news(&scale.policy, &happening, plan.at.mono)
            {
                self.tell(&happening, object, plan);
            }
        }
    }

    fn tell(&self, happening: &happenings::Happening, object: &ElasticPolicy, plan: &Plan<Applied>) {
        let event = happenings::event(happening, object, &self.instance, plan.at.wall);
        if self.queue.event(event) {
            self.metrics.event_dropped();
        }
    }
}

/// The key of a policy object.
#[must_use]
pub fn key_of(policy: &ElasticPolicy) -> PolicyKey {
    PolicyKey::new(&policy.namespace().unwrap_or_default(), &policy.name_any())
}

/// What was written for each policy, over all its clusters: from, to.
pub(crate) fn changes(plan: &Plan<Applied>) -> BTreeMap<PolicyKey, (u32, u32)> {
    let mut deltas = BTreeMap::<PolicyKey, i64>::new();
    for applied in plan.actions.iter().filter(|a| a.outcome == Outcome::Done) {
        let Action::Scale(scale) = &applied.action;
        *deltas.entry(scale.policy.clone()).or_default() += i64::from(scale.to) - i64::from(scale.accepted);
    }
    deltas
        .into_iter()
        .filter_map(|(key, delta)| {
            let from = plan.decisions.get(&key)?.replicas.wanted;
            let to = u32::try_from(i64::from(from).saturating_add(delta)).ok()?;
            Some((key, (from, to)))
        })
        .collect()
}

#[cfg(test)]
mod tests;
