//! Activation: scale to zero and back.

use loadline_crds::elastic_policy as api;
use loadline_policies::policy::{Activation, ActivationSignal};

use super::{
    complaint::Complaints,
    numbers::{not_negative, period},
};

/// The activation of a policy that has these triggers.
pub(super) fn activation(
    activation: &api::Activation,
    triggers: &[api::Trigger],
    c: &mut Complaints,
) -> Option<Activation> {
    let signal = match &activation.trigger {
        None => Some(ActivationSignal::Load),
        Some(name) if triggers.iter().any(|t| t.name == *name) => {
            Some(ActivationSignal::Trigger(name.clone()))
        }
        Some(name) => c.add(
            "spec.activation.trigger",
            format!("there is no trigger named {name:?}"),
            "name one of spec.triggers, or remove the field to wake by the load itself",
        ),
    };
    let above = not_negative(activation.above, "spec.activation.above", c);
    let idle_for = period(activation.idle_for, None, "spec.activation.idleFor", c);
    Some(Activation { signal: signal?, above: above?, idle_for: idle_for? })
}
