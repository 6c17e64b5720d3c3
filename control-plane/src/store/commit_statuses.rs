//! What forges are told of the commits that are deployed, queued in the transaction in which it happens.
//!
//! A deployment of a commit is `pending` from its beginning, and one of the others at its end: each once. A later status of
//! the same commit and context puts an earlier one aside that was not sent yet; one that is being sent is waited for.

use chrono::{DateTime, Utc};
use serde::Serialize;
use towline_shared::ids::{DeploymentId, IntegrationId, ProjectId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, optional};
use super::page::{Listed, Page};
use super::{Result, Store, Tenant, counted};
use crate::domain::integration::{CommitState, context, description};
use crate::domain::retry::GIVE_UP_AFTER;
use crate::job::JobState;

/// What a forge is told of a commit.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CommitStatus {
    /// The status's id.
    pub id: Uuid,
    /// The project.
    #[schema(value_type = Uuid)]
    pub project_id: ProjectId,
    /// The deployment that it tells of.
    #[schema(value_type = Uuid)]
    pub deployment_id: DeploymentId,
    /// The repository.
    pub repository: String,
    /// The commit.
    pub commit_sha: String,
    /// By what it is told from others of the same commit.
    pub context: String,
    /// `pending`, `success`, `failure` or `cancelled`.
    pub commit_state: String,
    /// `waiting`, `sending`, `delivered`, `failed`, or `superseded` by a later one.
    pub state: String,
    /// How many attempts were begun.
    pub attempts: u64,
    /// When the next one is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last answer.
    pub response_status: Option<i64>,
    /// Why the last attempt was none.
    pub error: Option<String>,
    /// When it happened.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    project_id: Uuid,
    deployment_id: Uuid,
    repository: String,
    commit_sha: String,
    context: String,
    commit_state: String,
    state: String,
    attempts: i64,
    next_attempt_at: Option<DateTime<Utc>>,
    response_status: Option<i64>,
    error: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct Beginning {
    integration_id: Uuid,
    project_id: Uuid,
    repository: String,
    commit_sha: String,
    project: String,
    target: String,
    environment: Option<String>,
}

/// Which commit, and by what it is told from others.
#[derive(sqlx::FromRow)]
struct About {
    integration_id: Uuid,
    project_id: Uuid,
    repository: String,
    commit_sha: String,
    context: String,
    target: String,
}

