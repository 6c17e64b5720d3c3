//! What an event writes: the job by compare-and-swap on its state and fence, its attempt, its
//! deployment and the audit log.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::types::Json;
use towline_shared::Fence;
use towline_shared::ids::{AgentId, TeamId};
use towline_shared::outcome::{FailureReason, Outcome};
use uuid::Uuid;

use super::audit::{self, Actor, Entry};
use super::db::{Tx, execute};
use super::deployments::{BuiltImage, Image};
use super::jobs::{Detail, JobRow, LEASE, LogSize};
use super::previews::Preview;
use super::text::{storable, storable_json};
use super::usage::{self, Metric};
use super::{
    Result, StoreError, builds, builds_elsewhere, commit_statuses, notification_events, pipelines,
    plugin_events, stored, targets, webhook_events,
};
use crate::job::state::{Change, Requeue};
use crate::job::{Ending, JobState};

/// How long a job waits after its agent could not take it.
pub(super) const RETRY_AFTER: TimeDelta = TimeDelta::seconds(5);

/// Writes a change of a locked job.
pub(super) async fn write(
    tx: &mut Tx,
    row: &JobRow,
    change: Change,
    actor: Actor,
    detail: Detail<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    match change {
        Change::None => return Ok(()),
        Change::Note => return note(tx, row, detail, now).await,
        Change::Offer(fence) => match detail {
            Detail::Agent(agent) => offer(tx, row, fence, agent, now).await?,
            _ => {
                return Err(StoreError::Damaged(format!(
                    "job {} was offered to nobody",
                    row.id
                )));
            }
        },
        Change::Go(to) => {
            go(tx, row, to, now).await?;
            note(tx, row, detail, now).await?;
            // An agent that comes back and goes on renews the lease, and moves nothing.
            if row.state == to.as_str() {
                return Ok(());
            }
        }
        Change::Requeue(when) => requeue(tx, row, when, now).await?,
        Change::RequestCancel => request_cancel(tx, row, now).await?,
        Change::End(_) | Change::CancelNow | Change::Fail(_) => {
            let end = End::of(change, row, detail)?;
            finish(tx, row, &end, now).await?;
            builds::tell_of_end(tx, row, plugin_events::of_build_end(end.state), now).await?;
            // What people asked for has not ended with a build for it.
            if row.builds_for.is_none() {
                tell_of_end(tx, row, end.state, now).await?;
            }
        }
    }
    write_audit(tx, row, change, actor, now).await
}

/// Tells all who want to know that a deployment has ended.
async fn tell_of_end(tx: &mut Tx, row: &JobRow, state: JobState, now: DateTime<Utc>) -> Result<()> {
    let (team, deployment) = (row.team_id.into(), row.deployment());
    pipelines::end(tx, deployment, state, now).await?;
    commit_statuses::end(tx, deployment, state, now).await?;
    if let Some(event) = webhook_events::of_end(state) {
        webhook_events::emit(tx, deployment, event, now).await?;
    }
    if let Some(hook) = plugin_events::of_end(state) {
        plugin_events::deployment(tx, team, deployment, hook, now).await?;
    }
    notification_events::deployment_ended(tx, team, deployment, state, now).await
}

async fn offer(
    tx: &mut Tx,
    row: &JobRow,
    fence: Fence,
    agent: AgentId,
    now: DateTime<Utc>,
) -> Result<()> {
    let offered = execute!(
        tx.conn(),
        "UPDATE jobs SET state = 'offered', agent_id = $2, fence_incarnation = $3, fence_epoch = $4,
            lease_expires_at = $5, not_before = NULL, updated_at = $6
         WHERE id = $1 AND state = 'queued'",
        row.id,
        agent.uuid(),
        stored(fence.incarnation.into()),
        stored(fence.epoch),
        now + LEASE,
        now
    )?;
    swapped(offered, row)?;
    execute!(
        tx.conn(),
        "INSERT INTO job_attempts (id, job_id, agent_id, fence_incarnation, fence_epoch, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
        Uuid::now_v7(),
        row.id,
        agent.uuid(),
        stored(fence.incarnation.into()),
        stored(fence.epoch),
        now
    )?;
    execute!(
        tx.conn(),
        "UPDATE deployments SET status = 'offered', attempts = attempts + 1, updated_at = $2 WHERE id = $1",
        row.deployment_id,
        now
    )?;
    Ok(())
}

