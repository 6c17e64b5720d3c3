//! The log of one attempt on disk, from the first line that is not yet stored by the control plane.
//!
//! Chunks are appended to files of at most 4 MiB; a file whose chunks are all acknowledged is
//! removed. Nothing is synced per chunk: a killed process loses nothing, and a machine that loses
//! its power loses lines of the last seconds at most. The control plane may then have more than the
//! spool, and [`Spool::anchor`] brings the two together. When the disk is full, up to 2 MiB of
//! chunks wait in memory, and are sent from there.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use towline_shared::failpoint::is_planted;
use towline_shared::log::{CHUNK_BYTES, CHUNK_LINES, LogChunk, LogLine, LogPosition};

use super::segment::{self, ResumePoints, SEGMENT_BYTES, Segment, SegmentReader, Spooled};
use super::{Batch, ResumePoint};
use crate::state_dir::create_private_dir;

/// The most bytes of chunks that wait in memory for a disk that takes none.
const MEMORY_BYTES: usize = 2 * 1024 * 1024;

/// A chunk that waits for the disk.
#[derive(Debug)]
struct Waiting {
    base: LogPosition,
    spooled: Spooled,
}

/// A log on disk.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limit: u64,
    segments: VecDeque<Segment>,
    /// The last segment, open for appending.
    file: Option<File>,
    /// Chunks behind the last segment's end that the disk did not take.
    memory: VecDeque<Waiting>,
    end: LogPosition,
    /// Where this process went on: the control plane has no line behind it before it has said
    /// where it stands.
    opened_at: Option<u64>,
    /// How far each source has come, with all lines.
    points: ResumePoints,
    /// The same without those that wait in memory.
    durable: ResumePoints,
    reader: Option<SegmentReader>,
    /// The next line to read.
    next: u64,
}

impl Spool {
    /// Opens a spool, or makes an empty one that continues a log at `base`. It takes lines until it
    /// has `limit` bytes.
    pub fn open(dir: &Path, base: LogPosition, limit: u64) -> io::Result<Self> {
        recover_rebase(dir)?;
        create_private_dir(dir)?;
        let mut spool = Self::empty(dir, base, limit);
        for path in segment::list(dir)? {
            match Segment::open(&path)? {
                Some((segment, points)) if spool.is_continued_by(&segment) => {
                    spool.take_back(segment, points);
                }
                _ => {
                    tracing::warn!(path = %path.display(), "a part of a log spool is damaged; it is left out");
                    fs::remove_file(&path)?;
                }
            }
        }
        if let Some(last) = spool.segments.back() {
            spool.file = Some(OpenOptions::new().append(true).open(&last.path)?);
        }
        spool.durable.clone_from(&spool.points);
        spool.opened_at = Some(spool.end.next_line);
        spool.next = spool.kept().next_line;
        Ok(spool)
    }

    fn is_continued_by(&self, segment: &Segment) -> bool {
        self.segments.is_empty()
            || segment.base == self.end
            || segment.base.next_line > self.end.next_line
    }

    /// Adds a file that was found. A gap before it means that all older lines were acknowledged, or
    /// that the disk lost some: the log goes on behind it either way, and readers see the gap.
    fn take_back(&mut self, segment: Segment, points: ResumePoints) {
        if segment.base != self.end {
            for outdated in self.segments.drain(..) {
                let _ = fs::remove_file(outdated.path);
            }
        }
        self.end = segment.end;
        self.points = points;
        self.segments.push_back(segment);
    }

    /// One without lines, which does not look at what is there.
    pub(crate) fn empty(dir: &Path, base: LogPosition, limit: u64) -> Self {
        Self {
            dir: dir.to_path_buf(),
            limit,
            segments: VecDeque::new(),
            file: None,
            memory: VecDeque::new(),
            end: base,
            opened_at: None,
            points: ResumePoints::new(),
            durable: ResumePoints::new(),
            reader: None,
            next: base.next_line,
        }
    }

    /// How far each source has come.
    pub(crate) const fn points(&self) -> &ResumePoints {
        &self.points
    }

    /// The position behind the last line.
    pub const fn end(&self) -> LogPosition {
        self.end
    }

    /// The first position that the spool still has.
    pub fn kept(&self) -> LogPosition {
        if is_planted("agent: free the spool when it is sent") && self.next == self.end.next_line {
            return self.end;
        }
        let memory = || self.memory.front().map(|waiting| waiting.base);
        self.segments
            .front()
            .map(|first| first.base)
            .or_else(memory)
            .unwrap_or(self.end)
    }

