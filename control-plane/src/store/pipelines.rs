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
use crate::domain::pipeline::{self, LineRange, Part, PartStatus, PipelineEnd, Place};
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
    /// Its lines, when it has begun; none of an agent that does not tell where, whose lines are those of the part before.
    pub log: Option<StepLog>,
}

/// The lines of a part. Each line of a log is in one part.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StepLog {
    /// The deployment in whose log they are: that of the build, where another host builds.
    #[schema(value_type = Uuid)]
    pub deployment_id: DeploymentId,
    /// The number of the first line.
    pub from: u64,
    /// The number behind the last one; none, when they go to the end of the log.
    pub to: Option<u64>,
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
    log_from: Option<i64>,
    log_of: Option<Uuid>,
}

/// The columns of [`StepRow`].
macro_rules! select_steps {
    ($rest:literal) => {
        concat!(
            "SELECT s.pipeline_id, s.name, s.status, s.started_at, s.finished_at, s.log_from, j.deployment_id AS log_of
             FROM pipeline_steps s LEFT JOIN jobs j ON j.id = s.log ",
            $rest
        )
    };
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
            select_steps!(
                "WHERE s.pipeline_id IN (SELECT c.id FROM ci_pipelines c
                    WHERE c.project_id = $1 AND c.id < $2 ORDER BY c.id DESC LIMIT $3)
                 ORDER BY s.pipeline_id, s.position"
            ),
            project.uuid(),
            page.before(),
            page.fetch()
        )?;
        Ok(page.cut(assemble(rows, &steps)?, |pipeline| pipeline.id.uuid()))
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
            select_steps!("WHERE s.pipeline_id = $1 ORDER BY s.position"),
            id.uuid()
        )?;
        let found = assemble(vec![row], &steps)?.pop();
        found.ok_or(StoreError::NotFound(Resource::Pipeline))
    }
}

