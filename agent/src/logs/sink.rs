//! The end of a log that producers hold.
//!
//! Lines gather in one buffer which the spool's writer takes as a whole, so that a line costs a
//! lock and a push; the writer is woken by the first line of a batch only, and producers wait only
//! when the buffer is at its limit.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use towline_shared::log::{CHUNK_BYTES, CHUNK_LINES, LogLine, MAX_LINE_BYTES};

/// The most bytes that wait for the writer; producers wait beyond that.
const MAX_PENDING_BYTES: usize = 4 * CHUNK_BYTES;
/// What a line costs in the buffer besides its text.
const LINE_OVERHEAD: usize = 64;

/// Takes the lines of one task. Clones feed the same log.
#[derive(Clone, Debug)]
pub struct LogSink {
    shared: Arc<Shared>,
}

/// How far a source's lines had come in the spool when the task was resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumePoint {
    /// The time of the source's last spooled line, Unix microseconds.
    pub at_us: i64,
    /// How many of its lines bear that very time: those are spooled, further ones are not.
    pub lines_at: u64,
    /// The offset in the source's file after its last spooled line, where lines came by
    /// [`LogSink::send_at`].
    pub offset: Option<u64>,
}

/// The other end of a [`LogSink`]: the spool's writer, or a test that reads along.
#[derive(Debug)]
pub struct LogIntake {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    buffer: Mutex<Buffer>,
    /// Lines are pending,
    filled: Notify,
    /// or enough for a chunk are.
    full: Notify,
    drained: Notify,
    resume: HashMap<String, ResumePoint>,
}

#[derive(Debug, Default)]
struct Buffer {
    batch: Batch,
    bytes: usize,
    state: State,
    /// How many lines have come.
    lines: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The log has ended: further lines go nowhere, and nobody waits.
    Closed,
}

impl Buffer {
    fn is_full(&self) -> bool {
        self.bytes >= CHUNK_BYTES || self.batch.lines.len() >= CHUNK_LINES
    }

    fn has_room(&self) -> bool {
        self.bytes < MAX_PENDING_BYTES || self.state == State::Closed
    }
}

/// Lines taken at once, with the file offsets after some of them.
#[derive(Debug, Default)]
pub struct Batch {
    /// The lines in order.
    pub lines: Vec<LogLine>,
    /// Index of a line, and its source's offset after it; indices ascend.
    pub offsets: Vec<(usize, u64)>,
}

impl LogSink {
    /// A sink whose sources go on from where they were spooled, and its other end.
    pub fn new(resume: HashMap<String, ResumePoint>) -> (Self, LogIntake) {
        let shared = Arc::new(Shared {
            buffer: Mutex::default(),
            filled: Notify::new(),
            full: Notify::new(),
            drained: Notify::new(),
            resume,
        });
        let intake = LogIntake {
            shared: Arc::clone(&shared),
        };
        (Self { shared }, intake)
    }

    /// Appends a line; waits while the spool is at its limit. A text over
    /// [`MAX_LINE_BYTES`] is cut there, so producers split before.
    pub async fn send(&self, line: LogLine) {
        self.push(line, None).await;
    }

    /// Appends a line that was read from a file which survives the agent, with the file's offset
    /// after the line; a resumed task finds it by [`Self::resume_from`], exact to the line.
    pub async fn send_at(&self, line: LogLine, offset: u64) {
        self.push(line, Some(offset)).await;
    }

    /// How far the lines of a source were spooled before this process started.
    pub fn resume_from(&self, source: &str) -> Option<ResumePoint> {
        self.shared.resume.get(source).copied()
    }

    async fn push(&self, mut line: LogLine, offset: Option<u64>) {
        cut(&mut line.text);
        while !self.buffer().has_room() {
            let mut drained = pin!(self.shared.drained.notified());
            drained.as_mut().enable();
            if self.buffer().has_room() {
                break;
            }
            drained.await;
        }
        let mut buffer = self.buffer();
        if buffer.state == State::Closed {
            return;
        }
        let (was_empty, was_full) = (buffer.batch.lines.is_empty(), buffer.is_full());
        buffer.bytes += line.text.len() + LINE_OVERHEAD;
        if let Some(offset) = offset {
            let index = buffer.batch.lines.len();
            buffer.batch.offsets.push((index, offset));
        }
        buffer.batch.lines.push(line);
        buffer.lines += 1;
        let is_full = buffer.is_full();
        drop(buffer);
        if was_empty {
            self.shared.filled.notify_one();
        }
        if is_full && !was_full {
            self.shared.full.notify_one();
        }
    }

    /// How many lines have come since the log was opened.
    pub(super) fn lines(&self) -> u64 {
        self.buffer().lines
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.shared.buffer()
    }
}

impl LogIntake {
    /// Waits until lines are pending.
    pub async fn filled(&self) {
        while self.shared.buffer().batch.lines.is_empty() {
            self.shared.filled.notified().await;
        }
    }

    /// Waits until lines for a whole chunk are pending.
    pub async fn full(&self) {
        while !self.shared.buffer().is_full() {
            self.shared.full.notified().await;
        }
    }

    /// Ends the log: lines that come later go nowhere, and no producer waits any more.
    pub fn close(&self) {
        self.shared.buffer().state = State::Closed;
        self.shared.drained.notify_waiters();
    }

    /// Takes all pending lines, without waiting, and lets producers go on.
    pub fn take(&self) -> Batch {
        let mut buffer = self.shared.buffer();
        buffer.bytes = 0;
        let batch = std::mem::take(&mut buffer.batch);
        drop(buffer);
        self.shared.drained.notify_waiters();
        batch
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: &mut String) {
    if text.len() > MAX_LINE_BYTES {
        text.truncate(text.floor_char_boundary(MAX_LINE_BYTES));
    }
}
