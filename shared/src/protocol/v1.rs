//! Version 1 of the protocol: what is said after the handshake.
//!
//! The conversation: the agent says [`Hello`] with all it holds, the control plane answers
//! [`Welcome`] with a verdict per held job, and only then are jobs offered. An offer is answered
//! by [`Accepted`], after the agent's journal was synced, or [`Refused`]. Only [`Go`], sent after
//! the control plane has recorded the acceptance, permits an effect on the host: so a cancel that
//! was final before is final indeed.
//!
//! Fields are never changed and variants only ever appended; `tests/golden_v1.rs` pins the bytes.

use serde::{Deserialize, Serialize};

use super::frame::{FrameError, Received, messages};
use crate::cluster::ClusterFacts;
use crate::fence::Fence;
use crate::ids::{JobId, TargetId};
use crate::log::{LogChunk, LogPosition};
use crate::metrics::Sample;
use crate::outcome::{Outcome, Step};
use crate::policy::HostPolicy;
use crate::query::{Query, Reply, StreamRequest};
use crate::spec::{SealedSpec, Secret};
use crate::tunnel::{OpenTunnel, TunnelRefused};
use crate::upgrade::AskUpgrade;

/// The most jobs an agent may hold, running or with an unacknowledged result.
pub const MAX_HELD: usize = 64;

const SMALL: usize = 4 * 1024;
const CHUNK: usize = 192 * 1024;

messages! {
    /// What an agent says.
    FromAgent, at most 1_048_576 bytes {
        /// First of all: who and what it is, and what it holds.
        1 => Hello(Hello) <= CHUNK,
        /// It is alive.
        2 => Heartbeat(Heartbeat) <= SMALL,
        /// It has journalled an offer and will do it on `Go`.
        3 => Accepted(Attempt) <= SMALL,
        /// It will not do an offered job.
        4 => Refused(Refused) <= SMALL,
        /// The work has begun: effects are possible from now on.
        5 => Started(Attempt) <= SMALL,
        /// Where the work is.
        6 => Progress(Progress) <= SMALL,
        /// A piece of the job's log.
        7 => Log(Log) <= CHUNK,
        /// The work has ended.
        8 => Finished(Finished) <= CHUNK,
        /// A sample of the host and its containers.
        9 => Metrics(Sample) <= CHUNK,
        /// Its capabilities have changed.
        10 => Capabilities(Capabilities) <= CHUNK,
        /// It asks for a new certificate: a request, DER.
        11 => Renew(Renew) <= 16 * 1024,
        /// The answer to a question.
        12 => Reply(QueryReply) <= 1024 * 1024,
        /// Bytes of a stream.
        13 => StreamData(StreamData) <= 32 * 1024,
        /// The end of a stream.
        14 => StreamEnd(StreamEnd) <= SMALL,
        /// A tunnel is not opened; why.
        15 => TunnelRefused(TunnelRefused) <= SMALL,
        /// Where in the job's log a step begins.
        16 => StepLine(StepLine) <= SMALL,
    }
}

messages! {
    /// What the control plane says.
    FromServer, at most 8_388_608 bytes {
        /// The answer to `Hello`.
        1 => Welcome(Welcome) <= 1024 * 1024,
        /// It is alive.
        2 => Heartbeat(Heartbeat) <= SMALL,
        /// A job to do.
        3 => Offer(Offer) <= 8 * 1024 * 1024,
        /// The acceptance is recorded: begin.
        4 => Go(Attempt) <= SMALL,
        /// Stop at the next safe point.
        5 => Cancel(Attempt) <= SMALL,
        /// The log is stored up to here.
        6 => LogAck(LogAck) <= SMALL,
        /// The result is recorded, or the job is no longer the agent's: its journal may forget it.
        7 => Forget(Attempt) <= SMALL,
        /// The renewed certificate.
        8 => Certificate(Certificate) <= 64 * 1024,
        /// The renewal was refused.
        9 => RenewRefused(RenewRefused) <= SMALL,
        /// A question about the target.
        10 => Ask(Ask) <= SMALL,
        /// A stream to open.
        11 => OpenStream(OpenStream) <= SMALL,
        /// More bytes may be sent on a stream.
        12 => Credit(Credit) <= SMALL,
        /// Nobody reads the stream any more.
        13 => CloseStream(CloseStream) <= SMALL,
        /// The connection ends; why, and when to come back.
        14 => Goodbye(Goodbye) <= SMALL,
        /// A tunnel to open.
        15 => OpenTunnel(OpenTunnel) <= SMALL,
        /// A question about the agent's own upgrades.
        16 => AskUpgrade(AskUpgrade) <= SMALL,
    }
}

