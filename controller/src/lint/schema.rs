//! The structural schema of a kind, applied to a value: what the API server checks, and unknown fields.
//!
//! A structural schema uses a small, closed set of keywords; [`KEYWORDS`] lists those that are understood
//! here, and a test holds our schemas to that list.

use std::collections::BTreeSet;

use loadline_crds::ApiDuration;
use serde_json::{Map, Value};

use super::{documents::NOT_JSON, suggest};
use crate::translate::Complaints;

/// The keywords that are understood, or that need no check: documentation, defaults (applied by the rules'
/// evaluator), server-side apply's merge hints other than the keys of a list.
#[cfg(test)]
pub(super) const KEYWORDS: [&str; 23] = [
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "properties",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

/// Checks `value` against `schema`; `path` is where it stands.
pub(super) fn check(schema: &Value, value: &Value, path: &str, c: &mut Complaints) {
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return int_or_string(value, path, c);
    }
    match (schema.get("type").and_then(Value::as_str), value) {
        (Some("object"), Value::Object(map)) => object(schema, map, path, c),
        (Some("array"), Value::Array(items)) => array(schema, items, path, c),
        (Some("string"), Value::String(text)) => string(schema, text, path, c),
        (Some("integer"), Value::Number(n)) if n.as_f64().is_some_and(|n| n.fract() == 0.0) => {
            number(schema, n, path, c);
        }
        (Some("number"), Value::Number(n)) => number(schema, n, path, c),
        (Some("boolean"), Value::Bool(_)) | (None, _) => {}
        (Some(wanted), _) => {
            let fix = match (wanted, value) {
                ("string", Value::Number(n)) if schema.get("pattern").is_some() => {
                    format!("write it with a unit, for example {n}s")
                }
                ("integer" | "number", Value::String(text)) if NOT_JSON.contains(&text.as_str()) => {
                    "write a finite number".to_owned()
                }
                ("string", Value::Number(_) | Value::Bool(_)) => format!("write it in quotes: \"{value}\""),
                ("integer", Value::Number(_)) => "write it without a fraction".to_owned(),
                ("integer" | "number", Value::String(_)) => "write the number without quotes".to_owned(),
                ("array", _) => "write a list, for example [a, b]".to_owned(),
                ("object", _) => "write fields, for example {a: b}".to_owned(),
                _ => format!("write {}", kind_of_type(wanted)),
            };
            c.add::<()>(path, format!("{} where {} is wanted", said(value), kind_of_type(wanted)), fix);
        }
    }
}

fn kind_of_type(name: &str) -> &'static str {
    match name {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        _ => "an object",
    }
}

/// A value as it can be named in a sentence.
fn said(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        scalar => format!("`{scalar}`"),
    }
}

fn int_or_string(value: &Value, path: &str, c: &mut Complaints) {
    match value {
        Value::String(_) => {}
        Value::Number(n) if n.is_i64() || n.is_u64() => {}
        Value::Number(n) => {
            c.add::<()>(path, format!("`{n}` is a decimal"), format!("write it in quotes: \"{n}\""));
        }
        other => {
            c.add::<()>(
                path,
                format!("{} where a number or a text is wanted", said(other)),
                "write one of them",
            );
        }
    }
}

fn object(schema: &Value, map: &Map<String, Value>, path: &str, c: &mut Complaints) {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let values = schema.get("additionalProperties");
    for name in
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if map.get(name).is_none_or(Value::is_null) {
            let about = properties.get(name).and_then(|p| p.get("description")).and_then(Value::as_str);
            let about = about.and_then(|text| text.lines().next()).unwrap_or_default();
            c.add::<()>(join(path, name), "it is missing", format!("add it: {about}"));
        }
    }
    limits(schema, "Properties", map.len(), path, c);
    for (name, value) in map {
        match (properties.get(name), values) {
            // The API server drops a null before it looks at anything else.
            _ if value.is_null() => {}
            (Some(schema), _) => check(schema, value, &join(path, name), c),
            (None, Some(schema)) => check(schema, value, &format!("{path}[{name}]"), c),
            (None, None) => {
                let fix = suggest::fix(name, properties.keys().map(String::as_str));
                c.add::<()>(join(path, name), "there is no such field", fix);
            }
        }
    }
}

