//! Jobs: reads one, asks the pure rules what an event does to it, and has that written.

use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::Fence;
use towline_shared::failpoint::reach;
use towline_shared::ids::{AgentId, DeploymentId, JobId, TargetId, TeamId};
use towline_shared::outcome::{Outcome, Step as WorkStep};
use towline_shared::protocol::v1::Attempt;
use towline_shared::spec::Interruption;
use uuid::Uuid;

use super::audit::Actor;
use super::db::{Tx, all, execute, optional};
use super::{Result, Store, StoreError, builds_elsewhere, counted, job_changes, targets};
use crate::job::state::Change;
use crate::job::{Begun, Cancel, Event, Job, JobState, Reply, state};

/// How long an offer or a silent session may last.
pub(crate) const LEASE: TimeDelta = TimeDelta::seconds(30);

// As in `reports`: the condition of an index stands in each of these word for word.
pub(super) const LIVE: &str = "SELECT id, fence_incarnation, fence_epoch FROM jobs
     WHERE agent_id = $1 AND state IN ('offered', 'accepted', 'running', 'unknown') ORDER BY id";
pub(super) const OUT_OF_SIGHT: &str = "SELECT j.id FROM jobs j JOIN agents a ON a.id = j.agent_id
     WHERE j.agent_id = $1 AND j.state IN ('offered', 'accepted', 'running', 'unknown') AND j.state = 'unknown'
        AND a.session_id = $2 ORDER BY j.id";
pub(super) const UNFINISHED: &str =
    "SELECT j.id FROM deployment_targets t JOIN jobs j ON j.target_id = t.id
     WHERE t.agent_id = $1 AND j.state = 'queued'
     UNION ALL
     SELECT j.id FROM deployment_targets t JOIN jobs j ON j.target_id = t.id
     WHERE t.agent_id = $1 AND j.state IN ('offered', 'accepted', 'running', 'unknown')
     ORDER BY 1";

/// A job's row, without its specification.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct JobRow {
    pub(super) id: Uuid,
    pub(super) deployment_id: Uuid,
    pub(super) team_id: Uuid,
    pub(super) target_id: Uuid,
    agent_id: Option<Uuid>,
    pub(super) state: String,
    pub(super) fence_incarnation: i64,
    pub(super) fence_epoch: i64,
    interruption: String,
    cancel_requested_at: Option<DateTime<Utc>>,
    pub(super) started_at: Option<DateTime<Utc>>,
    /// Since when its agent builds images.
    pub(super) building_since: Option<DateTime<Utc>>,
    /// The deployment that waits for the images that it builds.
    pub(super) builds_for: Option<Uuid>,
}

impl JobRow {
    pub(crate) fn id(&self) -> JobId {
        self.id.into()
    }

    pub(crate) fn deployment(&self) -> DeploymentId {
        self.deployment_id.into()
    }

    /// The deployment that people asked for: for a build, the one that waits for it.
    pub(crate) fn asked_for(&self) -> DeploymentId {
        self.builds_for.unwrap_or(self.deployment_id).into()
    }

    pub(crate) fn target(&self) -> TargetId {
        self.target_id.into()
    }

    pub(crate) fn agent(&self) -> Option<AgentId> {
        self.agent_id.map(Into::into)
    }

    pub(crate) fn fence(&self) -> Result<Fence> {
        targets::fence(self.fence_incarnation, self.fence_epoch)
    }

    pub(crate) fn state(&self) -> Result<JobState> {
        self.state
            .parse()
            .map_err(|error| StoreError::Damaged(format!("{error}")))
    }

    /// What of the row decides its transitions.
    pub(crate) fn job(&self) -> Result<Job> {
        Ok(Job {
            state: self.state()?,
            fence: self.fence()?,
            cancel: if self.cancel_requested_at.is_some() {
                Cancel::Requested
            } else {
                Cancel::No
            },
            begun: if self.started_at.is_some() {
                Begun::Yes
            } else {
                Begun::No
            },
            interruption: interruption(&self.interruption)?,
        })
    }
}

