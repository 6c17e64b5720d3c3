//! API keys: random, shown once, stored as their hash.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use towline_pki::{hash_token, random_token};
use towline_shared::ids::{ApiKeyId, TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit;
use super::db::{Tx, all, execute, local_now, optional};
use super::last_use::Used;
use super::page::{Listed, Page};
use super::tenant::{Credential, Person, Tenant};
use super::{Resource, Result, Store, StoreError};
use crate::domain::names::check_label;
use crate::domain::permission::Role;

/// The prefix of every key.
const PREFIX: &str = "twlk";
/// How much of a key people see to recognize it by.
const SHOWN: usize = PREFIX.len() + 1 + 6;

/// A key of the API, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct ApiKey {
    /// The key's id.
    #[schema(value_type = Uuid)]
    #[sqlx(try_from = "Uuid")]
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// What it may be used for; `all`.
    pub scopes: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A new key: the only time that it is shown.
#[derive(Clone, Serialize, ToSchema)]
pub struct NewApiKey {
    /// The key's id.
    #[schema(value_type = Uuid)]
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// The key.
    pub key: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewApiKey({}…)", self.prefix)
    }
}

#[derive(sqlx::FromRow)]
struct Owner {
    id: Uuid,
    team_id: Uuid,
    user_id: Uuid,
    role: String,
    user_role: String,
    last_used_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Who bears this key; nothing if nobody does, or no more.
    pub async fn authenticate(&self, key: &str) -> Result<Option<Tenant>> {
        if !key.starts_with(PREFIX) || key.len() > 128 {
            return Ok(None);
        }
        let now = local_now();
        let mut reader = self.main().read().await?;
        let owner = optional!(
            reader.conn(),
            Owner,
            "SELECT k.id, k.team_id, k.user_id, m.role, u.role AS user_role, k.last_used_at FROM api_keys k
             JOIN team_members m ON m.team_id = k.team_id AND m.user_id = k.user_id
             JOIN users u ON u.id = k.user_id
             WHERE k.token_hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)",
            hash_token(key),
            now
        )?;
        drop(reader);
        let Some(owner) = owner else {
            return Ok(None);
        };
        self.note_use(Used::Key(owner.id), owner.last_used_at, now);
        let credential = Credential::Key(owner.id.into());
        let person = Person::new(owner.user_id.into(), owner.user_role.parse()?, credential);
        let role: Role = owner.role.parse()?;
        Ok(Some(Tenant::new(person, owner.team_id.into(), role)))
    }

    /// Makes a key for the tenant's person and team.
    pub async fn create_api_key(
        &self,
        tenant: &Tenant,
        name: &str,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<NewApiKey> {
        check_label("name", name)?;
        let now = local_now();
        if expires_at.is_some_and(|end| end <= now) {
            return Err(StoreError::Invalid {
                field: "expires_in_days",
                message: "the key would have ended before it began".to_owned(),
                remedy: "give a moment to come, or none".to_owned(),
            });
        }
        let mut tx = self.main().begin().await?;
        let key = insert(
            &mut tx,
            ApiKeyId::new(),
            tenant.team(),
            tenant.user(),
            name,
            expires_at,
            now,
        )
        .await?;
        let subject = ("api_key", key.id.uuid());
        audit::append_of(&mut tx, tenant, "api_key.create", subject, Value::Null, now).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// The team's keys that are not revoked.
    pub async fn list_api_keys(&self, tenant: &Tenant, page: Page) -> Result<Listed<ApiKey>> {
        let mut reader = self.main().read().await?;
        let keys = all!(
            reader.conn(),
            ApiKey,
            "SELECT id, name, prefix, scopes, created_at, expires_at, last_used_at FROM api_keys
             WHERE team_id = $1 AND id < $2 AND revoked_at IS NULL ORDER BY id DESC LIMIT $3",
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        Ok(page.cut(keys, |key| key.id.uuid()))
    }

    /// Ends a key at once.
    pub async fn revoke_api_key(&self, tenant: &Tenant, key: ApiKeyId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let revoked = execute!(
            tx.conn(),
            "UPDATE api_keys SET revoked_at = $3, updated_at = $3 WHERE id = $1 AND team_id = $2 AND revoked_at IS NULL",
            key.uuid(),
            tenant.team().uuid(),
            now
        )?;
        if revoked == 0 {
            return Err(StoreError::NotFound(Resource::ApiKey));
        }
        let subject = ("api_key", key.uuid());
        audit::append_of(&mut tx, tenant, "api_key.revoke", subject, Value::Null, now).await?;
        tx.commit().await
    }
}

pub(super) async fn insert(
    tx: &mut Tx,
    id: ApiKeyId,
    team: TeamId,
    user: UserId,
    name: &str,
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<NewApiKey> {
    let key = random_token(PREFIX)?;
    let prefix = key[..SHOWN].to_owned();
    execute!(
        tx.conn(),
        "INSERT INTO api_keys (id, team_id, user_id, name, prefix, token_hash, scopes, expires_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'all', $7, $8, $8)",
        id.uuid(),
        team.uuid(),
        user.uuid(),
        name,
        prefix.as_str(),
        hash_token(&key),
        expires_at,
        now
    )?;
    Ok(NewApiKey {
        id,
        name: name.to_owned(),
        prefix,
        key: key.to_string(),
        created_at: now,
        expires_at,
    })
}
