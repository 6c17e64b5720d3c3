//! Templates that teams make from their projects: files, and the names of secrets. Never a value of one.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::ProjectId;
use towline_shared::spec::ProjectFile;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit;
use super::db::{Tx, all, execute, local_now, one, optional};
use super::members::lock_team;
use super::project_files;
use super::{Resource, Result, Store, StoreError, Tenant, projects};
use crate::domain::names::check_name;

/// The most templates of one team.
const MAX_TEMPLATES: i64 = 50;
/// The most characters of a description.
const MAX_DESCRIPTION: usize = 300;

/// A team's own template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct TeamTemplate {
    /// Its id.
    pub id: Uuid,
    /// Its name; unique in the team.
    pub name: String,
    /// What people read in a list.
    pub description: String,
    /// The language of its code.
    pub language: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A template to make from a project.
#[derive(Clone, Debug)]
pub struct NewTemplate {
    /// Its name.
    pub name: String,
    /// What people read in a list.
    pub description: String,
    /// The language of its code.
    pub language: Option<String>,
    /// The project whose files it takes.
    pub project: ProjectId,
}

impl Store {
    /// The team's own templates, by name.
    pub async fn list_templates(&self, tenant: &Tenant) -> Result<Vec<TeamTemplate>> {
        let mut reader = self.main().read().await?;
        Ok(all!(
            reader.conn(),
            TeamTemplate,
            "SELECT id, name, description, language, created_at FROM project_templates
             WHERE team_id = $1 ORDER BY name LIMIT $2",
            tenant.team().uuid(),
            MAX_TEMPLATES
        )?)
    }

    /// One of the team's own templates.
    pub async fn template(&self, tenant: &Tenant, name: &str) -> Result<TeamTemplate> {
        let mut reader = self.main().read().await?;
        let found = optional!(
            reader.conn(),
            TeamTemplate,
            "SELECT id, name, description, language, created_at FROM project_templates
             WHERE team_id = $1 AND name = $2",
            tenant.team().uuid(),
            name
        )?;
        found.ok_or(StoreError::NotFound(Resource::Template))
    }

    /// The files of a template that was found for the same tenant, and the names of the secrets that its projects need.
    pub async fn template_content(
        &self,
        tenant: &Tenant,
        template: &TeamTemplate,
    ) -> Result<(Vec<ProjectFile>, Vec<String>)> {
        let mut reader = self.main().read().await?;
        let files = all!(
            reader.conn(),
            (String, Vec<u8>, String),
            "SELECT f.path, f.content, f.mode FROM project_template_files f
             JOIN project_templates t ON t.id = f.template_id
             WHERE f.template_id = $1 AND t.team_id = $2 ORDER BY f.path",
            template.id,
            tenant.team().uuid()
        )?;
        let secrets = all!(
            reader.conn(),
            (String,),
            "SELECT s.name FROM project_template_secrets s JOIN project_templates t ON t.id = s.template_id
             WHERE s.template_id = $1 AND t.team_id = $2 ORDER BY s.name",
            template.id,
            tenant.team().uuid()
        )?;
        let files = files.into_iter().map(project_files::file);
        Ok((
            files.collect(),
            secrets.into_iter().map(|(name,)| name).collect(),
        ))
    }

