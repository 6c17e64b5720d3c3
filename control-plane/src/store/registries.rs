//! Registries that a team logs in to, and where its projects' built images go.
//!
//! A job's agent is given the passwords as they are when the job is offered; which of them is said by the terms that the
//! job was queued under, so that an agent is given nothing that it would not keep from the project.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{JobId, ProjectId, RegistryId};
use towline_shared::spec::{PushTo, REGISTRY_PASSWORD, RegistryLogin, SealedSpec, Secret, Term};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{Conn, Tx, all, execute, local_now, one, optional};
use super::deployments::{DeploymentKind, Named};
use super::page::{Listed, Page};
use super::{Resource, Result, Store, StoreError, Tenant, audit, counted, members, projects};
use crate::domain::registry::{ImageRepository, MAX_REGISTRIES, RegistryHost};
use crate::vault::Place;

/// A registry that the team logs in to. Its password is never shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Registry {
    /// The login's id.
    #[schema(value_type = Uuid)]
    pub id: RegistryId,
    /// The registry, as names of images begin: a host, with its port where that is not the usual one.
    #[schema(example = "registry.example.com:5000")]
    pub registry: String,
    /// Who logs in.
    #[schema(example = "acme-robot")]
    pub user: String,
    /// What the team notes about it.
    #[schema(example = "pulls and pushes; expires in March")]
    pub note: String,
    /// Who added it; absent when that person is gone.
    pub added_by: Option<Named>,
    /// How many projects push to it.
    pub projects: u64,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When its password was last replaced.
    pub updated_at: DateTime<Utc>,
}

/// Where a project's built images go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct ProjectRegistry {
    /// What their names begin with; the service's name follows.
    #[schema(example = "registry.example.com/acme/shop")]
    pub repository: String,
    /// The team's login of that registry.
    #[schema(value_type = Uuid)]
    #[sqlx(try_from = "Uuid")]
    pub registry_id: RegistryId,
}

/// A login to keep.
pub struct NewRegistry {
    /// The registry.
    pub registry: RegistryHost,
    /// Who logs in.
    pub user: String,
    /// The password or token.
    pub password: Zeroizing<String>,
    /// What the team notes about it.
    pub note: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    registry: String,
    login: String,
    note: String,
    user_id: Option<Uuid>,
    user_name: Option<String>,
    projects: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct PasswordRow {
    id: Uuid,
    password_encrypted: Vec<u8>,
    key_version: i64,
}

/// The columns of [`Row`].
macro_rules! select_registries {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.registry, r.login, r.note, u.id AS user_id, u.name AS user_name,
                (SELECT COUNT(*) FROM projects p WHERE p.registry_id = r.id) AS projects, r.created_at, r.updated_at
             FROM registries r LEFT JOIN users u ON u.id = r.user_id WHERE ",
            $rest
        )
    };
}

impl From<Row> for Registry {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            registry: row.registry,
            user: row.login,
            note: row.note,
            added_by: Named::both(row.user_id, row.user_name),
            projects: counted(row.projects),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Where a password stands.
const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "registries",
        id,
        version: 1,
    }
}

