//! One file of a spool.
//!
//! Its first record is a [`Preface`]: the log's position before the file's first chunk, and how far
//! each source had come. So a spool needs no older file than its oldest unacknowledged one.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use towline_shared::log::{LogChunk, LogPosition};

use super::ResumePoint;
use crate::records::{self, HEADER};

/// A file that has grown to this is followed by a new one.
pub(super) const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// The largest record: a chunk's payload, and the points of its sources.
const MAX_RECORD: usize = 1024 * 1024;
/// The name's ending.
const ENDING: &str = "log";

/// How far each source has come.
pub(super) type ResumePoints = HashMap<String, ResumePoint>;

#[derive(Serialize, Deserialize)]
struct Preface {
    base: LogPosition,
    points: ResumePoints,
}

/// A chunk in a spool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Spooled {
    /// The chunk.
    pub(super) chunk: LogChunk,
    /// The sources that wrote in it, as they were after it.
    pub(super) points: Vec<(String, ResumePoint)>,
}

/// A file of a spool, and where its chunks lie in the log.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) base: LogPosition,
    pub(super) end: LogPosition,
    /// Where its first chunk starts.
    first: u64,
    /// Where its last chunk ends.
    pub(super) bytes: u64,
}

impl Segment {
    /// Makes an empty one that continues the log at `base`.
    pub(super) fn create(
        dir: &Path,
        base: LogPosition,
        points: &ResumePoints,
    ) -> io::Result<(Self, File)> {
        let path = dir.join(format!("{:020}.{ENDING}", base.next_line));
        let preface = Preface {
            base,
            points: points.clone(),
        };
        let bytes = encode(&preface)?;
        let mut file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        if let Err(error) = file.write_all(&bytes) {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let segment = Self {
            path,
            base,
            end: base,
            first: bytes.len() as u64,
            bytes: bytes.len() as u64,
        };
        Ok((segment, file))
    }

    /// Reads one back. It ends before the first record that is not sound: what follows is torn, or
    /// lost to the disk. Nothing comes back of a file whose preface is.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, ResumePoints)>> {
        let content = fs::read(path)?;
        let scan = records::sound(&content, 0, MAX_RECORD);
        let mut bodies = scan.bodies.iter();
        let Some(preface) = bodies.next() else {
            return Ok(None);
        };
        let Preface { base, mut points } = decode(preface)?;
        let mut end = base;
        for body in bodies {
            let spooled: Spooled = decode(body)?;
            end = spooled.chunk.end();
            points.extend(spooled.points);
        }
        if scan.end < content.len() {
            OpenOptions::new()
                .write(true)
                .open(path)?
                .set_len(scan.end as u64)?;
        }
        let segment = Self {
            path: path.to_path_buf(),
            base,
            end,
            first: (HEADER + preface.len()) as u64,
            bytes: scan.end as u64,
        };
        Ok(Some((segment, points)))
    }

    /// Appends a chunk. When that fails, the file is as before.
    pub(super) fn append(&mut self, mut file: &File, spooled: &Spooled) -> io::Result<()> {
        let bytes = encode(spooled)?;
        if let Err(error) = file.write_all(&bytes) {
            file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        self.end = spooled.chunk.end();
        Ok(())
    }

    /// Opens it for reading from its first chunk.
    pub(super) fn read(&self) -> io::Result<SegmentReader> {
        Ok(SegmentReader {
            file: File::open(&self.path)?,
            base: self.base,
            at: self.first,
        })
    }
}

/// Reads a file's chunks in order, also while more are appended.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: File,
    pub(super) base: LogPosition,
    at: u64,
}

impl SegmentReader {
    /// The next chunk before `end`, the file's length of sound records.
    pub(super) fn next(&mut self, end: u64) -> io::Result<Option<Spooled>> {
        if self.at >= end {
            return Ok(None);
        }
        let mut header = [0; HEADER];
        self.file.read_exact_at(&mut header, self.at)?;
        let damaged = || io::Error::other("a chunk in the log spool is damaged");
        let (length, sum) = records::read_header(header, MAX_RECORD).ok_or_else(damaged)?;
        let mut body = vec![0; length];
        self.file
            .read_exact_at(&mut body, self.at + HEADER as u64)?;
        if crc32fast::hash(&body) != sum {
            return Err(damaged());
        }
        let spooled = decode(&body)?;
        self.at += (HEADER + length) as u64;
        Ok(Some(spooled))
    }
}

/// The files of a spool, in the order of their lines.
pub(super) fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
    paths.sort();
    Ok(paths)
}

fn encode(body: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(body).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    records::frame(&mut bytes, &body, MAX_RECORD).map_err(io::Error::other)?;
    Ok(bytes)
}

fn decode<'a, T: Deserialize<'a>>(body: &'a [u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(io::Error::other)
}