    /// Whether it takes more lines now.
    pub(crate) fn has_room(&self) -> bool {
        let waiting: usize = self
            .memory
            .iter()
            .map(|waiting| waiting.spooled.chunk.payload.len())
            .sum();
        waiting < MEMORY_BYTES
            && self
                .segments
                .iter()
                .map(|segment| segment.bytes)
                .sum::<u64>()
                < self.limit
    }

    /// Whether chunks wait for a disk that did not take them.
    pub(crate) fn waits_for_disk(&self) -> bool {
        !self.memory.is_empty()
    }

    /// Appends lines. An error of the disk is returned; no line is lost by it.
    pub fn append(&mut self, batch: &Batch) -> io::Result<()> {
        let mut offsets = batch.offsets.iter().peekable();
        let mut start = 0;
        while start < batch.lines.len() {
            let end = chunk_end(&batch.lines, start);
            let mut sources: Vec<&str> = Vec::new();
            for (index, line) in batch.lines.iter().enumerate().take(end).skip(start) {
                let offset = offsets
                    .next_if(|(at, _)| *at == index)
                    .map(|(_, offset)| *offset);
                advance(&mut self.points, line, offset);
                if sources.last() != Some(&line.source.as_str())
                    && !sources.contains(&line.source.as_str())
                {
                    sources.push(&line.source);
                }
            }
            let points = sources
                .into_iter()
                .filter_map(|source| self.points.get_key_value(source))
                .map(|(source, point)| (source.clone(), *point))
                .collect();
            self.append_lines(&batch.lines[start..end], points)?;
            start = end;
        }
        self.write_memory()
    }

    fn append_lines(
        &mut self,
        lines: &[LogLine],
        points: Vec<(String, ResumePoint)>,
    ) -> io::Result<()> {
        let base = self.end;
        let (chunk, end) = LogChunk::encode(base, lines).map_err(io::Error::other)?;
        self.end = end;
        let spooled = Spooled { chunk, points };
        self.memory.push_back(Waiting { base, spooled });
        // What the disk does not take now stays in memory, and the caller is told at the end.
        let _ = self.write_memory();
        Ok(())
    }

    /// Gives the disk what it did not take before.
    pub(crate) fn write_memory(&mut self) -> io::Result<()> {
        // Several fit into the limit, so that what is acknowledged always makes room.
        let segment_bytes = SEGMENT_BYTES.min(self.limit / 4);
        while let Some(Waiting { base, spooled }) = self.memory.front() {
            let fits = |last: &Segment| last.bytes < segment_bytes && last.end == *base;
            if !self.segments.back().is_some_and(fits) {
                let (segment, file) = Segment::create(&self.dir, *base, &self.durable)?;
                self.segments.push_back(segment);
                self.file = Some(file);
            }
            if let (Some(segment), Some(file)) = (self.segments.back_mut(), &self.file) {
                segment.append(file, spooled)?;
            }
            self.leave_memory();
        }
        Ok(())
    }

    fn leave_memory(&mut self) {
        if let Some(waiting) = self.memory.pop_front() {
            self.durable.extend(waiting.spooled.points);
        }
    }

    /// Frees what the control plane has stored: all lines before `line`.
    pub fn acknowledge(&mut self, line: u64) {
        let line = line.min(self.next);
        while self.segments.len() > 1 && self.segments[0].end.next_line <= line {
            if let Some(freed) = self.segments.pop_front()
                && let Err(error) = fs::remove_file(&freed.path)
            {
                tracing::warn!(path = %freed.path.display(), %error, "an acknowledged part of a log could not be removed");
            }
        }
        while self
            .memory
            .front()
            .is_some_and(|waiting| waiting.spooled.chunk.end().next_line <= line)
        {
            self.leave_memory();
        }
    }

    /// Reads on from `line` next, or from the chunk that holds it, or from the first that is kept.
    pub(crate) fn seek(&mut self, line: u64) {
        self.next = line;
        self.reader = None;
    }

    /// Whether there is a chunk that was not read.
    pub fn has_unread(&self) -> bool {
        self.next < self.end.next_line
    }

    /// The next chunk in order, if there is one.
    pub fn read(&mut self) -> io::Result<Option<LogChunk>> {
        loop {
            let Some(at) = self
                .segments
                .iter()
                .position(|segment| segment.end.next_line > self.next)
            else {
                return Ok(self.read_memory());
            };
            let segment = &self.segments[at];
            let reader = match &mut self.reader {
                Some(reader) if reader.base == segment.base => reader,
                other => other.insert(segment.read()?),
            };
            match reader.next(segment.bytes)? {
                Some(Spooled { chunk, .. }) if chunk.end().next_line > self.next => {
                    self.next = chunk.end().next_line;
                    return Ok(Some(chunk));
                }
                Some(_) => {}
                None => return Err(io::Error::other("the log spool is shorter than it was")),
            }
        }
    }

