//! Secrets of a project: written, never read back by people; sealed at rest.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::compose::is_reserved_variable;
use towline_shared::ids::{ProjectId, SecretId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::db::{Tx, all, execute, local_now, optional};
use super::deployments::Named;
use super::{
    OutdatedUse, Resource, Result, Store, StoreError, Tenant, audit, projects, secret_uses,
};
use crate::domain::secrets::{SecretName, SecretScope};
use crate::vault::Place;

/// The most bytes of one value: a certificate chain with its key fits.
pub const MAX_VALUE: usize = 64 * 1024;
/// The most secrets of one project.
pub const MAX_SECRETS: usize = 200;
/// What all secrets of one project may have together, so that they fit an offer beside the files.
pub const MAX_ALL: usize = 1024 * 1024;
/// Former values that are kept; more only as long as something runs with them.
pub const MAX_FORMER: i64 = 10;

/// A secret, without its value.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SecretEntry {
    /// The secret's id.
    #[schema(value_type = Uuid)]
    pub id: SecretId,
    /// The name of the variable.
    pub key: String,
    /// What it is given to.
    pub scope: SecretScope,
    /// For which environment; null for all that have none of their own.
    pub environment: Option<String>,
    /// Rises with each new value.
    pub version: i64,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
    /// When it was last set.
    pub updated_at: DateTime<Utc>,
    /// Who last set it; absent when that person is gone.
    pub set_by: Option<Named>,
    /// Deployments that run with a former value.
    pub outdated: Vec<OutdatedUse>,
}

/// A version of a secret whose value is kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SecretVersion {
    /// Its number.
    pub version: i64,
    /// When it was set.
    pub set_at: DateTime<Utc>,
    /// Who set it; absent when that person is gone.
    pub set_by: Option<Named>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    key: String,
    scope: String,
    environment: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    setter_id: Option<Uuid>,
    setter: Option<String>,
}

#[derive(sqlx::FromRow)]
struct VersionRow {
    version: i64,
    set_at: DateTime<Utc>,
    setter_id: Option<Uuid>,
    setter: Option<String>,
}

/// What a new value takes the place of.
#[derive(Clone, Copy, sqlx::FromRow)]
struct Present {
    id: Uuid,
    version: i64,
    created_at: DateTime<Utc>,
}

impl Row {
    fn into_entry(self, outdated: Vec<OutdatedUse>) -> Result<SecretEntry> {
        Ok(SecretEntry {
            id: self.id.into(),
            key: self.key,
            scope: self.scope.parse()?,
            environment: Some(self.environment).filter(|name| !name.is_empty()),
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            set_by: Named::both(self.setter_id, self.setter),
            outdated,
        })
    }
}

impl From<VersionRow> for SecretVersion {
    fn from(row: VersionRow) -> Self {
        Self {
            version: row.version,
            set_at: row.set_at,
            set_by: Named::both(row.setter_id, row.setter),
        }
    }
}

impl Store {
    /// The project's secrets, without their values.
    pub async fn list_secrets(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Vec<SecretEntry>> {
        self.project(tenant, project).await?;
        let mut uses = self.outdated_uses(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT s.id, s.key, s.scope, s.environment, s.version, s.created_at, s.updated_at,
                u.id AS setter_id, u.name AS setter
             FROM secrets s LEFT JOIN users u ON u.id = s.set_by
             WHERE s.project_id = $1 ORDER BY s.key, s.scope, s.environment",
            project.uuid()
        )?;
        let with_uses = |row: Row| {
            let outdated = uses.remove(&row.id).unwrap_or_default();
            row.into_entry(outdated)
        };
        rows.into_iter().map(with_uses).collect()
    }

    /// The versions of a secret whose values are kept, the newest first. The first one is in use.
    pub async fn secret_versions(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        name: SecretName<'_>,
    ) -> Result<Vec<SecretVersion>> {
        name.check()?;
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            VersionRow,
            "SELECT s.version, s.updated_at AS set_at, u.id AS setter_id, u.name AS setter
             FROM secrets s LEFT JOIN users u ON u.id = s.set_by
             WHERE s.project_id = $1 AND s.scope = $2 AND s.key = $3 AND s.environment = $4
             UNION ALL
             SELECT v.version, v.set_at, u.id AS setter_id, u.name AS setter
             FROM secrets s JOIN secret_versions v ON v.secret_id = s.id LEFT JOIN users u ON u.id = v.set_by
             WHERE s.project_id = $1 AND s.scope = $2 AND s.key = $3 AND s.environment = $4
             ORDER BY 1 DESC",
            project.uuid(),
            name.scope.as_str(),
            name.key,
            name.environment.unwrap_or_default()
        )?;
        if rows.is_empty() {
            return Err(StoreError::NotFound(Resource::Secret));
        }
        Ok(rows.into_iter().map(SecretVersion::from).collect())
    }

