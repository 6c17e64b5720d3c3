//! Projects: what a team deploys.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::compose::find_compose_file;
use towline_shared::ids::ProjectId;
use towline_shared::spec::{KEPT_RELEASES, ProjectFile};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::audit;
use super::db::{Tx, all, execute, local_now, one, optional};
use super::page::{Listed, Page};
use super::{
    Resource, Result, Store, StoreError, Tenant, notification_events, plugin_events, project_files,
    quota, stored,
};
use crate::domain::access::Reach;
use crate::domain::names::check_name;
use crate::domain::plugin::{Said, note_said};

/// What a team deploys.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Project {
    /// The project's id.
    #[schema(value_type = Uuid)]
    #[sqlx(try_from = "Uuid")]
    pub id: ProjectId,
    /// Its name; unique in the team, and the compose project's name on the engine.
    pub name: String,
    /// `empty` or `ready`.
    pub status: String,
    /// Which of its files is the compose file.
    pub compose_file: Option<String>,
    /// For how many of its last releases its hosts keep images, 1 to 50.
    #[sqlx(try_from = "i64")]
    pub keep_releases: u16,
    /// In which namespace of a cluster its objects are that name none; the agent's own choice, when absent.
    pub namespace: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it or its files last changed.
    pub updated_at: DateTime<Utc>,
}

/// What a project begins with.
#[derive(Default)]
pub struct Beginning {
    /// The template that it is made from.
    pub template: Option<String>,
    /// Its files.
    pub files: Vec<ProjectFile>,
    /// The secrets of its deployments, with their values.
    pub secrets: Vec<(String, Zeroizing<String>)>,
}

impl Beginning {
    fn project(&self, id: ProjectId, name: &str, now: DateTime<Utc>) -> Project {
        let status = if self.files.is_empty() {
            "empty"
        } else {
            "ready"
        };
        Project {
            id,
            name: name.to_owned(),
            status: status.to_owned(),
            compose_file: find_compose_file(&self.files).map(str::to_owned),
            keep_releases: KEPT_RELEASES,
            namespace: None,
            created_at: now,
            updated_at: now,
        }
    }
}

impl Store {
    /// Makes a project without files.
    pub async fn create_project(&self, tenant: &Tenant, name: &str) -> Result<Project> {
        self.create_allowed_project(tenant, name, &Beginning::default(), &[])
            .await
    }

    /// Makes a project with what it begins with, of which plugins have said something.
    pub(crate) async fn create_allowed_project(
        &self,
        tenant: &Tenant,
        name: &str,
        beginning: &Beginning,
        said: &[Said],
    ) -> Result<Project> {
        check_name("name", name)?;
        project_files::check(&beginning.files)?;
        let made = self.insert_project(tenant, name, beginning, said).await;
        if let Err(why @ (StoreError::QuotaExceeded(_) | StoreError::Conflict { .. })) = &made {
            self.note_refused_project(tenant, name, &why.to_string())
                .await?;
        }
        made
    }

    /// Writes down that a project was refused, and tells those who want to know.
    pub(crate) async fn note_refused_project(
        &self,
        tenant: &Tenant,
        name: &str,
        why: &str,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let (subject, now) = (("team", tenant.team().uuid()), local_now());
        plugin_events::project_refused(&mut tx, tenant.team(), name, why, now).await?;
        let detail = json!({ "name": name, "why": why });
        audit::append_of(&mut tx, tenant, "project.refuse", subject, detail, now).await?;
        tx.commit().await?;
        self.wake().outbox();
        Ok(())
    }

    async fn insert_project(
        &self,
        tenant: &Tenant,
        name: &str,
        beginning: &Beginning,
        said: &[Said],
    ) -> Result<Project> {
        let mut tx = self.main().begin().await?;
        let nearing = quota::check_projects(&mut tx, tenant.team()).await?;
        let (id, now) = (ProjectId::new(), local_now());
        let project = beginning.project(id, name, now);
        let made = execute!(
            tx.conn(),
            "INSERT INTO projects (id, team_id, name, source_type, status, compose_file, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (team_id, name) DO NOTHING",
            id.uuid(),
            tenant.team().uuid(),
            name,
            if beginning.template.is_some() { "template" } else { "upload" },
            project.status.as_str(),
            project.compose_file.as_deref(),
            now
        )?;
        if made == 0 {
            return Err(StoreError::Conflict {
                message: format!("a project named {name:?} exists already"),
                remedy: "choose another name, or use that project".to_owned(),
            });
        }
        if let Some(nearing) = &nearing {
            let team = tenant.team();
            notification_events::quota_nearly_reached(&mut tx, team, nearing, now).await?;
        }
        project_files::insert(&mut tx, id, &beginning.files, now).await?;
        for (key, value) in &beginning.secrets {
            self.give_secret(&mut tx, tenant, id, key, value).await?;
        }
        plugin_events::project_made(&mut tx, tenant.team(), id, name, now).await?;
        let mut detail = json!({ "name": name });
        if let Some(template) = &beginning.template {
            detail["template"] = template.as_str().into();
        }
        note_said(&mut detail, said);
        let subject = ("project", id.uuid());
        audit::append_of(&mut tx, tenant, "project.create", subject, detail, now).await?;
        tx.commit().await?;
        self.wake().outbox();
        Ok(project)
    }