async fn go(tx: &mut Tx, row: &JobRow, to: JobState, now: DateTime<Utc>) -> Result<()> {
    let lease = (to != JobState::Unknown).then(|| now + LEASE);
    let started = (to == JobState::Running).then_some(now);
    let moved = execute!(
        tx.conn(),
        "UPDATE jobs SET state = $2, lease_expires_at = $3, started_at = COALESCE(started_at, $4), updated_at = $5
         WHERE id = $1 AND state = $6 AND fence_incarnation = $7 AND fence_epoch = $8",
        row.id,
        to.as_str(),
        lease,
        started,
        now,
        row.state.as_str(),
        row.fence_incarnation,
        row.fence_epoch
    )?;
    swapped(moved, row)?;
    execute!(
        tx.conn(),
        "UPDATE job_attempts SET accepted_at = COALESCE(accepted_at, $4), started_at = COALESCE(started_at, $5),
            updated_at = $4 WHERE job_id = $1 AND fence_incarnation = $2 AND fence_epoch = $3",
        row.id,
        row.fence_incarnation,
        row.fence_epoch,
        now,
        started
    )?;
    let offline_since = (to == JobState::Unknown).then_some(now);
    execute!(
        tx.conn(),
        "UPDATE deployments SET status = $2, started_at = COALESCE(started_at, $3), agent_offline_since = $4,
            updated_at = $5 WHERE id = $1",
        row.deployment_id,
        to.as_str(),
        started,
        offline_since,
        now
    )?;
    Ok(())
}

async fn requeue(tx: &mut Tx, row: &JobRow, when: Requeue, now: DateTime<Utc>) -> Result<()> {
    let not_before = (when == Requeue::Later).then(|| now + RETRY_AFTER);
    let moved = execute!(
        tx.conn(),
        "UPDATE jobs SET state = 'queued', lease_expires_at = NULL, not_before = $2, updated_at = $3
         WHERE id = $1 AND state = $4 AND fence_incarnation = $5 AND fence_epoch = $6",
        row.id,
        not_before,
        now,
        row.state.as_str(),
        row.fence_incarnation,
        row.fence_epoch
    )?;
    swapped(moved, row)?;
    end_attempt(tx, row, "requeued", now).await?;
    builds::end(tx, row, now).await?;
    execute!(
        tx.conn(),
        "UPDATE deployments SET status = 'queued', step = NULL, agent_offline_since = NULL, updated_at = $2 WHERE id = $1",
        row.deployment_id,
        now
    )?;
    if when == Requeue::RaisedFence {
        targets::raise_incarnation(tx, row.target(), row.fence()?.incarnation, now).await?;
    }
    Ok(())
}

async fn request_cancel(tx: &mut Tx, row: &JobRow, now: DateTime<Utc>) -> Result<()> {
    let moved = execute!(
        tx.conn(),
        "UPDATE jobs SET cancel_requested_at = $2, updated_at = $2
         WHERE id = $1 AND state = $3 AND fence_incarnation = $4 AND fence_epoch = $5",
        row.id,
        now,
        row.state.as_str(),
        row.fence_incarnation,
        row.fence_epoch
    )?;
    swapped(moved, row)?;
    let sql = "UPDATE deployments SET cancel_requested_at = $2, updated_at = $2 WHERE id = $1";
    execute!(tx.conn(), sql, row.deployment_id, now)?;
    Ok(())
}

