//! Where projects come from when nobody uploads them: Git repositories.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{IntegrationId, JobId, ProjectId};
use towline_shared::spec::{SOURCE_PASSWORD, Secret};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{Conn, Tx, execute, local_now, optional};
use super::integrations::{TokenRow, token_columns};
use super::{Resource, Result, Store, StoreError, Tenant, audit, deploy_keys, projects};
use crate::domain::integration::RepositoryPath;
use crate::domain::repository::Submodules;
use crate::vault::Place;

/// The repository that a project comes from.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct ProjectSource {
    /// Its address.
    pub url: String,
    /// Which branch is deployed when nothing else is said; null: the one that the repository shows first.
    pub branch: Option<String>,
    /// Where in the repository the project is; empty: all of it.
    pub folder: String,
    /// `take`: its submodules are taken, too; `leave`: their folders stay empty.
    #[schema(example = "leave")]
    pub submodules: String,
    /// Who reads it, where that needs a password or token; those are never shown.
    pub login: Option<String>,
    /// The integration by whose token it is read, by name.
    pub integration: Option<String>,
    /// What the integration's forge calls the repository.
    pub repository: Option<String>,
    /// The commit that was read last.
    pub commit_sha: String,
    /// The first line of its message.
    pub title: String,
    /// When it was read.
    pub read_at: DateTime<Utc>,
}

/// A source to set, which has been read.
#[derive(Clone, Debug)]
pub struct NewSource {
    /// Its address.
    pub url: String,
    /// The branch, or the repository's own.
    pub branch: Option<String>,
    /// The folder.
    pub folder: String,
    /// What becomes of its submodules.
    pub submodules: Submodules,
    /// Who reads it, and by what, where that is kept with the source.
    pub login: Option<(String, Zeroizing<String>)>,
    /// By whose token it is read, where that is an integration's.
    pub integration: Option<SourceIntegration>,
    /// The commit that was read.
    pub commit: String,
    /// The first line of its message.
    pub title: String,
}

/// A repository as an integration knows it.
#[derive(Clone, Debug)]
pub struct SourceIntegration {
    /// The integration.
    pub id: IntegrationId,
    /// What its forge calls the repository.
    pub repository: RepositoryPath,
    /// As whom git says the token.
    pub git_user: &'static str,
}

#[derive(sqlx::FromRow)]
struct PasswordRow {
    id: Uuid,
    login: String,
    password_encrypted: Vec<u8>,
    key_version: i64,
}

/// Of the source `s`: whose token reads it, for [`TokenRow`].
macro_rules! by_integration {
    ($from:literal) => {
        concat!(
            "SELECT ",
            token_columns!(),
            " FROM project_sources s JOIN github_integrations i ON i.id = s.integration_id ",
            $from
        )
    };
}

fn place(source: Uuid) -> Place<'static> {
    Place {
        table: "project_sources",
        id: source,
        version: 1,
    }
}

