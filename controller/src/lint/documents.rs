//! Text to objects: documents, lists, and the few values that YAML knows and JSON does not.

use serde_json::Value;
use serde_yaml::Value as Yaml;

use super::{Finding, Report, Severity, Source, object::Object};

/// The objects of a source. What is no object becomes a finding.
pub(super) fn read(source: &Source, report: &mut Report) -> Vec<Object> {
    split(&source.text).into_iter().flat_map(|(line, text)| document(source, line, &text, report)).collect()
}

/// The documents of a text, each with the line that its first content stands at (from 1).
fn split(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let separator = line == "---" || line.starts_with("--- ") || line == "...";
        if separator {
            documents.push((index + 2, String::new()));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents
}

fn document(source: &Source, line: usize, text: &str, report: &mut Report) -> Vec<Object> {
    let yaml: Yaml = match serde_yaml::from_str(text) {
        Ok(Yaml::Null) => return Vec::new(),
        Ok(yaml) => yaml,
        Err(e) => {
            let at = e.location().map_or(line, |l| line + l.line().saturating_sub(1));
            report.findings.push(Finding {
                severity: Severity::Error,
                file: source.name.clone(),
                line: at,
                object: String::new(),
                path: String::new(),
                problem: format!("this is not YAML: {e}"),
                fix: "see the YAML at this line: indentation, quotes, and keys that stand twice".to_owned(),
            });
            return Vec::new();
        }
    };
    let first = line + text.lines().take_while(|l| l.trim().is_empty() || l.starts_with('#')).count();
    let value = json(&yaml);
    let object = Object { file: source.name.clone(), line: first, value };
    match object.value.get("items") {
        Some(Value::Array(items)) if object.kind().ends_with("List") => {
            items.iter().map(|item| Object { value: item.clone(), ..object.clone() }).collect()
        }
        _ => vec![object],
    }
}

/// Numbers that YAML knows and JSON, and so the API server, does not.
pub(super) const NOT_JSON: [&str; 3] = [".nan", ".inf", "-.inf"];

/// YAML as the JSON that kubectl would send. A number that JSON cannot hold becomes a text of [`NOT_JSON`],
/// which no field of a number takes.
fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(b) => Value::Bool(*b),
        Yaml::String(s) => Value::String(s.clone()),
        Yaml::Number(n) => n
            .as_i64()
            .map(Value::from)
            .or_else(|| n.as_u64().map(Value::from))
            .or_else(|| n.as_f64().and_then(serde_json::Number::from_f64).map(Value::Number))
            .unwrap_or_else(|| Value::String(n.to_string())),
        Yaml::Sequence(items) => Value::Array(items.iter().map(json).collect()),
        Yaml::Mapping(map) => Value::Object(
            map.iter()
                .map(|(key, value)| {
                    let key = match key {
                        Yaml::String(s) => s.clone(),
                        other => serde_yaml::to_string(other).unwrap_or_default().trim().to_owned(),
                    };
                    (key, json(value))
                })
                .collect(),
        ),
        Yaml::Tagged(tagged) => json(&tagged.value),
    }
}
