//! What only the simulation asks of the store.

use towline_shared::Fence;
use towline_shared::ids::JobId;

use super::db::optional;
use super::{Result, Store, StoreError, targets};
use crate::job::JobState;

impl Store {
    /// Where a job is, and under which fence it was offered last.
    pub async fn played_job(&self, job: JobId) -> Result<Option<(JobState, Fence)>> {
        let mut reader = self.main().read().await?;
        let sql = "SELECT state, fence_incarnation, fence_epoch FROM jobs WHERE id = $1";
        let row = optional!(reader.conn(), (String, i64, i64), sql, job.uuid())?;
        let Some((state, incarnation, epoch)) = row else {
            return Ok(None);
        };
        let state = state
            .parse()
            .map_err(|error| StoreError::Damaged(format!("{error}")))?;
        Ok(Some((state, targets::fence(incarnation, epoch)?)))
    }
}
