//! One object of a file, as JSON, with what is needed to name it.

use std::fmt;

use serde_json::Value;

/// One object and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// The file.
    pub(super) file: String,
    /// The line that its document starts at, from 1.
    pub(super) line: usize,
    /// The object itself.
    pub(super) value: Value,
}

impl Object {
    /// The text at a JSON pointer; empty when there is none.
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// `apiVersion`.
    pub(super) fn api_version(&self) -> &str {
        self.text("/apiVersion")
    }

    /// The API group; empty for the core group.
    pub(super) fn group(&self) -> &str {
        group(self.api_version())
    }

    /// `kind`.
    pub(super) fn kind(&self) -> &str {
        self.text("/kind")
    }

    /// `metadata.name`.
    pub(super) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// `metadata.namespace`, or the namespace that kubectl would take without a context of its own.
    pub(super) fn namespace(&self) -> &str {
        match self.text("/metadata/namespace") {
            "" => "default",
            namespace => namespace,
        }
    }
}

/// The group of an `apiVersion`; empty for the core group.
pub(super) fn group(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind())?;
        match self.text("/metadata/namespace") {
            "" => write!(f, "{}", self.name()),
            namespace => write!(f, "{namespace}/{}", self.name()),
        }
    }
}
