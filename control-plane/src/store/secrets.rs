//! Secrets of a project: written, never read back by people; sealed at rest.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::compose::is_reserved_variable;
use towline_shared::ids::{ProjectId, SecretId};
use towline_shared::spec::Secret;
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit;
use super::db::{Tx, all, execute, local_now, optional};
use super::{Resource, Result, Store, StoreError, Tenant, projects};
use crate::domain::names::check_variable;
use crate::vault::{KEY_VERSION, Place};

/// The most bytes of one value: a certificate chain with its key fits.
pub const MAX_VALUE: usize = 64 * 1024;
/// The most secrets of one project.
pub const MAX_SECRETS: usize = 200;
/// What all secrets of one project may have together, so that they fit an offer beside the files.
pub const MAX_ALL: usize = 1024 * 1024;

/// A secret, without its value.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct SecretEntry {
    /// The secret's id.
    #[schema(value_type = Uuid)]
    #[sqlx(try_from = "Uuid")]
    pub id: SecretId,
    /// The name of the variable.
    pub key: String,
    /// Where it is used: `deploy`.
    pub scope: String,
    /// Rises with each new value.
    pub version: i64,
    /// When it was first set.
    pub created_at: DateTime<Utc>,
    /// When it was last set.
    pub updated_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Sealed {
    id: Uuid,
    key: String,
    version: i64,
    value_encrypted: Vec<u8>,
}

impl Store {
    /// The project's secrets, without their values.
    pub async fn list_secrets(
        &self,
        tenant: &Tenant,
        project: ProjectId,
    ) -> Result<Vec<SecretEntry>> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        Ok(all!(
            reader.conn(),
            SecretEntry,
            "SELECT id, key, scope, version, created_at, updated_at FROM secrets WHERE project_id = $1 ORDER BY key",
            project.uuid()
        )?)
    }

    /// Sets a secret. Deployments that are queued already take the new value.
    pub async fn put_secret(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        key: &str,
        value: &str,
    ) -> Result<SecretEntry> {
        check_variable("key", key)?;
        if is_reserved_variable(key) {
            return Err(StoreError::Invalid {
                field: "key",
                message: format!("{key} steers the programs that deploy"),
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
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let now = local_now();
        let known = optional!(
            tx.conn(),
            SecretEntry,
            "SELECT id, key, scope, version, created_at, updated_at FROM secrets
             WHERE project_id = $1 AND scope = 'deploy' AND key = $2",
            project.uuid(),
            key
        )?;
        refuse_too_much(&mut tx, project, key, value.len()).await?;
        let entry = SecretEntry {
            id: known.as_ref().map_or_else(SecretId::new, |known| known.id),
            key: key.to_owned(),
            scope: "deploy".to_owned(),
            version: known.as_ref().map_or(1, |known| known.version + 1),
            created_at: known.as_ref().map_or(now, |known| known.created_at),
            updated_at: now,
        };
        let sealed = self
            .vault()
            .seal(place(entry.id.uuid(), entry.version), value.as_bytes())?;
        execute!(
            tx.conn(),
            "INSERT INTO secrets (id, project_id, key, value_encrypted, key_version, scope, version, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, 'deploy', $6, $7, $7)
             ON CONFLICT (project_id, scope, key) DO UPDATE SET value_encrypted = excluded.value_encrypted,
                key_version = excluded.key_version, version = excluded.version, updated_at = excluded.updated_at",
            entry.id.uuid(),
            project.uuid(),
            key,
            sealed.as_slice(),
            KEY_VERSION,
            entry.version,
            now
        )?;
        let (subject, detail) = (("project", project.uuid()), json!({ "key": key }));
        audit::append_of(&mut tx, tenant, "secret.put", subject, detail, now).await?;
        tx.commit().await?;
        Ok(entry)
    }

    /// Deletes a secret.
    pub async fn delete_secret(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        key: &str,
    ) -> Result<()> {
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        let sql = "DELETE FROM secrets WHERE project_id = $1 AND scope = 'deploy' AND key = $2";
        if execute!(tx.conn(), sql, project.uuid(), key)? == 0 {
            return Err(StoreError::NotFound(Resource::Secret));
        }
        let (subject, detail) = (("project", project.uuid()), json!({ "key": key }));
        audit::append_of(
            &mut tx,
            tenant,
            "secret.delete",
            subject,
            detail,
            local_now(),
        )
        .await?;
        tx.commit().await
    }

    /// The values, for the agent that is to use them.
    pub(crate) async fn open_secrets(&self, project: ProjectId) -> Result<Vec<Secret>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Sealed,
            "SELECT id, key, version, value_encrypted FROM secrets WHERE project_id = $1 AND scope = 'deploy' ORDER BY key",
            project.uuid()
        )?;
        drop(reader);
        rows.into_iter().map(|row| self.open_secret(row)).collect()
    }

    fn open_secret(&self, row: Sealed) -> Result<Secret> {
        let value = self
            .vault()
            .open(place(row.id, row.version), &row.value_encrypted)?;
        let value = std::str::from_utf8(&value)
            .map_err(|_| StoreError::Damaged(format!("the secret {} is no text", row.key)))?;
        Ok(Secret {
            name: row.key,
            value: value.to_owned(),
        })
    }
}

async fn refuse_too_much(tx: &mut Tx, project: ProjectId, key: &str, bytes: usize) -> Result<()> {
    let others = all!(
        tx.conn(),
        (i64,),
        "SELECT CAST(LENGTH(value_encrypted) AS BIGINT) FROM secrets WHERE project_id = $1 AND key <> $2",
        project.uuid(),
        key
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

const fn place(id: Uuid, version: i64) -> Place<'static> {
    Place {
        table: "secrets",
        id,
        version,
    }
}