/// How much a log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogSize {
    pub(crate) lines: u64,
    /// As they are stored: compressed.
    pub(crate) bytes: u64,
}

/// What comes with an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Detail<'a> {
    /// Nothing.
    None,
    /// Who takes it.
    Agent(AgentId),
    /// Where the work is.
    Step(WorkStep),
    /// How the work ended, and how much its log has.
    Outcome(&'a Outcome, LogSize),
    /// What to tell people.
    Message(&'a str),
}

/// What an event did, to be told to those who wait once it is committed.
#[derive(Clone, Debug)]
pub(crate) struct Moved {
    pub(crate) reply: Reply,
    pub(crate) change: Change,
    pub(crate) job: JobId,
    pub(crate) deployment: DeploymentId,
    pub(crate) agent: Option<AgentId>,
    /// What happened to the job that waited for this one's images.
    pub(crate) next: Option<Next>,
}

/// What became of a job that waited for images.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Next {
    pub(crate) job: JobId,
    pub(crate) deployment: DeploymentId,
    /// Whose turn it is now.
    pub(crate) agent: Option<AgentId>,
}

/// Marks that a change of a job is durable.
fn committed(change: Change) {
    match change {
        Change::Offer(_) => reach("plane: committed an offer"),
        Change::Go(JobState::Accepted) => reach("plane: committed an acceptance"),
        Change::Go(JobState::Running) => reach("plane: committed a beginning"),
        Change::Go(_) => reach("plane: committed a loss of sight"),
        Change::Requeue(_) => reach("plane: committed a requeue"),
        Change::Note => reach("plane: committed a step"),
        Change::RequestCancel => reach("plane: committed a cancel's intent"),
        Change::End(_) => reach("plane: committed an end"),
        Change::CancelNow => reach("plane: committed a cancel"),
        // An end without an agent: it was revoked, has lost its journal, or cannot read the job.
        Change::Fail(_) | Change::None => {}
    }
}

impl Store {
    /// Wakes who waits for what was moved. To be called after the commit.
    pub(crate) fn announce(&self, moved: &Moved) {
        if moved.change == Change::None {
            return;
        }
        committed(moved.change);
        self.wake().deployment(moved.deployment);
        let frees_the_target = matches!(
            moved.change,
            Change::Requeue(_)
                | Change::End(_)
                | Change::CancelNow
                | Change::Fail(_)
                | Change::RequestCancel
        );
        if !frees_the_target {
            return;
        }
        self.wake().log(moved.job);
        if matches!(
            moved.change,
            Change::End(_) | Change::CancelNow | Change::Fail(_)
        ) {
            self.wake().outbox();
        }
        if let Some(agent) = moved.agent {
            self.wake().agent(agent);
        }
        if let Some(next) = moved.next {
            self.wake().deployment(next.deployment);
            self.wake().log(next.job);
            if let Some(agent) = next.agent {
                self.wake().agent(agent);
            }
        }
    }

    /// How many jobs of the installation that have not ended are in each state. Those that have are
    /// too many to count at each scrape.
    pub async fn count_jobs(&self) -> Result<Vec<(JobState, u64)>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (String, i64),
            "SELECT state, COUNT(*) FROM jobs WHERE state = 'queued' GROUP BY state
             UNION ALL
             SELECT state, COUNT(*) FROM jobs WHERE state IN ('offered', 'accepted', 'running', 'unknown') GROUP BY state
             ORDER BY state"
        )?;
        let count = |(state, count): (String, i64)| {
            let state = state
                .parse()
                .map_err(|error| StoreError::Damaged(format!("{error}")))?;
            Ok((state, counted(count)))
        };
        rows.into_iter().map(count).collect()
    }
}

/// Reads a job and keeps it as it is until the commit.
pub(crate) async fn lock(tx: &mut Tx, job: JobId) -> Result<Option<JobRow>> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id, deployment_id, team_id, target_id, agent_id, state, fence_incarnation, fence_epoch, interruption,
            cancel_requested_at, started_at, building_since, builds_for FROM jobs WHERE id = $1",
        "SELECT id, deployment_id, team_id, target_id, agent_id, state, fence_incarnation, fence_epoch, interruption,
            cancel_requested_at, started_at, building_since, builds_for FROM jobs WHERE id = $1 FOR NO KEY UPDATE",
    );
    Ok(optional!(conn, JobRow, sql, job.uuid())?)
}

