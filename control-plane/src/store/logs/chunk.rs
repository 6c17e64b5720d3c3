//! A chunk at rest, and the lines that readers see of it.

use std::str::FromStr;

use sqlx::FromRow;
use towline_shared::ids::JobId;
use towline_shared::log::{LogLine, LogStream, decode_payload};

use super::super::db::{Conn, Tx, all, execute, local_now};
use super::super::{Result, StoreError, counted, stored};

/// How many chunks are read at once: with a chunk's limit, at most 20 MB.
pub(super) const BATCH: u32 = 128;
/// Who speaks in lines that stand for others.
const SOURCE: &str = "towline";

/// What a chunk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChunkKind {
    /// As many lines as it says.
    Lines,
    /// One line that stands for as many as it says, which are lost.
    Gap,
}

impl ChunkKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Gap => "gap",
        }
    }
}

impl FromStr for ChunkKind {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "lines" => Ok(Self::Lines),
            "gap" => Ok(Self::Gap),
            _ => Err(StoreError::Damaged(format!(
                "{text:?} is no kind of log chunk"
            ))),
        }
    }
}

/// A chunk at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoredChunk<P = Vec<u8>> {
    pub(super) first_line: u64,
    /// The number of line numbers it takes.
    pub(super) lines: u64,
    pub(super) kind: ChunkKind,
    pub(super) payload: P,
}

#[derive(FromRow)]
struct Columns {
    first_line: i64,
    lines: i64,
    kind: String,
    payload: Vec<u8>,
}

impl TryFrom<Columns> for StoredChunk {
    type Error = StoreError;

    fn try_from(row: Columns) -> Result<Self> {
        Ok(Self {
            first_line: counted(row.first_line),
            lines: counted(row.lines),
            kind: row.kind.parse()?,
            payload: row.payload,
        })
    }
}

impl<P: AsRef<[u8]>> StoredChunk<P> {
    /// The number of the line behind it.
    pub(super) const fn end(&self) -> u64 {
        self.first_line + self.lines
    }

    /// Its lines, if it holds as many as it says.
    pub(super) fn decode(&self) -> Option<Vec<LogLine>> {
        let lines = decode_payload(self.payload.as_ref()).ok()?;
        (self.kind == ChunkKind::Lines && lines.len() as u64 == self.lines).then_some(lines)
    }

    /// Its lines with their numbers, as readers see them. What cannot be read, or is lost, is one
    /// line under the last of its numbers, so that whoever goes on behind it does not meet it again.
    pub(super) fn numbered(&self) -> Vec<(u64, LogLine)> {
        match self.decode() {
            Some(lines) => (self.first_line..).zip(lines).collect(),
            None => vec![(self.end().saturating_sub(1), self.stand_in())],
        }
    }

    fn stand_in(&self) -> LogLine {
        let lost =
            (self.kind == ChunkKind::Gap).then(|| decode_payload(self.payload.as_ref()).ok());
        let line = lost.flatten().and_then(|lines| lines.into_iter().next());
        line.unwrap_or_else(|| {
            gap_line(
                0,
                format!(
                    "{} cannot be read: what the agent sent is damaged",
                    count(self.lines)
                ),
            )
        })
    }
}

/// A line of the control plane's own.
pub(super) fn note_line(text: &str) -> LogLine {
    LogLine {
        at_us: local_now().timestamp_micros(),
        stream: LogStream::Note,
        source: "towline".to_owned(),
        text: text.to_owned(),
    }
}

/// A line that stands for others.
pub(super) fn gap_line(at_us: i64, text: String) -> LogLine {
    LogLine {
        at_us,
        stream: LogStream::Gap,
        source: SOURCE.to_owned(),
        text,
    }
}

/// A number of lines, for people.
pub(super) fn count(lines: u64) -> String {
    if lines == 1 {
        "1 line".to_owned()
    } else {
        format!("{lines} lines")
    }
}

/// Stores a chunk.
pub(super) async fn insert<P: AsRef<[u8]>>(
    tx: &mut Tx,
    job: JobId,
    chunk: &StoredChunk<P>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO log_chunks (job_id, first_line, lines, kind, payload) VALUES ($1, $2, $3, $4, $5)",
        job.uuid(),
        stored(chunk.first_line),
        stored(chunk.lines),
        chunk.kind.as_str(),
        chunk.payload.as_ref()
    )?;
    Ok(())
}

/// The chunks with lines in `from..until`, in order; at most [`BATCH`].
pub(super) async fn between(
    conn: Conn<'_>,
    job: JobId,
    from: u64,
    until: u64,
) -> Result<Vec<StoredChunk>> {
    let rows = all!(
        conn,
        Columns,
        "SELECT first_line, lines, kind, payload FROM log_chunks
         WHERE job_id = $1 AND first_line < $3 AND first_line + lines > $2 AND first_line >= COALESCE(
            (SELECT first_line FROM log_chunks WHERE job_id = $1 AND first_line <= $2 ORDER BY first_line DESC LIMIT 1),
            $2)
         ORDER BY first_line LIMIT $4",
        job.uuid(),
        stored(from),
        stored(until),
        i64::from(BATCH)
    )?;
    rows.into_iter().map(StoredChunk::try_from).collect()
}
