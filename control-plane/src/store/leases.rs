//! Leases that have run out.

use towline_shared::ids::{AgentId, JobId};
use uuid::Uuid;

use super::audit::Actor;
use super::db::{all, execute, now, optional};
use super::job_changes::RETRY_AFTER;
use super::jobs::{self, Detail, LEASE};
use super::{Result, Store};
use crate::job::state::Change;
use crate::job::{Event, JobState};

/// Jobs handled in one sweep; the next one goes on.
const BATCH: i64 = 500;

// As in `reports`: the condition of an index stands in each of these word for word.
pub(super) const EXPIRED: &str = "SELECT id FROM jobs
     WHERE state IN ('offered', 'accepted', 'running') AND lease_expires_at < $1 ORDER BY lease_expires_at LIMIT $2";
pub(super) const OVERLOOKED: &str = "SELECT a.id FROM jobs j JOIN deployment_targets t ON t.id = j.target_id
        JOIN agents a ON a.id = t.agent_id
     WHERE j.state = 'queued' AND (j.not_before IS NULL OR j.not_before <= $1) AND a.session_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM jobs b WHERE b.target_id = j.target_id
            AND b.state IN ('offered', 'accepted', 'running', 'unknown'))
        AND NOT EXISTS (SELECT 1 FROM jobs i WHERE i.builds_for = j.deployment_id AND i.state <> 'succeeded')
     UNION
     SELECT a.id FROM jobs j JOIN agents a ON a.id = j.agent_id
     WHERE j.state IN ('offered', 'accepted', 'running', 'unknown') AND j.state <> 'offered'
        AND j.cancel_requested_at IS NOT NULL AND a.session_id IS NOT NULL
     LIMIT $2";

// Nothing of ours sets times further ahead.
pub(super) const AHEAD: &str = "SELECT id FROM jobs
     WHERE state IN ('offered', 'accepted', 'running') AND lease_expires_at > $1
     UNION SELECT id FROM jobs WHERE state = 'queued' AND not_before > $2 LIMIT $3";

impl Store {
    /// Dates the leases and waits anew that a clock has set which was then set back: they would last
    /// for as long as it was ahead.
    pub(crate) async fn heed_clock_set_back(&self) -> Result<()> {
        let ahead = {
            let mut reader = self.main().read().await?;
            let now = now(reader.conn()).await?;
            let (lease, wait) = (now + LEASE, now + RETRY_AFTER);
            all!(reader.conn(), (Uuid,), AHEAD, lease, wait, BATCH)?
        };
        for (job,) in ahead {
            let mut tx = self.main().begin().await?;
            let now = tx.now().await?;
            execute!(
                tx.conn(),
                "UPDATE jobs SET updated_at = $4,
                    lease_expires_at = CASE WHEN lease_expires_at > $2 THEN $2 ELSE lease_expires_at END,
                    not_before = CASE WHEN not_before > $3 THEN $3 ELSE not_before END
                 WHERE id = $1",
                job,
                now + LEASE,
                now + RETRY_AFTER,
                now
            )?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Jobs whose lease has run out on the database's clock.
    pub(crate) async fn expired_leases(&self) -> Result<Vec<JobId>> {
        let mut reader = self.main().read().await?;
        let now = now(reader.conn()).await?;
        let rows = all!(reader.conn(), (Uuid,), EXPIRED, now, BATCH)?;
        Ok(rows.into_iter().map(|(id,)| id.into()).collect())
    }

    /// Lets a lease expire, unless it was renewed in this moment; gives the state the job went to.
    pub(crate) async fn expire_lease(&self, job: JobId) -> Result<Option<JobState>> {
        let mut tx = self.main().begin().await?;
        let Some(row) = jobs::lock(&mut tx, job).await? else {
            return Ok(None);
        };
        let now = tx.now().await?;
        let sql = "SELECT id FROM jobs WHERE id = $1 AND lease_expires_at < $2";
        if optional!(tx.conn(), (Uuid,), sql, job.uuid(), now)?.is_none() {
            return Ok(None);
        }
        let moved = jobs::apply(
            &mut tx,
            &row,
            Event::LeaseExpired,
            Actor::System,
            Detail::None,
            now,
        )
        .await?;
        tx.commit().await?;
        self.announce(&moved);
        Ok(match moved.change {
            Change::Requeue(_) => Some(JobState::Queued),
            Change::Go(to) => Some(to),
            _ => None,
        })
    }

    /// Agents that are connected and have not acted on what waits for them: a due job on a free
    /// target, or a job that shall stop. Their wake-up was lost, with its server or on its way.
    pub(crate) async fn overlooked(&self) -> Result<Vec<AgentId>> {
        let mut reader = self.main().read().await?;
        let now = now(reader.conn()).await?;
        let rows = all!(reader.conn(), (Uuid,), OVERLOOKED, now, BATCH)?;
        Ok(rows.into_iter().map(|(id,)| id.into()).collect())
    }
}
