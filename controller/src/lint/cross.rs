//! Checks that need more than one object: policies that stand twice, and others that scale the same target.

use std::collections::BTreeMap;

use loadline_policies::policy::{Mode, Policy};

use super::{Object, Report, Severity, object::group};
use crate::translate::Parsed;

/// What a scaler scales: namespace, group, kind, name. Versions of one group are the same object.
type TargetKey<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Checks all objects of all files together.
pub(super) fn check(objects: &[Object], policies: &[(&Object, Parsed)], report: &mut Report) {
    let mut names: BTreeMap<(&str, &str), &Object> = BTreeMap::new();
    let mut targets: BTreeMap<TargetKey<'_>, Vec<(&Object, &Policy)>> = BTreeMap::new();
    for (object, parsed) in policies {
        let policy = &parsed.policy;
        if let Some(first) = names.insert((object.namespace(), object.name()), object) {
            let problem = format!("a policy of this name stands in {}:{} already", first.file, first.line);
            report.add(Severity::Error, object, "metadata.name", problem, "give each policy its own name");
        }
        let t = &policy.target;
        targets
            .entry((object.namespace(), group(&t.api_version), &t.kind, &t.name))
            .or_default()
            .push((object, policy));
    }
    for sharing in targets.values() {
        for (object, policy) in sharing {
            let other =
                sharing.iter().find(|(other, p)| p.mode == Mode::Active && other.name() != object.name());
            if let Some((other, _)) = other {
                contested(object, policy, other, report);
            }
        }
    }
    for scaler in objects {
        let Some(target) = scaled_by(scaler) else { continue };
        for (object, policy) in targets.get(&target).into_iter().flatten() {
            contested(object, policy, scaler, report);
        }
    }
}

/// A policy whose target another one scales: an error where both would write.
fn contested(object: &Object, policy: &Policy, other: &Object, report: &mut Report) {
    let problem = format!("{other} in {}:{} scales {} as well", other.file, other.line, policy.target);
    let (severity, fix) = if policy.mode == Mode::Active {
        (
            Severity::Error,
            "keep one of them, or set mode to Recommend to compare: Loadline does not write to a contested target",
        )
    } else {
        (Severity::Warning, "remove the other before you set mode to Active")
    };
    report.add(severity, object, "spec.target", problem, fix);
}

/// What a `HorizontalPodAutoscaler` or KEDA's `ScaledObject` scales.
fn scaled_by(object: &Object) -> Option<TargetKey<'_>> {
    let reference =
        |field: &str, default: &'static str| match object.text(&format!("/spec/scaleTargetRef/{field}")) {
            "" => default,
            text => text,
        };
    let (api_version, kind) = match (object.group(), object.kind()) {
        ("autoscaling", "HorizontalPodAutoscaler") => (reference("apiVersion", ""), reference("kind", "")),
        // KEDA's defaults.
        ("keda.sh", "ScaledObject") => (reference("apiVersion", "apps/v1"), reference("kind", "Deployment")),
        _ => return None,
    };
    Some((object.namespace(), group(api_version), kind, reference("name", "")))
}
