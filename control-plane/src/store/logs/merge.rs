//! Merging small chunks: which of them, and into what.

use std::collections::HashSet;

use towline_shared::log::{CHUNK_BYTES, CHUNK_LINES, LogChunk, LogLine, LogPosition};

use super::chunk::{ChunkKind, StoredChunk};

/// A chunk names at most so many sources without loss.
const MAX_SOURCES: usize = 63;
/// A payload of this size is large enough already: 64 KiB of text seldom shrink below it.
const LARGE: usize = 16 * 1024;

/// Neighbouring chunks, and the one that replaces them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Merge {
    /// How many there are.
    pub(super) replaced: u64,
    pub(super) by: StoredChunk,
}

/// Takes a log's chunks in order and merges runs of small ones.
#[derive(Default)]
pub(super) struct Merger {
    run: Run,
}

/// Neighbouring chunks that fit one.
#[derive(Default)]
struct Run {
    first_line: u64,
    chunks: u64,
    lines: Vec<LogLine>,
    text: usize,
    sources: HashSet<String>,
}

impl Merger {
    /// Takes the next chunk; gives what is to be merged when a run has ended.
    pub(super) fn push(&mut self, chunk: &StoredChunk) -> Option<Merge> {
        let lines = if chunk.payload.len() < LARGE {
            chunk.decode()
        } else {
            None
        };
        let Some(lines) = lines else {
            return self.finish();
        };
        if self.run.has_room(&lines) {
            self.run.extend(chunk.first_line, lines);
            return None;
        }
        let ended = self.finish();
        self.run.extend(chunk.first_line, lines);
        ended
    }

    /// Ends the run.
    pub(super) fn finish(&mut self) -> Option<Merge> {
        std::mem::take(&mut self.run).merged()
    }
}

impl Run {
    fn has_room(&self, lines: &[LogLine]) -> bool {
        let text: usize = lines.iter().map(|line| line.text.len()).sum();
        self.lines.len() + lines.len() <= CHUNK_LINES
            && self.text + text <= CHUNK_BYTES
            && self.has_sources(lines)
    }

    fn has_sources(&self, lines: &[LogLine]) -> bool {
        let new: HashSet<&str> = lines.iter().map(|line| line.source.as_str()).collect();
        let new = new
            .into_iter()
            .filter(|source| !self.sources.contains(*source))
            .count();
        self.sources.len() + new <= MAX_SOURCES
    }

    fn extend(&mut self, first_line: u64, lines: Vec<LogLine>) {
        if self.chunks == 0 {
            self.first_line = first_line;
        }
        self.chunks += 1;
        for line in lines {
            self.text += line.text.len();
            if !self.sources.contains(&line.source) {
                self.sources.insert(line.source.clone());
            }
            self.lines.push(line);
        }
    }

    /// A run of one stays as it is.
    fn merged(self) -> Option<Merge> {
        if self.chunks < 2 {
            return None;
        }
        // The chain over the agent's chunks stays in the log's row; nobody checks a merged one's.
        let (encoded, _) = LogChunk::encode(LogPosition::default(), &self.lines).ok()?;
        Some(Merge {
            replaced: self.chunks,
            by: StoredChunk {
                first_line: self.first_line,
                lines: u64::from(encoded.lines),
                kind: ChunkKind::Lines,
                payload: encoded.payload,
            },
        })
    }
}
