//! Log lines and the chunks they travel and rest in.
//!
//! A chunk is made once, by the agent, and stays the same bytes in the spool, on the wire and in
//! the store; only a reader decodes it. Chunks of one log are chained: each carries a SHA-256 over
//! the chain before it and its own content, so that a gap, a repeat or a change shows at once.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The most bytes of one line; producers split longer ones, and a chunk with a longer one is refused.
pub const MAX_LINE_BYTES: usize = 16 * 1024;
/// The most bytes of a source's name; longer ones are cut.
pub const MAX_SOURCE_BYTES: usize = 256;
/// A chunk is full with this many lines,
pub const CHUNK_LINES: usize = 4096;
/// or with this many bytes of text.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// The most bytes a chunk's payload may decode to.
const MAX_DECODED: usize = 512 * 1024;
/// The most bytes of a chunk's payload.
pub const MAX_PAYLOAD: usize = 160 * 1024;
/// zstd's level 3 is its own default: 0.1 to 0.2 of typical log text, above 200 MB/s.
const LEVEL: i32 = 3;

/// One line of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written, Unix microseconds on the host's clock.
    pub at_us: i64,
    /// Which stream it was written to.
    pub stream: LogStream,
    /// Who wrote it: `compose`, `towline`, or a service with its container's number (`web-1`).
    pub source: String,
    /// The text, without its line end, with secrets masked.
    pub text: String,
}

/// The stream of a line. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A note of Towline's own.
    Note,
    /// Lines were dropped here; the text says how many.
    Gap,
}

impl LogStream {
    const ALL: [Self; 4] = [Self::Stdout, Self::Stderr, Self::Note, Self::Gap];

    const fn code(self) -> u8 {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
            Self::Note => 2,
            Self::Gap => 3,
        }
    }
}

/// How far a log has come: the number of its lines and the chain over its chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// The number of the next line; the first line is 0.
    pub next_line: u64,
    /// SHA-256 over all chunks so far; zeros at the start.
    pub chain: [u8; 32],
}

impl LogPosition {
    fn after(self, lines: u32, payload: &[u8]) -> Self {
        let chain = Sha256::new()
            .chain_update(self.chain)
            .chain_update(self.next_line.to_le_bytes())
            .chain_update(lines.to_le_bytes())
            .chain_update(payload)
            .finalize()
            .into();
        Self {
            next_line: self.next_line + u64::from(lines),
            chain,
        }
    }
}

/// A run of lines, encoded and compressed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// The number of its first line.
    pub first_line: u64,
    /// How many lines it has; at least one.
    pub lines: u32,
    /// The chain after this chunk.
    pub chain: [u8; 32],
    /// The lines, encoded and compressed by zstd.
    pub payload: Vec<u8>,
}

impl std::fmt::Debug for LogChunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogChunk({}+{})", self.first_line, self.lines)
    }
}

/// Why a chunk cannot be taken or read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChunkError {
    /// It starts behind the log's end.
    #[error("a log chunk starts at line {got}, the log goes on at line {expected}")]
    Gap {
        /// The next line of the log.
        expected: u64,
        /// The chunk's first line.
        got: u64,
    },
    /// Its chain does not continue the log's.
    #[error("a log chunk at line {0} does not continue the log before it")]
    Chain(u64),
    /// It has no line, or more than its limits allow.
    #[error("a log chunk is empty or over its limits")]
    Limits,
    /// It cannot be decoded.
    #[error("a log chunk cannot be decoded")]
    Undecodable,
}

/// What a log does with a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It goes on with it; this is the position after it.
    Next(LogPosition),
    /// It has it already.
    Known,
}

impl LogChunk {
    /// Encodes lines as the chunk that continues a log at `position`.
    pub fn encode(
        position: LogPosition,
        lines: &[LogLine],
    ) -> Result<(Self, LogPosition), ChunkError> {
        let count = u32::try_from(lines.len()).map_err(|_| ChunkError::Limits)?;
        let is_long = |line: &LogLine| line.text.len() > MAX_LINE_BYTES;
        if count == 0 || lines.len() > CHUNK_LINES || lines.iter().any(is_long) {
            return Err(ChunkError::Limits);
        }
        let columns = postcard::to_stdvec(&Columns::of(lines)).map_err(|_| ChunkError::Limits)?;
        if columns.len() > MAX_DECODED {
            return Err(ChunkError::Limits);
        }
        let payload = zstd::bulk::compress(&columns, LEVEL).map_err(|_| ChunkError::Limits)?;
        let after = position.after(count, &payload);
        let chunk = Self {
            first_line: position.next_line,
            lines: count,
            chain: after.chain,
            payload,
        };
        Ok((chunk, after))
    }

