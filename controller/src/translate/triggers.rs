//! Triggers: the user's own PromQL, and the rule that makes replicas of its value.

use std::sync::Arc;

use loadline_crds::elastic_policy as api;
use loadline_policies::{
    desired::formula::compile,
    policy::{Trigger, TriggerRule},
};

use super::{
    complaint::Complaints,
    numbers::{all, positive},
};
use crate::observe::prometheus::promql;

/// All triggers of a policy.
pub(super) fn triggers(triggers: &[api::Trigger], c: &mut Complaints) -> Option<Vec<Trigger>> {
    super::policy::unique(triggers.iter().map(|t| t.name.as_str()), "spec.triggers", c);
    let names: Vec<&str> = triggers.iter().map(|t| t.name.as_str()).collect();
    all(triggers.iter().enumerate().map(|(i, t)| trigger(t, &names, &format!("spec.triggers[{i}]"), c)))
}

fn trigger(t: &api::Trigger, names: &[&str], path: &str, c: &mut Complaints) -> Option<Trigger> {
    let query = query(&t.query, &format!("{path}.query"), c);
    let rule = match (t.per_replica, t.target, t.formula.as_deref()) {
        (Some(n), None, None) => positive(n, &format!("{path}.perReplica"), c).map(TriggerRule::PerReplica),
        (None, Some(n), None) => positive(n, &format!("{path}.target"), c).map(TriggerRule::Target),
        (None, None, Some(source)) => formula(source, names, &format!("{path}.formula"), c),
        _ => c.add(
            path,
            "exactly one of perReplica, target and formula makes replicas of the value",
            "keep one of them",
        ),
    };
    query?;
    Some(Trigger { name: t.name.clone(), rule: rule? })
}

/// The query must be PromQL that gives one number and that a namespace can be put into.
///
/// Checked as it will be asked, limits first: a long chain of operators would end the stack of its parser.
fn query(text: &str, path: &str, c: &mut Complaints) -> Option<()> {
    match promql::check(text) {
        Ok(()) => Some(()),
        Err(e) => c.add(path, e.problem(), e.fix()),
    }
}

fn formula(source: &str, names: &[&str], path: &str, c: &mut Complaints) -> Option<TriggerRule> {
    let formula = match compile(source) {
        Ok(formula) => formula,
        Err(e) => {
            return c.add(path, e.to_string(), "a formula that works: math.ceil(value / 200.0)");
        }
    };
    if let Some(unknown) = formula.reads.iter().find(|read| !names.contains(&read.as_str())) {
        return c.add(
            path,
            format!("values.{unknown} is the value of no trigger of this policy"),
            format!("read one of these: {}", names.join(", ")),
        );
    }
    Some(TriggerRule::Formula(Arc::new(formula)))
}
