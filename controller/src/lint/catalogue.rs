//! The kinds of Loadline with their schemas and rules, and the check of one object against its kind.

use std::collections::{BTreeMap, BTreeSet};

use loadline_crds::{ElasticPolicy, GROUP, VERSION, definitions};
use serde_json::Value;

use super::{Object, Report, metadata, rules, rules::Rules, schema, suggest};
use crate::translate::{self, Complaint, Complaints, Parsed};

/// All kinds, by name.
pub(super) struct Catalogue {
    kinds: BTreeMap<String, Kind>,
}

/// One kind.
struct Kind {
    schema: Value,
    rules: Rules,
}

impl Catalogue {
    /// The kinds of this version of Loadline.
    pub(super) fn new() -> Result<Self, serde_json::Error> {
        let mut kinds = BTreeMap::new();
        for crd in definitions() {
            let kind = crd.spec.names.kind;
            let schema = crd.spec.versions.into_iter().find_map(|v| v.schema?.open_api_v3_schema);
            let schema = serde_json::to_value(schema)?;
            let rules = Rules::new(&schema, GROUP, VERSION, &kind);
            kinds.insert(kind, Kind { schema, rules });
        }
        Ok(Self { kinds })
    }

    /// Checks one object, if it is one of ours. Gives the policy that the operator would make of it, if it is
    /// a policy and there was nothing to complain about.
    pub(super) fn check(&self, object: &Object, report: &mut Report) -> Option<Parsed> {
        if !is_ours(object, report) {
            return None;
        }
        report.objects += 1;
        let mut c = Complaints::default();
        let Some(kind) = self.kind(object, &mut c) else {
            for complaint in c.into_vec() {
                report.complain(object, complaint);
            }
            return None;
        };
        metadata::check(object, &mut c);
        kind.check_fields(object, &mut c);
        let sound = c.is_empty();
        let mut complaints = c.into_vec();
        let broken = kind.rules.check(&object.value, sound);
        let heard: BTreeSet<String> = complaints.iter().map(|c| c.path.clone()).collect();
        complaints.extend(broken.into_iter().filter(|c| !heard.contains(&c.path)));
        let parsed = parse(object, &mut complaints).filter(|_| complaints.is_empty());
        for complaint in complaints {
            report.complain(object, complaint);
        }
        parsed
    }

    fn kind(&self, object: &Object, c: &mut Complaints) -> Option<&Kind> {
        let (api_version, wanted) = (object.api_version(), format!("{GROUP}/{VERSION}"));
        if api_version != wanted {
            return c.add("apiVersion", format!("{api_version:?} is not known"), format!("write {wanted}"));
        }
        let known = self.kinds.get(object.kind());
        known.or_else(|| {
            let fix = suggest::fix(object.kind(), self.kinds.keys().map(String::as_str));
            c.add("kind", format!("there is no kind {:?} in {wanted}", object.kind()), fix)
        })
    }
}

impl Kind {
    /// The fields of the spec against the schema, and the names of those beside it.
    fn check_fields(&self, object: &Object, c: &mut Complaints) {
        let properties = |name: &str| self.schema.get("properties").and_then(|p| p.get(name));
        match (properties("spec"), object.value.get("spec")) {
            (Some(schema), Some(spec)) if !spec.is_null() => schema::check(schema, spec, "spec", c),
            _ => c
                .add("spec", "it is missing", "add it; \"loadline crds\" prints every field")
                .unwrap_or_default(),
        }
        let top = ["apiVersion", "kind", "metadata", "spec", "status"];
        for field in object.value.as_object().into_iter().flatten().map(|(field, _)| field) {
            if !top.contains(&field.as_str()) {
                let fix = suggest::fix(field, ["metadata", "spec"].into_iter());
                c.add::<()>(field.clone(), "there is no such field", fix);
            }
        }
    }
}

/// Whether the object is of our group. One that has no kind at all is a finding.
fn is_ours(object: &Object, report: &mut Report) -> bool {
    if object.kind().is_empty() || object.api_version().is_empty() {
        let complaint = Complaint {
            path: String::new(),
            problem: "this is not a Kubernetes object: apiVersion or kind is missing".to_owned(),
            fix: format!("begin with apiVersion: {GROUP}/{VERSION} and kind: ElasticPolicy"),
        };
        report.complain(object, complaint);
        return false;
    }
    object.group() == GROUP
}

/// What the operator makes of a policy. Its complaints are added where the schema and its rules did not
/// already complain of the same field.
fn parse(object: &Object, complaints: &mut Vec<Complaint>) -> Option<Parsed> {
    if object.kind() != "ElasticPolicy" {
        return None;
    }
    let cr: ElasticPolicy = match serde_json::from_value(rules::without_nulls(&object.value)) {
        Ok(cr) => cr,
        Err(_) if !complaints.is_empty() => return None,
        Err(e) => {
            complaints.push(Complaint {
                path: "spec".to_owned(),
                problem: format!("the operator cannot read it: {e}"),
                fix: "see the type of the field".to_owned(),
            });
            return None;
        }
    };
    match translate::parse(&cr) {
        Ok(parsed) => Some(parsed),
        Err(more) => {
            let heard: Vec<String> = complaints.iter().map(|c| c.path.clone()).collect();
            let new = |c: &Complaint| {
                !heard.iter().any(|path| c.path.starts_with(path) || path.starts_with(&c.path))
            };
            complaints.extend(more.into_iter().filter(new));
            None
        }
    }
}
