//! Pipelines: the ways of commits to targets, which agents go part by part.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use towline_shared::ids::{DeploymentId, JobId, PipelineId, ProjectId};
use towline_shared::outcome::Step as WorkStep;
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, optional};
use super::jobs::JobRow;
use super::page::{Listed, Page};
use super::{Resource, Result, Store, StoreError, Tenant, stored};
use crate::domain::pipeline::{self, Part, PartStatus, PipelineEnd, Place};
use crate::job::JobState;

/// The way of a commit to a target.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Pipeline {
    /// The pipeline's id.
    #[schema(value_type = Uuid)]
    pub id: PipelineId,
    /// Its project.
    #[schema(value_type = Uuid)]
    pub project_id: ProjectId,
    /// Who goes it: `towline`, when agents do.
    pub provider: String,
    /// `pending`, `running`, `succeeded`, `failed` or `cancelled`.
    pub status: String,
    /// The commit.
    pub commit_sha: String,
    /// The branch that it was the last commit of.
    pub branch: Option<String>,
    /// The first line of its message.
    pub title: String,
    /// The deployment that it is the way of.
    #[schema(value_type = Option<Uuid>)]
    pub deployment_id: Option<DeploymentId>,
    /// Where its log is read.
    pub log_url: Option<String>,
    /// Its parts, in their order.
    pub steps: Vec<PipelineStep>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

/// A part of a pipeline.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PipelineStep {
    /// `clone`, `build`, `relay` or `deploy`.
    pub name: String,
    /// `pending`, `running`, `succeeded`, `failed`, `cancelled` or `skipped`.
    pub status: String,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A commit on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewPipeline<'a> {
    pub(crate) project: ProjectId,
    pub(crate) deployment: DeploymentId,
    pub(crate) job: JobId,
    pub(crate) commit: &'a str,
    pub(crate) branch: Option<&'a str>,
    pub(crate) title: &'a str,
    /// The job that builds its images on another host.
    pub(crate) built_by: Option<JobId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    project_id: Uuid,
    provider: String,
    status: String,
    commit_sha: String,
    branch: Option<String>,
    title: String,
    deployment_id: Option<Uuid>,
    log_url: Option<String>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct StepRow {
    pipeline_id: Uuid,
    name: String,
    status: String,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

/// The columns of [`Row`].
macro_rules! select_pipelines {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.project_id, c.provider, c.status, c.commit_sha, c.branch, c.title, c.deployment_id, c.log_url,
                c.started_at, c.finished_at, c.created_at FROM ci_pipelines c ",
            $rest
        )
    };
}

impl Store {
    /// The pipelines of a project, newest first.
    pub async fn list_pipelines(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        page: Page,
    ) -> Result<Listed<Pipeline>> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_pipelines!("WHERE c.project_id = $1 AND c.id < $2 ORDER BY c.id DESC LIMIT $3"),
            project.uuid(),
            page.before(),
            page.fetch()
        )?;
        let steps = all!(
            reader.conn(),
            StepRow,
            "SELECT s.pipeline_id, s.name, s.status, s.started_at, s.finished_at FROM pipeline_steps s
             WHERE s.pipeline_id IN (SELECT c.id FROM ci_pipelines c
                WHERE c.project_id = $1 AND c.id < $2 ORDER BY c.id DESC LIMIT $3)
             ORDER BY s.pipeline_id, s.position",
            project.uuid(),
            page.before(),
            page.fetch()
        )?;
        Ok(page.cut(assemble(rows, steps), |pipeline| pipeline.id.uuid()))
    }

    /// One pipeline of a project.
    pub async fn pipeline(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        id: PipelineId,
    ) -> Result<Pipeline> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            Row,
            select_pipelines!("WHERE c.id = $1 AND c.project_id = $2 AND c.team_id = $3"),
            id.uuid(),
            project.uuid(),
            tenant.team().uuid()
        )?;
        let row = row.ok_or(StoreError::NotFound(Resource::Pipeline))?;
        let steps = all!(
            reader.conn(),
            StepRow,
            "SELECT pipeline_id, name, status, started_at, finished_at FROM pipeline_steps
             WHERE pipeline_id = $1 ORDER BY position",
            id.uuid()
        )?;
        let found = assemble(vec![row], steps).pop();
        found.ok_or(StoreError::NotFound(Resource::Pipeline))
    }
}

fn assemble(rows: Vec<Row>, steps: Vec<StepRow>) -> Vec<Pipeline> {
    let mut of: HashMap<Uuid, Vec<PipelineStep>> = HashMap::new();
    for step in steps {
        of.entry(step.pipeline_id).or_default().push(PipelineStep {
            name: step.name,
            status: step.status,
            started_at: step.started_at,
            finished_at: step.finished_at,
        });
    }
    let pipeline = |row: Row| Pipeline {
        id: row.id.into(),
        project_id: row.project_id.into(),
        provider: row.provider,
        status: row.status,
        commit_sha: row.commit_sha,
        branch: row.branch,
        title: row.title,
        deployment_id: row.deployment_id.map(Into::into),
        log_url: row.log_url,
        steps: of.remove(&row.id).unwrap_or_default(),
        started_at: row.started_at,
        finished_at: row.finished_at,
        created_at: row.created_at,
    };
    rows.into_iter().map(pipeline).collect()
}

