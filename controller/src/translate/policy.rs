//! One policy: from the custom resource to the domain value, or every complaint about it.

use std::sync::Arc;

use kube::ResourceExt;
use loadline_crds::{ElasticPolicy, elastic_policy as api};
use loadline_policies::{
    ids::{PolicyKey, Target},
    policy::{Bounds, Mode, Policy},
};

use super::{
    activation::activation,
    behaviour::{behaviour, fallback},
    complaint::{Complaint, Complaints},
    events::events,
    load::{capacity, load},
    numbers::replicas,
    pause::pause,
    schedules::schedules,
    translator::Parsed,
    triggers::triggers,
};

/// The key of a policy object.
#[must_use]
pub(super) fn key(cr: &ElasticPolicy) -> PolicyKey {
    PolicyKey::new(cr.metadata.namespace.as_deref().unwrap_or_default(), &cr.name_any())
}

/// Parses one policy.
///
/// # Errors
/// Every complaint, each with the path of its field and the way to put it right.
pub fn policy(cr: &ElasticPolicy) -> Result<Policy, Vec<Complaint>> {
    parse(cr).map(|parsed| Arc::unwrap_or_clone(parsed.policy))
}

/// Parses one policy together with what is asked of the telemetry for it.
pub(crate) fn parse(cr: &ElasticPolicy) -> Result<Parsed, Vec<Complaint>> {
    let mut c = Complaints::default();
    match parsed(cr, &mut c) {
        Some(parsed) if c.is_empty() => Ok(parsed),
        _ => Err(c.into_vec()),
    }
}

fn parsed(cr: &ElasticPolicy, c: &mut Complaints) -> Option<Parsed> {
    let (key, spec) = (key(cr), &cr.spec);
    let pause = pause(cr.metadata.annotations.as_ref(), c);
    let target = target(&spec.target, &key, c);
    let bounds = bounds(spec, c);
    let load = load(&spec.load, c);
    let selector = super::load::selector(&spec.load, c);
    let objective = spec.objective.as_ref().map(|o| super::load::objective(o, c));
    let capacity = capacity(&spec.capacity, c);
    let forecast = super::load::forecast(&spec.forecast, c);
    let schedules = schedules(&spec.schedules, bounds.map(|b| b.max), c);
    let events = events(&spec.events, c);
    let triggers = triggers(&spec.triggers, c);
    let behaviour = behaviour(&spec.behaviour, c);
    let fallback = fallback(spec.fallback, c);
    let activation = spec.activation.as_ref().map(|a| activation(a, &spec.triggers, c));
    let policy = Policy {
        key,
        uid: cr.metadata.uid.clone().unwrap_or_default(),
        generation: cr.metadata.generation.unwrap_or_default(),
        target: target?,
        mode: mode(spec.mode),
        pause: pause?,
        bounds: bounds?,
        load: load?,
        objective: optional(objective)?,
        capacity: capacity?,
        forecast: forecast?,
        schedules: schedules?,
        events: events?,
        triggers: triggers?,
        behaviour: behaviour?,
        fallback: fallback?,
        activation: optional(activation)?,
    };
    let queries = spec.triggers.iter().map(|t| (t.name.clone(), t.query.clone())).collect();
    Some(Parsed { policy: Arc::new(policy), selector: selector?, queries })
}

/// What was not given is fine; what was given must have been parsed.
#[expect(clippy::option_option, reason = "given or not, and parsed or not, are two questions")]
fn optional<T>(parsed: Option<Option<T>>) -> Option<Option<T>> {
    match parsed {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
    }
}

const fn mode(mode: api::Mode) -> Mode {
    match mode {
        api::Mode::Observe => Mode::Observe,
        api::Mode::Recommend => Mode::Recommend,
        api::Mode::Active => Mode::Active,
    }
}

fn target(t: &api::TargetRef, key: &PolicyKey, c: &mut Complaints) -> Option<Target> {
    let mut complete = true;
    for (field, value) in [("apiVersion", &t.api_version), ("kind", &t.kind), ("name", &t.name)] {
        if value.is_empty() {
            complete = false;
            c.add::<()>(
                format!("spec.target.{field}"),
                "it is empty",
                "name the workload, for example apiVersion: apps/v1, kind: Deployment, name: checkout",
            );
        }
    }
    complete.then(|| Target::new(&t.api_version, &t.kind, &key.namespace, &t.name))
}

fn bounds(spec: &api::ElasticPolicySpec, c: &mut Complaints) -> Option<Bounds> {
    let min = replicas(spec.bounds.min, 0, "spec.bounds.min", c);
    let max = replicas(spec.bounds.max, 1, "spec.bounds.max", c);
    let bounds = Bounds { min: min?, max: max? };
    if bounds.min > bounds.max {
        return c.add(
            "spec.bounds",
            format!("min {} is more than max {}", bounds.min, bounds.max),
            "make min at most max",
        );
    }
    if bounds.min == 0 && spec.activation.is_none() {
        return c.add(
            "spec.bounds.min",
            "0 needs spec.activation, which says what wakes the workload again",
            "add activation, or set min to 1 or more",
        );
    }
    if let Some(floor) = spec.fallback.replicas
        && u32::try_from(floor).is_ok_and(|floor| floor > bounds.max)
    {
        return c.add(
            "spec.fallback.replicas",
            format!("{floor} is more than spec.bounds.max, which is {}", bounds.max),
            "lower it, or raise spec.bounds.max",
        );
    }
    Some(bounds)
}

/// Complains of names that are empty or stand twice.
pub(super) fn unique<'a>(names: impl Iterator<Item = &'a str>, path: &str, c: &mut Complaints) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, name) in names.enumerate() {
        if name.is_empty() {
            c.add::<()>(format!("{path}[{i}].name"), "it is empty", "give it a name");
        } else if !seen.insert(name) {
            c.add::<()>(
                format!("{path}[{i}].name"),
                format!("{name:?} stands twice"),
                "give each its own name",
            );
        }
    }
}
