//! Triggers: the user's own PromQL, and the rule that makes replicas of its value.

use loadline_crds::elastic_policy as api;
use loadline_policies::policy::{Trigger, TriggerRule};
use promql_parser::parser::{self, value::ValueType};

use super::{
    complaint::Complaints,
    numbers::{all, positive},
};

/// All triggers of a policy.
pub(super) fn triggers(triggers: &[api::Trigger], c: &mut Complaints) -> Option<Vec<Trigger>> {
    super::policy::unique(triggers.iter().map(|t| t.name.as_str()), "spec.triggers", c);
    all(triggers.iter().enumerate().map(|(i, t)| trigger(t, &format!("spec.triggers[{i}]"), c)))
}

fn trigger(t: &api::Trigger, path: &str, c: &mut Complaints) -> Option<Trigger> {
    let query = query(&t.query, &format!("{path}.query"), c);
    let rule = match (t.per_replica, t.target, t.formula.as_deref()) {
        (Some(n), None, None) => positive(n, &format!("{path}.perReplica"), c).map(TriggerRule::PerReplica),
        (None, Some(n), None) => positive(n, &format!("{path}.target"), c).map(TriggerRule::Target),
        (None, None, Some(source)) => formula(source, &format!("{path}.formula"), c),
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

fn formula(source: &str, path: &str, c: &mut Complaints) -> Option<TriggerRule> {
    c.add(
        path,
        format!("the formula {source:?} cannot be compiled by this version"),
        "use perReplica or target",
    )
}
