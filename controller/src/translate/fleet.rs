//! The fleet: parsed policies joined with what is seen of their targets and their load.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use loadline_crds::{ElasticPolicy, SafetyLever};
use loadline_policies::{
    fleet::{
        Cluster, ClusterState, Contender, Fleet, Freeze, Instance, InvalidPolicy, TargetProblem, Workload,
    },
    ids::{ByCluster, ClusterId, PolicyKey, TargetObject},
    now::Now,
    policy::{Mode, PerReplica, Policy},
    reading::Doubt,
};

use super::{
    against_profile::against_profile,
    complaint::Complaint,
    profiles::KnownProfiles,
    translator::{Entry, Translator},
};
use crate::ports::{LoadReading, Objects, Readings, TargetView};

/// The policies that may write, by the object that they write to.
type Writers<'a> = HashMap<TargetObject, Vec<&'a PolicyKey>>;

impl Translator {
    /// One consistent, typed, age-stamped snapshot.
    ///
    /// `objects` must be those of the last [`Translator::refresh`].
    #[must_use]
    pub fn fleet(&self, objects: &Objects, readings: &Readings, profiles: &KnownProfiles, now: Now) -> Fleet {
        let ids = cluster_ids(objects);
        let writers = self.writers();
        // Sorted whole: maps that are filled one by one are half empty.
        let mut workloads = Vec::with_capacity(self.policies.len());
        let mut invalid: BTreeMap<PolicyKey, InvalidPolicy> = objects
            .malformed
            .iter()
            .map(|(key, problem)| {
                let complaint = format!("the object is not of the schema: {problem}; apply it again");
                (key.clone(), InvalidPolicy { generation: 0, complaints: vec![complaint] })
            })
            .collect();
        for (key, entry) in &self.policies {
            let complaints = match &entry.parsed {
                Err(complaints) => complaints.clone(),
                Ok(parsed) => {
                    let complaints = against_profile(&parsed.policy, &parsed.selector, profiles);
                    if complaints.is_empty() {
                        let workload = workload(&parsed.policy, objects, readings, &ids, &writers);
                        workloads.push((key.clone(), workload));
                        continue;
                    }
                    complaints
                }
            };
            invalid.insert(key.clone(), invalid_policy(entry, &complaints));
        }
        let clusters = ids.into_iter().map(|id| (id.clone(), cluster(&id, objects))).collect();
        let freeze = freeze(objects.lever.as_deref(), now);
        Fleet { now, freeze, clusters, workloads: workloads.into_iter().collect(), invalid }
    }

    /// The policies that may write, by what they write to.
    fn writers(&self) -> Writers<'_> {
        let mut writers = Writers::with_capacity(self.policies.len());
        for entry in self.policies.values() {
            let Ok(parsed) = &entry.parsed else { continue };
            let policy = &parsed.policy;
            if may_write(policy, &entry.object) {
                writers.entry(policy.target.object()).or_default().push(&policy.key);
            }
        }
        writers
    }
}

/// Whether a policy writes when its load asks for it. One that only observes or recommends, is paused, or does not
/// know what a replica bears, is in nobody's way. What was learned stands in its status.
fn may_write(policy: &Policy, object: &ElasticPolicy) -> bool {
    let learned = || object.status.as_ref()?.capacity.as_ref()?.per_replica;
    let known = match policy.capacity.per_replica {
        PerReplica::Declared(_) => true,
        PerReplica::Learned => learned().is_some(),
    };
    policy.mode == Mode::Active && known && !policy.pause.all
}

/// The clusters that take part: the operator's own, and every one in which a target was looked for.
pub(super) fn cluster_ids(objects: &Objects) -> BTreeSet<ClusterId> {
    let mut ids = BTreeSet::from([ClusterId::local()]);
    for (id, _) in objects.targets.keys() {
        if !ids.contains(id) {
            ids.insert(id.clone());
        }
    }
    ids
}

/// A cluster of which no target was seen yet is dark; one without targets has nothing to be dark about.
fn cluster(id: &ClusterId, objects: &Objects) -> Cluster {
    if let Some(outage) = objects.outages.get(id) {
        return Cluster { state: ClusterState::Cut(outage.clone()) };
    }
    let mut views = objects.targets.iter().filter(|((cluster, _), _)| cluster == id).map(|(_, view)| view);
    let unseen = |view: &Result<TargetView, TargetProblem>| matches!(view, Err(TargetProblem::NotYetSeen));
    let dark = views.next().is_some_and(|first| unseen(first) && views.all(unseen));
    Cluster { state: if dark { ClusterState::Dark } else { ClusterState::Healthy } }
}

/// Whether the lever holds automation at `now`, and why.
#[must_use]
pub fn freeze(lever: Option<&SafetyLever>, now: Now) -> Option<Freeze> {
    let spec = &lever?.spec;
    let holds = spec.freeze && spec.expires_at.as_ref().is_none_or(|until| now.wall < until.0);
    holds.then(|| Freeze { reason: spec.reason.clone() })
}

fn workload(
    policy: &Arc<Policy>,
    objects: &Objects,
    readings: &Readings,
    clusters: &BTreeSet<ClusterId>,
    writers: &Writers<'_>,
) -> Workload {
    let mut instances = ByCluster::with_capacity(clusters.len());
    for id in clusters {
        let seen = objects.targets.get(&(id.clone(), policy.target.clone()));
        let instance = match seen {
            Some(Ok(view)) => Ok(instance(view, readings.loads.get(&(policy.key.clone(), id.clone())))),
            Some(Err(problem)) => Err(problem.clone()),
            // Nobody looked for it there: only at home is that worth a word.
            None if *id == ClusterId::local() => Err(TargetProblem::NotYetSeen),
            None => continue,
        };
        instances.insert(id.clone(), instance);
    }
    let triggers = policy
        .triggers
        .iter()
        .map(|t| {
            let read = readings.triggers.get(&(policy.key.clone(), t.name.clone())).cloned();
            (t.name.clone(), read.unwrap_or(Err(Doubt::NotYetRead)))
        })
        .collect();
    Workload {
        contenders: contenders(policy, objects, writers),
        policy: Arc::clone(policy),
        instances,
        triggers,
    }
}

fn instance(view: &TargetView, reading: Option<&LoadReading>) -> Instance {
    Instance {
        wanted: view.wanted,
        current: view.current,
        ready: view.ready,
        rolling_out: view.rolling_out,
        template: view.template,
        footprint: view.footprint,
        version: view.version.clone(),
        load: reading.map_or(Err(Doubt::NotYetRead), |r| r.steady.clone()),
        burst: reading.and_then(|r| r.burst.clone()),
        cpu: reading.and_then(|r| r.cpu.clone()),
    }
}

/// Everybody else who writes to the target. A policy that only observes or recommends contends with nobody,
/// so that a new policy can be tried beside the scaler that is to be replaced.
fn contenders(policy: &Policy, objects: &Objects, writers: &Writers<'_>) -> Vec<Contender> {
    let target = policy.target.object();
    let mut contenders = objects.contenders.get(&target).cloned().unwrap_or_default();
    let others = writers.get(&target).into_iter().flatten().filter(|key| ***key != policy.key);
    contenders
        .extend(others.map(|key| Contender { kind: "ElasticPolicy".to_owned(), name: key.name.to_string() }));
    contenders.sort();
    contenders.dedup();
    contenders
}

fn invalid_policy(entry: &Entry, complaints: &[Complaint]) -> InvalidPolicy {
    InvalidPolicy {
        generation: entry.object.metadata.generation.unwrap_or_default(),
        complaints: complaints.iter().map(ToString::to_string).collect(),
    }
}
