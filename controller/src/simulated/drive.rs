//! The drive: lets simulated time go on and runs one whole production sync after another.

use std::{collections::BTreeMap, time::Duration};

use futures::FutureExt as _;
use loadline_chaos::world::World;
use loadline_crds::{ElasticPolicy, ElasticPolicyStatus};
use loadline_policies::{
    fleet::{Fleet, Workload},
    forecast::Forecaster,
    ids::PolicyKey,
    memory::{self, Memory},
    plan::{Action, Applied, Decision, Outcome, Plan, Proposed},
};

use super::{SimulatedFleet, reading};
use crate::{
    ports::{Actuator as _, Clock as _, FleetSource as _, Telemetry as _},
    report::{
        self,
        status::{self, Urgency},
    },
    tick::tick,
    translate::Translator,
};

/// A simulated fleet with the production loop around it.
#[derive(Debug)]
pub struct Drive {
    fleet: SimulatedFleet,
    sync: Duration,
    translator: Translator,
    memory: Memory,
    /// What the last sync saw; the invariants are judged against it.
    seen: Option<Fleet>,
}

/// A promise that a plan broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invariant {
    /// Replicas were lowered although something was in doubt.
    #[error("{policy} was lowered from {from} to {to} in doubt: {doubts}")]
    LoweredInDoubt {
        /// Which policy.
        policy: PolicyKey,
        /// Replicas before.
        from: u32,
        /// Replicas after.
        to: u32,
        /// What was in doubt.
        doubts: String,
    },
    /// Replicas outside the bounds were wanted.
    #[error("{policy} wants {desired} replicas, outside of {min} to {max}")]
    OutOfBounds {
        /// Which policy.
        policy: PolicyKey,
        /// Replicas wanted.
        desired: u32,
        /// `bounds.min`.
        min: u32,
        /// `bounds.max`.
        max: u32,
    },
}

impl Drive {
    /// A drive over a world and its policies that looks every `sync`.
    #[must_use]
    pub fn new(world: World, policies: impl IntoIterator<Item = ElasticPolicy>, sync: Duration) -> Self {
        Self {
            fleet: SimulatedFleet::new(world, policies),
            sync: sync.max(Duration::from_millis(1)),
            translator: Translator::default(),
            memory: Memory::default(),
            seen: None,
        }
    }

    /// The fleet that it drives.
    #[must_use]
    pub fn fleet(&self) -> &SimulatedFleet {
        &self.fleet
    }

    /// Gives a policy a forecaster that has learned already, as after a bulk read of history.
    pub fn foresee(&mut self, policy: PolicyKey, forecaster: Forecaster) {
        self.memory.policies.entry(policy).or_default().forecaster = Some(Box::new(forecaster));
    }

    /// Forgets everything that is not in the API server, as a process that was started again.
    pub fn restart(&mut self) {
        self.translator = Translator::default();
        self.memory = status::restored(&self.fleet.objects().policies, self.fleet.now());
    }

    /// Lets one sync period pass, then looks, decides and writes.
    pub fn advance(&mut self) -> Plan<Applied> {
        let sync = self.sync;
        self.fleet.with(|world| world.step(world.now().mono.plus(sync)));
        self.look()
    }

    /// Looks, decides and writes, now.
    pub fn look(&mut self) -> Plan<Applied> {
        let now = self.fleet.now();
        let objects = self.fleet.objects();
        self.translator.refresh(&objects);
        let asks = self.translator.asks(&objects);
        // The simulated ports never wait; one that did would have read nothing, which is a doubt everywhere.
        let readings = self.fleet.read(&asks, now).now_or_never().unwrap_or_default();
        let fleet = self.translator.fleet(&objects, &readings, reading::profiles(), now);
        let plan = tick(&fleet, &mut self.memory);
        let plan = self.write(plan);
        memory::record(&mut self.memory, &plan);
        self.report(&plan);
        self.seen = Some(fleet);
        plan
    }

