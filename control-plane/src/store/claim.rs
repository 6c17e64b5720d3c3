//! Claiming: an agent takes the oldest due job of each of its targets that is free.

use towline_shared::Fence;
use towline_shared::ids::{AgentId, JobId, TargetId};
use towline_shared::protocol::v1::{Attempt, Offer, Refusal, Refused};
use towline_shared::spec::SealedSpec;
use uuid::Uuid;

use super::audit::Actor;
use super::db::{Tx, all, execute, now, one, optional};
use super::jobs::{self, Detail};
use super::{Result, Store, StoreError, secret_uses, stored, targets};
use crate::job::Event;

impl Store {
    /// Takes what the agent's targets wait for, each under a new fence. Reads once when there is
    /// nothing, and writes only when there is.
    pub async fn claim(&self, agent: AgentId) -> Result<Vec<Offer>> {
        let mut offers = Vec::new();
        for target in self.waiting_targets(agent).await? {
            let Some(attempt) = self.claim_on(agent, target).await? else {
                continue;
            };
            match self.offer(attempt).await {
                Ok(offer) => offers.push(offer),
                Err(error) if error.is_for_good() => self.give_up(agent, attempt, &error).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(offers)
    }

    /// Fails a job that cannot be offered, now or later: it must not keep its agent from all others.
    async fn give_up(&self, agent: AgentId, attempt: Attempt, why: &StoreError) -> Result<()> {
        tracing::error!(job = %attempt.job, error = %why, "a job cannot be offered");
        let refused = Refused {
            attempt,
            reason: Refusal::Unreadable,
            message: format!(
                "the control plane cannot read what it stored for this job: {why}; set the project's secrets again, then deploy again"
            ),
        };
        self.refused(agent, &refused).await.map(|_| ())
    }

    async fn waiting_targets(&self, agent: AgentId) -> Result<Vec<TargetId>> {
        let mut reader = self.read_in_turn().await?;
        let now = now(reader.conn()).await?;
        let rows = all!(
            reader.conn(),
            (Uuid,),
            "SELECT t.id FROM deployment_targets t WHERE t.agent_id = $1
                AND EXISTS (SELECT 1 FROM jobs j WHERE j.target_id = t.id AND j.state = 'queued'
                    AND (j.not_before IS NULL OR j.not_before <= $2)
                    AND NOT EXISTS (SELECT 1 FROM jobs i WHERE i.builds_for = j.deployment_id AND i.state <> 'succeeded'))
                AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.target_id = t.id
                    AND j.state IN ('offered', 'accepted', 'running', 'unknown'))",
            agent.uuid(),
            now
        )?;
        Ok(rows.into_iter().map(|(id,)| id.into()).collect())
    }

    async fn claim_on(&self, agent: AgentId, target: TargetId) -> Result<Option<Attempt>> {
        let mut tx = self.main().begin().await?;
        let Some(last) = lock_target(&mut tx, agent, target).await? else {
            return Ok(None);
        };
        let now = tx.now().await?;
        let job = optional!(
            tx.conn(),
            (Uuid,),
            "SELECT j.id FROM jobs j WHERE j.target_id = $1 AND j.state = 'queued'
                AND (j.not_before IS NULL OR j.not_before <= $2)
                AND NOT EXISTS (SELECT 1 FROM jobs b WHERE b.target_id = $1
                    AND b.state IN ('offered', 'accepted', 'running', 'unknown'))
                AND NOT EXISTS (SELECT 1 FROM jobs i WHERE i.builds_for = j.deployment_id AND i.state <> 'succeeded')
                AND NOT EXISTS (SELECT 1 FROM jobs e JOIN deployments ed ON ed.id = e.deployment_id
                    JOIN deployments jd ON jd.id = j.deployment_id
                    WHERE e.target_id = $1 AND e.state = 'queued' AND e.id < j.id AND ed.project_id = jd.project_id
                        AND EXISTS (SELECT 1 FROM jobs i WHERE i.builds_for = e.deployment_id AND i.state <> 'succeeded'))
             ORDER BY j.id LIMIT 1",
            target.uuid(),
            now
        )?;
        let Some((job,)) = job else {
            return Ok(None);
        };
        let Some(row) = jobs::lock(&mut tx, job.into()).await? else {
            return Ok(None);
        };
        let fence = Fence::new(last.incarnation, last.epoch + 1);
        let sql = "UPDATE deployment_targets SET fence_epoch = $2, updated_at = $3 WHERE id = $1";
        execute!(tx.conn(), sql, target.uuid(), stored(fence.epoch), now)?;
        let actor = Actor::Agent(agent);
        let moved = jobs::apply(
            &mut tx,
            &row,
            Event::Claim(fence),
            actor,
            Detail::Agent(agent),
            now,
        )
        .await?;
        if moved.change == crate::job::state::Change::None {
            // It was cancelled between the two statements.
            return Ok(None);
        }
        secret_uses::give(&mut tx, &row, now).await?;
        tx.commit().await?;
        self.announce(&moved);
        Ok(Some(Attempt {
            job: row.id(),
            fence,
        }))
    }

    async fn offer(&self, attempt: Attempt) -> Result<Offer> {
        // The log is in a database of its own; an agent waits for all three.
        let (spec, secrets, log) = tokio::try_join!(
            self.spec(attempt.job),
            self.job_secrets(attempt.job),
            self.open_log(attempt)
        )?;
        let mut secrets = secrets;
        secrets.extend(self.registry_secrets(attempt.job, &spec).await?);
        Ok(Offer {
            attempt,
            spec,
            secrets,
            log,
        })
    }

    /// What a job is, as it was sealed.
    pub(super) async fn spec(&self, job: JobId) -> Result<SealedSpec> {
        let mut reader = self.main().read().await?;
        let (spec, digest) = one!(
            reader.conn(),
            (Option<Vec<u8>>, Vec<u8>),
            "SELECT spec, spec_digest FROM jobs WHERE id = $1",
            job.uuid()
        )?;
        let digest = <[u8; 32]>::try_from(digest.as_slice())
            .map_err(|_| StoreError::Damaged(format!("the digest of job {job}")))?;
        // A job that ended between the claim and now is offered empty; its agent refuses it and
        // is told to forget it.
        Ok(SealedSpec::from_parts(spec.unwrap_or_default(), digest))
    }
}

/// On PostgreSQL another replica that holds the target is not waited for: it takes the job.
async fn lock_target(tx: &mut Tx, agent: AgentId, target: TargetId) -> Result<Option<Fence>> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT t.fence_incarnation, t.fence_epoch FROM deployment_targets t
         WHERE t.id = $1 AND t.agent_id = $2
            AND EXISTS (SELECT 1 FROM agents a WHERE a.id = t.agent_id AND a.revoked_at IS NULL)",
        "SELECT t.fence_incarnation, t.fence_epoch FROM deployment_targets t
         WHERE t.id = $1 AND t.agent_id = $2
            AND EXISTS (SELECT 1 FROM agents a WHERE a.id = t.agent_id AND a.revoked_at IS NULL)
         FOR NO KEY UPDATE OF t SKIP LOCKED",
    );
    let row = optional!(conn, (i64, i64), sql, target.uuid(), agent.uuid())?;
    row.map(|(incarnation, epoch)| targets::fence(incarnation, epoch))
        .transpose()
}
