//! Deleting rows that have outlived their time.

use super::super::db::execute;
use super::super::{Result, Store};
use super::resolution::Resolution;

impl Store {
    /// Deletes rows that have outlived their time, if coarser ones stand for them. Gives their number.
    pub(super) async fn prune_metrics_at(&self, now: i64) -> Result<u64> {
        let mut deleted = 0;
        for resolution in Resolution::ALL {
            let expired = now - resolution.kept();
            let until = match resolution.coarser() {
                None => Some(expired),
                Some(coarser) => self
                    .rolled_up_until(coarser)
                    .await?
                    .map(|done| done.min(expired)),
            };
            if let Some(until) = until {
                deleted += self.delete_before(resolution, until).await?;
            }
        }
        Ok(deleted)
    }

    /// One interval of all agents at a time, so that no append waits long.
    async fn delete_before(&self, resolution: Resolution, until: i64) -> Result<u64> {
        let mut deleted = 0;
        while let Some(first) = self.first_row(resolution, 0).await? {
            if first >= until {
                break;
            }
            let mut tx = self.telemetry().begin().await?;
            let sql = "DELETE FROM cluster_metrics WHERE resolution_s = $1 AND at <= $2";
            deleted += execute!(tx.conn(), sql, resolution.seconds(), first)?;
            tx.commit().await?;
        }
        Ok(deleted)
    }
}
