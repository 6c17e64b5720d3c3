//! Appending, and where a log goes on.

use towline_shared::ids::{AgentId, JobId};
use towline_shared::log::{Fit, LogChunk, LogPosition};
use towline_shared::protocol::v1::{Attempt, LogAck};

use super::super::db::{Tx, optional};
use super::super::{Result, Store, stored};
use super::chunk::{self, ChunkKind, StoredChunk};
use super::row::{self, LogState};

/// What became of chunks that an agent sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// They are stored, now or since an earlier time.
    Ack(LogAck),
    /// The job is not the agent's under this fence, or has ended: nothing was stored.
    Forget,
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
        if self.holds(agent, attempt).await? {
            self.append_under(attempt, chunks).await
        } else {
            Ok(Appended::Forget)
        }
    }

    /// The end of a job's log as it is stored.
    pub(crate) async fn log_position(&self, job: JobId) -> Result<LogPosition> {
        let mut reader = self.telemetry().read().await?;
        let log = row::read(reader.conn(), job).await?;
        Ok(log.map_or_else(LogPosition::default, |log| log.position))
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
        } else {
            tx.roll_back().await?;
        }
        Ok(log.position)
    }

    /// Whether the job is this agent's under this fence, by the main database.
    async fn holds(&self, agent: AgentId, attempt: Attempt) -> Result<bool> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (i64,),
            "SELECT CAST(1 AS BIGINT) FROM jobs
             WHERE id = $1 AND agent_id = $2 AND fence_incarnation = $3 AND fence_epoch = $4
                AND state IN ('offered', 'accepted', 'running', 'unknown')",
            attempt.job.uuid(),
            agent.uuid(),
            i64::from(attempt.fence.incarnation),
            stored(attempt.fence.epoch)
        )?;
        Ok(row.is_some())
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
