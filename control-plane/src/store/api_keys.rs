//! API keys: random, shown once, stored as their hash.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use towline_pki::{hash_token, random_token};
use towline_shared::ids::{ApiKeyId, TeamId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit;
use super::billing::plan_of;
use super::db::{Tx, all, execute, local_now, one, optional};
use super::last_use::Used;
use super::page::{Listed, Page};
use super::project_members::{Standing, single_projects};
use super::tenant::{Credential, Grant, Person, RateLimits, Tenant};
use super::{Project, Resource, Result, Store, StoreError};
use crate::domain::access::Access;
use crate::domain::names::check_label;
use crate::domain::scope::Scopes;

/// The prefix of every key.
const PREFIX: &str = "twlk";
/// How much of a key people see to recognize it by.
const SHOWN: usize = PREFIX.len() + 1 + 6;

/// The most requests in a minute that a key may be given.
pub const MAX_RATE: u32 = 1_000_000;
/// The name of the key that somebody begins with.
pub(super) const FIRST: &str = "first key";

pub(super) const ONE: &str = "SELECT k.id, k.name, k.prefix, k.scopes, k.project_id, p.name AS project_name, k.requests_per_minute,
        k.created_at, k.expires_at, k.last_used_at
     FROM api_keys k LEFT JOIN projects p ON p.id = k.project_id WHERE k.id = $1 AND k.team_id = $2";

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
    /// What it may be used for: `all`, or names such as `projects:read`.
    #[schema(value_type = Vec<String>)]
    #[sqlx(try_from = "String")]
    pub scopes: Scopes,
    /// The one project that it is for; null when it is for all that its person's role reaches.
    pub project_id: Option<Uuid>,
    /// That project's name.
    pub project_name: Option<String>,
    /// The most requests in a minute; null is as many as the plan allows.
    pub requests_per_minute: Option<i64>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A key to make.
#[derive(Clone, Debug)]
pub struct NewApiKey<'a> {
    /// What it is for.
    pub name: &'a str,
    /// What it may be used for.
    pub scopes: Scopes,
    /// The one project that it is for.
    pub project: Option<&'a Project>,
    /// The most requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

impl<'a> NewApiKey<'a> {
    /// One that may do all that its person may, and does not end.
    pub const fn named(name: &'a str) -> Self {
        Self {
            name,
            scopes: Scopes::All,
            project: None,
            requests_per_minute: None,
            expires_at: None,
        }
    }
}

/// A new key: the only time that it is shown.
#[derive(Clone, Serialize, ToSchema)]
pub struct MintedApiKey {
    /// What it is.
    #[serde(flatten)]
    pub about: ApiKey,
    /// The key.
    pub key: String,
}

impl std::fmt::Debug for MintedApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MintedApiKey({}…)", self.about.prefix)
    }
}

#[derive(sqlx::FromRow)]
struct Owner {
    id: Uuid,
    team_id: Uuid,
    user_id: Uuid,
    role: Option<String>,
    single_projects: i64,
    user_role: String,
    scopes: String,
    project_id: Option<Uuid>,
    requests_per_minute: Option<i64>,
    max_requests_per_minute: Option<i64>,
    last_used_at: Option<DateTime<Utc>>,
}

impl Owner {
    fn grant(&self, access: Access) -> Result<Grant> {
        Ok(Grant {
            access: access.only(self.project_id.map(Into::into)),
            scopes: self.scopes.parse()?,
            rates: RateLimits::stored(self.requests_per_minute, self.max_requests_per_minute),
        })
    }
}

