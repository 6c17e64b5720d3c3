//! A line of a log, as the API gives it.

use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use towline_shared::log::{LogLine, LogStream};
use utoipa::ToSchema;

/// A line of a log.
#[derive(Debug, Serialize, ToSchema)]
pub struct Line {
    /// Its number in a deployment's log, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    /// When it was written, on the host's clock.
    #[serde(serialize_with = "moment")]
    #[schema(value_type = DateTime<chrono::Utc>)]
    at: i64,
    /// `stdout`, `stderr`, `note` (Towline's own words), or `gap` (lines were dropped here).
    #[schema(value_type = String)]
    stream: LogStream,
    /// Who wrote it: `compose`, `towline`, or a service with its container's number (`web-1`).
    source: String,
    /// The text, without its line end.
    text: String,
}

impl Line {
    /// A line of a deployment's log.
    pub fn numbered(n: u64, line: LogLine) -> Self {
        Self {
            n: Some(n),
            ..line.into()
        }
    }
}

impl From<LogLine> for Line {
    fn from(line: LogLine) -> Self {
        Self {
            n: None,
            at: line.at_us,
            stream: line.stream,
            source: line.source,
            text: line.text,
        }
    }
}

/// RFC 3339 with microseconds; a host whose clock is out of all bounds has its lines at the epoch.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn moment<S: Serializer>(at_us: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let at = DateTime::from_timestamp_micros(*at_us).unwrap_or_default();
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
}