/// A job under a fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The job.
    pub job: JobId,
    /// The fence it was offered under.
    pub fence: Fence,
}

/// A sign of life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The sender's clock, Unix milliseconds; tells how far the two clocks are apart.
    pub at_ms: i64,
}

/// The agent's introduction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The agent's version.
    pub version: String,
    /// The agent's clock, Unix milliseconds.
    pub at_ms: i64,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The highest fence it has seen, per target.
    pub fences: Vec<(TargetId, Fence)>,
    /// The jobs it holds; at most [`MAX_HELD`].
    pub held: Vec<Held>,
}

/// What a host is and can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// What the host calls itself.
    pub hostname: String,
    /// Its operating system, for people (`Debian GNU/Linux 12`).
    pub os: String,
    /// Its architecture in the engine's words (`amd64`, `arm64`).
    pub arch: String,
    /// Number of cores.
    pub cores: u16,
    /// Bytes of memory.
    pub memory: u64,
    /// The engine, or why there is none.
    pub engine: Engine,
    /// The compose plugin, or why there is none.
    pub compose: Plugin,
    /// What the host's owner allows.
    pub policy: HostPolicy,
}

/// The container engine of a host. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// It answers.
    Docker {
        /// Its version.
        version: String,
        /// The API version in use.
        api: String,
    },
    /// It does not; why, for a person.
    Missing(String),
    /// It is no container engine, but the API of a cluster, and it answers.
    Kubernetes(ClusterFacts),
}

impl Default for Engine {
    fn default() -> Self {
        Self::Missing("not looked for yet".into())
    }
}

/// A plugin of the engine's command line. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plugin {
    /// It is there, in this version.
    Version(String),
    /// It is not; how to install it, for a person.
    Missing(String),
}

impl Default for Plugin {
    fn default() -> Self {
        Self::Missing("not looked for yet".into())
    }
}

/// A job that an agent holds when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The job and its fence.
    pub attempt: Attempt,
    /// How far the agent has come with it.
    pub phase: HeldPhase,
    /// Whether the agent must be given the job's secrets again to go on.
    pub secrets: SecretsNeed,
    /// The first position of the log that the agent still has.
    pub log_from: LogPosition,
}

/// How far an agent has come with a job it holds. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeldPhase {
    /// Journalled, not begun: nothing was changed on the host.
    Accepted,
    /// Begun.
    Running,
    /// Ended; the result waits to be acknowledged.
    Finished,
}

/// Whether an agent has lost the secrets of a job it holds, by a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretsNeed {
    /// It has them.
    Known,
    /// It needs them again.
    Lost,
}

/// The control plane's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The control plane's clock, Unix milliseconds.
    pub at_ms: i64,
    /// One verdict for each held job.
    pub verdicts: Vec<(Attempt, Verdict)>,
}

