//! Logs live as long as their deployments.

use uuid::Uuid;

use super::super::db::{all, execute};
use super::super::{Result, Store};

/// Logs looked at by one statement.
const LOOKED_AT: i64 = 500;
/// Chunks deleted by one transaction, so that no append waits long.
const CHUNKS_PER_STEP: i64 = 1000;

impl Store {
    /// Deletes the logs whose deployments are gone. Gives their number.
    pub(crate) async fn prune_logs(&self) -> Result<u64> {
        let mut after = Uuid::nil();
        let mut pruned = 0;
        loop {
            // The logs first: a log is never older than its job.
            let logs = self.logs_after(after).await?;
            let Some(last) = logs.last() else {
                return Ok(pruned);
            };
            after = *last;
            let jobs = self.jobs_of(&logs).await?;
            for log in logs {
                if jobs.iter().all(|job| job.id != log) {
                    self.delete_log(log).await?;
                    pruned += 1;
                }
            }
        }
    }

    async fn logs_after(&self, after: Uuid) -> Result<Vec<Uuid>> {
        let mut reader = self.telemetry().read().await?;
        let sql = "SELECT id FROM logs WHERE id > $1 ORDER BY id LIMIT $2";
        let ids = all!(reader.conn(), (Uuid,), sql, after, LOOKED_AT)?;
        Ok(ids.into_iter().map(|(id,)| id).collect())
    }

    async fn delete_log(&self, job: Uuid) -> Result<()> {
        loop {
            let mut tx = self.telemetry().begin().await?;
            let deleted = execute!(
                tx.conn(),
                "DELETE FROM log_chunks WHERE job_id = $1 AND first_line IN
                    (SELECT first_line FROM log_chunks WHERE job_id = $1 ORDER BY first_line LIMIT $2)",
                job,
                CHUNKS_PER_STEP
            )?;
            if deleted == 0 {
                execute!(tx.conn(), "DELETE FROM logs WHERE id = $1", job)?;
                return tx.commit().await;
            }
            tx.commit().await?;
        }
    }
}