    /// Keeps in status what changed, as the operator does.
    fn report(&self, plan: &Plan<Applied>) {
        let changes = report::changes(plan);
        self.fleet.report(|policy| {
            let key = report::key_of(policy);
            let (decision, memory) = (plan.decisions.get(&key)?, self.memory.policies.get(&key));
            let none = ElasticPolicyStatus::default();
            let before = policy.status.as_ref().unwrap_or(&none);
            let change = changes.get(&key).copied();
            let now = status::of(decision, memory.map(Box::as_ref), change, before, plan.at);
            (status::urgency(before, &now) > Urgency::None).then_some(now)
        });
    }

    fn write(&self, plan: Plan<Proposed>) -> Plan<Applied> {
        let outcomes =
            plan.actions.iter().map(|action| match action {
                Action::Scale(scale) => self.fleet.scale(scale).now_or_never().unwrap_or_else(|| {
                    Outcome::Failed("the simulated fleet did not answer at once".to_owned())
                }),
            });
        let outcomes = outcomes.collect();
        plan.applied(outcomes)
    }

    /// Every promise that the last plan broke; none in a correct house.
    ///
    /// *Doubt never removes*: a workload with any doubtful reading, or without a reading of its load, is not
    /// lowered, except by a `Static` fallback or a person's annotation (which the policies of simulated fleets
    /// do not use) or into its bounds. *Bounds hold*: what is wanted lies within them.
    #[must_use]
    pub fn broken(&self, plan: &Plan<Applied>) -> Vec<Invariant> {
        let Some(fleet) = &self.seen else { return Vec::new() };
        let mut broken = Vec::new();
        for (key, workload) in &fleet.workloads {
            let bounds = workload.policy.bounds;
            let Some(decision) = plan.decisions.get(key) else { continue };
            let held = decision.desired == decision.replicas.wanted;
            if !held && !(bounds.min..=bounds.max).contains(&decision.desired) {
                broken.push(Invariant::OutOfBounds {
                    policy: key.clone(),
                    desired: decision.desired,
                    min: bounds.min,
                    max: bounds.max,
                });
            }
            let doubts = doubts(workload, decision);
            if doubts.is_empty() {
                continue;
            }
            let wanted = workload.totals().wanted;
            let written = written(plan, key, wanted);
            if written < wanted.min(bounds.max) {
                broken.push(Invariant::LoweredInDoubt {
                    policy: key.clone(),
                    from: wanted,
                    to: written,
                    doubts: doubts.join(", "),
                });
            }
        }
        broken
    }
}

/// More silent replicas than this share are a doubt of their own; fewer are counted as fully loaded.
const SILENT: f64 = 0.1;

/// Everything doubtful about a workload: what was read, whatever was made of it, and what the decision says.
fn doubts(workload: &Workload, decision: &Decision) -> Vec<String> {
    let loads = workload.load_doubts().map(|(cluster, doubt)| format!("{cluster}: {doubt}"));
    let coverages =
        workload.instances.values().flatten().filter_map(|i| i.load.as_ref().ok().map(|r| r.coverage));
    let partial = coverages.filter(|c| f64::from(c.silent()) > SILENT * f64::from(c.expected));
    let partial = partial.map(|c| format!("{} of {} replicas are silent", c.silent(), c.expected));
    let told = decision.doubts.iter().map(|(name, doubt)| format!("{name}: {doubt}"));
    let triggers = workload.triggers.iter().filter_map(|(name, value)| {
        let doubt = value.as_ref().err()?;
        Some(format!("{name}: {doubt}"))
    });
    loads.chain(partial).chain(triggers).chain(told).collect()
}

/// Replicas over all clusters after the plan's writes.
fn written(plan: &Plan<Applied>, key: &PolicyKey, wanted: u32) -> u32 {
    let mut changes: BTreeMap<_, i64> = BTreeMap::new();
    for applied in &plan.actions {
        let Action::Scale(scale) = &applied.action;
        if scale.policy == *key {
            *changes.entry(&scale.cluster).or_default() += i64::from(scale.to) - i64::from(scale.from);
        }
    }
    let after = i64::from(wanted) + changes.values().sum::<i64>();
    u32::try_from(after.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
