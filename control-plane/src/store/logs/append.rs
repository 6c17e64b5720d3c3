//! Appending, and where a log goes on.

use towline_shared::failpoint::reach;
use towline_shared::ids::{AgentId, JobId};
use towline_shared::log::{Fit, LogChunk, LogPosition};
use towline_shared::protocol::v1::{Attempt, LogAck};
use uuid::Uuid;

use super::super::db::{Tx, one, optional};
use super::super::{Result, Store, StoreError, counted, refusals, targets};
use super::chunk::{self, ChunkKind, StoredChunk};
use super::row::{self, LogState};
use crate::job::JobState;

// Neither database reads the payloads for their lengths.
const BYTES: &str =
    "SELECT CAST(COALESCE(SUM(LENGTH(payload)), 0) AS BIGINT) FROM log_chunks WHERE job_id = $1";

/// What became of chunks that an agent sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// They are stored, now or since an earlier time.
    Ack(LogAck),
    /// The job is not the agent's under this fence, or has ended: nothing was stored.
    Forget,
}

/// What an attempt is to the agent that sends its log.
enum Holding {
    /// It works on it.
    AtWork,
    /// It did.
    Ended,
    /// It never did; why.
    Refused(&'static str),
}

impl Store {
    /// Stores the next chunk of a job's log; a repeated one is only acknowledged.
    ///
    /// # Errors
    /// `StoreError::Chunk` if it does not continue the log, or breaks its limits.
    pub async fn append_log(
        &self,
        agent: AgentId,
        attempt: Attempt,
        chunk: &LogChunk,
    ) -> Result<Appended> {
        self.append_logs(agent, attempt, std::slice::from_ref(chunk))
            .await
    }

    /// Stores the next chunks of a job's log in one transaction: all of them, or none on an error.
    pub async fn append_logs(
        &self,
        agent: AgentId,
        attempt: Attempt,
        chunks: &[LogChunk],
    ) -> Result<Appended> {
        match self.holding(agent, attempt).await? {
            Holding::AtWork => self.append_under(attempt, chunks).await,
            Holding::Ended => Ok(Appended::Forget),
            Holding::Refused(why) => {
                self.note_refused_report(agent, "Log", attempt, why).await?;
                Ok(Appended::Forget)
            }
        }
    }

    /// The end of a job's log as it is stored.
    pub(crate) async fn log_position(&self, job: JobId) -> Result<LogPosition> {
        let mut reader = self.telemetry().read().await?;
        let log = row::read(reader.conn(), job).await?;
        Ok(log.map_or_else(LogPosition::default, |log| log.position))
    }

    /// How many bytes of a job's log are stored.
    pub(crate) async fn log_bytes(&self, job: JobId) -> Result<u64> {
        let mut reader = self.telemetry().read().await?;
        let (bytes,) = one!(reader.conn(), (i64,), BYTES, job.uuid())?;
        Ok(counted(bytes))
    }

    /// Makes a log the new attempt's: earlier ones cannot append any more, not even with what is
    /// under way. Gives the position at which the new attempt goes on.
    ///
    /// An offer that follows an earlier attempt needs this; for a job's first one, [`LogPosition::default`] is right.
    pub(crate) async fn open_log(&self, attempt: Attempt) -> Result<LogPosition> {
        let mut tx = self.telemetry().begin().await?;
        let log = row::lock(&mut tx, attempt.job).await?;
        if log.state == LogState::Open && log.fence < attempt.fence {
            row::advance(&mut tx, attempt.job, attempt.fence, log.position).await?;
            tx.commit().await?;
            reach("plane: opened a log");
        } else {
            tx.roll_back().await?;
        }
        Ok(log.position)
    }

    /// Begins the log of a job that is not there yet, with what the control plane has to say of it; its agent goes on
    /// behind. Should the job not come to be, the log goes with the next cleaning.
    pub(crate) async fn begin_log(&self, job: JobId, notes: &[String]) -> Result<()> {
        let lines: Vec<_> = notes.iter().map(|note| chunk::note_line(note)).collect();
        let (first, _) = LogChunk::encode(LogPosition::default(), &lines)?;
        let mut tx = self.telemetry().begin().await?;
        let log = row::lock(&mut tx, job).await?;
        let position = store_new(&mut tx, job, log.position, std::slice::from_ref(&first)).await?;
        row::advance(&mut tx, job, log.fence, position).await?;
        tx.commit().await
    }

    /// What an attempt is to an agent, by the main database.
    async fn holding(&self, agent: AgentId, attempt: Attempt) -> Result<Holding> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Option<Uuid>, String, i64, i64),
            "SELECT agent_id, state, fence_incarnation, fence_epoch FROM jobs WHERE id = $1",
            attempt.job.uuid()
        )?;
        let Some((_, state, incarnation, epoch)) =
            row.filter(|(holder, ..)| *holder == Some(agent.uuid()))
        else {
            return Ok(Holding::Refused(refusals::NOT_ITS_OWN));
        };
        if targets::fence(incarnation, epoch)? != attempt.fence {
            return Ok(Holding::Refused(refusals::ANOTHER_FENCE));
        }
        let state = state
            .parse()
            .map_err(|error| StoreError::Damaged(format!("{error}")))?;
        Ok(match state {
            JobState::Accepted | JobState::Running | JobState::Unknown => Holding::AtWork,
            JobState::Offered => Holding::Refused(refusals::NOT_ACCEPTED),
            JobState::Queued | JobState::Succeeded | JobState::Failed | JobState::Cancelled => {
                Holding::Ended
            }
        })
    }

    pub(super) async fn append_under(
        &self,
        attempt: Attempt,
        chunks: &[LogChunk],
    ) -> Result<Appended> {
        let mut tx = self.telemetry().begin().await?;
        let log = row::lock(&mut tx, attempt.job).await?;
        if log.state != LogState::Open || log.fence > attempt.fence {
            tx.roll_back().await?;
            return Ok(Appended::Forget);
        }
        let position = store_new(&mut tx, attempt.job, log.position, chunks).await?;
        if position == log.position {
            tx.roll_back().await?;
        } else {
            row::advance(&mut tx, attempt.job, attempt.fence, position).await?;
            tx.commit().await?;
            reach("plane: committed lines of a log");
            self.wake().log(attempt.job);
        }
        Ok(Appended::Ack(LogAck {
            attempt,
            next_line: position.next_line,
        }))
    }
}

async fn store_new(
    tx: &mut Tx,
    job: JobId,
    mut position: LogPosition,
    chunks: &[LogChunk],
) -> Result<LogPosition> {
    for chunk in chunks {
        if let Fit::Next(after) = chunk.fit(position)? {
            let stored = StoredChunk {
                first_line: chunk.first_line,
                lines: u64::from(chunk.lines),
                kind: ChunkKind::Lines,
                payload: &chunk.payload,
            };
            chunk::insert(tx, job, &stored).await?;
            position = after;
        }
    }
    Ok(position)
}
