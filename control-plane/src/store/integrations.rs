//! Accounts at forges: by their tokens repositories are listed and read, push hooks installed and statuses set. They are the
//! team's, whoever connected them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::IntegrationId;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{Tx, all, execute, local_now, one, optional};
use super::deployments::Named;
use super::page::{Listed, Page};
use super::push_hooks::forge;
use super::{Resource, Result, Store, StoreError, Tenant, audit, counted, members};
use crate::domain::integration::{ForgeAccess, ForgeSite, MAX_INTEGRATIONS};
use crate::domain::names::check_name;
use crate::vault::Place;

/// An account at a forge. Its token is never shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Integration {
    /// The integration's id.
    #[schema(value_type = Uuid)]
    pub id: IntegrationId,
    /// Its name; unique in the team.
    pub name: String,
    /// `github`, `gitlab` or `bitbucket`.
    pub forge: String,
    /// Where the forge is.
    pub url: String,
    /// The account at the forge.
    pub login: String,
    /// What the token may do; absent when the forge does not tell that.
    pub scopes: Option<Vec<String>>,
    /// Who connected it; absent when that person is gone.
    pub connected_by: Option<Named>,
    /// How many projects come from it.
    pub projects: u64,
    /// Why the last status that it was to set is not set; absent when it is.
    pub last_error: Option<String>,
    /// When it was connected.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// An account to connect. The forge has told whose token it is.
#[derive(Clone, Debug)]
pub struct NewIntegration {
    /// What it takes to call the forge.
    pub access: ForgeAccess,
    /// The host that is called.
    pub host: String,
    /// The account's id at the forge.
    pub account: String,
    /// The account's name there.
    pub login: String,
    /// What the token may do, if the forge tells that.
    pub scopes: Option<Vec<String>>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    forge: String,
    url: String,
    login: String,
    scopes: Option<String>,
    user_id: Option<Uuid>,
    user_name: Option<String>,
    projects: i64,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// What it takes to call a forge, as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct TokenRow {
    pub(super) integration: Uuid,
    pub(super) forge: String,
    pub(super) url: String,
    pub(super) token_user: Option<String>,
    pub(super) access_token: Vec<u8>,
    pub(super) token_key_version: i64,
}

/// The columns of [`Row`].
macro_rules! select_integrations {
    ($rest:literal) => {
        concat!(
            "SELECT i.id, i.name, i.forge, i.url, i.login, i.scopes, u.id AS user_id, u.name AS user_name,
                (SELECT COUNT(*) FROM project_sources s WHERE s.integration_id = i.id) AS projects,
                (SELECT c.error FROM commit_statuses c WHERE c.integration_id = i.id ORDER BY c.id DESC LIMIT 1) AS last_error,
                i.created_at, i.updated_at
             FROM github_integrations i LEFT JOIN users u ON u.id = i.user_id WHERE ",
            $rest
        )
    };
}

/// The columns of [`TokenRow`], of the integration `i`.
macro_rules! token_columns {
    () => {
        "i.id AS integration, i.forge, i.url, i.token_user, i.access_token, i.key_version AS token_key_version"
    };
}
pub(super) use token_columns;

impl From<Row> for Integration {
    fn from(row: Row) -> Self {
        let names = |text: String| text.split_whitespace().map(str::to_owned).collect();
        Self {
            id: row.id.into(),
            name: row.name,
            forge: row.forge,
            url: row.url,
            login: row.login,
            scopes: row.scopes.map(names),
            connected_by: Named::both(row.user_id, row.user_name),
            projects: counted(row.projects),
            last_error: row.last_error,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Where a token stands.
const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "github_integrations",
        id,
        version: 1,
    }
}

impl Store {
    /// The team's integrations.
    pub async fn list_integrations(
        &self,
        tenant: &Tenant,
        page: Page,
    ) -> Result<Listed<Integration>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_integrations!("i.team_id = $1 AND i.id < $2 ORDER BY i.id DESC LIMIT $3"),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let all = rows.into_iter().map(Integration::from).collect();
        Ok(page.cut(all, |one| one.id.uuid()))
    }

    /// One of them.
    pub async fn integration(&self, tenant: &Tenant, id: IntegrationId) -> Result<Integration> {
        let mut reader = self.main().read().await?;
        let sql = select_integrations!("i.id = $1 AND i.team_id = $2");
        let row = optional!(reader.conn(), Row, sql, id.uuid(), tenant.team().uuid())?;
        row.map(Into::into)
            .ok_or(StoreError::NotFound(Resource::Integration))
    }

