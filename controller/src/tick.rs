//! One tick: every decision of the fleet, from one snapshot.

use std::collections::BTreeMap;

use loadline_policies::{
    fleet::Fleet,
    judge,
    memory::Memory,
    plan::{Plan, Proposed},
};

/// Decides for every policy of the fleet.
///
/// Pure but for `memory`, which holds what the next tick must know. The memory of a policy that is gone, or
/// that was deleted and made again, is dropped.
pub fn tick(fleet: &Fleet, memory: &mut Memory) -> Plan<Proposed> {
    memory.policies.retain(|key, _| fleet.workloads.contains_key(key) || fleet.invalid.contains_key(key));
    let mut actions = Vec::new();
    // Made whole in the end: a map that is filled one by one is half empty.
    let mut decisions = Vec::with_capacity(fleet.workloads.len() + fleet.invalid.len());
    for (key, workload) in &fleet.workloads {
        let remembered = memory.policies.entry(key.clone()).or_default();
        let (decision, wanted) =
            judge::judge(workload, fleet.freeze.as_ref(), &fleet.clusters, remembered, fleet.now);
        actions.extend(wanted);
        decisions.push((key.clone(), decision));
    }
    for (key, invalid) in &fleet.invalid {
        decisions.push((key.clone(), judge::refuse(invalid)));
    }
    let decisions: BTreeMap<_, _> = decisions.into_iter().collect();
    let wake_at = decisions.values().filter_map(|d| d.wake_at).min();
    Plan { at: fleet.now, actions, decisions, wake_at }
}