    /// Sets a secret. Deployments that are queued already take the new value.
    pub async fn put_secret<'a>(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        name: impl Into<SecretName<'a>>,
        value: &str,
    ) -> Result<SecretEntry> {
        let name = name.into();
        check(name, value)?;
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let entry = self.put(&mut tx, tenant, project, name, value).await?;
        write_audit(&mut tx, tenant, "secret.put", project, name, entry.version).await?;
        tx.commit().await?;
        self.with_uses(tenant, project, entry).await
    }

    /// Makes a former value the present one again, as a new version.
    pub async fn restore_secret(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        name: SecretName<'_>,
        version: i64,
    ) -> Result<SecretEntry> {
        name.check()?;
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let present = present(&mut tx, project, name).await?;
        let present = present.ok_or(StoreError::NotFound(Resource::Secret))?;
        let former = optional!(
            tx.conn(),
            (Vec<u8>, i64),
            "SELECT value_encrypted, key_version FROM secret_versions WHERE secret_id = $1 AND version = $2",
            present.id,
            version
        )?;
        let (sealed, key) = former.ok_or(StoreError::NotFound(Resource::SecretVersion))?;
        let value = self
            .unseal(place(present.id, version), key, &sealed)
            .await?;
        let value = std::str::from_utf8(&value)
            .map_err(|_| StoreError::Damaged(format!("the secret {} is no text", name.key)))?;
        let entry = self.put(&mut tx, tenant, project, name, value).await?;
        write_audit(&mut tx, tenant, "secret.restore", project, name, version).await?;
        tx.commit().await?;
        self.with_uses(tenant, project, entry).await
    }

    /// Deletes a secret with its former values.
    pub async fn delete_secret<'a>(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        name: impl Into<SecretName<'a>>,
    ) -> Result<()> {
        let name = name.into();
        name.check()?;
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let present = present(&mut tx, project, name).await?;
        let present = present.ok_or(StoreError::NotFound(Resource::Secret))?;
        execute!(tx.conn(), "DELETE FROM secrets WHERE id = $1", present.id)?;
        let version = present.version;
        write_audit(&mut tx, tenant, "secret.delete", project, name, version).await?;
        tx.commit().await
    }

    /// Gives a new project a secret of its deployments.
    pub(super) async fn give_secret(
        &self,
        tx: &mut Tx,
        tenant: &Tenant,
        project: ProjectId,
        key: &str,
        value: &str,
    ) -> Result<()> {
        let name = SecretName::from(key);
        check(name, value)?;
        let entry = self.put(tx, tenant, project, name, value).await?;
        write_audit(tx, tenant, "secret.put", project, name, entry.version).await
    }

    async fn with_uses(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        mut entry: SecretEntry,
    ) -> Result<SecretEntry> {
        let mut uses = self.outdated_uses(tenant, project).await?;
        entry.outdated = uses.remove(&entry.id.uuid()).unwrap_or_default();
        Ok(entry)
    }

    async fn put(
        &self,
        tx: &mut Tx,
        tenant: &Tenant,
        project: ProjectId,
        name: SecretName<'_>,
        value: &str,
    ) -> Result<SecretEntry> {
        let known = present(tx, project, name).await?;
        refuse_too_much(tx, project, known.map(|known| known.id), value.len()).await?;
        let now = local_now();
        let id = known.map_or_else(|| SecretId::new().uuid(), |known| known.id);
        let version = known.map_or(1, |known| known.version + 1);
        // It also holds the master key, so that the former value is not moved past a rotation.
        let sealed = self.seal(tx, place(id, version), value.as_bytes()).await?;
        if known.is_some() {
            keep(tx, id, now).await?;
        }
        execute!(
            tx.conn(),
            "INSERT INTO secrets (id, project_id, key, value_encrypted, key_version, scope, environment, version,
                set_by, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
             ON CONFLICT (id) DO UPDATE SET value_encrypted = excluded.value_encrypted,
                key_version = excluded.key_version, version = excluded.version, set_by = excluded.set_by,
                updated_at = excluded.updated_at",
            id,
            project.uuid(),
            name.key,
            sealed.bytes.as_slice(),
            sealed.key_version,
            name.scope.as_str(),
            name.environment.unwrap_or_default(),
            version,
            tenant.user().uuid(),
            now
        )?;
        secret_uses::forget(tx, id, version - 1 - MAX_FORMER).await?;
        let setter = "SELECT id, name FROM users WHERE id = $1";
        let setter = optional!(tx.conn(), (Uuid, String), setter, tenant.user().uuid())?;
        Ok(SecretEntry {
            id: id.into(),
            key: name.key.to_owned(),
            scope: name.scope,
            environment: name.environment.map(str::to_owned),
            version,
            created_at: known.map_or(now, |known| known.created_at),
            updated_at: now,
            set_by: setter.map(|(id, name)| Named { id, name }),
            outdated: Vec::new(),
        })
    }
}

