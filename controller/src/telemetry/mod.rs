//! What the process tells about itself: logs as events with fields.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::{
    EnvFilter, filter::ParseError, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for collectors.
    Json,
    /// For people.
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("{filter:?} is not a log filter: write for example info or info,loadline_controller=debug")]
    Filter {
        /// What was given.
        filter: String,
        /// Why it is not one.
        source: ParseError,
    },
    /// Somebody else has set up logging in this process.
    #[error("logging is already set up in this process")]
    Taken(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends the events of this process to standard error.
///
/// # Errors
/// When the filter is not one, or logging was set up before.
pub fn log_to_stderr(format: LogFormat, filter: &str) -> Result<(), LogError> {
    let parsed = EnvFilter::try_new(filter)
        .map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let registry = tracing_subscriber::registry().with(parsed);
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer).try_init(),
    }
    .map_err(LogError::Taken)
}
