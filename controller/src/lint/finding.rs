//! Findings, and the report that holds them.

use std::fmt;

use serde::Serialize;

use super::Object;
use crate::translate::Complaint;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The API server or the operator would refuse it.
    Error,
    /// It would be taken, and is probably not what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong, where, and how to put it right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// The line that its object starts at, from 1; for text that is not YAML the line of the mistake.
    pub line: usize,
    /// The object, for example `ElasticPolicy shop/checkout`; empty when it could not be read.
    pub object: String,
    /// Path of the field; empty when it is the object itself.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// How to put it right.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, file, line, object, path, problem, fix } = self;
        write!(f, "{file}:{line}: {severity}: ")?;
        for part in [object, path].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "{part}: ")?;
        }
        write!(f, "{problem}\n  fix: {fix}")
    }
}

/// Everything that was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Loadline's objects that were looked at.
    pub objects: usize,
    /// What was found, in the order of the files.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings have this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.severity == severity).count()
    }

    /// Adds a finding about an object.
    pub(super) fn add(
        &mut self,
        severity: Severity,
        object: &Object,
        path: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.findings.push(Finding {
            severity,
            file: object.file.clone(),
            line: object.line,
            object: object.to_string(),
            path: path.into(),
            problem: problem.into(),
            fix: fix.into(),
        });
    }

    /// Adds a complaint of the schema, the parser or the profile as an error.
    pub(super) fn complain(&mut self, object: &Object, complaint: Complaint) {
        let Complaint { path, problem, fix } = complaint;
        self.add(Severity::Error, object, path, problem, fix);
    }

    /// Puts the findings of one object together: cross-object findings are made last.
    pub(super) fn finish(&mut self) {
        self.findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    }
}