fn check(name: SecretName<'_>, value: &str) -> Result<()> {
    name.check()?;
    if is_reserved_variable(name.key) {
        return Err(StoreError::Invalid {
            field: "key",
            message: format!("{} steers the programs that deploy", name.key),
            remedy: "choose another name".to_owned(),
        });
    }
    if value.len() > MAX_VALUE || value.contains('\0') {
        return Err(StoreError::Invalid {
            field: "value",
            message: format!("a secret has at most {MAX_VALUE} bytes and no NUL"),
            remedy: "put large files into an image or a volume".to_owned(),
        });
    }
    Ok(())
}

/// The secret as it is, and stays until the commit.
async fn present(tx: &mut Tx, project: ProjectId, name: SecretName<'_>) -> Result<Option<Present>> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id, version, created_at FROM secrets
         WHERE project_id = $1 AND scope = $2 AND key = $3 AND environment = $4",
        "SELECT id, version, created_at FROM secrets
         WHERE project_id = $1 AND scope = $2 AND key = $3 AND environment = $4 FOR NO KEY UPDATE",
    );
    Ok(optional!(
        conn,
        Present,
        sql,
        project.uuid(),
        name.scope.as_str(),
        name.key,
        name.environment.unwrap_or_default()
    )?)
}

/// Keeps the present value as a former one.
async fn keep(tx: &mut Tx, secret: Uuid, now: DateTime<Utc>) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO secret_versions (id, secret_id, version, value_encrypted, key_version, set_by, set_at, created_at)
         SELECT $2, id, version, value_encrypted, key_version, set_by, updated_at, $3 FROM secrets WHERE id = $1",
        secret,
        Uuid::now_v7(),
        now
    )?;
    Ok(())
}

async fn refuse_too_much(
    tx: &mut Tx,
    project: ProjectId,
    replaced: Option<Uuid>,
    bytes: usize,
) -> Result<()> {
    let others = all!(
        tx.conn(),
        (i64,),
        "SELECT CAST(LENGTH(value_encrypted) AS BIGINT) FROM secrets WHERE project_id = $1 AND id <> $2",
        project.uuid(),
        replaced.unwrap_or_default()
    )?;
    let all: u64 = others.iter().map(|(length,)| super::counted(*length)).sum();
    if others.len() < MAX_SECRETS && all + bytes as u64 <= MAX_ALL as u64 {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!(
            "a project has at most {MAX_SECRETS} secrets with {MAX_ALL} bytes together"
        ),
        remedy: "delete those that are not used any more".to_owned(),
    })
}

async fn write_audit(
    tx: &mut Tx,
    tenant: &Tenant,
    action: &str,
    project: ProjectId,
    name: SecretName<'_>,
    version: i64,
) -> Result<()> {
    let detail = json!({
        "key": name.key,
        "scope": name.scope,
        "environment": name.environment,
        "version": version,
    });
    let subject = ("project", project.uuid());
    audit::append_of(tx, tenant, action, subject, detail, local_now()).await
}

pub(super) const fn place(id: Uuid, version: i64) -> Place<'static> {
    Place {
        table: "secrets",
        id,
        version,
    }
}
