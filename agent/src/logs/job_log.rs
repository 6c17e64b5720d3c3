//! The task that owns the log of one attempt.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use towline_shared::failpoint::reach;
use towline_shared::log::LogPosition;
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{Attempt, Finished, FromAgent, Log};

use super::spool::Spool;
use super::{LogIntake, LogSink};

/// Lines wait at most this long for more to share their chunk.
const FLUSH_EVERY: Duration = Duration::from_millis(20);
/// The most chunks in flight.
const WINDOW_CHUNKS: usize = 32;
/// The most bytes in flight.
const WINDOW_BYTES: usize = 2 * 1024 * 1024;
/// How often a full disk is tried again.
const DISK_RETRY: Duration = Duration::from_secs(1);
/// How long the end of a log waits for a full disk before it goes on from memory.
const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// The folder of the spool in an attempt's own.
pub(crate) const SPOOL_DIR: &str = "spool";

/// The limits of a log.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// A spool that has grown to this many bytes slows its producers.
    pub spool_bytes: u64,
    /// What is sent and not acknowledged for this long is sent again.
    pub resend_after: Duration,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            spool_bytes: 256 * 1024 * 1024,
            resend_after: Duration::from_secs(30),
        }
    }
}

/// The handle of an attempt's log. Nothing it does ever waits, but [`Self::complete`].
#[derive(Debug)]
pub struct JobLog {
    sink: LogSink,
    /// The number of the first line that came after it was opened.
    opened_at: u64,
    orders: watch::Sender<Orders>,
    state: watch::Receiver<State>,
}

/// What the log's task is to do. Only the latest counts, so it is no queue.
#[derive(Clone, Debug, Default)]
struct Orders {
    /// Counts the links, so that a new one at the same position is seen.
    generation: u64,
    anchor: Option<Anchor>,
    acknowledged: u64,
    report: Option<Outcome>,
    end: End,
}

/// Where the log goes, and from where.
#[derive(Clone, Debug)]
struct Anchor {
    stored: LogPosition,
    link: mpsc::Sender<Bytes>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// Take what is pending, then no more.
    Complete,
}

/// What the task tells.
#[derive(Clone, Copy, Debug)]
struct State {
    kept: LogPosition,
    end: LogPosition,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// All lines are spooled, and the spool is synced.
    Complete,
}

impl JobLog {
    /// Opens the log of an attempt whose spool is in `dir`, and starts its task. An empty spool
    /// starts at `base`; so does one that cannot be read, and the control plane keeps what it has.
    pub fn open(attempt: Attempt, dir: &Path, base: LogPosition, limits: LogLimits) -> Self {
        let folder = dir.join(SPOOL_DIR);
        let spool = Spool::open(&folder, base, limits.spool_bytes).unwrap_or_else(|error| {
            tracing::error!(job = %attempt.job, %error, "the log spool cannot be read; a new one is begun");
            Spool::empty(&folder, base, limits.spool_bytes)
        });
        let (sink, intake) = LogSink::new(spool.points().clone());
        let opened_at = spool.end().next_line;
        let (orders, received) = watch::channel(Orders::default());
        let (told, state) = watch::channel(State {
            kept: spool.kept(),
            end: spool.end(),
            phase: Phase::Open,
        });
        let task = LogTask {
            attempt,
            spool,
            intake,
            orders: received,
            told,
            sending: None,
            limits,
            last_flush: Instant::now(),
            disk_retry: None,
            dir: dir.to_path_buf(),
        };
        tokio::spawn(task.run());
        Self {
            sink,
            opened_at,
            orders,
            state,
        }
    }

    /// Where producers put their lines.
    pub fn sink(&self) -> LogSink {
        self.sink.clone()
    }

    /// The number of the line that comes next, whether or not those before it are spooled yet.
    pub fn next_line(&self) -> u64 {
        self.opened_at + self.sink.lines()
    }

    /// The first position that is still here.
    pub fn kept(&self) -> LogPosition {
        self.state.borrow().kept
    }

    /// Sends from what the control plane has stored, over a new link.
    pub fn send_from(&self, stored: LogPosition, link: mpsc::Sender<Bytes>) {
        self.orders.send_modify(|orders| {
            orders.generation += 1;
            orders.acknowledged = stored.next_line;
            orders.anchor = Some(Anchor { stored, link });
        });
    }

    /// The link is down.
    pub fn link_lost(&self) {
        self.orders.send_modify(|orders| orders.anchor = None);
    }

    /// The control plane has stored all lines before `line`.
    pub fn acknowledge(&self, line: u64) {
        self.orders.send_if_modified(|orders| {
            let further = line > orders.acknowledged;
            orders.acknowledged = line.max(orders.acknowledged);
            further
        });
    }

