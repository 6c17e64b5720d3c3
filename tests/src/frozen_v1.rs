//! Protocol version 1 as it was frozen: written by hand, byte for byte, and by nothing of the product.
//!
//! It stands for the other side of an upgrade: an agent that nobody has touched for years, a control
//! plane that is not upgraded yet. So it must never be changed with the product; where the two part,
//! the product has broken its word to the field.

use sha2::{Digest as _, Sha256};

/// The fence and the job of an attempt: the UUID's bytes, the incarnation and the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The job.
    pub job: [u8; 16],
    /// Its fence.
    pub fence: (u64, u64),
}

/// How far a log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The number of the next line.
    pub next_line: u64,
    /// SHA-256 over all before.
    pub chain: [u8; 32],
}

/// What is written: numbers of seven bits a byte, and what has a length with the length before it.
#[derive(Clone, Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// Begins a frame of a kind.
    pub fn frame(kind: u8) -> Self {
        Self(vec![kind])
    }

    /// A number.
    #[must_use]
    pub fn number(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap());
        self
    }

    /// A number with a sign.
    #[must_use]
    pub fn signed(self, value: i64) -> Self {
        self.number(((value << 1) ^ (value >> 63)).cast_unsigned())
    }

    /// Bytes with their length.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.number(bytes.len() as u64).raw(bytes)
    }

    /// Text with its length.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Bytes whose number is known.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A job under a fence.
    #[must_use]
    pub fn attempt(self, attempt: Attempt) -> Self {
        self.bytes(&attempt.job)
            .number(attempt.fence.0)
            .number(attempt.fence.1)
    }

    /// A position of a log.
    #[must_use]
    pub fn position(self, position: Position) -> Self {
        self.number(position.next_line).raw(&position.chain)
    }
}

/// What is read, from the front.
#[derive(Clone, Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// A number.
    pub fn number(&mut self) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.raw(1)[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }

    /// A number with a sign.
    pub fn signed(&mut self) -> i64 {
        let value = self.number();
        (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
    }

    /// Bytes with their length.
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.number()).unwrap();
        self.raw(length)
    }

    /// Text with its length.
    pub fn text(&mut self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("text")
    }

    /// Bytes whose number is known.
    pub fn raw(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    /// A job under a fence.
    pub fn attempt(&mut self) -> Attempt {
        Attempt {
            job: self.bytes().try_into().expect("16 bytes"),
            fence: (self.number(), self.number()),
        }
    }

    /// A position of a log.
    pub fn position(&mut self) -> Position {
        Position {
            next_line: self.number(),
            chain: self.raw(32).try_into().expect("32 bytes"),
        }
    }

    /// Nothing is left.
    pub fn end(self) {
        assert_eq!(self.0, [0_u8; 0], "the message has grown");
    }
}

/// The agent's first message: `TWLN`, the versions it speaks, its build.
pub fn client_handshake(lowest: u64, highest: u64) -> Vec<u8> {
    Writer(b"TWLN".to_vec())
        .number(lowest)
        .number(highest)
        .text("frozen")
        .0
}

/// The control plane's: the version that is spoken.
pub fn read_server_handshake(bytes: &[u8]) -> u64 {
    let mut reader = Reader(bytes);
    assert_eq!(reader.number(), 0, "refused: {}", reader.text());
    let version = reader.number();
    reader.end();
    version
}

/// The versions that an agent speaks.
pub fn read_client_handshake(bytes: &[u8]) -> (u64, u64) {
    let mut reader = Reader(bytes);
    assert_eq!(reader.raw(4), b"TWLN");
    let versions = (reader.number(), reader.number());
    reader.text();
    reader.end();
    versions
}

/// The version that is spoken.
pub fn server_handshake(version: u64) -> Vec<u8> {
    Writer::default().number(0).number(version).0
}

/// A kind that no version 1 has.
pub fn unknown(kind: u8) -> Vec<u8> {
    Writer::frame(kind).raw(&[0xff, 7, 0, 0x80]).0
}

/// The same heartbeat in both directions.
pub fn heartbeat() -> Vec<u8> {
    Writer::frame(2).signed(1_700_000_000_000).0
}

/// A log's lines as a chunk: its bytes on the wire after the attempt, and the position after it.
pub fn chunk(position: Position, texts: &[String]) -> (Vec<u8>, Position) {
    let payload = zstd::bulk::compress(&columns(texts), 3).expect("it shrinks");
    let lines = u32::try_from(texts.len()).unwrap();
    let after = after(position, lines, &payload);
    let bytes = Writer::default()
        .number(position.next_line)
        .number(lines.into())
        .raw(&after.chain)
        .bytes(&payload);
    (bytes.0, after)
}

fn after(position: Position, lines: u32, payload: &[u8]) -> Position {
    let mut hash = Sha256::new();
    hash.update(position.chain);
    hash.update(position.next_line.to_le_bytes());
    hash.update(lines.to_le_bytes());
    hash.update(payload);
    Position {
        next_line: position.next_line + u64::from(lines),
        chain: hash.finalize().into(),
    }
}

/// The first time, the differences of the others, the sources, and of each line its source and
/// stream, its length, and its text.
fn columns(texts: &[String]) -> Vec<u8> {
    let count = texts.len() as u64;
    let mut writer = Writer::default()
        .signed(1_700_000_000_000_000)
        .number(count);
    for _ in texts {
        writer = writer.signed(0);
    }
    writer = writer.number(1).text("frozen-1").number(count);
    writer = writer.raw(&vec![0; texts.len()]).number(count);
    for text in texts {
        writer = writer.number(text.len() as u64);
    }
    writer.text(&texts.concat()).0
}

/// Reads a chunk that continues a log at `position`: its lines' texts, and the position after it.
pub fn read_chunk(reader: &mut Reader<'_>, position: Position) -> (Vec<String>, Position) {
    assert_eq!(reader.number(), position.next_line, "a gap");
    let lines = u32::try_from(reader.number()).unwrap();
    let chain: [u8; 32] = reader.raw(32).try_into().unwrap();
    let payload = reader.bytes();
    let after = after(position, lines, payload);
    assert_eq!(after.chain, chain, "the chain is broken");
    let columns = zstd::bulk::decompress(payload, 1 << 20).expect("a payload");
    let texts = read_columns(&mut Reader(&columns));
    assert_eq!(texts.len(), lines as usize);
    (texts, after)
}

fn read_columns(reader: &mut Reader<'_>) -> Vec<String> {
    let _first = reader.signed();
    let count = reader.number();
    let _times: Vec<i64> = (0..count).map(|_| reader.signed()).collect();
    let sources = reader.number();
    let _sources: Vec<String> = (0..sources).map(|_| reader.text()).collect();
    let kinds = reader.bytes();
    assert_eq!(kinds.len() as u64, count);
    let count = reader.number();
    let lengths: Vec<u64> = (0..count).map(|_| reader.number()).collect();
    let mut text = Reader(reader.bytes());
    let texts = lengths.iter().map(|length| {
        let bytes = text.raw(usize::try_from(*length).unwrap());
        String::from_utf8(bytes.to_vec()).expect("text")
    });
    texts.collect()
}
