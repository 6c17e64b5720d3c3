//! The process's log, on standard error: standard output belongs to what was asked for.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt;

use crate::config::{LogFormat, Logging};

/// A filter that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log filter {filter:?} (--log, TOWLINE_LOG) cannot be understood: {cause}; write a level such as info, or module=level, separated by commas"
)]
pub struct FilterError {
    filter: String,
    cause: ParseError,
}

/// Starts the log. Called again in one process, it does nothing.
pub fn start(logging: &Logging) -> Result<(), FilterError> {
    let filter = EnvFilter::try_new(&logging.filter).map_err(|cause| FilterError {
        filter: logging.filter.clone(),
        cause,
    })?;
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start fails; the first one's log stays.
    let _ = if human(logging.format) {
        lines.with_ansi(std::io::stderr().is_terminal()).try_init()
    } else {
        lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
    };
    Ok(())
}

fn human(format: LogFormat) -> bool {
    match format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    }
}