/// What becomes of a job that an agent holds. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Go on, or begin; send the log from this position.
    Continue {
        /// What the control plane has of the log.
        log: LogPosition,
        /// The secrets, if they were asked for.
        secrets: Vec<Secret>,
    },
    /// Stop at the next safe point; send the log from this position, then the result.
    Cancel {
        /// What the control plane has of the log.
        log: LogPosition,
        /// The secrets, if they were asked for: the rest of the log must be masked.
        secrets: Vec<Secret>,
    },
    /// Send the log from this position and the result again.
    Resend {
        /// What the control plane has of the log.
        log: LogPosition,
    },
    /// Not yours any more: stop if it runs, report nothing, remove it from the journal.
    Forget,
}

/// Why an agent will not do an offered job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The job and its fence.
    pub attempt: Attempt,
    /// The kind of reason.
    pub reason: Refusal,
    /// What to do, for a person.
    pub message: String,
}

/// Why an agent refuses. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The fence is below the highest the agent has seen on the target.
    StaleFence,
    /// The target is busy with another job; offer it again when that has ended.
    Busy,
    /// The specification is damaged or of a later version.
    Unreadable,
    /// The agent cannot write its journal (disk full, read-only).
    Journal,
    /// The agent is stopping; offer it again when it is back.
    Stopping,
}

/// Where a job's work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The job and its fence.
    pub attempt: Attempt,
    /// The step that began.
    pub step: Step,
}

/// Where in a job's log a step begins. It follows the step's [`Progress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLine {
    /// The job and its fence.
    pub attempt: Attempt,
    /// The step that began.
    pub step: Step,
    /// The number of the first line that is printed after its beginning.
    pub line: u64,
}

/// A piece of a job's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The job and its fence.
    pub attempt: Attempt,
    /// The piece.
    pub chunk: LogChunk,
}

/// The end of a job's work. It is sent after the whole log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The job and its fence.
    pub attempt: Attempt,
    /// How it ended.
    pub outcome: Outcome,
    /// The end of its log: how many lines there are, and the chain over them.
    pub log: LogPosition,
}

/// A certificate request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {
    /// The request, DER.
    pub csr: Vec<u8>,
}

/// A renewed certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// The roots to trust from now on, PEM.
    pub roots: String,
}

/// A refused renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRefused {
    /// Why, and what to do.
    pub message: String,
}

/// A job to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The job and its fence.
    pub attempt: Attempt,
    /// What there is to do.
    pub spec: SealedSpec,
    /// The values that only this agent sees.
    pub secrets: Vec<Secret>,
    /// Where the job's log goes on.
    pub log: LogPosition,
}

/// How much of a log is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogAck {
    /// The job and its fence.
    pub attempt: Attempt,
    /// All lines before this one are stored.
    pub next_line: u64,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Names the question within its connection.
    pub id: u32,
    /// The question.
    pub query: Query,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryReply {
    /// The question's name.
    pub id: u32,
    /// The answer.
    pub reply: Reply,
}

/// A stream to open. It starts with [`crate::query::STREAM_CREDIT`] bytes of credit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenStream {
    /// Names the stream within its connection.
    pub stream: u32,
    /// What it carries.
    pub request: StreamRequest,
}

/// Bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamData {
    /// The stream's name.
    pub stream: u32,
    /// At most [`crate::query::MAX_STREAM_PIECE`] bytes, within the credit.
    pub bytes: Vec<u8>,
}

/// The end of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEnd {
    /// The stream's name.
    pub stream: u32,
    /// Why it ended early, for a person; nothing when it was complete.
    pub error: Option<String>,
}

/// More credit for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// The stream's name.
    pub stream: u32,
    /// How many more bytes may be sent.
    pub bytes: u32,
}

/// A stream that nobody reads any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseStream {
    /// The stream's name.
    pub stream: u32,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why.
    pub reason: GoodbyeReason,
}

/// Why the control plane ends a connection. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GoodbyeReason {
    /// It stops; come back soon.
    Stopping,
    /// The same agent has connected again.
    Superseded,
    /// The agent was revoked; do not come back.
    Revoked,
    /// The agent broke the protocol.
    Protocol,
}
