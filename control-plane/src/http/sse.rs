//! Server-Sent Events, many to a write.
//!
//! A flood of lines is written as one text per batch, not as one frame per event; the reader cannot
//! tell the difference, and the server's work per line is a fraction.

use std::convert::Infallible;
use std::fmt::Write as _;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;

/// What a client that comes back has seen last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Events that are sent together.
#[derive(Debug, Default)]
pub struct Events(String);

impl Events {
    /// Adds an event. Its data is JSON, which has no line ends, so nothing needs to be escaped.
    pub fn event(
        &mut self,
        name: &str,
        id: Option<u64>,
        data: &impl Serialize,
    ) -> Result<(), serde_json::Error> {
        let data = serde_json::to_string(data)?;
        // Writing into a String cannot fail.
        let _ = id.map_or(Ok(()), |id| writeln!(self.0, "id: {id}"));
        let _ = write!(self.0, "event: {name}\ndata: {data}\n\n");
        Ok(())
    }

    /// Adds a comment, which keeps the connection from looking dead.
    pub fn keep_alive(&mut self) {
        self.0.push_str(":\n\n");
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An answer that goes on for as long as the stream does.
pub fn answer(events: impl Stream<Item = Events> + Send + 'static) -> Response {
    let pieces = events.map(|events| Ok::<_, Infallible>(Bytes::from(events.0)));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (
            CACHE_CONTROL,
            HeaderValue::from_static("no-store, no-transform"),
        ),
        // Proxies that know this header pass events on at once.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

/// The number of the last event a client has seen, if it says so.
pub fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(LAST_EVENT_ID)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Whether a client asks for a stream of events.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| {
            accept
                .split(',')
                .any(|media| media.trim().starts_with("text/event-stream"))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_are_written_as_the_specification_reads_them() {
        let mut events = Events::default();
        assert!(events.is_empty());
        events.event("line", Some(7), &"a\nb").unwrap();
        events.event("end", None, &1).unwrap();
        events.keep_alive();
        assert_eq!(
            events.0,
            "id: 7\nevent: line\ndata: \"a\\nb\"\n\nevent: end\ndata: 1\n\n:\n\n"
        );
    }

    #[test]
    fn what_a_client_has_seen_is_read_from_its_header() {
        let table = [
            ("7", Some(7)),
            (" 8 ", Some(8)),
            ("x", None),
            ("-1", None),
            ("", None),
        ];
        for (text, id) in table {
            let headers = HeaderMap::from_iter([(LAST_EVENT_ID, text.parse().unwrap())]);
            assert_eq!(last_event_id(&headers), id, "{text:?}");
        }
        assert_eq!(last_event_id(&HeaderMap::new()), None);
    }
}
