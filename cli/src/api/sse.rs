//! Server-Sent Events, read from bytes that may be split anywhere
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::mem;

/// The most bytes of one event. A log line has at most 16 KiB, six times that when escaped.
const EVENT_LIMIT: usize = 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The last id the stream has said, with this event or before it.
    pub id: Option<String>,
    /// What kind of event; `message` when the stream does not say.
    pub kind: String,
    /// Its data; several data lines are joined by line feeds.
    pub data: String,
}

/// The stream is no stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl std::fmt::Display for TooLong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "an event has more than {EVENT_LIMIT} bytes")
    }
}

/// Cuts bytes into lines and lines into events.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after: After,
    last_id: Option<String>,
    kind: String,
    data: String,
    has_data: HasData,
}

/// What came before the next byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum After {
    /// Nothing: a byte order mark may come.
    #[default]
    Start,
    /// A carriage return: a line feed now belongs to it.
    Return,
    /// Anything else.
    Other,
}

/// An event without a data line is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HasData {
    #[default]
    No,
    Yes,
}

impl Parser {
    /// Takes the next bytes and gives the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let belongs_to_return = end == 0 && rest[0] == b'\n' && self.after == After::Return;
            if !belongs_to_return {
                self.line.extend_from_slice(&rest[..end]);
                self.check_size()?;
                events.extend(self.finish_line());
            }
            self.after = if rest[end] == b'\r' {
                After::Return
            } else {
                After::Other
            };
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            self.line.extend_from_slice(rest);
            if self.after == After::Return {
                self.after = After::Other;
            }
        }
        self.check_size()?;
        Ok(events)
    }

    fn check_size(&self) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() > EVENT_LIMIT {
            return Err(TooLong);
        }
        Ok(())
    }

    fn finish_line(&mut self) -> Option<Event> {
        let bytes = mem::take(&mut self.line);
        let mut line = bytes.as_slice();
        if self.after == After::Start {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return self.finish_event();
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        self.field(name, &String::from_utf8_lossy(value));
        None
    }

    /// A line that begins with a colon, with an empty name, is a comment. A wish for another delay
    /// (`retry`) is not heeded: we back off in our own way.
    fn field(&mut self, name: &[u8], value: &str) {
        match name {
            b"data" => {
                if self.has_data == HasData::Yes {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = HasData::Yes;
            }
            b"event" => value.clone_into(&mut self.kind),
            b"id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            _ => {}
        }
    }

    fn finish_event(&mut self) -> Option<Event> {
        let kind = mem::take(&mut self.kind);
        let data = mem::take(&mut self.data);
        match mem::take(&mut self.has_data) {
            HasData::No => None,
            HasData::Yes => Some(Event {
                id: self.last_id.clone(),
                kind: if kind.is_empty() {
                    "message".into()
                } else {
                    kind
                },
                data,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn event(id: Option<&str>, kind: &str, data: &str) -> Event {
        Event {
            id: id.map(str::to_owned),
            kind: kind.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn the_standard_is_followed() {
        let table: [(&str, Vec<Event>); 10] = [
            ("data: a\n\n", vec![event(None, "message", "a")]),
            (
                "data:a\ndata: b\ndata:  c\n\n",
                vec![event(None, "message", "a\nb\n c")],
            ),
            (
                "id: 7\nevent: line\ndata: {}\n\n",
                vec![event(Some("7"), "line", "{}")],
            ),
            (
                "id: 1\ndata: a\n\ndata: b\n\n",
                vec![
                    event(Some("1"), "message", "a"),
                    event(Some("1"), "message", "b"),
                ],
            ),
            (
                ": comment\n\nevent: line\n\ndata\n\n",
                vec![event(None, "message", "")],
            ),
            (
                "\u{feff}data: a\r\n\r\ndata: b\r\r",
                vec![event(None, "message", "a"), event(None, "message", "b")],
            ),
            ("data: a\n", vec![]),
            ("id: a\0b\ndata: a\n\n", vec![event(None, "message", "a")]),
            (
                "retry: 5\nunknown: x\ndata: a:b\n\n",
                vec![event(None, "message", "a:b")],
            ),
            ("\n\n\n", vec![]),
        ];
        for (stream, expected) in table {
            let mut parser = Parser::default();
            assert_eq!(
                parser.push(stream.as_bytes()).unwrap(),
                expected,
                "{stream:?}"
            );
        }
    }

    #[test]
    fn a_stream_without_events_is_refused_before_it_fills_the_memory() {
        let mut parser = Parser::default();
        let mut refused = None;
        for number in 0..=EVENT_LIMIT / 1000 {
            if parser.push(&[b'x'; 1000]).is_err() {
                refused = Some(number);
                break;
            }
        }
        assert_eq!(refused, Some(EVENT_LIMIT / 1000));
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "y".repeat(1000));
        let pushed = (0..2000).find(|_| parser.push(line.as_bytes()).is_err());
        assert!(pushed.is_some());
    }

    fn stream_of(events: &[(u64, String)], line_end: &str) -> Vec<u8> {
        let mut stream = String::new();
        for (id, data) in events {
            for line in [
                format!("id: {id}"),
                "event: line".into(),
                format!("data: {data}"),
                String::new(),
            ] {
                stream.push_str(&line);
                stream.push_str(line_end);
            }
        }
        stream.into_bytes()
    }

    proptest! {
        #[test]
        fn bytes_may_be_split_anywhere(
            events in proptest::collection::vec((any::<u64>(), "[^\\r\\n]{0,40}"), 0..8),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
            line_end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
        ) {
            let stream = stream_of(&events, line_end);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let mut read = Vec::new();
            for ends in cuts.windows(2) {
                read.extend(parser.push(&stream[ends[0]..ends[1]]).unwrap());
            }
            let expected: Vec<_> = events
                .iter()
                .map(|(id, data)| event(Some(&id.to_string()), "line", data))
                .collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn garbage_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
            let mut parser = Parser::default();
            let whole = parser.push(&bytes);
            let mut parser = Parser::default();
            let mut single = Vec::new();
            for byte in &bytes {
                single.extend(parser.push(&[*byte]).unwrap());
            }
            prop_assert_eq!(whole.unwrap(), single);
        }
    }
}
