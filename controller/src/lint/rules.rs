//! The CEL rules of a kind, evaluated offline: the very rules that the API server evaluates.

use kube_cel::{CompiledSchema, ErrorKind, RootContext, Validator, compile_schema};
use serde_json::Value;

use crate::translate::{Complaint, Complaints};

/// The compiled rules of one kind.
pub(super) struct Rules {
    compiled: CompiledSchema,
    context: RootContext,
    validator: Validator,
}

impl Rules {
    /// Compiles the rules of a schema.
    pub(super) fn new(schema: &Value, group: &str, version: &str, kind: &str) -> Self {
        let context = RootContext {
            api_version: format!("{group}/{version}"),
            api_group: group.to_owned(),
            kind: kind.to_owned(),
        };
        Self { compiled: compile_schema(schema), context, validator: Validator::new() }
    }

    /// Evaluates all rules, with the schema's defaults applied.
    ///
    /// `sound` says that the schema had no complaint. Where it had one, a rule may fail to evaluate for the
    /// same cause (`duration('5 minutes')`), and is not reported a second time.
    pub(super) fn check(&self, object: &Value, sound: bool) -> Vec<Complaint> {
        let mut c = Complaints::default();
        let object = without_nulls(object);
        let result =
            self.validator.validate_compiled_with_context(&self.compiled, &object, None, Some(&self.context));
        for error in result.err().into_iter().flatten() {
            match error.kind {
                ErrorKind::ValidationFailure => {
                    let (problem, fix) = split(&error.message);
                    c.add::<()>(error.field_path.clone(), problem, fix);
                }
                _ if sound => {
                    let problem = format!("the rule `{}` cannot be evaluated: {}", error.rule, error.message);
                    c.add::<()>(error.field_path.clone(), problem, "see the type of the field");
                }
                _ => {}
            }
        }
        c.into_vec()
    }
}

/// A message of our rules says what is wrong, and after the first colon how to fix it (a test holds that).
fn split(message: &str) -> (String, String) {
    let (problem, fix) = message.split_once(": ").unwrap_or((message, "see the rule"));
    (problem.to_owned(), fix.to_owned())
}

/// The object as the API server sees it: a null of a field that may not be null is dropped.
pub(super) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}
