//! What agents report about their jobs between hello and goodbye.

use towline_shared::Fence;
use towline_shared::failpoint::reach;
use towline_shared::ids::AgentId;
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{Attempt, Finished, Progress, Refused, StepLine};
use uuid::Uuid;

use super::audit::Actor;
use super::db::{all, execute};
use super::jobs::{self, Detail, LEASE, LogSize, Moved};
use super::{Result, Store, pipelines, refusals, targets};
use crate::job::state::Change;
use crate::job::{Ending, Event, JobState, Reply};

// The condition of an index stands in each of these word for word: SQLite does not see otherwise that
// it holds, and would read every job there ever was.
pub(super) const RENEW_LEASES: &str = "UPDATE jobs SET lease_expires_at = $3, updated_at = $4
     WHERE agent_id = $1 AND state IN ('offered', 'accepted', 'running', 'unknown') AND state IN ('accepted', 'running')
        AND EXISTS (SELECT 1 FROM agents a WHERE a.id = $1 AND a.session_id = $2)";
pub(super) const PENDING_CANCELS: &str = "SELECT id, fence_incarnation, fence_epoch FROM jobs
     WHERE agent_id = $1 AND state IN ('offered', 'accepted', 'running', 'unknown') AND state <> 'offered'
        AND cancel_requested_at IS NOT NULL";

/// What the session tells the agent in answer to a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The acceptance is recorded: begin.
    Go,
    /// Stop at the next safe point.
    Cancel,
    /// It is recorded, or not the agent's any more.
    Forget,
    /// Nothing.
    Nothing,
}

impl From<Reply> for Reaction {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Go | Reply::Continue => Self::Go,
            Reply::Cancel => Self::Cancel,
            Reply::Forget => Self::Forget,
            Reply::Resend | Reply::Nothing => Self::Nothing,
        }
    }
}

fn reaction(moved: Option<Moved>) -> Reaction {
    moved.map_or(Reaction::Forget, |moved| moved.reply.into())
}

impl Store {
    /// The agent has journalled an offer.
    pub async fn accepted(&self, agent: AgentId, attempt: Attempt) -> Result<Reaction> {
        self.report(agent, attempt, Event::Accepted(attempt.fence), Detail::None)
            .await
    }

    /// The agent will not do an offered job.
    pub async fn refused(&self, agent: AgentId, refused: &Refused) -> Result<Reaction> {
        let event = Event::Refused(refused.attempt.fence, refused.reason);
        let detail = Detail::Message(&refused.message);
        self.report(agent, refused.attempt, event, detail).await
    }

    /// The agent has begun.
    pub async fn started(&self, agent: AgentId, attempt: Attempt) -> Result<Reaction> {
        self.report(agent, attempt, Event::Started(attempt.fence), Detail::None)
            .await
    }

    /// The agent has come to another step.
    pub async fn progress(&self, agent: AgentId, progress: &Progress) -> Result<Reaction> {
        let event = Event::Progress(progress.attempt.fence);
        self.report(agent, progress.attempt, event, Detail::Step(progress.step))
            .await
    }