    /// The team's projects, as far as the tenant sees them.
    pub async fn list_projects(&self, tenant: &Tenant, page: Page) -> Result<Listed<Project>> {
        if let Reach::Projects(seen) = tenant.access().seen() {
            return self.list_these(tenant, seen, page).await;
        }
        let mut reader = self.main().read().await?;
        let projects = all!(
            reader.conn(),
            Project,
            "SELECT id, name, status, compose_file, keep_releases, namespace, created_at, updated_at FROM projects
             WHERE team_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        Ok(page.cut(projects, |project| project.id.uuid()))
    }

    /// These few, newest first. One that is gone is left out.
    async fn list_these(
        &self,
        tenant: &Tenant,
        mut seen: Vec<ProjectId>,
        page: Page,
    ) -> Result<Listed<Project>> {
        seen.sort_unstable_by(|one, other| other.cmp(one));
        let mut projects = Vec::new();
        for id in seen.into_iter().filter(|id| id.uuid() < page.before()) {
            match self.project(tenant, id).await {
                Ok(project) => projects.push(project),
                Err(StoreError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
            if stored(projects.len() as u64) == page.fetch() {
                break;
            }
        }
        Ok(page.cut(projects, |project| project.id.uuid()))
    }

    /// One project.
    pub async fn project(&self, tenant: &Tenant, project: ProjectId) -> Result<Project> {
        self.find_project(tenant, &project.to_string()).await
    }

    /// One project, by its id or its name.
    pub async fn find_project(&self, tenant: &Tenant, id_or_name: &str) -> Result<Project> {
        let id = Uuid::try_parse(id_or_name).unwrap_or_default();
        let mut reader = self.main().read().await?;
        let project = optional!(
            reader.conn(),
            Project,
            "SELECT id, name, status, compose_file, keep_releases, namespace, created_at, updated_at FROM projects
             WHERE team_id = $1 AND (id = $2 OR name = $3) ORDER BY id LIMIT 1",
            tenant.team().uuid(),
            id,
            id_or_name
        )?;
        project.ok_or(StoreError::NotFound(Resource::Project))
    }

    /// Deletes a project with its files, secrets and deployments; their logs go at the next
    /// [`Store::prune`]. It must run nowhere.
    pub async fn delete_project(&self, tenant: &Tenant, project: ProjectId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        lock(&mut tx, tenant, project).await?;
        refuse_in_use(&mut tx, project).await?;
        let (name,) = one!(
            tx.conn(),
            (String,),
            "DELETE FROM projects WHERE id = $1 RETURNING name",
            project.uuid()
        )?;
        let (subject, detail) = (("project", project.uuid()), json!({ "name": name }));
        audit::append_of(
            &mut tx,
            tenant,
            "project.delete",
            subject,
            detail,
            local_now(),
        )
        .await?;
        tx.commit().await
    }
}

/// Makes sure that a project is the tenant's, and stays as it is until the commit.
pub(crate) async fn lock(tx: &mut Tx, tenant: &Tenant, project: ProjectId) -> Result<()> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM projects WHERE id = $1 AND team_id = $2",
        "SELECT id FROM projects WHERE id = $1 AND team_id = $2 FOR NO KEY UPDATE",
    );
    let found = optional!(conn, (Uuid,), sql, project.uuid(), tenant.team().uuid())?;
    found
        .map(|_| ())
        .ok_or(StoreError::NotFound(Resource::Project))
}

async fn refuse_in_use(tx: &mut Tx, project: ProjectId) -> Result<()> {
    let (live,) = one!(
        tx.conn(),
        (i64,),
        "SELECT COUNT(*) FROM deployments
         WHERE project_id = $1 AND status IN ('queued', 'offered', 'accepted', 'running', 'unknown')",
        project.uuid()
    )?;
    if live > 0 {
        return Err(StoreError::Conflict {
            message: format!("{live} of the project's deployments have not ended"),
            remedy: "cancel them, or wait for their end".to_owned(),
        });
    }
    let deployed = optional!(
        tx.conn(),
        (String,),
        "SELECT t.name FROM deployments d JOIN deployment_targets t ON t.id = d.target_id
         LEFT JOIN agents a ON a.id = t.agent_id
         WHERE d.project_id = $1 AND d.kind = 'deploy' AND d.started_at IS NOT NULL AND a.revoked_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM deployments r WHERE r.project_id = d.project_id
                AND r.target_id = d.target_id AND r.kind = 'remove' AND r.status = 'succeeded' AND r.id > d.id)
         LIMIT 1",
        project.uuid()
    )?;
    match deployed {
        None => Ok(()),
        Some((target,)) => Err(StoreError::Conflict {
            message: format!("the project is still deployed on {target}"),
            remedy: format!("remove it there first: `towline remove … --target {target}`"),
        }),
    }
}