    fn read_memory(&mut self) -> Option<LogChunk> {
        let mut chunks = self.memory.iter().map(|waiting| &waiting.spooled.chunk);
        let found = chunks.find(|chunk| chunk.end().next_line > self.next)?;
        self.next = found.end().next_line;
        Some(found.clone())
    }

    /// Makes the spool continue what the control plane has stored, and reads on from there.
    ///
    /// Usually that is a position of this spool, or one before it. After a power cut the control
    /// plane may have lines that the spool lost: then those made since are numbered anew behind it.
    pub fn anchor(&mut self, stored: LogPosition) -> io::Result<()> {
        if stored.next_line >= self.kept().next_line && !self.knows(stored)? {
            tracing::warn!(
                stored = stored.next_line,
                spooled = self.end.next_line,
                "the control plane's log and the spool differ, as after a power cut; the spool is numbered anew"
            );
            self.rebase(stored)?;
        }
        self.opened_at = None;
        if !is_planted("agent: send the log from where it was") {
            self.seek(stored.next_line);
        }
        Ok(())
    }

    fn knows(&mut self, position: LogPosition) -> io::Result<bool> {
        if position == self.end || self.segments.iter().any(|segment| segment.base == position) {
            return Ok(true);
        }
        if position.next_line >= self.end.next_line {
            return Ok(false);
        }
        self.seek(position.next_line.saturating_sub(1));
        let chunk = self.read()?;
        Ok(chunk.is_some_and(|chunk| chunk.end() == position))
    }

    /// Writes the lines that the control plane cannot have as a spool that starts at `stored`.
    fn rebase(&mut self, stored: LogPosition) -> io::Result<()> {
        let from = self
            .opened_at
            .map_or(stored.next_line, |opened| opened.min(stored.next_line));
        let aside = rebase_dir(&self.dir);
        let _ = fs::remove_dir_all(&aside);
        create_private_dir(&aside)?;
        let mut fresh = Self::empty(&aside, stored, self.limit);
        self.seek(from);
        while let Some(chunk) = self.read()? {
            let skip = usize::try_from(from.saturating_sub(chunk.first_line)).unwrap_or(usize::MAX);
            let lines = chunk.decode().map_err(io::Error::other)?;
            if let Some(lines) = lines.get(skip..).filter(|lines| !lines.is_empty()) {
                fresh.append_lines(lines, Vec::new())?;
            }
        }
        // Only now, when all lines are written that the points speak of.
        fresh.write_memory()?;
        fresh.points.clone_from(&self.points);
        fresh.durable.clone_from(&self.points);
        let (segment, file) = Segment::create(&aside, fresh.end, &fresh.points)?;
        fresh.segments.push_back(segment);
        fresh.file = Some(file);
        fs::remove_dir_all(&self.dir)?;
        fs::rename(&aside, &self.dir)?;
        fresh.adopt(&self.dir);
        *self = fresh;
        Ok(())
    }

    fn adopt(&mut self, dir: &Path) {
        self.dir = dir.to_path_buf();
        for segment in &mut self.segments {
            if let Some(name) = segment.path.file_name() {
                segment.path = dir.join(name);
            }
        }
    }

    /// The last segment's handle, to be synced before the log's end is journalled.
    pub(crate) fn handle(&self) -> Option<io::Result<File>> {
        self.file.as_ref().map(File::try_clone)
    }
}

/// The end of the chunk that starts with line `start`: as many lines as a chunk may have.
fn chunk_end(lines: &[LogLine], start: usize) -> usize {
    let mut bytes = 0;
    let fits = lines[start..].iter().take(CHUNK_LINES).take_while(|line| {
        let first = bytes == 0;
        bytes += line.text.len() + 1;
        first || bytes <= CHUNK_BYTES
    });
    start + fits.count()
}

fn advance(points: &mut ResumePoints, line: &LogLine, offset: Option<u64>) {
    // Looked up before it is inserted, so that only a new source costs an allocation.
    let point = match points.get_mut(&line.source) {
        Some(point) => point,
        None => points.entry(line.source.clone()).or_default(),
    };
    point.lines_at = if point.at_us == line.at_us {
        point.lines_at + 1
    } else {
        1
    };
    point.at_us = line.at_us;
    point.offset = offset.or(point.offset);
}

fn rebase_dir(dir: &Path) -> PathBuf {
    dir.with_extension("rebased")
}

/// Finishes what a process was doing that died between removing the old files and renaming the new.
fn recover_rebase(dir: &Path) -> io::Result<()> {
    let aside = rebase_dir(dir);
    if !aside.try_exists()? {
        return Ok(());
    }
    if dir.try_exists()? {
        return fs::remove_dir_all(aside);
    }
    fs::rename(aside, dir)
}