    /// The agent tells where in a job's log a step begins. Another agent's job and none at all are one answer, as for any report.
    pub async fn step_line(&self, agent: AgentId, at: &StepLine) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let row = jobs::lock(&mut tx, at.attempt.job).await?;
        let Some(row) = row.filter(|row| row.agent() == Some(agent)) else {
            tx.roll_back().await?;
            let why = refusals::NOT_ITS_OWN;
            return self
                .note_refused_report(agent, "StepLine", at.attempt, why)
                .await;
        };
        let is_at_work = matches!(
            row.state()?,
            JobState::Accepted | JobState::Running | JobState::Unknown
        );
        // What comes late from an earlier attempt is about lines that stand where they stand.
        if row.fence()? != at.attempt.fence || !is_at_work {
            return tx.roll_back().await;
        }
        let now = tx.now().await?;
        pipelines::begin_log(&mut tx, &row, at.step, at.line, now).await?;
        tx.commit().await
    }

    /// The agent has ended a job. `Nothing` means that its log is not complete yet: the agent sends
    /// the rest and the result again.
    pub async fn finished(&self, agent: AgentId, finished: &Finished) -> Result<Reaction> {
        let attempt = finished.attempt;
        let log = self.log_position(attempt.job).await?;
        if log.next_line < finished.log.next_line && self.is_at_work(agent, attempt).await? {
            return Ok(Reaction::Nothing);
        }
        if log != finished.log {
            tracing::warn!(job = %attempt.job, ?log, theirs = ?finished.log, "the stored log is not the one its agent ended with");
        }
        let ending = match finished.outcome {
            Outcome::Succeeded { .. }
            | Outcome::Ran { .. }
            | Outcome::Built { .. }
            | Outcome::Previewed(_) => Ending::Succeeded,
            Outcome::Failed { .. } => Ending::Failed,
            Outcome::Cancelled { .. } => Ending::Cancelled,
        };
        let size = LogSize {
            lines: log.next_line,
            bytes: self.log_bytes(attempt.job).await?,
        };
        let detail = Detail::Outcome(&finished.outcome, size);
        let event = Event::Finished(attempt.fence, ending);
        let moved = self.happen(agent, attempt, event, detail).await?;
        // The result of an outdated attempt ends nothing: the job may be at work again.
        if moved
            .as_ref()
            .is_some_and(|moved| matches!(moved.change, Change::End(_)))
        {
            self.try_end_log(attempt.job).await;
        }
        Ok(reaction(moved))
    }

    /// Whether the agent works on this very attempt.
    pub(super) async fn is_at_work(&self, agent: AgentId, attempt: Attempt) -> Result<bool> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (i64, i64),
            "SELECT fence_incarnation, fence_epoch FROM jobs
             WHERE id = $1 AND agent_id = $2 AND state IN ('accepted', 'running', 'unknown')",
            attempt.job.uuid(),
            agent.uuid()
        )?;
        let fence = rows
            .first()
            .map(|(incarnation, epoch)| targets::fence(*incarnation, *epoch))
            .transpose()?;
        Ok(fence == Some(attempt.fence))
    }

    async fn report(
        &self,
        agent: AgentId,
        attempt: Attempt,
        event: Event,
        detail: Detail<'_>,
    ) -> Result<Reaction> {
        Ok(reaction(self.happen(agent, attempt, event, detail).await?))
    }

    /// Another agent's job and none at all are one answer: nothing happens, and it is written down.
    async fn happen(
        &self,
        agent: AgentId,
        attempt: Attempt,
        event: Event,
        detail: Detail<'_>,
    ) -> Result<Option<Moved>> {
        let mut tx = self.main().begin().await?;
        let row = jobs::lock(&mut tx, attempt.job).await?;
        let Some(row) = row.filter(|row| row.agent() == Some(agent)) else {
            tx.roll_back().await?;
            let why = refusals::NOT_ITS_OWN;
            self.note_refused_report(agent, refusals::name(event), attempt, why)
                .await?;
            return Ok(None);
        };
        let now = tx.now().await?;
        let moved = jobs::apply(&mut tx, &row, event, Actor::Agent(agent), detail, now).await?;
        if moved.change == Change::None {
            tx.roll_back().await?;
            if let Some(why) = refusals::reason(&row.job()?, event) {
                self.note_refused_report(agent, refusals::name(event), attempt, why)
                    .await?;
            }
        } else {
            tx.commit().await?;
            self.announce(&moved);
        }
        Ok(Some(moved))
    }

    /// Renews the leases of the jobs that the session's agent works on; gives their number. A lease
    /// that ran out under the session is renewed too: the agent is not out of reach. An offer's lease
    /// is not renewed: an agent that does not answer loses it.
    pub async fn renew_leases(&self, agent: AgentId, session: Uuid) -> Result<u64> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let renewed = execute!(
            tx.conn(),
            RENEW_LEASES,
            agent.uuid(),
            session,
            now + LEASE,
            now
        )?;
        let found = jobs::out_of_sight(&mut tx, agent, session).await?;
        let mut moves = Vec::new();
        for job in &found {
            if let Some(row) = jobs::lock(&mut tx, *job).await? {
                let actor = Actor::Agent(agent);
                let event = Event::LeaseRenewed;
                moves.push(jobs::apply(&mut tx, &row, event, actor, Detail::None, now).await?);
            }
        }
        tx.commit().await?;
        reach("plane: renewed leases");
        for moved in &moves {
            self.announce(moved);
        }
        Ok(renewed + moves.len() as u64)
    }

    /// The agent's jobs that somebody asked to stop.
    pub async fn pending_cancels(&self, agent: AgentId) -> Result<Vec<Attempt>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (Uuid, i64, i64),
            PENDING_CANCELS,
            agent.uuid()
        )?;
        let attempt = |(job, incarnation, epoch): (Uuid, i64, i64)| {
            let fence: Fence = targets::fence(incarnation, epoch)?;
            Ok(Attempt {
                job: job.into(),
                fence,
            })
        };
        rows.into_iter().map(attempt).collect()
    }
}