fn assemble(rows: Vec<Row>, steps: &[StepRow]) -> Result<Vec<Pipeline>> {
    let mut of: HashMap<Uuid, Vec<PipelineStep>> = HashMap::new();
    for steps in steps.chunk_by(|one, next| one.pipeline_id == next.pipeline_id) {
        for (step, log) in steps.iter().zip(logs(steps)?) {
            of.entry(step.pipeline_id).or_default().push(PipelineStep {
                name: step.name.clone(),
                status: step.status.clone(),
                started_at: step.started_at,
                finished_at: step.finished_at,
                log,
            });
        }
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
    Ok(rows.into_iter().map(pipeline).collect())
}

/// The lines of a pipeline's steps. Neighbours may share a log.
fn logs(steps: &[StepRow]) -> Result<Vec<Option<StepLog>>> {
    let mut all = Vec::with_capacity(steps.len());
    for steps in steps.chunk_by(|one, next| one.log_of == next.log_of) {
        let begins = steps.iter().map(|step| line(step.log_from));
        let parts = pipeline::log_parts(&begins.collect::<Result<Vec<_>>>()?);
        all.extend(steps.iter().zip(parts).map(|(step, part)| {
            let LineRange { from, to } = part?;
            Some(StepLog {
                deployment_id: step.log_of?.into(),
                from,
                to,
            })
        }));
    }
    Ok(all)
}

fn line(stored: Option<i64>) -> Result<Option<u64>> {
    let damaged = |_| StoreError::Damaged("the number of a log's line".to_owned());
    stored.map(u64::try_from).transpose().map_err(damaged)
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
    let mut before = None;
    for (position, part) in parts.iter().enumerate() {
        let job = match part.place() {
            Place::Builder => new.built_by.unwrap_or(new.job),
            Place::Target => new.job,
        };
        // What stands in a log before all its parts is the first one's.
        let log_from = (before != Some(job)).then_some(0_i64);
        before = Some(job);
        execute!(
            tx.conn(),
            "INSERT INTO pipeline_steps (id, pipeline_id, position, name, status, log, log_from, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $7)",
            Uuid::now_v7(),
            id.uuid(),
            stored(position as u64),
            part.as_str(),
            job.uuid(),
            log_from,
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
    let Some((parts, at)) = Parts::at(tx, row, step).await? else {
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

/// A step of a job's work begins at a line of its log.
pub(super) async fn begin_log(
    tx: &mut Tx,
    row: &JobRow,
    step: WorkStep,
    line: u64,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some((parts, at)) = Parts::at(tx, row, step).await? else {
        return Ok(());
    };
    // What a builder sends to the relay is told in its own log, as a part of the build.
    let of_this_log = |log: &Option<Uuid>| *log == Some(row.id);
    let Some(first) = parts.logs.iter().position(of_this_log) else {
        return Ok(());
    };
    let count = parts.logs[first..]
        .iter()
        .take_while(|log| of_this_log(log));
    let own = first..first + count.count();
    if !own.contains(&at) {
        return Ok(());
    }
    let next = pipeline::begin_log(&parts.begins[own], at - first, line);
    parts.write_begins(tx, first, &next, now).await
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
    /// The jobs whose logs they have lines in.
    logs: Vec<Option<Uuid>>,
    /// Where these begin.
    begins: Vec<Option<u64>>,
}

impl Parts {
    /// Most deployments have none: what is uploaded has no commit.
    async fn of(tx: &mut Tx, deployment: DeploymentId) -> Result<Option<Self>> {
        let rows = all!(
            tx.conn(),
            (Uuid, String, String, Option<Uuid>, Option<i64>),
            "SELECT c.id, s.name, s.status, s.log, s.log_from FROM ci_pipelines c JOIN pipeline_steps s ON s.pipeline_id = c.id
             WHERE c.deployment_id = $1 ORDER BY s.position",
            deployment.uuid()
        )?;
        let Some((pipeline, ..)) = rows.first() else {
            return Ok(None);
        };
        let pipeline = *pipeline;
        let statuses = rows.iter().map(|(_, _, status, ..)| {
            let damaged = |error| StoreError::Damaged(format!("a step of a pipeline: {error}"));
            status.parse().map_err(damaged)
        });
        Ok(Some(Self {
            pipeline,
            names: rows.iter().map(|(_, name, ..)| name.clone()).collect(),
            statuses: statuses.collect::<Result<_>>()?,
            logs: rows.iter().map(|(.., log, _)| *log).collect(),
            begins: rows
                .iter()
                .map(|(.., begin)| line(*begin))
                .collect::<Result<_>>()?,
        }))
    }

    /// The parts of the pipeline that a job belongs to, and which of them a step of its work is.
    async fn at(tx: &mut Tx, row: &JobRow, step: WorkStep) -> Result<Option<(Self, usize)>> {
        let Some(part) = Part::of(step) else {
            return Ok(None);
        };
        let Some(parts) = Self::of(tx, row.asked_for()).await? else {
            return Ok(None);
        };
        // Who runs what another host has built fetches the commit once more, for its files: that is no part of its own.
        let is_built = parts.names.iter().any(|name| name == Part::Relay.as_str());
        if is_built && row.builds_for.is_none() && part == Part::Clone {
            return Ok(None);
        }
        let at = parts.names.iter().position(|one| one == part.as_str());
        Ok(at.map(|at| (parts, at)))
    }

    /// Writes where the parts from `first` on begin, of those that begin elsewhere now.
    async fn write_begins(
        &self,
        tx: &mut Tx,
        first: usize,
        next: &[Option<u64>],
        now: DateTime<Utc>,
    ) -> Result<()> {
        for (position, (before, next)) in self.begins[first..].iter().zip(next).enumerate() {
            if before == next {
                continue;
            }
            execute!(
                tx.conn(),
                "UPDATE pipeline_steps SET log_from = $3, updated_at = $4 WHERE pipeline_id = $1 AND position = $2",
                self.pipeline,
                stored((first + position) as u64),
                next.map(stored),
                now
            )?;
        }
        Ok(())
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
