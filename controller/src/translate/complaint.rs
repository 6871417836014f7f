//! Complaints: what is wrong with a policy, where, and how to put it right.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Complaint {
    /// Path of the field, for example `spec.bounds.min`.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
    /// How to put it right.
    pub fix: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.problem, self.fix)
    }
}

/// Everything that is wrong with one object: a person wants to hear it all at once.
#[derive(Debug, Default)]
pub struct Complaints(Vec<Complaint>);

impl Complaints {
    /// Adds a complaint. Gives `None`, so that a parser can end with it.
    pub fn add<T>(
        &mut self,
        path: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Option<T> {
        self.0.push(Complaint { path: path.into(), problem: problem.into(), fix: fix.into() });
        None
    }

    /// The complaints, in the order of the fields.
    #[must_use]
    pub fn into_vec(self) -> Vec<Complaint> {
        self.0
    }

    /// Whether there is nothing to complain about.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