    /// Sends the result after the whole log, and again until the log is dropped.
    pub fn report(&self, outcome: Outcome) {
        self.orders
            .send_modify(|orders| orders.report = Some(outcome));
    }

    /// Takes what is pending, makes it durable, and takes no more. Its future gives the end of the
    /// log, and does not borrow the handle.
    pub fn complete(&self) -> impl Future<Output = LogPosition> + Send + use<> {
        self.orders.send_modify(|orders| orders.end = End::Complete);
        let mut state = self.state.clone();
        async move {
            // It fails when the task has ended, which is complete too.
            let _ = state.wait_for(|state| state.phase == Phase::Complete).await;
            state.borrow().end
        }
    }
}

struct LogTask {
    attempt: Attempt,
    dir: PathBuf,
    spool: Spool,
    intake: LogIntake,
    orders: watch::Receiver<Orders>,
    told: watch::Sender<State>,
    sending: Option<Sending>,
    limits: LogLimits,
    last_flush: Instant,
    disk_retry: Option<Instant>,
}

/// The sending half, while a link is up.
struct Sending {
    generation: u64,
    link: mpsc::Sender<Bytes>,
    /// The line behind each chunk in flight, and the chunk's size.
    in_flight: VecDeque<(u64, usize)>,
    bytes_in_flight: usize,
    next: Option<Outgoing>,
    report: ReportState,
    /// When something was last sent or acknowledged.
    moved: Instant,
}

/// A frame to send.
struct Outgoing {
    frame: Bytes,
    kind: OutgoingKind,
}

enum OutgoingKind {
    /// A chunk that ends before this line.
    Chunk(u64),
    Report,
}

#[derive(PartialEq, Eq)]
enum ReportState {
    Due,
    Sent,
}

impl LogTask {
    async fn run(mut self) {
        // The handle's end is the task's end.
        while self.turn().await {}
        self.intake.close();
        if self.told.borrow().phase == Phase::Open {
            self.flush();
        }
    }

    async fn turn(&mut self) -> bool {
        self.prepare();
        let open = self.told.borrow().phase == Phase::Open;
        let takes = open && self.spool.has_room();
        let sending = self
            .sending
            .as_ref()
            .filter(|sending| sending.next.is_some());
        let link = sending.map(|sending| sending.link.clone());
        let resend = self.resend_at();
        tokio::select! {
            biased;
            changed = self.orders.changed() => {
                if changed.is_err() {
                    return false;
                }
                self.obey().await;
            }
            permit = reserve(link) => match permit {
                Ok(permit) => self.send(permit),
                Err(_) => self.sending = None,
            },
            () = pending_lines(&self.intake, self.last_flush), if takes => self.flush(),
            () = at(self.disk_retry) => self.retry_disk(),
            () = at(resend) => self.rewind(),
        }
        true
    }

    async fn obey(&mut self) {
        let orders = self.orders.borrow_and_update().clone();
        self.spool.acknowledge(orders.acknowledged);
        match orders.anchor {
            None => self.sending = None,
            Some(anchor) => {
                let known = self
                    .sending
                    .as_ref()
                    .is_some_and(|sending| sending.generation == orders.generation);
                if !known {
                    self.connect(orders.generation, anchor);
                }
            }
        }
        if let Some(sending) = &mut self.sending {
            sending.acknowledge(orders.acknowledged);
        }
        if orders.end == End::Complete && self.told.borrow().phase == Phase::Open {
            self.complete().await;
        }
        self.tell(None);
    }

    fn connect(&mut self, generation: u64, anchor: Anchor) {
        self.sending = match self.spool.anchor(anchor.stored) {
            Ok(()) => Some(Sending {
                generation,
                link: anchor.link,
                in_flight: VecDeque::new(),
                bytes_in_flight: 0,
                next: None,
                report: ReportState::Due,
                moved: Instant::now(),
            }),
            Err(error) => {
                tracing::error!(job = %self.attempt.job, %error, "the log spool cannot be read; its log is not sent");
                None
            }
        };
    }