/// What an agent holds or may hold.
pub(crate) async fn live(tx: &mut Tx, agent: AgentId) -> Result<Vec<Attempt>> {
    let rows = all!(tx.conn(), (Uuid, i64, i64), LIVE, agent.uuid())?;
    let attempt = |(id, incarnation, epoch): (Uuid, i64, i64)| {
        Ok(Attempt {
            job: id.into(),
            fence: targets::fence(incarnation, epoch)?,
        })
    };
    rows.into_iter().map(attempt).collect()
}

/// The jobs of an agent that count as out of reach, though this session speaks for it.
pub(crate) async fn out_of_sight(tx: &mut Tx, agent: AgentId, session: Uuid) -> Result<Vec<JobId>> {
    let rows = all!(tx.conn(), (Uuid,), OUT_OF_SIGHT, agent.uuid(), session)?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}

/// The jobs of an agent's targets that have not ended: held ones, and those that wait for it.
pub(crate) async fn unfinished(tx: &mut Tx, agent: AgentId) -> Result<Vec<JobId>> {
    let rows = all!(tx.conn(), (Uuid,), UNFINISHED, agent.uuid())?;
    Ok(rows.into_iter().map(|(id,)| id.into()).collect())
}

/// Lets an event happen to a locked job.
pub(crate) async fn apply(
    tx: &mut Tx,
    row: &JobRow,
    event: Event,
    actor: Actor,
    detail: Detail<'_>,
    now: DateTime<Utc>,
) -> Result<Moved> {
    let step = state::step(&row.job()?, event);
    job_changes::write(tx, row, step.change, actor, detail, now).await?;
    let next = builds_elsewhere::ended(tx, row, step.change, now).await?;
    let agent = match detail {
        Detail::Agent(taker) => Some(taker),
        _ => row.agent(),
    };
    Ok(Moved {
        reply: step.reply,
        change: step.change,
        job: row.id(),
        deployment: row.deployment(),
        agent,
        next,
    })
}

/// A new job's row.
pub(crate) struct NewJob<'a> {
    pub(crate) id: JobId,
    pub(crate) deployment: DeploymentId,
    pub(crate) team: TeamId,
    pub(crate) target: TargetId,
    pub(crate) interruption: &'a str,
    pub(crate) spec: &'a [u8],
    pub(crate) digest: [u8; 32],
    /// The deployment that waits for the images that it builds.
    pub(crate) builds_for: Option<DeploymentId>,
}

pub(crate) async fn insert(tx: &mut Tx, job: &NewJob<'_>, now: DateTime<Utc>) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO jobs (id, deployment_id, team_id, target_id, state, fence_incarnation, fence_epoch, interruption,
            spec, spec_digest, created_at, updated_at, builds_for)
         VALUES ($1, $2, $3, $4, 'queued', 0, 0, $5, $6, $7, $8, $8, $9)",
        job.id.uuid(),
        job.deployment.uuid(),
        job.team.uuid(),
        job.target.uuid(),
        job.interruption,
        job.spec,
        job.digest.as_slice(),
        now,
        job.builds_for.map(DeploymentId::uuid)
    )?;
    Ok(())
}

/// The name of an interruption policy in the API and the database.
pub(crate) const fn interruption_name(interruption: Interruption) -> &'static str {
    match interruption {
        Interruption::Resume => "resume",
        Interruption::Fail => "fail",
        Interruption::RequeueIfNotStarted => "requeue_if_not_started",
    }
}

/// The interruption policy of this name.
pub(crate) fn interruption(name: &str) -> Result<Interruption> {
    [
        Interruption::Resume,
        Interruption::Fail,
        Interruption::RequeueIfNotStarted,
    ]
    .into_iter()
    .find(|policy| interruption_name(*policy) == name)
    .ok_or_else(|| StoreError::Damaged(format!("{name:?} is no interruption policy")))
}