async fn note(tx: &mut Tx, row: &JobRow, detail: Detail<'_>, now: DateTime<Utc>) -> Result<()> {
    if let Detail::Step(step) = detail {
        let sql = "UPDATE deployments SET step = $2, updated_at = $3 WHERE id = $1";
        execute!(tx.conn(), sql, row.deployment_id, step.as_str(), now)?;
        builds::come_to(tx, row, step, now).await?;
        pipelines::come_to(tx, row, step, now).await?;
    }
    Ok(())
}

/// How a job ends, as it is written.
struct End {
    state: JobState,
    reason: Option<FailureReason>,
    message: Option<String>,
    images: Option<Vec<Image>>,
    built: Option<Vec<BuiltImage>>,
    preview: Option<Preview>,
    log: Option<LogSize>,
}

impl End {
    fn of(change: Change, row: &JobRow, detail: Detail<'_>) -> Result<Self> {
        let given = match detail {
            Detail::Message(message) => Some(message.to_owned()),
            _ => None,
        };
        let plain = |state, reason, message: &str| Self {
            state,
            reason,
            message: Some(given.clone().unwrap_or_else(|| message.to_owned())),
            images: None,
            built: None,
            preview: None,
            log: None,
        };
        match (change, detail) {
            (Change::End(_), Detail::Outcome(outcome, log)) => Ok(Self::of_outcome(outcome, log)),
            (Change::CancelNow, _) => Ok(plain(JobState::Cancelled, None, cancelled_message(row))),
            (Change::Fail(reason), _) => Ok(plain(
                JobState::Failed,
                Some(reason),
                failure_message(reason),
            )),
            _ => Err(StoreError::Damaged(format!(
                "job {} ended without an outcome",
                row.id
            ))),
        }
    }

    fn of_outcome(outcome: &Outcome, log: LogSize) -> Self {
        let (state, reason, message, images) = match outcome {
            Outcome::Succeeded { images } => (
                JobState::Succeeded,
                None,
                None,
                Some(images.iter().map(Image::from).collect()),
            ),
            Outcome::Ran { images } | Outcome::Built { images, .. } => (
                JobState::Succeeded,
                None,
                None,
                Some(images.iter().map(Image::from).collect()),
            ),
            Outcome::Previewed(_) => (JobState::Succeeded, None, None, None),
            Outcome::Failed { reason, message } => {
                (JobState::Failed, Some(*reason), Some(message.clone()), None)
            }
            Outcome::Cancelled { left } => (JobState::Cancelled, None, Some(left.clone()), None),
        };
        Self {
            state,
            reason,
            message,
            images,
            built: match outcome {
                Outcome::Built { built, .. } => Some(built.iter().map(BuiltImage::from).collect()),
                _ => None,
            },
            preview: match outcome {
                Outcome::Previewed(preview) => Some(preview.as_ref().into()),
                _ => None,
            },
            log: Some(log),
        }
    }
}

const fn cancelled_message(row: &JobRow) -> &'static str {
    if row.started_at.is_none() {
        "cancelled before anything was changed on the host"
    } else {
        "cancelled; an earlier attempt may have changed something on the host before it was lost"
    }
}

const fn failure_message(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::AgentRevoked => {
            "the agent was revoked; whatever it had begun stays on its host as it is; enrol the host again to go on"
        }
        FailureReason::JournalLost => {
            "the agent came back without its journal: what became of the work cannot be told; look at the host, then retry"
        }
        FailureReason::BuildFailed => {
            "its images were to be built on another host, and were not; look at that build's log, then retry"
        }
        _ => {
            "the agent cannot read the job; upgrade the agent to the control plane's version, then retry"
        }
    }
}

