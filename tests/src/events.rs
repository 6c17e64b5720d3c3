//! Reading a stream of Server-Sent Events, line by line as it comes.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its `id:`, empty when it has none.
    pub id: String,
    /// Its `event:`, `message` when it has none.
    pub kind: String,
    /// Its `data:`; JSON, or a string when it is none.
    pub data: Value,
    /// When it arrived.
    pub at: Instant,
}

/// What came next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// An event.
    Event(Event),
    /// The stream has ended.
    Ended,
    /// Nothing within the limit.
    Nothing,
}

/// An open stream; closed when dropped.
#[derive(Debug)]
pub struct Events {
    received: Receiver<Event>,
    reading: JoinHandle<()>,
}

impl Events {
    /// Reads `response` on the runtime it came from.
    pub(crate) fn read(response: reqwest::Response, runtime: &tokio::runtime::Handle) -> Self {
        let (sender, received) = channel();
        Self {
            received,
            reading: runtime.spawn(read_all(response, sender)),
        }
    }

    /// Waits at most `limit` for the next event.
    pub fn next(&self, limit: Duration) -> Next {
        match self.received.recv_timeout(limit) {
            Ok(event) => Next::Event(event),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::Ended,
        }
    }

    /// Waits for an event that `wanted` accepts; panics when the stream ends or `limit` passes before.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&Event) -> bool,
    ) -> Event {
        let end = Instant::now() + limit;
        let mut seen = Vec::new();
        loop {
            match self.next(end.saturating_duration_since(Instant::now())) {
                Next::Event(event) if wanted(&event) => return event,
                Next::Event(event) => seen.push(format!("{} {}", event.kind, event.data)),
                other => panic!(
                    "waited for {what}: {other:?}; seen before:\n{}",
                    seen.join("\n")
                ),
            }
        }
    }

    /// Everything up to the stream's end; panics when it has not ended after `limit`.
    pub fn rest(&self, limit: Duration) -> Vec<Event> {
        let end = Instant::now() + limit;
        let mut events = Vec::new();
        loop {
            match self.next(end.saturating_duration_since(Instant::now())) {
                Next::Event(event) => events.push(event),
                Next::Ended => return events,
                Next::Nothing => panic!(
                    "the stream has not ended after {limit:?}, {} events came",
                    events.len()
                ),
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read_all(response: reqwest::Response, sender: Sender<Event>) {
    let mut bytes = response.bytes_stream();
    let mut parser = Parser::default();
    while let Some(Ok(piece)) = bytes.next().await {
        for event in parser.push(&piece) {
            if sender.send(event).is_err() {
                return;
            }
        }
    }
}

/// Lines may come in any pieces.
#[derive(Default)]
struct Parser {
    pending: Vec<u8>,
    id: String,
    kind: String,
    data: Vec<String>,
}

impl Parser {
    fn push(&mut self, piece: &[u8]) -> Vec<Event> {
        self.pending.extend_from_slice(piece);
        let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.pending.drain(..=end).collect();
        String::from_utf8_lossy(&whole)
            .lines()
            .filter_map(|line| self.line(line))
            .collect()
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match name {
            "id" => self.id = value,
            "event" => self.kind = value,
            "data" => self.data.push(value),
            _ => {}
        }
        (line.is_empty() && !self.data.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> Event {
        let text = std::mem::take(&mut self.data).join("\n");
        let kind = Some(std::mem::take(&mut self.kind)).filter(|kind| !kind.is_empty());
        Event {
            id: self.id.clone(),
            kind: kind.unwrap_or_else(|| "message".to_owned()),
            data: serde_json::from_str(&text).unwrap_or(Value::String(text)),
            at: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_from_any_pieces() {
        let stream = b": hello\n\nid: 7\nevent: line\ndata: {\"n\":7}\n\ndata: a\ndata: b\n\n";
        for size in [1, 2, 5, stream.len()] {
            let mut parser = Parser::default();
            let events: Vec<Event> = stream
                .chunks(size)
                .flat_map(|piece| parser.push(piece))
                .collect();
            let shape: Vec<_> = events
                .iter()
                .map(|e| (e.id.as_str(), e.kind.as_str(), e.data.to_string()))
                .collect();
            let expected = [
                ("7", "line", "{\"n\":7}".to_owned()),
                ("7", "message", "\"a\\nb\"".to_owned()),
            ];
            assert_eq!(shape, expected, "pieces of {size}");
        }
    }
}