    /// Whether this chunk continues a log at `position`.
    pub fn fit(&self, position: LogPosition) -> Result<Fit, ChunkError> {
        if self.lines == 0 || self.lines as usize > CHUNK_LINES || self.payload.len() > MAX_PAYLOAD
        {
            return Err(ChunkError::Limits);
        }
        let end = self
            .first_line
            .checked_add(u64::from(self.lines))
            .ok_or(ChunkError::Limits)?;
        if end <= position.next_line {
            return Ok(Fit::Known);
        }
        if self.first_line != position.next_line {
            return Err(ChunkError::Gap {
                expected: position.next_line,
                got: self.first_line,
            });
        }
        let after = position.after(self.lines, &self.payload);
        if after.chain == self.chain {
            Ok(Fit::Next(after))
        } else {
            Err(ChunkError::Chain(self.first_line))
        }
    }

    /// The position of the log after this chunk.
    pub const fn end(&self) -> LogPosition {
        LogPosition {
            next_line: self.first_line + self.lines as u64,
            chain: self.chain,
        }
    }

    /// Decodes the lines.
    pub fn decode(&self) -> Result<Vec<LogLine>, ChunkError> {
        let lines = decode_payload(&self.payload)?;
        if lines.len() == self.lines as usize {
            Ok(lines)
        } else {
            Err(ChunkError::Undecodable)
        }
    }
}

/// Decodes a stored payload. Memory is bounded whatever the payload claims: a name that stands once in
/// it and belongs to every line would be as many copies, so names have a limit, as lines have.
pub fn decode_payload(payload: &[u8]) -> Result<Vec<LogLine>, ChunkError> {
    let columns =
        zstd::bulk::decompress(payload, MAX_DECODED).map_err(|_| ChunkError::Undecodable)?;
    let columns: Columns<'_> =
        postcard::from_bytes(&columns).map_err(|_| ChunkError::Undecodable)?;
    columns.lines()
}

/// Lines by column, which is what compresses well.
#[derive(Serialize, Deserialize)]
struct Columns<'a> {
    base_us: i64,
    /// Each line's time less the line's before it, in microseconds.
    deltas: Vec<i64>,
    #[serde(borrow)]
    sources: Vec<&'a str>,
    /// Each line's source (upper six bits) and stream (lower two).
    kinds: Vec<u8>,
    lengths: Vec<u32>,
    text: String,
}

/// Six bits name the source of a line in a chunk; the last stands for all further sources.
const MAX_SOURCES: usize = 64;

impl<'a> Columns<'a> {
    fn of(lines: &'a [LogLine]) -> Self {
        let base_us = lines.first().map_or(0, |line| line.at_us);
        let mut columns = Self {
            base_us,
            deltas: Vec::with_capacity(lines.len()),
            sources: Vec::new(),
            kinds: Vec::with_capacity(lines.len()),
            lengths: Vec::with_capacity(lines.len()),
            text: String::with_capacity(lines.iter().map(|line| line.text.len()).sum()),
        };
        let mut last = base_us;
        for line in lines {
            columns.deltas.push(line.at_us.wrapping_sub(last));
            last = line.at_us;
            let source = columns.source(&line.source);
            columns.kinds.push((source << 2) | line.stream.code());
            columns
                .lengths
                .push(u32::try_from(line.text.len()).unwrap_or(u32::MAX));
            columns.text.push_str(&line.text);
        }
        columns
    }

