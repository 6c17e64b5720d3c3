//! Gaps: lines that were acknowledged, and are lost with what the server's disk had not yet synced.

use towline_shared::ids::JobId;
use towline_shared::log::{ChunkError, LogChunk, LogPosition};

use super::super::db::local_now;
use super::super::{Result, Store};
use super::chunk::{self, ChunkKind, StoredChunk, count, gap_line};
use super::row::{self, LogState};

/// No log comes near this number; an agent that speaks of a higher one is broken.
const MAX_LINE: u64 = 1 << 53;

impl Store {
    /// Takes the agent's word that its log goes on at `to`, when the store has less and the agent has
    /// nothing before it any more. Readers see a gap in between. Gives the position at which the log
    /// goes on: the stored one if it is not behind `to`, or if the log has ended.
    ///
    /// # Errors
    /// `StoreError::Chunk` if `to` cannot be a line's number.
    pub(crate) async fn adopt_gap(&self, job: JobId, to: LogPosition) -> Result<LogPosition> {
        if to.next_line > MAX_LINE {
            return Err(ChunkError::Limits.into());
        }
        let mut tx = self.telemetry().begin().await?;
        let log = row::lock(&mut tx, job).await?;
        let from = log.position.next_line;
        if log.state != LogState::Open || to.next_line <= from {
            tx.roll_back().await?;
            return Ok(log.position);
        }
        let lost = to.next_line - from;
        chunk::insert(&mut tx, job, &gap(from, lost)?).await?;
        row::advance(&mut tx, job, log.fence, to).await?;
        tx.commit().await?;
        tracing::warn!(%job, from, lost, "lines of a log are lost: the database has less than it had acknowledged");
        self.wake().log(job);
        Ok(to)
    }
}

fn gap(first_line: u64, lost: u64) -> Result<StoredChunk> {
    let text = format!(
        "{} lost here: the server went down before its disk had them",
        are(lost)
    );
    let line = gap_line(local_now().timestamp_micros(), text);
    let (encoded, _) = LogChunk::encode(LogPosition::default(), &[line])?;
    Ok(StoredChunk {
        first_line,
        lines: lost,
        kind: ChunkKind::Gap,
        payload: encoded.payload,
    })
}

fn are(lost: u64) -> String {
    format!("{} {}", count(lost), if lost == 1 { "is" } else { "are" })
}
