//! `apiVersion`, `kind` and `metadata`: what every object has.

use serde_json::Value;

use super::{object::Object, suggest};
use crate::translate::{ANNOTATIONS, Complaints};

/// The fields of `ObjectMeta`.
const FIELDS: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The longest name of an object.
const MAX_NAME: usize = 253;
/// The longest name of a namespace.
const MAX_NAMESPACE: usize = 63;

/// Checks the metadata of one of our objects.
pub(super) fn check(object: &Object, c: &mut Complaints) {
    let Some(metadata) = object.value.get("metadata").and_then(Value::as_object) else {
        c.add::<()>("metadata", "it is missing", "add it with the name of the object");
        return;
    };
    for field in metadata.keys().filter(|field| !FIELDS.contains(&field.as_str())) {
        let fix = suggest::fix(field, ["annotations", "labels", "name", "namespace"].into_iter());
        c.add::<()>(format!("metadata.{field}"), "there is no such field", fix);
    }
    if !metadata.contains_key("generateName") {
        name("metadata.name", object.name(), MAX_NAME, c);
    }
    if metadata.contains_key("namespace") {
        name("metadata.namespace", object.text("/metadata/namespace"), MAX_NAMESPACE, c);
    }
    for field in ["annotations", "labels"] {
        for (key, value) in metadata.get(field).and_then(Value::as_object).into_iter().flatten() {
            let path = format!("metadata.{field}[{key}]");
            if !value.is_string() {
                c.add::<()>(
                    path,
                    format!("`{value}` is not a text"),
                    format!("write it in quotes: \"{value}\""),
                );
            } else if field == "annotations"
                && key.starts_with("loadline.dev/")
                && !ANNOTATIONS.contains(&key.as_str())
            {
                c.add::<()>(path, "there is no such annotation", suggest::fix(key, ANNOTATIONS.into_iter()));
            }
        }
    }
}

/// A name as the API server wants it: an RFC 1123 subdomain.
fn name(path: &str, name: &str, longest: usize, c: &mut Complaints) {
    let inside = |ch: char| ch.is_ascii_lowercase() || ch.is_ascii_digit();
    let ends = name.starts_with(inside) && name.ends_with(inside);
    if name.len() > longest {
        let problem = format!("{} characters are too many", name.len());
        c.add::<()>(path, problem, format!("give at most {longest}"));
    } else if !ends || !name.chars().all(|ch| inside(ch) || ch == '-' || ch == '.') {
        c.add::<()>(
            path,
            format!("{name:?} is not a name"),
            "write lower-case letters, digits, dashes and dots, for example checkout",
        );
    }
}
