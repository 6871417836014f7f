//! What is wrong with a configuration, where, and how to mend it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// One thing that is wrong in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Path of the field, for example `sources[0].url`.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// How to mend it.
    pub fix: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.problem, self.fix)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; give the right path with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The text is not YAML of this shape.
    #[error("the configuration{} cannot be parsed: {message}", of(path.as_deref()))]
    Parse {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What the parser says, with line and column.
        message: String,
    },
    /// The text parses, but says something that cannot be.
    #[error("the configuration{} is not valid:{}", of(path.as_deref()), list(complaints))]
    Invalid {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// All that is wrong.
        complaints: Vec<Complaint>,
    },
}

impl ConfigError {
    pub(super) fn parse(message: String) -> Self {
        Self::Parse { path: None, message }
    }

    /// The same error, said of a file.
    pub(super) fn at(self, file: &Path) -> Self {
        match self {
            Self::Parse { message, .. } => Self::Parse { path: Some(file.to_owned()), message },
            Self::Invalid { complaints, .. } => Self::Invalid { path: Some(file.to_owned()), complaints },
            read @ Self::Read { .. } => read,
        }
    }
}

fn of(path: Option<&Path>) -> String {
    path.map(|p| format!(" {}", p.display())).unwrap_or_default()
}

fn list(complaints: &[Complaint]) -> String {
    complaints.iter().fold(String::new(), |said, c| said + "\n  - " + &c.to_string())
}

/// Collects complaints, so that a person hears of all of them at once.
#[derive(Debug, Default)]
pub(super) struct Complaints(Vec<Complaint>);

impl Complaints {
    pub(super) fn add(&mut self, field: impl Into<String>, problem: String, fix: &str) {
        self.0.push(Complaint { field: field.into(), problem, fix: fix.to_owned() });
    }

    pub(super) fn into_result<T>(self, value: T) -> Result<T, ConfigError> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ConfigError::Invalid { path: None, complaints: self.0 })
        }
    }
}