    /// Makes a template of a project's files as they are now.
    pub async fn create_template(
        &self,
        tenant: &Tenant,
        new: &NewTemplate,
    ) -> Result<TeamTemplate> {
        check(new)?;
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, new.project).await?;
        lock_team(&mut tx, tenant.team()).await?;
        refuse_too_many(&mut tx, tenant).await?;
        let (id, now) = (Uuid::now_v7(), local_now());
        let made = execute!(
            tx.conn(),
            "INSERT INTO project_templates (id, team_id, name, description, language, is_official, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (team_id, name) DO NOTHING",
            id,
            tenant.team().uuid(),
            new.name.as_str(),
            new.description.as_str(),
            new.language.as_deref(),
            false,
            now
        )?;
        if made == 0 {
            return Err(StoreError::Conflict {
                message: format!("a template named {:?} exists already", new.name),
                remedy: "choose another name, or delete that template".to_owned(),
            });
        }
        let files = take_files(&mut tx, new.project, id, now).await?;
        take_secrets(&mut tx, new.project, id, now).await?;
        let detail = json!({ "name": new.name, "project": new.project, "files": files });
        let subject = ("project_template", id);
        audit::append_of(&mut tx, tenant, "template.create", subject, detail, now).await?;
        tx.commit().await?;
        Ok(TeamTemplate {
            id,
            name: new.name.clone(),
            description: new.description.clone(),
            language: new.language.clone(),
            created_at: now,
        })
    }

    /// Deletes a template. Projects that were made from it stay.
    pub async fn delete_template(&self, tenant: &Tenant, name: &str) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let gone = optional!(
            tx.conn(),
            (Uuid,),
            "DELETE FROM project_templates WHERE team_id = $1 AND name = $2 RETURNING id",
            tenant.team().uuid(),
            name
        )?;
        let (id,) = gone.ok_or(StoreError::NotFound(Resource::Template))?;
        let (subject, detail) = (("project_template", id), json!({ "name": name }));
        audit::append_of(
            &mut tx,
            tenant,
            "template.delete",
            subject,
            detail,
            local_now(),
        )
        .await?;
        tx.commit().await
    }
}

fn check(new: &NewTemplate) -> Result<()> {
    check_name("name", &new.name)?;
    let length = new.description.chars().count();
    if length > MAX_DESCRIPTION || new.description.chars().any(char::is_control) {
        return Err(StoreError::Invalid {
            field: "description",
            message: "it is too long or has control characters".to_owned(),
            remedy: format!("give one line of at most {MAX_DESCRIPTION} characters"),
        });
    }
    Ok(())
}

/// The team's row is locked: of two racers at the limit one comes first.
async fn refuse_too_many(tx: &mut Tx, tenant: &Tenant) -> Result<()> {
    let (count,) = one!(
        tx.conn(),
        (i64,),
        "SELECT COUNT(*) FROM project_templates WHERE team_id = $1",
        tenant.team().uuid()
    )?;
    if count < MAX_TEMPLATES {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!("the team has {MAX_TEMPLATES} templates, which is the most"),
        remedy: "delete one that is not used any more".to_owned(),
    })
}

/// Copies a project's files into a template; gives their number.
async fn take_files(
    tx: &mut Tx,
    project: ProjectId,
    template: Uuid,
    now: DateTime<Utc>,
) -> Result<usize> {
    let files = all!(
        tx.conn(),
        (String, Vec<u8>, String),
        "SELECT path, content, mode FROM project_files WHERE project_id = $1 ORDER BY path",
        project.uuid()
    )?;
    if files.is_empty() {
        return Err(StoreError::Invalid {
            field: "project",
            message: "the project has no files of its own".to_owned(),
            remedy: "upload or generate its files first; those of its repository are not taken"
                .to_owned(),
        });
    }
    for (path, content, mode) in &files {
        execute!(
            tx.conn(),
            "INSERT INTO project_template_files (id, template_id, path, content, mode, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            Uuid::now_v7(),
            template,
            path.as_str(),
            content.as_slice(),
            mode.as_str(),
            now
        )?;
    }
    Ok(files.len())
}

async fn take_secrets(
    tx: &mut Tx,
    project: ProjectId,
    template: Uuid,
    now: DateTime<Utc>,
) -> Result<()> {
    let names = all!(
        tx.conn(),
        (String,),
        "SELECT DISTINCT key FROM secrets WHERE project_id = $1 ORDER BY key",
        project.uuid()
    )?;
    for (name,) in names {
        execute!(
            tx.conn(),
            "INSERT INTO project_template_secrets (id, template_id, name, created_at) VALUES ($1, $2, $3, $4)",
            Uuid::now_v7(),
            template,
            name,
            now
        )?;
    }
    Ok(())
}