impl From<Row> for CommitStatus {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            project_id: row.project_id.into(),
            deployment_id: row.deployment_id.into(),
            repository: row.repository,
            commit_sha: row.commit_sha,
            context: row.context,
            commit_state: row.commit_state,
            state: row.state,
            attempts: counted(row.attempts),
            next_attempt_at: row.next_attempt_at,
            response_status: row.response_status,
            error: row.error,
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

impl Store {
    /// What a forge was and is to be told in the last 30 days.
    pub async fn list_commit_statuses(
        &self,
        tenant: &Tenant,
        integration: IntegrationId,
        page: Page,
    ) -> Result<Listed<CommitStatus>> {
        self.integration(tenant, integration).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT c.id, c.project_id, c.deployment_id, c.repository, c.commit_sha, c.context, c.commit_state, c.state,
                c.attempts, c.next_attempt_at, c.response_status, c.error, c.created_at, c.finished_at
             FROM commit_statuses c JOIN github_integrations i ON i.id = c.integration_id
             WHERE c.integration_id = $1 AND i.team_id = $2 AND c.id < $3 ORDER BY c.id DESC LIMIT $4",
            integration.uuid(),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let statuses = rows.into_iter().map(CommitStatus::from).collect();
        Ok(page.cut(statuses, |one| one.id))
    }
}

/// A commit begins to be deployed: its forge is told, if the project comes from it by an integration.
pub(crate) async fn begin(tx: &mut Tx, deployment: DeploymentId, now: DateTime<Utc>) -> Result<()> {
    let found = optional!(
        tx.conn(),
        Beginning,
        "SELECT s.integration_id, d.project_id, s.repository, c.commit_sha, p.name AS project, t.name AS target,
            d.environment
         FROM ci_pipelines c JOIN deployments d ON d.id = c.deployment_id JOIN releases r ON r.id = d.release_id
         JOIN project_sources s ON s.project_id = d.project_id AND s.url = r.source_url
         JOIN projects p ON p.id = d.project_id JOIN deployment_targets t ON t.id = d.target_id
         WHERE c.deployment_id = $1 AND s.integration_id IS NOT NULL AND s.repository IS NOT NULL",
        deployment.uuid()
    )?;
    let Some(found) = found else {
        return Ok(());
    };
    let about = About {
        context: context(&found.project, found.environment.as_deref(), &found.target),
        integration_id: found.integration_id,
        project_id: found.project_id,
        repository: found.repository,
        commit_sha: found.commit_sha,
        target: found.target,
    };
    queue(tx, deployment, &about, CommitState::Pending, now).await
}

/// A deployment has ended: the forge is told that was told of its beginning.
pub(super) async fn end(
    tx: &mut Tx,
    deployment: DeploymentId,
    state: JobState,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(state) = of_end(state) else {
        return Ok(());
    };
    let about = optional!(
        tx.conn(),
        About,
        "SELECT c.integration_id, c.project_id, c.repository, c.commit_sha, c.context, t.name AS target
         FROM commit_statuses c JOIN deployments d ON d.id = c.deployment_id
         JOIN deployment_targets t ON t.id = d.target_id
         WHERE c.deployment_id = $1 AND c.commit_state = 'pending'",
        deployment.uuid()
    )?;
    match about {
        Some(about) => queue(tx, deployment, &about, state, now).await,
        None => Ok(()),
    }
}

const fn of_end(state: JobState) -> Option<CommitState> {
    match state {
        JobState::Succeeded => Some(CommitState::Success),
        JobState::Failed => Some(CommitState::Failure),
        JobState::Cancelled => Some(CommitState::Cancelled),
        _ => None,
    }
}

async fn queue(
    tx: &mut Tx,
    deployment: DeploymentId,
    about: &About,
    state: CommitState,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = "SELECT id FROM commit_statuses WHERE deployment_id = $1 AND commit_state = $2";
    let told = optional!(tx.conn(), (Uuid,), sql, deployment.uuid(), state.as_str())?;
    if told.is_some() {
        return Ok(());
    }
    // Clocks of replicas differ; the integration's own count does not.
    let sql =
        "UPDATE github_integrations SET statuses = statuses + 1 WHERE id = $1 RETURNING statuses";
    let Some((sequence,)) = optional!(tx.conn(), (i64,), sql, about.integration_id)? else {
        return Ok(());
    };
    execute!(
        tx.conn(),
        "UPDATE commit_statuses SET state = 'superseded', next_attempt_at = NULL, finished_at = $5, updated_at = $5
         WHERE integration_id = $1 AND repository = $2 AND commit_sha = $3 AND context = $4 AND state = 'waiting'",
        about.integration_id,
        about.repository.as_str(),
        about.commit_sha.as_str(),
        about.context.as_str(),
        now
    )?;
    let words = match state {
        CommitState::Pending => "is being deployed to",
        CommitState::Success => "is deployed to",
        CommitState::Failure => "could not be deployed to",
        CommitState::Cancelled => "is not deployed, as that was cancelled, to",
    };
    execute!(
        tx.conn(),
        "INSERT INTO commit_statuses (id, integration_id, project_id, deployment_id, sequence, repository, commit_sha,
            context, commit_state, description, state, attempts, next_attempt_at, give_up_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'waiting', 0, $11, $12, $11, $11)
         ON CONFLICT (deployment_id, commit_state) DO NOTHING",
        Uuid::now_v7(),
        about.integration_id,
        about.project_id,
        deployment.uuid(),
        sequence,
        about.repository.as_str(),
        about.commit_sha.as_str(),
        about.context.as_str(),
        state.as_str(),
        description(&format!("The commit {words} {}", about.target)),
        now,
        now + GIVE_UP_AFTER
    )?;
    Ok(())
}