    /// What it takes to call its forge.
    pub async fn integration_access(
        &self,
        tenant: &Tenant,
        id: IntegrationId,
    ) -> Result<ForgeAccess> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            TokenRow,
            concat!(
                "SELECT ",
                token_columns!(),
                " FROM github_integrations i WHERE i.id = $1 AND i.team_id = $2"
            ),
            id.uuid(),
            tenant.team().uuid()
        )?;
        drop(reader);
        let row = row.ok_or(StoreError::NotFound(Resource::Integration))?;
        self.open_token(&row).await
    }

    /// Connects an account.
    pub async fn connect_integration(
        &self,
        tenant: &Tenant,
        name: &str,
        new: &NewIntegration,
    ) -> Result<Integration> {
        check_name("name", name)?;
        let mut tx = self.main().begin().await?;
        members::lock_team(&mut tx, tenant.team()).await?;
        refuse_too_many(&mut tx, tenant).await?;
        let (id, now) = (IntegrationId::new(), local_now());
        let sealed = self.seal(&mut tx, place(id.uuid()), new.access.token.as_bytes());
        let sealed = sealed.await?;
        let made = execute!(
            tx.conn(),
            "INSERT INTO github_integrations (id, team_id, user_id, forge, name, url, host, github_user_id, login, scopes,
                token_user, access_token, key_version, statuses, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, $14, $14)
             ON CONFLICT (team_id, name) DO NOTHING",
            id.uuid(),
            tenant.team().uuid(),
            tenant.user().uuid(),
            new.access.site.forge().as_str(),
            name,
            new.access.site.root(),
            new.host.as_str(),
            new.account.as_str(),
            new.login.as_str(),
            new.scopes.as_ref().map(|scopes| scopes.join(" ")),
            new.access.user.as_deref(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        if made == 0 {
            return Err(StoreError::Conflict {
                message: format!("an integration named {name:?} exists already"),
                remedy: "choose another name, or give that one another token".to_owned(),
            });
        }
        let made = find(&mut tx, tenant, id).await?;
        write_audit(&mut tx, tenant, "integration.connect", &made, now).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Gives an integration another token, of whichever account at the same forge.
    pub async fn replace_token(
        &self,
        tenant: &Tenant,
        id: IntegrationId,
        new: &NewIntegration,
    ) -> Result<Integration> {
        let mut tx = self.main().begin().await?;
        lock(&mut tx, tenant, id).await?;
        let now = local_now();
        let sealed = self.seal(&mut tx, place(id.uuid()), new.access.token.as_bytes());
        let sealed = sealed.await?;
        execute!(
            tx.conn(),
            "UPDATE github_integrations SET user_id = $2, github_user_id = $3, login = $4, scopes = $5, token_user = $6,
                access_token = $7, key_version = $8, updated_at = $9 WHERE id = $1",
            id.uuid(),
            tenant.user().uuid(),
            new.account.as_str(),
            new.login.as_str(),
            new.scopes.as_ref().map(|scopes| scopes.join(" ")),
            new.access.user.as_deref(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        let changed = find(&mut tx, tenant, id).await?;
        write_audit(&mut tx, tenant, "integration.token", &changed, now).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Forgets an integration that nothing comes from, and its token.
    pub async fn delete_integration(&self, tenant: &Tenant, id: IntegrationId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        lock(&mut tx, tenant, id).await?;
        let gone = find(&mut tx, tenant, id).await?;
        let sql = "SELECT COUNT(*) FROM push_hooks WHERE integration_id = $1";
        let (hooks,) = one!(tx.conn(), (i64,), sql, id.uuid())?;
        let sql = "SELECT COUNT(*) FROM deploy_keys WHERE integration_id = $1";
        let (keys,) = one!(tx.conn(), (i64,), sql, id.uuid())?;
        let uses = [
            (gone.projects, "projects come from it"),
            (counted(hooks), "push hooks were installed by it"),
            (counted(keys), "deploy keys were installed by it"),
        ];
        if let Some((count, what)) = uses.into_iter().find(|(count, _)| *count > 0) {
            return Err(StoreError::Conflict {
                message: format!("{count} {what}"),
                remedy:
                    "set another source of those projects, or uninstall their push hooks and deploy keys, first"
                        .to_owned(),
            });
        }
        let sql = "DELETE FROM github_integrations WHERE id = $1";
        execute!(tx.conn(), sql, id.uuid())?;
        write_audit(&mut tx, tenant, "integration.delete", &gone, local_now()).await?;
        tx.commit().await
    }

    /// Opens a token.
    pub(super) async fn open_token(&self, row: &TokenRow) -> Result<ForgeAccess> {
        let place = place(row.integration);
        let opened = self.unseal(place, row.token_key_version, &row.access_token);
        let opened = opened.await?;
        let damaged = |_| StoreError::Damaged("the token of an integration is no text".to_owned());
        let token = std::str::from_utf8(&opened).map_err(damaged)?.to_owned();
        Ok(ForgeAccess {
            site: ForgeSite::new(forge(&row.forge)?, Some(&row.url))?,
            user: row.token_user.clone(),
            token: Zeroizing::new(token),
        })
    }
}

/// Locks an integration, so that nothing comes to use it meanwhile.
async fn lock(tx: &mut Tx, tenant: &Tenant, id: IntegrationId) -> Result<()> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM github_integrations WHERE id = $1 AND team_id = $2",
        "SELECT id FROM github_integrations WHERE id = $1 AND team_id = $2 FOR UPDATE",
    );
    let row = optional!(conn, (Uuid,), sql, id.uuid(), tenant.team().uuid())?;
    row.map(|_| ())
        .ok_or(StoreError::NotFound(Resource::Integration))
}

async fn find(tx: &mut Tx, tenant: &Tenant, id: IntegrationId) -> Result<Integration> {
    let sql = select_integrations!("i.id = $1 AND i.team_id = $2");
    let row = optional!(tx.conn(), Row, sql, id.uuid(), tenant.team().uuid())?;
    row.map(Into::into)
        .ok_or(StoreError::NotFound(Resource::Integration))
}

async fn refuse_too_many(tx: &mut Tx, tenant: &Tenant) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM github_integrations WHERE team_id = $1";
    let (count,) = one!(tx.conn(), (i64,), sql, tenant.team().uuid())?;
    if counted(count) < MAX_INTEGRATIONS as u64 {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!("a team has at most {MAX_INTEGRATIONS} integrations"),
        remedy: "remove one that is not used any more".to_owned(),
    })
}

async fn write_audit(
    tx: &mut Tx,
    tenant: &Tenant,
    action: &str,
    one: &Integration,
    now: DateTime<Utc>,
) -> Result<()> {
    let subject = ("integration", one.id.uuid());
    let detail = json!({
        "name": one.name, "forge": one.forge, "url": one.url, "login": one.login, "scopes": one.scopes,
    });
    audit::append_of(tx, tenant, action, subject, detail, now).await
}