fn array(schema: &Value, items: &[Value], path: &str, c: &mut Complaints) {
    limits(schema, "Items", items.len(), path, c);
    if let Some(item) = schema.get("items") {
        items.iter().enumerate().for_each(|(i, value)| check(item, value, &format!("{path}[{i}]"), c));
    }
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let keys: Vec<&str> = keys.into_iter().flatten().filter_map(Value::as_str).collect();
    if keys.is_empty() {
        return;
    }
    let mut seen = BTreeSet::new();
    for (i, value) in items.iter().enumerate() {
        let key: Vec<String> =
            keys.iter().map(|k| value.get(*k).unwrap_or(&Value::Null).to_string()).collect();
        if !seen.insert(key.clone()) {
            let (names, key) = (keys.join(", "), key.join(", "));
            let problem = format!("{names} {key} stands twice in the list");
            c.add::<()>(format!("{path}[{i}].{names}"), problem, "give each its own");
        }
    }
}

fn string(schema: &Value, text: &str, path: &str, c: &mut Complaints) {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        if !allowed.contains(&text) {
            let fix = suggest::nearest(text, allowed.iter().copied());
            let fix =
                fix.map_or_else(|| format!("write one of {}", allowed.join(", ")), |n| format!("write {n}"));
            c.add::<()>(path, format!("{text:?} is not one of {}", allowed.join(", ")), fix);
        }
    }
    limits(schema, "Length", text.chars().count(), path, c);
    // Durations are the only pattern in a spec of ours; the test below holds that.
    if schema.get("pattern").is_some()
        && let Err(e) = text.parse::<ApiDuration>()
    {
        let fix = "write for example 15s, 5m, 1h30m or 250ms (units h, m, s, ms; no days)";
        c.add::<()>(path, e.problem(), fix);
    }
    if schema.get("format").and_then(Value::as_str) == Some("date-time")
        && text.parse::<jiff::Timestamp>().is_err()
    {
        c.add::<()>(path, format!("{text:?} is not a time"), "write for example 2026-03-01T12:00:00Z");
    }
}

fn number(schema: &Value, n: &serde_json::Number, path: &str, c: &mut Complaints) {
    let limit = |keyword| schema.get(keyword).and_then(Value::as_f64);
    let value = n.as_f64().unwrap_or(f64::NAN);
    if let Some(least) = limit("minimum")
        && value < least
    {
        c.add::<()>(path, format!("{n} is less than {least}"), format!("give at least {least}"));
    }
    if let Some(most) = limit("maximum")
        && value > most
    {
        c.add::<()>(path, format!("{n} is more than {most}"), format!("give at most {most}"));
    }
}

/// `minItems`/`maxItems` and their like, for lists, texts and maps.
fn limits(schema: &Value, what: &str, size: usize, path: &str, c: &mut Complaints) {
    let limit = |side: &str| {
        let limit = schema.get(format!("{side}{what}")).and_then(Value::as_u64)?;
        usize::try_from(limit).ok()
    };
    let (one, unit) = match what {
        "Items" => ("item", "items"),
        "Length" => ("character", "characters"),
        _ => ("entry", "entries"),
    };
    if let Some(least) = limit("min")
        && size < least
    {
        let problem = if size == 0 { "it is empty".to_owned() } else { format!("{size} {unit} are too few") };
        let unit = if least == 1 { one } else { unit };
        c.add::<()>(path, problem, format!("give at least {least} {unit}"));
    }
    if let Some(most) = limit("max")
        && size > most
    {
        c.add::<()>(path, format!("{size} {unit} are too many"), format!("give at most {most}"));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Visits a schema and the schemas in it.
    fn visit(schema: &Value, see: &mut impl FnMut(&Map<String, Value>)) {
        let Some(map) = schema.as_object() else { return };
        see(map);
        for (_, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            visit(property, see);
        }
        map.get("items").into_iter().for_each(|items| visit(items, see));
        map.get("additionalProperties").into_iter().for_each(|values| visit(values, see));
    }

    #[test]
    fn every_keyword_of_our_schemas_is_understood() {
        for crd in loadline_crds::definitions() {
            let schema = crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
            visit(&serde_json::to_value(schema).unwrap(), &mut |map| {
                let unknown: Vec<_> = map.keys().filter(|k| !KEYWORDS.contains(&k.as_str())).collect();
                assert!(unknown.is_empty(), "lint::schema does not understand {unknown:?}");
                let pattern = map.get("pattern").and_then(Value::as_str);
                assert!(
                    pattern.is_none_or(|p| p == loadline_crds::duration::PATTERN),
                    "lint::schema reads every pattern as that of a duration: {pattern:?}"
                );
            });
        }
    }
}