/// Begins the way of a commit: with the deployment that it is the way of.
pub(crate) async fn insert(
    tx: &mut Tx,
    tenant: &Tenant,
    new: NewPipeline<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    let id = PipelineId::new();
    execute!(
        tx.conn(),
        "INSERT INTO ci_pipelines (id, team_id, project_id, deployment_id, provider, status, commit_sha, branch, title,
            log_url, created_at, updated_at)
         VALUES ($1, $2, $3, $4, 'towline', 'pending', $5, $6, $7, $8, $9, $9)",
        id.uuid(),
        tenant.team().uuid(),
        new.project.uuid(),
        new.deployment.uuid(),
        new.commit,
        new.branch,
        new.title,
        format!("/api/v1/deployments/{}/log", new.deployment),
        now
    )?;
    let parts = Part::all(new.built_by.is_some());
    for (position, part) in parts.iter().enumerate() {
        let job = match part.place() {
            Place::Builder => new.built_by.unwrap_or(new.job),
            Place::Target => new.job,
        };
        execute!(
            tx.conn(),
            "INSERT INTO pipeline_steps (id, pipeline_id, position, name, status, log, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 'pending', $5, $6, $6)",
            Uuid::now_v7(),
            id.uuid(),
            stored(position as u64),
            part.as_str(),
            job.uuid(),
            now
        )?;
    }
    Ok(())
}

/// The agent of a deployment has come to a step of its work.
pub(super) async fn come_to(
    tx: &mut Tx,
    row: &JobRow,
    step: WorkStep,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(part) = Part::of(step) else {
        return Ok(());
    };
    let Some(parts) = Parts::of(tx, row.asked_for()).await? else {
        return Ok(());
    };
    // Who runs what another host has built fetches the commit once more, for its files: that is no part of its own.
    let at = parts.names.iter().position(|one| one == part.as_str());
    let is_built = parts.names.iter().any(|name| name == Part::Relay.as_str());
    let (Some(at), false) = (
        at,
        is_built && row.builds_for.is_none() && part == Part::Clone,
    ) else {
        return Ok(());
    };
    let next = pipeline::come_to(&parts.statuses, at);
    parts.write(tx, &next, now).await?;
    execute!(
        tx.conn(),
        "UPDATE ci_pipelines SET status = 'running', started_at = COALESCE(started_at, $2), updated_at = $2 WHERE id = $1",
        parts.pipeline,
        now
    )?;
    Ok(())
}

/// The deployment has ended, and with it the way of its commit.
pub(super) async fn end(
    tx: &mut Tx,
    deployment: DeploymentId,
    state: JobState,
    now: DateTime<Utc>,
) -> Result<()> {
    let how = match state {
        JobState::Succeeded => PipelineEnd::Succeeded,
        JobState::Cancelled => PipelineEnd::Cancelled,
        _ => PipelineEnd::Failed,
    };
    let Some(parts) = Parts::of(tx, deployment).await? else {
        return Ok(());
    };
    let next = pipeline::end(&parts.statuses, how);
    parts.write(tx, &next, now).await?;
    execute!(
        tx.conn(),
        "UPDATE ci_pipelines SET status = $2, finished_at = $3, updated_at = $3 WHERE id = $1",
        parts.pipeline,
        how.as_str(),
        now
    )?;
    Ok(())
}

/// The parts of a deployment's pipeline, as they are.
struct Parts {
    pipeline: Uuid,
    names: Vec<String>,
    statuses: Vec<PartStatus>,
}

impl Parts {
    /// Most deployments have none: what is uploaded has no commit.
    async fn of(tx: &mut Tx, deployment: DeploymentId) -> Result<Option<Self>> {
        let rows = all!(
            tx.conn(),
            (Uuid, String, String),
            "SELECT c.id, s.name, s.status FROM ci_pipelines c JOIN pipeline_steps s ON s.pipeline_id = c.id
             WHERE c.deployment_id = $1 ORDER BY s.position",
            deployment.uuid()
        )?;
        let Some((pipeline, ..)) = rows.first() else {
            return Ok(None);
        };
        let pipeline = *pipeline;
        let statuses = rows.iter().map(|(.., status)| {
            let damaged = |error| StoreError::Damaged(format!("a step of a pipeline: {error}"));
            status.parse().map_err(damaged)
        });
        Ok(Some(Self {
            pipeline,
            names: rows.iter().map(|(_, name, _)| name.clone()).collect(),
            statuses: statuses.collect::<Result<_>>()?,
        }))
    }

    async fn write(&self, tx: &mut Tx, next: &[PartStatus], now: DateTime<Utc>) -> Result<()> {
        let changed = self.statuses.iter().zip(next).enumerate();
        for (position, (_, next)) in changed.filter(|(_, (before, next))| before != next) {
            let (began, ended) = match next {
                PartStatus::Pending => (None, None),
                PartStatus::Running => (Some(now), None),
                _ => (None, Some(now)),
            };
            execute!(
                tx.conn(),
                "UPDATE pipeline_steps SET status = $3, started_at = CASE WHEN $3 IN ('pending', 'running') THEN $4
                    ELSE started_at END, finished_at = $5, updated_at = $6 WHERE pipeline_id = $1 AND position = $2",
                self.pipeline,
                stored(position as u64),
                next.as_str(),
                began,
                ended,
                now
            )?;
        }
        Ok(())
    }
}
