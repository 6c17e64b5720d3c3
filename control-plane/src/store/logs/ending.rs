//! The end of a log, which follows the end of its job.

use sqlx::FromRow;
use towline_shared::failpoint::reach;
use towline_shared::ids::JobId;
use towline_shared::log::LogPosition;
use uuid::Uuid;

use super::super::db::{all, execute, id_list, local_now};
use super::super::{Result, Store, StoreError};
use crate::job::state::JobState;

/// How many logs are looked at by one statement.
const LOOKED_AT: i64 = 500;

/// A job as far as its log is concerned.
#[derive(FromRow)]
pub(super) struct JobOfLog {
    pub(super) id: Uuid,
    state: String,
}

impl JobOfLog {
    pub(super) fn has_ended(&self) -> Result<bool> {
        let state: JobState = self
            .state
            .parse()
            .map_err(|error| StoreError::Damaged(format!("{error}")))?;
        Ok(state.is_terminal())
    }
}

impl Store {
    /// Ends a log: nothing is appended any more. To be called only when its job has ended.
    pub(crate) async fn end_log(&self, job: JobId) -> Result<()> {
        let mut tx = self.telemetry().begin().await?;
        let ended = execute!(
            tx.conn(),
            "INSERT INTO logs (id, fence_incarnation, fence_epoch, next_line, chain, state, created_at, updated_at)
             VALUES ($1, 0, 0, 0, $2, 'ended', $3, $3)
             ON CONFLICT (id) DO UPDATE SET state = 'ended', updated_at = $3 WHERE logs.state = 'open'",
            job.uuid(),
            LogPosition::default().chain.as_slice(),
            local_now()
        )?;
        if ended == 0 {
            return tx.roll_back().await;
        }
        tx.commit().await?;
        reach("plane: ended a log");
        self.wake().log(job);
        Ok(())
    }

    /// Ends the log of a job whose end is committed. Should that fail, the compaction does it later:
    /// the end itself must not look as if it had failed.
    pub(crate) async fn try_end_log(&self, job: JobId) {
        if let Err(error) = self.end_log(job).await {
            tracing::warn!(%job, %error, "the log of a job that has ended is not closed yet");
        }
    }

    /// Ends the open logs of all jobs that have ended.
    pub(super) async fn end_finished_logs(&self) -> Result<()> {
        let mut after = Uuid::nil();
        loop {
            let open = self.open_logs_after(after).await?;
            let Some(last) = open.last() else {
                return Ok(());
            };
            after = *last;
            for job in self.jobs_of(&open).await? {
                if job.has_ended()? {
                    self.end_log(job.id.into()).await?;
                }
            }
        }
    }

    async fn open_logs_after(&self, after: Uuid) -> Result<Vec<Uuid>> {
        let mut reader = self.telemetry().read().await?;
        let ids = all!(
            reader.conn(),
            (Uuid,),
            "SELECT id FROM logs WHERE state = 'open' AND id > $1 ORDER BY id LIMIT $2",
            after,
            LOOKED_AT
        )?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    /// Those jobs among these that still exist.
    pub(super) async fn jobs_of(&self, ids: &[Uuid]) -> Result<Vec<JobOfLog>> {
        let ids = id_list(ids);
        let mut reader = self.main().read().await?;
        let conn = reader.conn();
        let sql = conn.pick(
            "SELECT id, state FROM jobs WHERE id IN (SELECT unhex(value, '-') FROM json_each($1))",
            "SELECT id, state FROM jobs WHERE id IN (SELECT value::uuid FROM json_array_elements_text($1::json))",
        );
        Ok(all!(conn, JobOfLog, sql, ids.as_str())?)
    }
}
