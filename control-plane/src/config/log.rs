//! What is logged, and how.

use serde::{Deserialize, Serialize};

const DEFAULT_FILTER: &str = "info";

/// The process's own log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Logging {
    /// Its form.
    pub format: LogFormat,
    /// What it holds, in the words of `tracing` (`info`, `towline_server=debug,sqlx=warn`).
    pub filter: String,
}

/// The form of the process's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// What one source says about the log.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LogSettings {
    /// Form of the log on standard error [default: auto]
    #[arg(
        id = "log_format",
        long = "log-format",
        env = "TOWLINE_LOG_FORMAT",
        value_name = "FORMAT"
    )]
    pub format: Option<LogFormat>,
    /// What to log: a level, or levels per module (towline_server=debug,sqlx=warn) [default: info]
    #[arg(
        id = "log_filter",
        long = "log",
        env = "TOWLINE_LOG",
        value_name = "FILTER"
    )]
    pub filter: Option<String>,
}

impl LogSettings {
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            format: self.format.or(below.format),
            filter: self.filter.or(below.filter),
        }
    }

    pub(super) fn resolve(self) -> Logging {
        Logging {
            format: self.format.unwrap_or_default(),
            filter: self.filter.unwrap_or_else(|| DEFAULT_FILTER.into()),
        }
    }
}
