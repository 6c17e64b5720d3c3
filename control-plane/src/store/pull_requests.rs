//! By which branch and pull request the generated files of a project are delivered to its repository.
//!
//! The branch is written down before the forge is called, so that who dies meanwhile, or asks twice at once, comes back to the
//! same one.

use serde_json::json;
use towline_shared::ids::{IntegrationId, ProjectId};
use towline_shared::spec::ProjectFile;
use uuid::Uuid;

use super::db::{Conn, all, execute, local_now, optional};
use super::project_files::file;
use super::{Result, Store, StoreError, Tenant, audit, projects};
use crate::domain::integration::{ForgeSite, RepositoryPath};

/// How many paths are written down of a delivery.
const MAX_PATHS: usize = 50;

/// Where generated files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// By which integration.
    pub integration: IntegrationId,
    /// In which repository.
    pub repository: RepositoryPath,
    /// On which branch.
    pub branch: String,
    /// Its number at the forge; none until it was open.
    pub number: Option<u64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    integration_id: Uuid,
    repository: String,
    branch: String,
    number: Option<i64>,
}

impl From<Row> for PullRequest {
    fn from(row: Row) -> Self {
        Self {
            integration: row.integration_id.into(),
            repository: RepositoryPath::stored(row.repository),
            branch: row.branch,
            number: row.number.and_then(|number| u64::try_from(number).ok()),
        }
    }
}

impl Store {
    /// Where the generated files of a project went last.
    pub async fn pull_request(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Option<PullRequest>> {
        let mut reader = self.main().read().await?;
        find(reader.conn(), tenant, project).await
    }

    /// Writes down where they are to go from now on, unless somebody else has done so since `former` was read; gives what counts.
    pub async fn begin_pull_request(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        former: Option<&PullRequest>,
        new: &PullRequest,
    ) -> Result<PullRequest> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let found = find(tx.conn(), tenant, project).await?;
        if let Some(other) = found.filter(|found| Some(found) != former) {
            tx.roll_back().await?;
            return Ok(other);
        }
        let now = local_now();
        let sql = "DELETE FROM project_pull_requests WHERE project_id = $1";
        execute!(tx.conn(), sql, project.uuid())?;
        execute!(
            tx.conn(),
            "INSERT INTO project_pull_requests (id, project_id, integration_id, repository, branch, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
            Uuid::now_v7(),
            project.uuid(),
            new.integration.uuid(),
            new.repository.as_str(),
            new.branch.as_str(),
            now
        )?;
        let subject = ("project", project.uuid());
        let detail = json!({
            "integration": new.integration, "repository": new.repository, "branch": new.branch,
        });
        audit::append_of(&mut tx, tenant, "pull_request.begin", subject, detail, now).await?;
        tx.commit().await?;
        Ok(new.clone())
    }

    /// Writes down what was delivered by a branch, and the number of its pull request.
    pub async fn note_pull_request(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        delivered: &PullRequest,
        paths: &[String],
    ) -> Result<()> {
        let number = delivered
            .number
            .and_then(|number| i64::try_from(number).ok());
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = local_now();
        let written = execute!(
            tx.conn(),
            "UPDATE project_pull_requests SET number = $3, updated_at = $4 WHERE project_id = $1 AND branch = $2",
            project.uuid(),
            delivered.branch.as_str(),
            number,
            now
        )?;
        if written == 0 {
            return Err(StoreError::Conflict {
                message: "the files of this project are delivered elsewhere by now".to_owned(),
                remedy: "deliver them again".to_owned(),
            });
        }
        let shown: Vec<_> = paths.iter().take(MAX_PATHS).collect();
        let detail = json!({
            "integration": delivered.integration, "repository": delivered.repository, "branch": delivered.branch,
            "number": delivered.number, "files": paths.len(), "paths": shown,
        });
        let subject = ("project", project.uuid());
        audit::append_of(
            &mut tx,
            tenant,
            "pull_request.deliver",
            subject,
            detail,
            now,
        )
        .await?;
        tx.commit().await
    }

    /// The files of a project that were generated, as people have made them since.
    pub async fn generated_files(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Vec<ProjectFile>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (String, Vec<u8>, String),
            "SELECT f.path, f.content, f.mode FROM project_files f JOIN projects p ON p.id = f.project_id
             WHERE f.project_id = $1 AND p.team_id = $2 AND f.generated_content IS NOT NULL ORDER BY f.path",
            project.uuid(),
            tenant.team().uuid()
        )?;
        Ok(rows.into_iter().map(file).collect())
    }

    /// By which integration the source of a project is read, and what it is called there.
    pub async fn source_integration(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Option<(IntegrationId, RepositoryPath)>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Uuid, String),
            "SELECT s.integration_id, s.repository FROM project_sources s JOIN projects p ON p.id = s.project_id
             WHERE s.project_id = $1 AND p.team_id = $2 AND s.integration_id IS NOT NULL AND s.repository IS NOT NULL",
            project.uuid(),
            tenant.team().uuid()
        )?;
        Ok(row.map(|(id, name)| (id.into(), RepositoryPath::stored(name))))
    }

    /// Where the forges of all of the team's integrations are.
    pub async fn integration_sites(
        &self,
        tenant: &Tenant,
    ) -> Result<Vec<(IntegrationId, String, ForgeSite)>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            (Uuid, String, String, String),
            "SELECT id, name, forge, url FROM github_integrations WHERE team_id = $1 ORDER BY id",
            tenant.team().uuid()
        )?;
        let site = |(id, name, kind, url): (Uuid, String, String, String)| {
            let site = ForgeSite::new(super::push_hooks::forge(&kind)?, Some(&url))?;
            Ok((id.into(), name, site))
        };
        rows.into_iter().map(site).collect()
    }
}

async fn find(conn: Conn<'_>, tenant: &Tenant, project: ProjectId) -> Result<Option<PullRequest>> {
    let row = optional!(
        conn,
        Row,
        "SELECT r.integration_id, r.repository, r.branch, r.number FROM project_pull_requests r
         JOIN projects p ON p.id = r.project_id WHERE r.project_id = $1 AND p.team_id = $2",
        project.uuid(),
        tenant.team().uuid()
    )?;
    Ok(row.map(PullRequest::from))
}