    /// Has the next frame ready, if there is one and the window is open.
    fn prepare(&mut self) {
        let Some(sending) = &mut self.sending else {
            return;
        };
        if sending.next.is_some() || sending.is_full() {
            return;
        }
        let attempt = self.attempt;
        match self.spool.read() {
            Ok(Some(chunk)) => {
                let end = chunk.end().next_line;
                sending.offer(
                    &FromAgent::Log(Log { attempt, chunk }),
                    OutgoingKind::Chunk(end),
                );
            }
            Ok(None)
                if sending.report == ReportState::Due
                    && self.told.borrow().phase == Phase::Complete =>
            {
                if let Some(outcome) = self.orders.borrow().report.clone() {
                    let log = self.spool.end();
                    let finished = Finished {
                        attempt,
                        outcome,
                        log,
                    };
                    sending.offer(&FromAgent::Finished(finished), OutgoingKind::Report);
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(job = %self.attempt.job, dir = %self.dir.display(), %error, "the log spool cannot be read");
                self.sending = None;
            }
        }
    }

    fn send(&mut self, permit: mpsc::OwnedPermit<Bytes>) {
        let Some(sending) = &mut self.sending else {
            return;
        };
        let Some(outgoing) = sending.next.take() else {
            return;
        };
        match outgoing.kind {
            OutgoingKind::Chunk(end) => {
                sending.in_flight.push_back((end, outgoing.frame.len()));
                sending.bytes_in_flight += outgoing.frame.len();
            }
            OutgoingKind::Report => sending.report = ReportState::Sent,
        }
        sending.moved = Instant::now();
        permit.send(outgoing.frame);
    }

    fn flush(&mut self) {
        let batch = self.intake.take();
        self.last_flush = Instant::now();
        if batch.lines.is_empty() {
            return;
        }
        let appended = self.spool.append(&batch);
        self.mind_disk(appended);
        self.tell(None);
    }

    fn retry_disk(&mut self) {
        let written = self.spool.write_memory();
        self.mind_disk(written);
    }

    fn mind_disk(&mut self, written: io::Result<()>) {
        self.disk_retry = match written {
            Ok(()) => None,
            Err(error) => {
                if self.disk_retry.is_none() {
                    tracing::warn!(job = %self.attempt.job, %error, "the log spool cannot be written; lines wait in memory");
                }
                Some(Instant::now() + DISK_RETRY)
            }
        };
    }

    async fn complete(&mut self) {
        self.intake.close();
        self.flush();
        let patience = Instant::now() + DISK_PATIENCE;
        while self.spool.waits_for_disk() && self.sending.is_none() && Instant::now() < patience {
            tokio::time::sleep(DISK_RETRY).await;
            self.retry_disk();
        }
        if let Some(handle) = self.spool.handle() {
            let synced = tokio::task::spawn_blocking(move || handle?.sync_data()).await;
            if let Ok(Err(error)) = synced {
                tracing::warn!(job = %self.attempt.job, %error, "the log spool could not be synced");
            }
            reach("agent: synced a log");
        }
        self.tell(Some(Phase::Complete));
    }

    fn tell(&self, phase: Option<Phase>) {
        let (kept, end) = (self.spool.kept(), self.spool.end());
        self.told.send_modify(|state| {
            *state = State {
                kept,
                end,
                phase: phase.unwrap_or(state.phase),
            };
        });
    }

    /// When what was sent counts as lost.
    fn resend_at(&self) -> Option<Instant> {
        let sending = self.sending.as_ref()?;
        let waits = !sending.in_flight.is_empty() || sending.report == ReportState::Sent;
        waits.then(|| sending.moved + self.limits.resend_after)
    }

    fn rewind(&mut self) {
        let acknowledged = self.orders.borrow().acknowledged;
        if let Some(sending) = &mut self.sending {
            tracing::debug!(job = %self.attempt.job, acknowledged, "nothing was acknowledged for long; sending again");
            self.spool.seek(acknowledged);
            sending.in_flight.clear();
            sending.bytes_in_flight = 0;
            sending.next = None;
            sending.report = ReportState::Due;
            sending.moved = Instant::now();
        }
    }
}

impl Sending {
    fn is_full(&self) -> bool {
        self.in_flight.len() >= WINDOW_CHUNKS || self.bytes_in_flight >= WINDOW_BYTES
    }

    fn offer(&mut self, message: &FromAgent, kind: OutgoingKind) {
        match message.encode() {
            Ok(frame) => {
                let frame = frame.into();
                self.next = Some(Outgoing { frame, kind });
            }
            Err(error) => tracing::error!(%error, "a message could not be encoded"),
        }
    }

    fn acknowledge(&mut self, line: u64) {
        while let Some((_, bytes)) = self.in_flight.pop_front_if(|(end, _)| *end <= line) {
            self.bytes_in_flight -= bytes;
            self.moved = Instant::now();
        }
    }
}

async fn reserve(
    link: Option<mpsc::Sender<Bytes>>,
) -> Result<mpsc::OwnedPermit<Bytes>, mpsc::error::SendError<()>> {
    match link {
        Some(link) => link.reserve_owned().await,
        None => std::future::pending().await,
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Waits until lines are pending and either enough for a chunk or long enough after the last ones.
async fn pending_lines(intake: &LogIntake, last_flush: Instant) {
    intake.filled().await;
    tokio::select! {
        () = sleep_until(last_flush + FLUSH_EVERY) => {}
        () = intake.full() => {}
    }
}
