//! Triggers: the user's own PromQL, and the rule that makes replicas of its value.

use std::sync::Arc;

use loadline_crds::elastic_policy as api;
use loadline_policies::{
    desired::formula::compile,
    policy::{Trigger, TriggerRule},
};
use promql_parser::parser::{self, value::ValueType};

use super::{
    complaint::Complaints,
    numbers::{all, positive},
};

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

/// The query must be PromQL that gives one number or a vector of them.
fn query(text: &str, path: &str, c: &mut Complaints) -> Option<()> {
    match parser::parse(text) {
        Ok(expr) => match expr.value_type() {
            ValueType::Vector | ValueType::Scalar => Some(()),
            ValueType::Matrix => c.add(
                path,
                "the query gives a range of values, not one",
                "put it into a function, for example sum(rate(…[1m]))",
            ),
            ValueType::String => c.add(path, "the query gives a text", "write a query that gives one number"),
        },
        Err(e) => c.add(
            path,
            format!("this is not PromQL ({})", e.trim()),
            "try it in Prometheus first; it must give one number",
        ),
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