impl Store {
    /// The repository that a project comes from, where it comes from one.
    pub async fn source(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Option<ProjectSource>> {
        let mut reader = self.main().read().await?;
        find(reader.conn(), tenant, project).await
    }

    /// Sets where a project comes from, in place of what was there. Its own files lie over the repository's from now on.
    pub async fn set_source(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        new: NewSource,
    ) -> Result<ProjectSource> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let (id, now) = (Uuid::now_v7(), local_now());
        let sql = "DELETE FROM project_sources WHERE project_id = $1";
        execute!(tx.conn(), sql, project.uuid())?;
        let integration = new.integration.as_ref();
        if let Some(one) = integration {
            hold_integration(&mut tx, tenant, one.id).await?;
        }
        deploy_keys::forget(&mut tx, project, Some(&new.url)).await?;
        let (login, sealed) = match &new.login {
            None => (integration.map(|one| one.git_user), None),
            Some((user, password)) => {
                let sealed = self.seal(&mut tx, place(id), password.as_bytes()).await?;
                (Some(user.as_str()), Some(sealed))
            }
        };
        execute!(
            tx.conn(),
            "INSERT INTO project_sources (id, project_id, url, branch, folder, login, password_encrypted, key_version,
                integration_id, repository, commit_sha, title, read_at, created_at, updated_at, submodules)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $13, $14)",
            id,
            project.uuid(),
            new.url.as_str(),
            new.branch.as_deref(),
            new.folder.as_str(),
            login,
            sealed.as_ref().map(|sealed| sealed.bytes.as_slice()),
            sealed.as_ref().map_or(0, |sealed| sealed.key_version),
            integration.map(|one| one.id.uuid()),
            integration.map(|one| one.repository.as_str()),
            new.commit.as_str(),
            new.title.as_str(),
            now,
            new.submodules.as_str()
        )?;
        execute!(
            tx.conn(),
            "UPDATE projects SET source_type = 'git', repo_url = $2, status = 'ready', updated_at = $3 WHERE id = $1",
            project.uuid(),
            new.url.as_str(),
            now
        )?;
        let detail = json!({
            "url": new.url, "branch": new.branch, "folder": new.folder, "login": login, "commit": new.commit,
            "integration": integration.map(|one| one.id), "submodules": new.submodules.as_str(),
        });
        let subject = ("project", project.uuid());
        audit::append_of(&mut tx, tenant, "project.set_source", subject, detail, now).await?;
        let set = find(tx.conn(), tenant, project).await?;
        tx.commit().await?;
        set.ok_or(StoreError::NotFound(Resource::Project))
    }

    /// Forgets where a project comes from, and its keys; its own files stay, and are all of it from now on.
    pub async fn forget_source(&self, tenant: &Tenant, project: ProjectId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = local_now();
        let sql = "DELETE FROM project_sources WHERE project_id = $1";
        let sources = execute!(tx.conn(), sql, project.uuid())?;
        if deploy_keys::forget(&mut tx, project, None).await? + sources == 0 {
            return tx.roll_back().await;
        }
        execute!(
            tx.conn(),
            "UPDATE projects SET source_type = 'upload', repo_url = NULL, updated_at = $2,
                status = CASE WHEN EXISTS (SELECT 1 FROM project_files f WHERE f.project_id = $1) THEN 'ready' ELSE 'empty' END
             WHERE id = $1",
            project.uuid(),
            now
        )?;
        let (subject, detail) = (("project", project.uuid()), json!({}));
        audit::append_of(
            &mut tx,
            tenant,
            "project.forget_source",
            subject,
            detail,
            now,
        )
        .await?;
        tx.commit().await
    }

    /// By what the repository of a project is read, where it needs that.
    pub(crate) async fn source_login(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Option<(String, Zeroizing<String>)>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            PasswordRow,
            "SELECT s.id, s.login, s.password_encrypted, s.key_version FROM project_sources s
             JOIN projects p ON p.id = s.project_id
             WHERE s.project_id = $1 AND p.team_id = $2 AND s.password_encrypted IS NOT NULL",
            project.uuid(),
            tenant.team().uuid()
        )?;
        if let Some(row) = row {
            drop(reader);
            return Ok(Some((row.login.clone(), self.open_password(&row).await?)));
        }
        let token = optional!(
            reader.conn(),
            TokenRow,
            by_integration!("WHERE s.project_id = $1 AND i.team_id = $2"),
            project.uuid(),
            tenant.team().uuid()
        )?;
        drop(reader);
        Ok(match token {
            None => None,
            Some(token) => Some(self.open_token(&token).await?.login()),
        })
    }

    /// What an agent needs to read the source that a job's release is built from. A source that was replaced meanwhile
    /// by another repository is read by what the release needs no longer: nothing is given away.
    pub(super) async fn source_secret(&self, job: JobId) -> Result<Option<Secret>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            PasswordRow,
            "SELECT s.id, s.login, s.password_encrypted, s.key_version FROM jobs j
             JOIN deployments d ON d.id = j.deployment_id JOIN releases r ON r.id = d.release_id
             JOIN project_sources s ON s.project_id = d.project_id
             WHERE j.id = $1 AND r.source_url = s.url AND s.password_encrypted IS NOT NULL",
            job.uuid()
        )?;
        drop(reader);
        let mut value = match row {
            Some(row) => Some(self.open_password(&row).await?),
            None => self.token_of_job(job).await?,
        };
        if value.is_none() {
            value = self.key_of_job(job).await?;
        }
        Ok(value.map(|value| Secret {
            name: SOURCE_PASSWORD.to_owned(),
            value: value.as_str().to_owned(),
        }))
    }

    async fn token_of_job(&self, job: JobId) -> Result<Option<Zeroizing<String>>> {
        let mut reader = self.main().read().await?;
        let token = optional!(
            reader.conn(),
            TokenRow,
            by_integration!(
                "JOIN deployments d ON d.project_id = s.project_id JOIN jobs j ON j.deployment_id = d.id
                 JOIN releases r ON r.id = d.release_id WHERE j.id = $1 AND r.source_url = s.url"
            ),
            job.uuid()
        )?;
        drop(reader);
        match token {
            None => Ok(None),
            Some(token) => Ok(Some(self.open_token(&token).await?.token)),
        }
    }

    async fn open_password(&self, row: &PasswordRow) -> Result<Zeroizing<String>> {
        let opened = self.unseal(place(row.id), row.key_version, &row.password_encrypted);
        let opened = opened.await?;
        let text = std::str::from_utf8(&opened)
            .map_err(|_| StoreError::Damaged("the password of a source is no text".to_owned()))?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// Holds an integration of the team, so that it is not removed before the commit.
async fn hold_integration(tx: &mut Tx, tenant: &Tenant, id: IntegrationId) -> Result<()> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM github_integrations WHERE id = $1 AND team_id = $2",
        "SELECT id FROM github_integrations WHERE id = $1 AND team_id = $2 FOR SHARE",
    );
    let row = optional!(conn, (Uuid,), sql, id.uuid(), tenant.team().uuid())?;
    row.map(|_| ())
        .ok_or(StoreError::NotFound(Resource::Integration))
}

async fn find(
    conn: Conn<'_>,
    tenant: &Tenant,
    project: ProjectId,
) -> Result<Option<ProjectSource>> {
    Ok(optional!(
        conn,
        ProjectSource,
        "SELECT s.url, s.branch, s.folder, s.submodules, s.login, i.name AS integration, s.repository, s.commit_sha, s.title, s.read_at
         FROM project_sources s JOIN projects p ON p.id = s.project_id
         LEFT JOIN github_integrations i ON i.id = s.integration_id WHERE s.project_id = $1 AND p.team_id = $2",
        project.uuid(),
        tenant.team().uuid()
    )?)
}
