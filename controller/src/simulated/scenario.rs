//! The scenario runner: plays a scenario file through the production loop and judges what came of it.

use std::{collections::BTreeMap, time::Duration};

use loadline_chaos::world::{Stats, World, names, scenario::Scenario};
use loadline_crds::ElasticPolicy;
use loadline_policies::{
    ids::PolicyKey,
    plan::{Action, Applied, Plan},
    reason::{Condition, ReasonCode},
};

use super::{Drive, Invariant, expect};

/// Why a scenario could not be played.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file is not a scenario.
    #[error("the scenario is not of the schema; correct the field that the cause names")]
    Schema(#[source] serde_yaml::Error),
    /// One of its policies is not an `ElasticPolicy`.
    #[error("policy number {number} of the scenario is not an ElasticPolicy; correct what the cause names")]
    Policy {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        source: serde_yaml::Error,
    },
    /// Nothing is expected.
    #[error("the scenario expects nothing, so it would prove nothing; add at least one expectation")]
    NoExpectations,
}

/// What came of a scenario.
#[derive(Debug)]
pub struct Run {
    /// What was seen and done in each sync, by policy.
    pub journal: BTreeMap<String, Vec<Entry>>,
    /// What became of the users' requests, by `namespace/name` of the workload.
    pub stats: BTreeMap<String, Stats>,
    /// Promises that were broken, with the time.
    pub broken: Vec<(Duration, Invariant)>,
    /// One line for each expectation that was not met, and for each broken promise.
    pub failures: Vec<String>,
}

/// One sync of one policy.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Time since the start.
    pub at: Duration,
    /// `spec.replicas` after the writes of this sync.
    pub replicas: u32,
    /// What was written, and the label of the outcome: `(from, to, outcome)`.
    pub writes: Vec<(u32, u32, &'static str)>,
    /// The decision's reasons.
    pub reasons: Vec<ReasonCode>,
    /// The decision's conditions.
    pub conditions: Vec<Condition>,
}

/// Reads a scenario.
///
/// # Errors
/// [`ScenarioError`] when the text is not a scenario that proves something.
pub fn parse(yaml: &str) -> Result<Scenario, ScenarioError> {
    let scenario: Scenario = serde_yaml::from_str(yaml).map_err(ScenarioError::Schema)?;
    if scenario.expect.is_empty() {
        return Err(ScenarioError::NoExpectations);
    }
    Ok(scenario)
}

/// Plays a scenario to its end.
///
/// # Errors
/// [`ScenarioError::Policy`] when one of its policies is not an `ElasticPolicy`.
pub fn run(scenario: &Scenario) -> Result<Run, ScenarioError> {
    let policies = scenario.policies.iter().enumerate().map(|(index, value)| {
        serde_yaml::from_value::<ElasticPolicy>(value.clone())
            .map_err(|source| ScenarioError::Policy { number: index + 1, source })
    });
    let policies: Vec<ElasticPolicy> = policies.collect::<Result<_, _>>()?;
    let world = World::new(scenario.world.clone(), scenario.faults.clone(), scenario.seed);
    let mut drive = Drive::new(world, policies, scenario.sync);

    let mut run =
        Run { journal: BTreeMap::new(), stats: BTreeMap::new(), broken: Vec::new(), failures: Vec::new() };
    let mut at = Duration::ZERO;
    while at < scenario.duration {
        let plan = drive.advance();
        at = plan.at.mono.0;
        run.broken.extend(drive.broken(&plan).into_iter().map(|broken| (at, broken)));
        for key in plan.decisions.keys() {
            run.journal.entry(key.to_string()).or_default().extend(entry(&plan, key));
        }
    }
    drive.fleet().with(|world| {
        for target in world.targets() {
            let name = format!("{}/{}", target.namespace, target.name);
            debug_assert!(names(&name, target));
            run.stats.extend(world.stats(target).map(|stats| (name, stats)));
        }
    });
    let broken = run.broken.iter().map(|(at, broken)| format!("{}: {broken}", expect::clock(*at)));
    let missed = scenario.expect.iter().filter_map(|wanted| expect::judge(wanted, &run).err());
    run.failures = broken.chain(missed).collect();
    Ok(run)
}

fn entry(plan: &Plan<Applied>, key: &PolicyKey) -> Option<Entry> {
    let decision = plan.decisions.get(key)?;
    let writes: Vec<_> = plan
        .actions
        .iter()
        .filter_map(|applied| {
            let Action::Scale(scale) = &applied.action;
            (scale.policy == *key).then(|| (scale.from, scale.to, applied.outcome.label()))
        })
        .collect();
    let done = writes.iter().filter(|(.., outcome)| *outcome == "done");
    let change: i64 = done.map(|(from, to, _)| i64::from(*to) - i64::from(*from)).sum();
    let replicas = u32::try_from((i64::from(decision.replicas.wanted) + change).max(0)).unwrap_or(u32::MAX);
    Some(Entry {
        at: plan.at.mono.0,
        replicas,
        writes,
        reasons: decision.reasons.iter().map(|reason| reason.code).collect(),
        conditions: decision.conditions.clone(),
    })
}
