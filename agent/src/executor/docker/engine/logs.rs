//! What containers print.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _};
use towline_shared::log::LogStream;

use super::{Engine, EngineError};

/// Which part of a container's log.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::executor::docker) struct LogQuery {
    /// From this second on (Unix).
    pub since_s: i64,
    /// How many of the last lines, or all.
    pub tail: Option<u32>,
    /// Whether to wait for more, until the container stops.
    pub follow: bool,
}

/// Bytes that a container wrote at one time to one stream; a line, or a part of one.
#[derive(Clone, Debug)]
pub(in crate::executor::docker) struct LogPiece {
    pub at_us: i64,
    pub stream: LogStream,
    pub bytes: Bytes,
}

impl Engine {
    /// A container's log.
    pub async fn logs(
        &self,
        container: &str,
        query: LogQuery,
    ) -> Result<impl Stream<Item = Result<LogPiece, EngineError>> + Send + use<>, EngineError> {
        let tail = query
            .tail
            .map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .since(i32::try_from(query.since_s).unwrap_or(i32::MAX))
            .tail(&tail)
            .follow(query.follow)
            .build();
        let client = self.client().await?;
        let engine = self.clone();
        let pieces = client.logs(container, Some(options));
        Ok(pieces.map(move |piece| piece.map(piece_of).map_err(|error| engine.explain(&error))))
    }
}

fn piece_of(output: LogOutput) -> LogPiece {
    let (stream, bytes) = match output {
        LogOutput::StdErr { message } => (LogStream::Stderr, message),
        LogOutput::StdOut { message }
        | LogOutput::StdIn { message }
        | LogOutput::Console { message } => (LogStream::Stdout, message),
    };
    let at = bytes.iter().position(|&byte| byte == b' ');
    let time = at.and_then(|at| Some((at, parse_time(&bytes[..at])?)));
    match time {
        Some((at, at_us)) => LogPiece {
            at_us,
            stream,
            bytes: bytes.slice(at + 1..),
        },
        None => LogPiece {
            at_us: Utc::now().timestamp_micros(),
            stream,
            bytes,
        },
    }
}

fn parse_time(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let time: DateTime<Utc> = text.parse().ok()?;
    Some(time.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_their_time_and_stream() {
        let message = Bytes::from_static(b"2026-01-02T03:04:05.123456789Z hello world\n");
        let piece = piece_of(LogOutput::StdErr { message });
        assert_eq!(
            (piece.at_us, piece.stream),
            (1_767_323_045_123_456, LogStream::Stderr)
        );
        assert_eq!(piece.bytes, b"hello world\n"[..]);
        let piece = piece_of(LogOutput::StdOut {
            message: Bytes::from_static(b"no time\n"),
        });
        assert_eq!(piece.bytes, b"no time\n"[..]);
    }
}