async fn finish(tx: &mut Tx, row: &JobRow, end: &End, now: DateTime<Utc>) -> Result<()> {
    let moved = execute!(
        tx.conn(),
        "UPDATE jobs SET state = $2, spec = NULL, lease_expires_at = NULL, not_before = NULL, finished_at = $3,
            updated_at = $3
         WHERE id = $1 AND state = $4 AND fence_incarnation = $5 AND fence_epoch = $6",
        row.id,
        end.state.as_str(),
        now,
        row.state.as_str(),
        row.fence_incarnation,
        row.fence_epoch
    )?;
    swapped(moved, row)?;
    end_attempt(tx, row, end.state.as_str(), now).await?;
    let images = match &end.images {
        Some(images) => Some(builds_elsewhere::with_digests(tx, row, images).await?),
        None => None,
    };
    execute!(
        tx.conn(),
        "UPDATE deployments SET status = $2, step = NULL, reason = $3, message = $4, images = $5, log_lines = $6,
            agent_offline_since = NULL, finished_at = $7, updated_at = $7, preview = $8, built = $9 WHERE id = $1",
        row.deployment_id,
        end.state.as_str(),
        end.reason.map(FailureReason::as_str),
        end.message.as_deref().map(storable),
        images.as_ref().map(storable_json).transpose()?.map(Json),
        end.log.map(|log| stored(log.lines)),
        now,
        end.preview.as_ref().map(storable_json).transpose()?.map(Json),
        end.built.as_ref().map(storable_json).transpose()?.map(Json)
    )?;
    builds::end(tx, row, now).await?;
    let bytes = end.log.map_or(0, |log| log.bytes);
    usage::add(tx, row.deployment(), Metric::LogBytes, bytes, now).await
}

async fn end_attempt(tx: &mut Tx, row: &JobRow, ending: &str, now: DateTime<Utc>) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE job_attempts SET ended_at = $4, ending = $5, updated_at = $4
         WHERE job_id = $1 AND fence_incarnation = $2 AND fence_epoch = $3 AND ended_at IS NULL",
        row.id,
        row.fence_incarnation,
        row.fence_epoch,
        now,
        ending
    )?;
    Ok(())
}

/// The row is locked, so a swap that fails is a fault of ours; the transaction is taken back.
fn swapped(rows: u64, row: &JobRow) -> Result<()> {
    if rows == 1 {
        Ok(())
    } else {
        Err(StoreError::Damaged(format!(
            "job {} changed while it was locked",
            row.id
        )))
    }
}

async fn write_audit(
    tx: &mut Tx,
    row: &JobRow,
    change: Change,
    actor: Actor,
    now: DateTime<Utc>,
) -> Result<()> {
    let (action, detail) = describe(change);
    let entry = Entry {
        chain: row.target_id,
        team: Some(TeamId::from(row.team_id)),
        actor,
        action,
        subject: ("deployment", Some(row.deployment_id)),
        detail: json!({ "from": row.state, "fence": row.fence()?.to_string(), "change": detail, "to": ends_as(change) }),
    };
    audit::append(tx, &entry, now).await
}

const fn ends_as(change: Change) -> Option<JobState> {
    match change {
        Change::End(Ending::Succeeded) => Some(JobState::Succeeded),
        Change::End(Ending::Cancelled) | Change::CancelNow => Some(JobState::Cancelled),
        Change::End(Ending::Failed) | Change::Fail(_) => Some(JobState::Failed),
        _ => None,
    }
}

fn describe(change: Change) -> (&'static str, Value) {
    match change {
        Change::None | Change::Note => ("job.note", Value::Null),
        Change::Offer(fence) => ("job.offer", json!(fence.to_string())),
        Change::Go(JobState::Accepted) => ("job.accept", Value::Null),
        Change::Go(JobState::Running) => ("job.run", Value::Null),
        Change::Go(_) => ("job.lose_sight", Value::Null),
        Change::Requeue(Requeue::RaisedFence) => ("job.requeue", json!("stale fence")),
        Change::Requeue(_) => ("job.requeue", Value::Null),
        Change::RequestCancel => ("job.request_cancel", Value::Null),
        Change::End(_) => ("job.finish", Value::Null),
        Change::CancelNow => ("job.cancel", Value::Null),
        Change::Fail(reason) => ("job.fail", json!(reason.as_str())),
    }
}