impl Store {
    /// The team's registries.
    pub async fn list_registries(&self, tenant: &Tenant, page: Page) -> Result<Listed<Registry>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_registries!("r.team_id = $1 AND r.id < $2 ORDER BY r.id DESC LIMIT $3"),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let all = rows.into_iter().map(Registry::from).collect();
        Ok(page.cut(all, |one| one.id.uuid()))
    }

    /// One of them.
    pub async fn registry(&self, tenant: &Tenant, id: RegistryId) -> Result<Registry> {
        let mut reader = self.main().read().await?;
        find(reader.conn(), tenant, id).await
    }

    /// Keeps a login.
    pub async fn add_registry(&self, tenant: &Tenant, new: &NewRegistry) -> Result<Registry> {
        let mut tx = self.main().begin().await?;
        members::lock_team(&mut tx, tenant.team()).await?;
        refuse_too_many(&mut tx, tenant).await?;
        let (id, now) = (RegistryId::new(), local_now());
        let sealed = self.seal(&mut tx, place(id.uuid()), new.password.as_bytes());
        let sealed = sealed.await?;
        let made = execute!(
            tx.conn(),
            "INSERT INTO registries (id, team_id, user_id, registry, login, note, password_encrypted, key_version, created_at,
                updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (team_id, registry) DO NOTHING",
            id.uuid(),
            tenant.team().uuid(),
            tenant.user().uuid(),
            new.registry.as_str(),
            new.user.as_str(),
            new.note.as_str(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        if made == 0 {
            let registry = new.registry.as_str();
            return Err(StoreError::Conflict {
                message: format!("the team has a login of {registry} already"),
                remedy: format!(
                    "give that one another password (`towline registries set-password {registry}`), or remove it first"
                ),
            });
        }
        let made = find(tx.conn(), tenant, id).await?;
        write_audit(&mut tx, tenant, "registry.add", &made, now).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Gives a login another password.
    pub async fn set_registry_password(
        &self,
        tenant: &Tenant,
        id: RegistryId,
        password: &str,
    ) -> Result<Registry> {
        let mut tx = self.main().begin().await?;
        lock(&mut tx, tenant, id).await?;
        let now = local_now();
        let sealed = self.seal(&mut tx, place(id.uuid()), password.as_bytes());
        let sealed = sealed.await?;
        execute!(
            tx.conn(),
            "UPDATE registries SET password_encrypted = $2, key_version = $3, updated_at = $4 WHERE id = $1",
            id.uuid(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        let changed = find(tx.conn(), tenant, id).await?;
        write_audit(&mut tx, tenant, "registry.password", &changed, now).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Forgets a login that no project pushes by.
    pub async fn remove_registry(&self, tenant: &Tenant, id: RegistryId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        lock(&mut tx, tenant, id).await?;
        let gone = find(tx.conn(), tenant, id).await?;
        if gone.projects > 0 {
            return Err(StoreError::Conflict {
                message: format!("{} projects push their images to it", gone.projects),
                remedy: "have them push elsewhere, or nowhere (`towline projects registry PROJECT --none`), first".to_owned(),
            });
        }
        let sql = "DELETE FROM registries WHERE id = $1";
        execute!(tx.conn(), sql, id.uuid())?;
        write_audit(&mut tx, tenant, "registry.remove", &gone, local_now()).await?;
        tx.commit().await
    }

    /// Where a project's built images go, if they go anywhere.
    pub async fn project_registry(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Option<ProjectRegistry>> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        push_of(reader.conn(), tenant, project).await
    }

    /// Has a project's built images go somewhere from now on, or nowhere.
    pub async fn set_project_registry(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        repository: Option<&ImageRepository>,
    ) -> Result<Option<ProjectRegistry>> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let id = match repository {
            Some(repository) => Some(hold(&mut tx, tenant, repository.registry()).await?),
            None => None,
        };
        let (now, name) = (local_now(), repository.map(ImageRepository::name));
        let sql =
            "UPDATE projects SET registry_id = $2, repository = $3, updated_at = $4 WHERE id = $1";
        execute!(tx.conn(), sql, project.uuid(), id, name.as_deref(), now)?;
        let (subject, detail) = (("project", project.uuid()), json!({ "repository": name }));
        let action = "project.set_registry";
        audit::append_of(&mut tx, tenant, action, subject, detail, now).await?;
        let set = push_of(tx.conn(), tenant, project).await?;
        tx.commit().await?;
        Ok(set)
    }

    /// The passwords of the registries that a job's terms name, as far as the team still has them.
    pub(super) async fn registry_secrets(
        &self,
        job: JobId,
        spec: &SealedSpec,
    ) -> Result<Vec<Secret>> {
        // One that cannot be read is refused by its agent.
        let Ok(spec) = spec.open() else {
            return Ok(Vec::new());
        };
        let (_, terms) = spec.split();
        let named: Vec<&str> = terms.registries().map(|login| &*login.secret).collect();
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            PasswordRow,
            "SELECT r.id, r.password_encrypted, r.key_version FROM jobs j JOIN registries r ON r.team_id = j.team_id
             WHERE j.id = $1 ORDER BY r.id",
            job.uuid()
        )?;
        drop(reader);
        let mut secrets = Vec::new();
        for row in rows {
            let name = secret_name(row.id);
            if named.contains(&&*name) {
                let value = self.open_registry_password(&row).await?.to_string();
                secrets.push(Secret { name, value });
            }
        }
        Ok(secrets)
    }

    async fn open_registry_password(&self, row: &PasswordRow) -> Result<Zeroizing<String>> {
        let opened = self.unseal(place(row.id), row.key_version, &row.password_encrypted);
        let opened = opened.await?;
        let text = std::str::from_utf8(&opened)
            .map_err(|_| StoreError::Damaged("the password of a registry is no text".to_owned()))?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

/// The name of the secret by which an agent is given a password.
fn secret_name(id: Uuid) -> String {
    format!("{REGISTRY_PASSWORD}{}", id.simple()).to_ascii_uppercase()
}

/// Under which terms a job of a project works with registries: none where the team has none, so that older agents can
/// do it. What only looks, or takes something away, meets no registry.
pub(crate) async fn terms(
    tx: &mut Tx,
    tenant: &Tenant,
    project: ProjectId,
    kind: DeploymentKind,
) -> Result<Vec<Term>> {
    if matches!(kind, DeploymentKind::Preview | DeploymentKind::Remove) {
        return Ok(Vec::new());
    }
    let rows = all!(
        tx.conn(),
        (Uuid, String, String),
        "SELECT id, registry, login FROM registries WHERE team_id = $1 ORDER BY id",
        tenant.team().uuid()
    )?;
    let login = |(id, registry, user)| {
        let secret = secret_name(id);
        Term::Registry(RegistryLogin {
            registry,
            user,
            secret,
        })
    };
    let mut terms: Vec<Term> = rows.into_iter().map(login).collect();
    let push = push_of(tx.conn(), tenant, project).await?;
    terms.extend(push.map(|to| {
        Term::Push(PushTo {
            repository: to.repository,
        })
    }));
    Ok(terms)
}

async fn push_of(
    conn: Conn<'_>,
    tenant: &Tenant,
    project: ProjectId,
) -> Result<Option<ProjectRegistry>> {
    Ok(optional!(
        conn,
        ProjectRegistry,
        "SELECT repository, registry_id FROM projects
         WHERE id = $1 AND team_id = $2 AND repository IS NOT NULL AND registry_id IS NOT NULL",
        project.uuid(),
        tenant.team().uuid()
    )?)
}

/// Locks a login, so that no project comes to push by it meanwhile.
async fn lock(tx: &mut Tx, tenant: &Tenant, id: RegistryId) -> Result<()> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM registries WHERE id = $1 AND team_id = $2",
        "SELECT id FROM registries WHERE id = $1 AND team_id = $2 FOR UPDATE",
    );
    let row = optional!(conn, (Uuid,), sql, id.uuid(), tenant.team().uuid())?;
    row.map(|_| ())
        .ok_or(StoreError::NotFound(Resource::Registry))
}

/// Holds the team's login of a registry, so that it is not removed before the commit.
async fn hold(tx: &mut Tx, tenant: &Tenant, registry: &RegistryHost) -> Result<Uuid> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM registries WHERE team_id = $1 AND registry = $2",
        "SELECT id FROM registries WHERE team_id = $1 AND registry = $2 FOR SHARE",
    );
    let row = optional!(conn, (Uuid,), sql, tenant.team().uuid(), registry.as_str())?;
    row.map(|(id,)| id).ok_or_else(|| {
        let registry = registry.as_str();
        StoreError::Invalid {
            field: "repository",
            message: format!("the team has no login of {registry}"),
            remedy: format!("add it first: `towline registries add {registry} --user USER`"),
        }
    })
}

async fn find(conn: Conn<'_>, tenant: &Tenant, id: RegistryId) -> Result<Registry> {
    let sql = select_registries!("r.id = $1 AND r.team_id = $2");
    let row = optional!(conn, Row, sql, id.uuid(), tenant.team().uuid())?;
    row.map(Into::into)
        .ok_or(StoreError::NotFound(Resource::Registry))
}

async fn refuse_too_many(tx: &mut Tx, tenant: &Tenant) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM registries WHERE team_id = $1";
    let (count,) = one!(tx.conn(), (i64,), sql, tenant.team().uuid())?;
    if counted(count) < MAX_REGISTRIES as u64 {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!("a team has at most {MAX_REGISTRIES} registries"),
        remedy: "remove one that is not used any more".to_owned(),
    })
}

async fn write_audit(
    tx: &mut Tx,
    tenant: &Tenant,
    action: &str,
    one: &Registry,
    now: DateTime<Utc>,
) -> Result<()> {
    let subject = ("registry", one.id.uuid());
    let detail = json!({ "registry": one.registry, "user": one.user, "note": one.note });
    audit::append_of(tx, tenant, action, subject, detail, now).await
}