    fn source(&mut self, name: &'a str) -> u8 {
        let name = &name[..name.floor_char_boundary(MAX_SOURCE_BYTES)];
        let known = self.sources.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            if self.sources.len() == MAX_SOURCES - 1 {
                self.sources.push("…");
            } else if self.sources.len() < MAX_SOURCES {
                self.sources.push(name);
            }
            self.sources.len() - 1
        });
        u8::try_from(index).unwrap_or(u8::MAX >> 2)
    }

    fn lines(&self) -> Result<Vec<LogLine>, ChunkError> {
        let count = self.kinds.len();
        let is_long = |source: &&str| source.len() > MAX_SOURCE_BYTES;
        if count > CHUNK_LINES
            || self.deltas.len() != count
            || self.lengths.len() != count
            || self.sources.iter().any(is_long)
        {
            return Err(ChunkError::Undecodable);
        }
        let mut at_us = self.base_us;
        let mut rest = self.text.as_str();
        let mut lines = Vec::with_capacity(count);
        for index in 0..count {
            at_us = at_us.wrapping_add(self.deltas[index]);
            let (text, after) = rest
                .split_at_checked(self.lengths[index] as usize)
                .filter(|(text, _)| text.len() <= MAX_LINE_BYTES)
                .ok_or(ChunkError::Undecodable)?;
            rest = after;
            let kind = self.kinds[index];
            let source = self
                .sources
                .get(usize::from(kind >> 2))
                .ok_or(ChunkError::Undecodable)?;
            lines.push(LogLine {
                at_us,
                stream: LogStream::ALL[usize::from(kind & 3)],
                source: (*source).to_owned(),
                text: text.to_owned(),
            });
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn line(number: usize) -> LogLine {
        LogLine {
            at_us: 1_700_000_000_000_000 + i64::try_from(number).unwrap() * 10,
            stream: LogStream::ALL[number % 4],
            source: format!("web-{}", number % 3),
            text: format!("GET /items/{number} 200 in {} ms", number % 17),
        }
    }

    #[test]
    fn chunks_continue_each_other_and_decode_to_their_lines() {
        let lines: Vec<_> = (0..1000).map(line).collect();
        let mut position = LogPosition::default();
        let mut read = LogPosition::default();
        for part in lines.chunks(300) {
            let (chunk, after) = LogChunk::encode(position, part).unwrap();
            assert_eq!(chunk.decode().unwrap(), part);
            assert_eq!(chunk.fit(read).unwrap(), Fit::Next(after));
            assert_eq!(chunk.end(), after);
            read = after;
            assert_eq!(chunk.fit(read).unwrap(), Fit::Known);
            position = after;
        }
        assert_eq!(position.next_line, 1000);
    }

    #[test]
    fn a_gap_and_a_change_are_found() {
        let (first, after) = LogChunk::encode(LogPosition::default(), &[line(0)]).unwrap();
        let (second, _) = LogChunk::encode(after, &[line(1)]).unwrap();
        let gap = second.fit(LogPosition::default());
        assert_eq!(
            gap,
            Err(ChunkError::Gap {
                expected: 0,
                got: 1
            })
        );
        let mut changed = first;
        changed.payload[8] ^= 1;
        assert_eq!(
            changed.fit(LogPosition::default()),
            Err(ChunkError::Chain(0))
        );
    }

    /// What would be a chunk of megabytes for each of its kilobytes, and what no reader takes.
    #[test]
    fn long_names_and_lines_are_cut_or_refused() {
        let mut long = line(0);
        long.source = "ä".repeat(MAX_SOURCE_BYTES);
        let (chunk, _) = LogChunk::encode(LogPosition::default(), &[long]).unwrap();
        assert_eq!(
            chunk.decode().unwrap()[0].source,
            "ä".repeat(MAX_SOURCE_BYTES / 2)
        );
        let columns = |source: &str, length: usize| {
            let columns = Columns {
                base_us: 0,
                deltas: vec![0; CHUNK_LINES],
                sources: vec![source],
                kinds: vec![0; CHUNK_LINES],
                lengths: [
                    vec![0; CHUNK_LINES - 1],
                    vec![u32::try_from(length).unwrap()],
                ]
                .concat(),
                text: "x".repeat(length),
            };
            zstd::bulk::compress(&postcard::to_stdvec(&columns).unwrap(), 1).unwrap()
        };
        let name = "n".repeat(MAX_SOURCE_BYTES);
        assert!(decode_payload(&columns(&name, MAX_LINE_BYTES)).is_ok());
        let bomb = columns(&name.repeat(1000), 1);
        assert!(bomb.len() < 2000);
        assert_eq!(decode_payload(&bomb), Err(ChunkError::Undecodable));
        let line = columns(&name, MAX_LINE_BYTES + 1);
        assert_eq!(decode_payload(&line), Err(ChunkError::Undecodable));
        let mut line = super::tests::line(0);
        line.text = "x".repeat(MAX_LINE_BYTES + 1);
        let refused = LogChunk::encode(LogPosition::default(), &[line]);
        assert_eq!(refused, Err(ChunkError::Limits));
    }

    #[test]
    fn typical_lines_shrink_below_a_third() {
        let lines: Vec<_> = (0..CHUNK_LINES).map(line).collect();
        let raw: usize = lines.iter().map(|line| line.text.len() + 1).sum();
        let (chunk, _) = LogChunk::encode(LogPosition::default(), &lines).unwrap();
        assert!(
            chunk.payload.len() * 10 < raw * 3,
            "{} of {raw}",
            chunk.payload.len()
        );
    }

    proptest! {
        #[test]
        fn any_lines_come_back(texts in proptest::collection::vec("\\PC{0,200}", 1..200), at in any::<i64>()) {
            let lines: Vec<_> = texts.into_iter().enumerate().map(|(number, text)| LogLine {
                at_us: at.wrapping_mul(i64::try_from(number).unwrap() + 1),
                text,
                source: format!("service-{number}"),
                stream: LogStream::Stdout,
            }).collect();
            let (chunk, _) = LogChunk::encode(LogPosition::default(), &lines).unwrap();
            let read = chunk.decode().unwrap();
            prop_assert_eq!(read.len(), lines.len());
            for (number, (read, written)) in read.iter().zip(&lines).enumerate() {
                prop_assert_eq!((read.at_us, &read.text), (written.at_us, &written.text));
                let source = if number < MAX_SOURCES - 1 { written.source.as_str() } else { "…" };
                prop_assert_eq!(read.source.as_str(), source);
            }
        }

        #[test]
        fn garbage_is_refused_not_obeyed(payload in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = decode_payload(&payload);
            if let Ok(squeezed) = zstd::bulk::compress(&payload, 1) {
                let _ = decode_payload(&squeezed);
            }
        }
    }
}
