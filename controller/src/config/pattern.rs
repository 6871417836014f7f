//! Where a name stands in a label, and what text it is expected to be.

use regex::Regex;

use super::{error::Complaints, raw::RawPlace};

/// A label (or a part of it) that says which workload, route or service a series belongs to.
#[derive(Debug, Clone)]
pub struct Place {
    /// The label.
    pub label: String,
    /// The part of the label's value that counts: the first capture group. The whole value when absent.
    pub pattern: Option<Regex>,
    /// What stands there for a given object.
    pub value: Template,
}

/// A text with `{namespace}` and `{name}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// The text for one object.
    #[must_use]
    pub fn render(&self, namespace: &str, name: &str) -> String {
        // The name is put in last: neither a namespace nor a name can hold a brace.
        self.0.replace("{namespace}", namespace).replace("{name}", name)
    }

    /// Whether the text tells namespaces apart.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.0.contains("{namespace}")
    }
}

impl Place {
    /// The part of a label's value that counts; `None` when the pattern does not match.
    #[must_use]
    pub fn extract<'v>(&self, value: &'v str) -> Option<&'v str> {
        match &self.pattern {
            None => Some(value),
            Some(pattern) => pattern.captures(value)?.get(1).map(|m| m.as_str()),
        }
    }

    pub(super) fn resolve(raw: RawPlace, field: &str, complaints: &mut Complaints) -> Self {
        let RawPlace { label, pattern, value } = raw;
        check_label(&label, &format!("{field}.label"), complaints);
        let pattern = pattern.and_then(|text| compile(&text, &format!("{field}.pattern"), complaints));
        let value = value.unwrap_or_else(|| "{name}".to_owned());
        if !value.contains("{name}") {
            complaints.add(
                format!("{field}.value"),
                format!("{value:?} is the same for every workload"),
                "write a text with {name}, for example {namespace}/{name}",
            );
        }
        Self { label, pattern, value: Template(value) }
    }
}

fn compile(text: &str, field: &str, complaints: &mut Complaints) -> Option<Regex> {
    // Anchored, as every regular expression in Prometheus is.
    match Regex::new(&format!("^(?:{text})$")) {
        Ok(regex) if regex.captures_len() == 2 => return Some(regex),
        Ok(_) => complaints.add(
            field,
            format!("{text:?} does not have exactly one group"),
            "put the part that counts in parentheses and write the others as (?:…)",
        ),
        Err(e) => {
            complaints.add(field, format!("not a regular expression: {e}"), "write it in RE2 syntax");
        }
    }
    None
}

/// Whether a text can be a label name.
pub(super) fn is_label(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a text can be a metric name.
pub(super) fn is_metric(text: &str) -> bool {
    is_label(&text.replace(':', "_"))
}

pub(super) fn check_label(label: &str, field: &str, complaints: &mut Complaints) {
    if !is_label(label) {
        complaints.add(
            field,
            format!("{label:?} is not a label name"),
            "write letters, digits and _, not beginning with a digit",
        );
    }
}
