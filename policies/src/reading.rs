//! A number and how far to trust it: value, age and coverage travel together.
//!
//! Empty, stale, NaN and partial are four different things and none of them is zero.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

/// A value with the time it was observed and the share of its sources that reported.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading<T> {
    /// What was read.
    pub value: T,
    /// The time of the newest sample itself, not of the query.
    pub observed_at: Timestamp,
    /// Who reported.
    pub coverage: Coverage,
}

/// A reading, or why there is none.
pub type Observed<T> = Result<Reading<T>, Doubt>;

/// How many of the expected sources (ready replicas) reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Sources whose newest sample is fresh.
    pub reporting: u32,
    /// Sources that should have reported.
    pub expected: u32,
}

impl Coverage {
    /// Everybody reported (also for a reading that has one source only, as a queue's exporter).
    #[must_use]
    pub const fn full(sources: u32) -> Self {
        Self { reporting: sources, expected: sources }
    }

    /// Sources that should have reported and did not.
    #[must_use]
    pub const fn silent(self) -> u32 {
        self.expected.saturating_sub(self.reporting)
    }

    /// Whether nobody is missing.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.reporting >= self.expected
    }
}

impl<T> Reading<T> {
    /// A complete reading.
    pub const fn complete(value: T, observed_at: Timestamp) -> Self {
        Self { value, observed_at, coverage: Coverage::full(1) }
    }

    /// The age at `now`; zero for a sample from the future.
    pub fn age(&self, now: Timestamp) -> Duration {
        Duration::try_from(now.duration_since(self.observed_at)).unwrap_or(Duration::ZERO)
    }

    /// The same reading of another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        Reading { value: f(self.value), observed_at: self.observed_at, coverage: self.coverage }
    }
}

/// Why a number is not to be trusted. Each is its own reason of the condition `DataFresh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Doubt {
    /// Nothing was asked yet: the process just started.
    NotYetRead,
    /// Nothing can be asked: no source serves the cluster, or the profile cannot find the workload's series.
    NotConfigured(String),
    /// The answer holds series, but none of this workload.
    AbsentSeries,
    /// The whole answer was empty.
    EmptyVector,
    /// The value is not a number.
    NotANumber,
    /// The value is infinite.
    Infinite,
    /// A rate or count below zero.
    Negative,
    /// Some replicas did not report.
    Partial(Coverage),
    /// The newest sample is older than two scrapes.
    Stale {
        /// Age of the newest sample.
        age: Duration,
    },
    /// The source answered with an HTTP error.
    HttpStatus(u16),
    /// The source did not answer in time.
    TimedOut,
    /// No connection to the source.
    Unreachable,
    /// An answer that is not what was asked for (a matrix for a vector, several series for one).
    WrongShape(String),
    /// The source refused the query (a bad expression, too many samples).
    QueryRefused(String),
}

impl Doubt {
    /// The reason in the closed list of the condition `DataFresh`, in UpperCamelCase.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotYetRead => "NotYetRead",
            Self::NotConfigured(_) => "NotConfigured",
            Self::AbsentSeries => "AbsentSeries",
            Self::EmptyVector => "EmptyVector",
            Self::NotANumber => "NotANumber",
            Self::Infinite => "Infinite",
            Self::Negative => "Negative",
            Self::Partial(_) => "PartialCoverage",
            Self::Stale { .. } => "Stale",
            Self::HttpStatus(_) => "HttpStatus",
            Self::TimedOut => "TimedOut",
            Self::Unreachable => "Unreachable",
            Self::WrongShape(_) => "WrongShape",
            Self::QueryRefused(_) => "QueryRefused",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYetRead => write!(f, "nothing was read yet"),
            Self::NotConfigured(what) => write!(f, "the operator's configuration does not allow it: {what}"),
            Self::AbsentSeries => write!(f, "no series of this workload in the answer"),
            Self::EmptyVector => write!(f, "the answer is empty: no workload of this profile has series"),
            Self::NotANumber => write!(f, "the value is NaN"),
            Self::Infinite => write!(f, "the value is infinite"),
            Self::Negative => write!(f, "the value is negative"),
            Self::Partial(c) => write!(f, "{} of {} replicas report", c.reporting, c.expected),
            Self::Stale { age } => write!(f, "the newest sample is {} s old", age.as_secs()),
            Self::HttpStatus(code) => write!(f, "the telemetry source answered HTTP {code}"),
            Self::TimedOut => write!(f, "the telemetry source did not answer in time"),
            Self::Unreachable => write!(f, "no connection to the telemetry source"),
            Self::WrongShape(what) => write!(f, "the answer has the wrong shape: {what}"),
            Self::QueryRefused(why) => write!(f, "the telemetry source refused the query: {why}"),
        }
    }
}

/// A number as a telemetry source gives it, or the doubt that it raises.
///
/// # Errors
/// NaN, infinite and negative values are refused, each as its own doubt.
pub fn finite(value: f64) -> Result<f64, Doubt> {
    if value.is_nan() {
        Err(Doubt::NotANumber)
    } else if value.is_infinite() {
        Err(Doubt::Infinite)
    } else if value < 0.0 {
        Err(Doubt::Negative)
    } else {
        Ok(value)
    }
}
