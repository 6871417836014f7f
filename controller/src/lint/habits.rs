//! A valid policy against the operator that it is for, and against what people mean.

use loadline_policies::policy::Policy;

use super::{Environment, Object, Report, Severity, kinds, suggest};
use crate::translate::{Parsed, against_profile};

/// Checks one valid policy.
pub(super) fn check(object: &Object, parsed: &Parsed, environment: &Environment, report: &mut Report) {
    let policy = &parsed.policy;
    target(object, policy, environment, report);
    for mut complaint in against_profile(policy, &parsed.selector, &environment.profiles) {
        if complaint.path == "spec.load.profile" {
            let near = suggest::nearest(&policy.load.profile, environment.profiles.names());
            complaint.fix = near.map_or(complaint.fix, |name| format!("did you mean {name}?"));
        }
        report.complain(object, complaint);
    }
    if policy.activation.is_some() && policy.bounds.min > 0 {
        report.add(
            Severity::Warning,
            object,
            "spec.activation",
            format!("it does nothing while spec.bounds.min is {}", policy.bounds.min),
            "set spec.bounds.min to 0 to scale to zero, or remove activation",
        );
    }
}

fn target(object: &Object, policy: &Policy, environment: &Environment, report: &mut Report) {
    let (api_version, kind) = (&*policy.target.api_version, &*policy.target.kind);
    if let Some((problem, fix)) = kinds::problem(api_version, kind) {
        report.add(Severity::Error, object, "spec.target.kind", problem, fix);
    } else if !environment.scale_targets.iter().any(|(a, k)| a == api_version && k == kind) {
        report.add(
            Severity::Warning,
            object,
            "spec.target.kind",
            format!("the operator may not scale {kind} of {api_version} by default"),
            "add the kind to the chart value scaleTargets, and give lint the operator's configuration by --config",
        );
    }
}
