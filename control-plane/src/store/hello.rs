//! The conversation at the start of a connection: what becomes of the jobs that an agent holds, and
//! of those it should hold and does not.

use chrono::{DateTime, Utc};
use towline_shared::Fence;
use towline_shared::failpoint::reach;
use towline_shared::ids::{AgentId, JobId, TargetId};
use towline_shared::protocol::v1::{Attempt, Held, Hello, SecretsNeed, Verdict};
use towline_shared::spec::Secret;

use super::audit::{self, Actor, Entry};
use super::db::{Tx, all};
use super::jobs::{self, Detail, Moved};
use super::{Result, Store, StoreError, targets};
use crate::job::{Event, Reply};

pub(super) const TARGETS_AND_LIVE: &str = "SELECT t.id, t.fence_incarnation, t.fence_epoch,
        (SELECT COUNT(*) FROM jobs j
         WHERE j.agent_id = $1 AND j.state IN ('offered', 'accepted', 'running', 'unknown'))
     FROM deployment_targets t WHERE t.agent_id = $1";

impl Store {
    /// Judges the jobs of an agent that has connected, one verdict for each it holds. To be called
    /// before anything is offered to it.
    ///
    /// # Errors
    /// `StoreError::Invalid` for a fence that nobody can have given out.
    pub async fn hello(&self, agent: AgentId, hello: &Hello) -> Result<Vec<(Attempt, Verdict)>> {
        refuse_impossible_fences(&hello.fences)?;
        if hello.held.is_empty() && self.has_nothing_to_settle(agent, &hello.fences).await? {
            return Ok(Vec::new());
        }
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        raise_fences(&mut tx, agent, &hello.fences, now).await?;
        let mut settled = Vec::with_capacity(hello.held.len());
        let mut foreign = 0;
        let mut moves = Vec::new();
        for held in &hello.held {
            let judged = judge(&mut tx, agent, held, now).await?;
            settled.push((
                held,
                judged.as_ref().map_or(Reply::Forget, |moved| moved.reply),
            ));
            foreign += usize::from(judged.is_none());
            moves.extend(judged);
        }
        for attempt in jobs::live(&mut tx, agent).await? {
            // One that is held under another fence only is at nobody's hands either.
            if !hello.held.iter().any(|held| held.attempt == attempt) {
                moves.extend(lose(&mut tx, agent, attempt.job, now).await?);
            }
        }
        tx.commit().await?;
        reach("plane: committed the verdicts");
        for moved in &moves {
            self.announce(moved);
        }
        if foreign > 0 {
            self.note_foreign_jobs(agent, foreign).await?;
        }
        let mut verdicts = Vec::with_capacity(settled.len());
        for (held, reply) in settled {
            verdicts.push((held.attempt, self.verdict(held, reply).await?));
        }
        Ok(verdicts)
    }

    /// The ordinary case, and that of ten thousand agents at once: it writes nothing.
    async fn has_nothing_to_settle(
        &self,
        agent: AgentId,
        fences: &[(TargetId, Fence)],
    ) -> Result<bool> {
        let mut reader = self.read_in_turn().await?;
        let rows = all!(
            reader.conn(),
            (uuid::Uuid, i64, i64, i64),
            TARGETS_AND_LIVE,
            agent.uuid()
        )?;
        // Without a target there is nothing to ask about here, and no reason to be fast.
        if rows.is_empty() || rows.iter().any(|(.., live)| *live > 0) {
            return Ok(false);
        }
        for (target, incarnation, epoch, _) in rows {
            let ours = targets::fence(incarnation, epoch)?;
            if fences
                .iter()
                .any(|(of, theirs)| of.uuid() == target && *theirs > ours)
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn verdict(&self, held: &Held, reply: Reply) -> Result<Verdict> {
        Ok(match reply {
            Reply::Continue | Reply::Go => Verdict::Continue {
                log: self.adopt_gap(held.attempt.job, held.log_from).await?,
                secrets: self.needed_secrets(held).await?,
            },
            Reply::Cancel => Verdict::Cancel {
                log: self.adopt_gap(held.attempt.job, held.log_from).await?,
                secrets: self.needed_secrets(held).await?,
            },
            Reply::Resend => Verdict::Resend {
                log: self.adopt_gap(held.attempt.job, held.log_from).await?,
            },
            Reply::Forget | Reply::Nothing => Verdict::Forget,
        })
    }

    async fn needed_secrets(&self, held: &Held) -> Result<Vec<Secret>> {
        if held.secrets == SecretsNeed::Known {
            return Ok(Vec::new());
        }
        let job = held.attempt.job;
        let (mut secrets, spec) = tokio::try_join!(self.job_secrets(job), self.spec(job))?;
        secrets.extend(self.registry_secrets(job, &spec).await?);
        Ok(secrets)
    }
}

/// `None` for a job that is not the agent's, whether it exists or not.
async fn judge(
    tx: &mut Tx,
    agent: AgentId,
    held: &Held,
    now: DateTime<Utc>,
) -> Result<Option<Moved>> {
    let Some(row) = jobs::lock(tx, held.attempt.job).await? else {
        return Ok(None);
    };
    if row.agent() != Some(agent) {
        return Ok(None);
    }
    let event = Event::Held(held.attempt.fence, held.phase);
    jobs::apply(tx, &row, event, Actor::Agent(agent), Detail::None, now)
        .await
        .map(Some)
}

async fn lose(
    tx: &mut Tx,
    agent: AgentId,
    job: JobId,
    now: DateTime<Utc>,
) -> Result<Option<Moved>> {
    let Some(row) = jobs::lock(tx, job).await? else {
        return Ok(None);
    };
    jobs::apply(
        tx,
        &row,
        Event::Lost,
        Actor::Agent(agent),
        Detail::None,
        now,
    )
    .await
    .map(Some)
}

/// Each restore from backup raises an incarnation by one: nobody has restored so often. A target that
/// had to go beyond a higher one would run out of incarnations.
const MOST_INCARNATIONS: u32 = 1 << 24;

fn refuse_impossible_fences(seen: &[(TargetId, Fence)]) -> Result<()> {
    let impossible = seen
        .iter()
        .find(|(_, fence)| fence.incarnation > MOST_INCARNATIONS);
    match impossible {
        None => Ok(()),
        Some((_, fence)) => Err(StoreError::Invalid {
            field: "fences",
            message: format!("nobody can have given out the fence {fence}"),
            remedy: "look at the agent's journal".to_owned(),
        }),
    }
}

/// An agent that has seen a higher fence than we gave out tells us that our database is older than
/// its journal: a backup was restored. All that it may have seen is outdated at once.
async fn raise_fences(
    tx: &mut Tx,
    agent: AgentId,
    seen: &[(TargetId, Fence)],
    now: DateTime<Utc>,
) -> Result<()> {
    for (target, ours) in targets::fences(tx, agent).await? {
        let highest = seen
            .iter()
            .filter(|(of, _)| *of == target)
            .map(|(_, fence)| *fence)
            .max();
        let Some(theirs) = highest.filter(|theirs| *theirs > ours) else {
            continue;
        };
        targets::raise_incarnation(tx, target, theirs.incarnation, now).await?;
        let entry = Entry {
            chain: target.uuid(),
            team: None,
            actor: Actor::Agent(agent),
            action: "target.raise_incarnation",
            subject: ("target", Some(target.uuid())),
            detail: serde_json::json!({ "ours": ours.to_string(), "theirs": theirs.to_string() }),
        };
        audit::append(tx, &entry, now).await?;
    }
    Ok(())
}
