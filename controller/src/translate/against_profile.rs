//! A valid policy against the telemetry profile that it names: what it wants and the profile cannot give.

use loadline_policies::policy::{ActivationSignal, Policy, Weights};

use super::{
    complaint::{Complaint, Complaints},
    profiles::{Endpoints, KnownProfiles, Matches, Named},
};
use crate::ports::SeriesSelector;

/// What the policy wants of its profile and the profile cannot give.
pub(crate) fn against_profile(
    policy: &Policy,
    selector: &SeriesSelector,
    profiles: &KnownProfiles,
) -> Vec<Complaint> {
    let mut c = Complaints::default();
    let name = &policy.load.profile;
    let Some(facts) = profiles.get(name) else {
        c.add::<()>(
            "spec.load.profile",
            format!("there is no telemetry profile {name:?}"),
            format!("name one of these, or add it to the operator's configuration: {}", profiles.listed()),
        );
        return c.into_vec();
    };
    if !facts.histogram && matches!(policy.load.weights, Weights::Latency(_)) {
        c.add::<()>(
            "spec.load.weights.latency",
            format!("the profile {name:?} has no latency histogram"),
            "remove the weights, or name a profile with one",
        );
    }
    if !facts.histogram && policy.objective.is_some() {
        c.add::<()>(
            "spec.objective.latency",
            format!("the profile {name:?} has no latency histogram"),
            "remove the objective, or name a profile with one",
        );
    }
    if facts.endpoints == Endpoints::Unknown && matches!(policy.load.weights, Weights::Endpoints(_)) {
        c.add::<()>(
            "spec.load.weights.endpoints",
            format!("the profile {name:?} does not tell endpoints apart"),
            "remove the weights, or name a profile that does",
        );
    }
    let learned = matches!(policy.load.weights, Weights::LearnedEndpoints(_));
    if facts.endpoints != Endpoints::CountedWithCpu && learned {
        let lacks = if facts.endpoints == Endpoints::Counted {
            "does not say how CPU is read"
        } else {
            "does not tell endpoints apart"
        };
        c.add::<()>(
            "spec.load.weights.learned",
            format!("the profile {name:?} {lacks}"),
            "remove the weights, or name a profile that does",
        );
    }
    selection(policy, selector, &facts.matches, &mut c);
    let by_load = policy.activation.as_ref().is_some_and(|a| a.signal == ActivationSignal::Load);
    if by_load && policy.bounds.min == 0 && !facts.outlives_workload {
        c.add::<()>(
            "spec.activation",
            format!("the series of the profile {name:?} end with the last replica, so they cannot wake it"),
            "name a trigger whose series exist without the workload, use a gateway or queue profile, \
             or set spec.bounds.min to 1",
        );
    }
    c.into_vec()
}

/// Whether the profile can find the workload's series in the way that the policy asks for.
fn selection(policy: &Policy, selector: &SeriesSelector, matches: &Matches, c: &mut Complaints) {
    let Matches::Only { labels, route, service, kinds } = matches else { return };
    let name = &policy.load.profile;
    match selector {
        SeriesSelector::Labels(wanted) => match labels {
            None => c
                .add::<()>(
                    "spec.load.match.labels",
                    format!("the profile {name:?} has no label with the namespace, so these could be another's series"),
                    "name the route or service instead, or remove match",
                )
                .unwrap_or_default(),
            Some(labels) => {
                for label in wanted.keys().filter(|label| !labels.contains(*label)) {
                    c.add::<()>(
                        format!("spec.load.match.labels[{label}]"),
                        format!("the profile {name:?} does not group by this label"),
                        format!(
                            "use one of these: {}",
                            labels.iter().cloned().collect::<Vec<_>>().join(", ")
                        ),
                    );
                }
            }
        },
        SeriesSelector::Route(route_name) => named("route", route_name, *route, name, c),
        SeriesSelector::Service(service_name) => named("service", service_name, *service, name, c),
        SeriesSelector::Profile => {
            let kind = &*policy.target.kind;
            if let Some(kinds) = kinds
                && !kinds.contains(kind)
            {
                let kinds = kinds.iter().cloned().collect::<Vec<_>>().join(", ");
                c.add::<()>(
                    "spec.load.match",
                    format!("the profile {name:?} finds the series of these kinds by itself, not of a {kind}: {kinds}"),
                    "say by match which series are this workload's",
                );
            }
        }
    }
}

/// Whether the profile knows routes (or services), by names such as this.
fn named(what: &str, value: &str, known: Named, profile: &str, c: &mut Complaints) {
    let path = format!("spec.load.match.{what}");
    match known {
        Named::Unknown => c
            .add::<()>(
                path,
                format!("the profile {profile:?} knows no {what}s"),
                "remove match to find series as the profile does, or name a profile that can",
            )
            .unwrap_or_default(),
        Named::InNamespace if value.contains('/') => {
            let name = value.rsplit('/').next().unwrap_or(value);
            c.add::<()>(
                path,
                format!("{value:?} is no name: the profile {profile:?} puts the policy's namespace to it"),
                format!(
                    "write the name alone, for example {name}; a {what} of another namespace cannot be read"
                ),
            )
            .unwrap_or_default();
        }
        Named::InNamespace | Named::AsInTheLabel => {}
    }
}
