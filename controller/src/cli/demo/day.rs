//! The day: its world, its policies, and the course of each load for the header.

use std::{collections::BTreeMap, time::Duration};

use loadline_chaos::world::{Event, Fault, Pulse, Stats, World, WorldConfig};
use loadline_crds::ElasticPolicy;
use loadline_policies::{
    ids::{PolicyKey, Target},
    plan::{Applied, Plan},
    policy::Policy,
};
use serde::Deserialize;

use crate::{simulated::Drive, translate};

/// The file of the day.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    world: WorldConfig,
    faults: Vec<Fault>,
    policies: Vec<ElasticPolicy>,
}

/// Time between two looks, as in production.
const SYNC: Duration = Duration::from_secs(5);
/// Simulated time between two points of a course: three hours of them fit on a sparkline.
const POINT: Duration = Duration::from_mins(5);

/// A day as it is lived through.
pub(super) struct Day {
    drive: Drive,
    file: File,
    seed: u64,
    policies: BTreeMap<PolicyKey, Policy>,
    courses: BTreeMap<PolicyKey, Vec<f64>>,
}

impl Day {
    /// The day at midnight.
    pub(super) fn new(seed: u64) -> Result<Self, serde_yaml::Error> {
        let file: File = serde_yaml::from_str(include_str!("day.yaml"))?;
        let world = World::new(file.world.clone(), file.faults.clone(), seed);
        let parsed = file.policies.iter().filter_map(|object| translate::policy(object).ok());
        Ok(Self {
            drive: Drive::new(world, file.policies.clone(), SYNC),
            policies: parsed.map(|policy| (policy.key.clone(), policy)).collect(),
            courses: BTreeMap::new(),
            file,
            seed,
        })
    }

    /// Simulated time since midnight.
    pub(super) fn elapsed(&self) -> Duration {
        self.drive.fleet().with(|world| world.now().mono.0)
    }

    /// One look further.
    pub(super) fn advance(&mut self) -> (Plan<Applied>, Vec<Event>) {
        let plan = self.drive.advance();
        let events = self.drive.fleet().with(World::take_events);
        if plan.at.mono.0.as_secs().is_multiple_of(POINT.as_secs()) {
            for (key, decision) in &plan.decisions {
                let load = decision.demand.map_or(f64::NAN, |demand| demand.weighted);
                self.courses.entry(key.clone()).or_default().push(load);
            }
        }
        (plan, events)
    }

    /// The parsed policy.
    pub(super) fn policy(&self, key: &PolicyKey) -> Option<&Policy> {
        self.policies.get(key)
    }

    /// The policies in the order of their names.
    pub(super) fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }

    /// The load of the last hours, a point every five minutes, NaN where it was not known.
    pub(super) fn course(&self, key: &PolicyKey) -> &[f64] {
        self.courses.get(key).map_or(&[], Vec::as_slice)
    }

    /// How the workload is really doing, whatever the metrics say.
    pub(super) fn pulse(&self, target: &Target) -> Pulse {
        self.drive.fleet().with(|world| world.pulse(target)).unwrap_or_default()
    }

    /// What became of a workload's requests.
    pub(super) fn stats(&self, target: &Target) -> Stats {
        self.drive.fleet().with(|world| world.stats(target)).unwrap_or_default()
    }

    /// The same day with as many replicas all day, and nobody scaling: what a fixed fleet would have done.
    pub(super) fn fixed(&self, target: &Target, replicas: u32) -> Stats {
        let mut config = self.file.world.clone();
        for workload in config.workloads.iter_mut().filter(|w| w.target() == *target) {
            workload.replicas.values_mut().for_each(|n| *n = replicas);
        }
        let by_hand =
            |fault: &Fault| matches!(fault.fault, loadline_chaos::world::FaultKind::ScaleByHand { .. });
        let faults = self.file.faults.iter().filter(|fault| !by_hand(fault)).cloned().collect();
        let mut world = World::new(config, faults, self.seed);
        world.step(loadline_policies::now::Mono(self.elapsed()));
        world.stats(target).unwrap_or_default()
    }
}