/// How long and how often a key may be used that makes another.
#[derive(sqlx::FromRow)]
struct Maker {
    expires_at: Option<DateTime<Utc>>,
    requests_per_minute: Option<i64>,
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
            concat!(
                "SELECT k.id, k.team_id, k.user_id, m.role, u.role AS user_role, k.scopes, k.project_id,
                    k.requests_per_minute, p.max_requests_per_minute, k.last_used_at, ",
                single_projects!(),
                " AS single_projects
                 FROM api_keys k JOIN users u ON u.id = k.user_id JOIN teams t ON t.id = k.team_id
                 LEFT JOIN team_members m ON m.team_id = k.team_id AND m.user_id = k.user_id
                 JOIN users h ON h.id = t.owner_id JOIN plans p ON p.id = ",
                plan_of!("h", "$2"),
                " WHERE k.token_hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $2)
                    AND u.suspended_at IS NULL"
            ),
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
        let standing = Standing {
            role: owner.role.as_deref(),
            single_projects: owner.single_projects,
        };
        let team = owner.team_id.into();
        let Some(access) = self.access(team, person.user(), standing).await? else {
            return Ok(None);
        };
        let grant = owner.grant(access)?;
        Ok(Some(Tenant::new(person, team, grant)))
    }

    /// Makes a key for the tenant's person and team. One that is made by a key may not do more than that, nor
    /// last longer.
    pub async fn create_api_key(
        &self,
        tenant: &Tenant,
        new: NewApiKey<'_>,
    ) -> Result<MintedApiKey> {
        check_label("name", new.name)?;
        let now = local_now();
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(StoreError::Invalid {
                field: "expires_in_days",
                message: "the key would have ended before it began".to_owned(),
                remedy: "give a moment to come, or none".to_owned(),
            });
        }
        check_scopes(tenant, &new.scopes)?;
        let mut tx = self.main().begin().await?;
        let new = match tenant.credential() {
            Credential::Session(_) => new,
            Credential::Push(_) => return Err(StoreError::NotFound(Resource::ApiKey)),
            Credential::Key(key) => within(&mut tx, key, new).await?,
        };
        let detail = json!({
            "name": new.name,
            "scopes": new.scopes,
            "project": new.project.map(|project| project.id),
        });
        let minted = insert(&mut tx, tenant.team(), tenant.user(), new, now).await?;
        let subject = ("api_key", minted.about.id.uuid());
        audit::append_of(&mut tx, tenant, "api_key.create", subject, detail, now).await?;
        tx.commit().await?;
        Ok(minted)
    }

    /// The team's keys that are not revoked.
    pub async fn list_api_keys(&self, tenant: &Tenant, page: Page) -> Result<Listed<ApiKey>> {
        let mut reader = self.main().read().await?;
        let keys = all!(
            reader.conn(),
            ApiKey,
            "SELECT k.id, k.name, k.prefix, k.scopes, k.project_id, p.name AS project_name, k.requests_per_minute,
                k.created_at, k.expires_at, k.last_used_at
             FROM api_keys k LEFT JOIN projects p ON p.id = k.project_id
             WHERE k.team_id = $1 AND k.id < $2 AND k.revoked_at IS NULL ORDER BY k.id DESC LIMIT $3",
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

fn check_scopes(tenant: &Tenant, scopes: &Scopes) -> Result<()> {
    if tenant.scopes().have(scopes) {
        return Ok(());
    }
    Err(StoreError::Forbidden {
        message: "a key makes none that may do more than itself".to_owned(),
        remedy: format!("choose among {}, or sign in", tenant.scopes()),
    })
}

/// A key as another may make it: its limits bound the new one's.
async fn within<'a>(tx: &mut Tx, maker: ApiKeyId, mut new: NewApiKey<'a>) -> Result<NewApiKey<'a>> {
    let sql = "SELECT expires_at, requests_per_minute FROM api_keys WHERE id = $1";
    let maker = one!(tx.conn(), Maker, sql, maker.uuid())?;
    let rates = RateLimits::stored(maker.requests_per_minute, None);
    new.expires_at = least(new.expires_at, maker.expires_at);
    new.requests_per_minute = least(new.requests_per_minute, rates.key);
    Ok(new)
}

/// The lower bound; nothing when there is none.
fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

pub(super) async fn insert(
    tx: &mut Tx,
    team: TeamId,
    user: UserId,
    new: NewApiKey<'_>,
    now: DateTime<Utc>,
) -> Result<MintedApiKey> {
    let key = random_token(PREFIX)?;
    let about = ApiKey {
        id: ApiKeyId::new(),
        name: new.name.to_owned(),
        prefix: key[..SHOWN].to_owned(),
        scopes: new.scopes,
        project_id: new.project.map(|project| project.id.uuid()),
        project_name: new.project.map(|project| project.name.clone()),
        requests_per_minute: new.requests_per_minute.map(Into::into),
        created_at: now,
        expires_at: new.expires_at,
        last_used_at: None,
    };
    execute!(
        tx.conn(),
        "INSERT INTO api_keys (id, team_id, user_id, name, prefix, token_hash, scopes, project_id, requests_per_minute,
            expires_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        about.id.uuid(),
        team.uuid(),
        user.uuid(),
        new.name,
        about.prefix.as_str(),
        hash_token(&key),
        about.scopes.to_string(),
        about.project_id,
        about.requests_per_minute,
        about.expires_at,
        now
    )?;
    Ok(MintedApiKey {
        about,
        key: key.to_string(),
    })
}
