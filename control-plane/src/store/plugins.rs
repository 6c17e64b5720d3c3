//! Plugins: what of a team's own is asked before something is done, and told afterwards.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use towline_shared::ids::PluginId;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{Tx, all, execute, local_now, one, optional};
use super::page::{Listed, Page};
use super::{
    Resource, Result, Store, StoreError, Tenant, WebhookAddress, audit, counted, members,
    plugin_runs, signing_secret,
};
use crate::domain::names::check_name;
use crate::domain::plugin::{DEFAULT_TIMEOUT_S, FailurePolicy, Hook, MAX_PLUGINS, TIMEOUT_S};
use crate::vault::Place;

/// What a team asks and tells.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Plugin {
    /// The plugin's id.
    #[schema(value_type = Uuid)]
    pub id: PluginId,
    /// Its name; unique in the team.
    pub name: String,
    /// Where it is called.
    pub url: String,
    /// When it is called (`before_deploy`).
    pub hooks: Vec<&'static str>,
    /// How long it may take, in seconds.
    pub timeout_s: u64,
    /// What becomes of what it is asked about when it gives no answer: `open`, it goes on, or `closed`, it is refused.
    pub failure_policy: String,
    /// `enabled` or `disabled`.
    pub state: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A plugin with its new secret: the only time that it is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PluginWithSecret {
    /// The plugin.
    #[serde(flatten)]
    pub plugin: Plugin,
    /// What its requests are signed with.
    pub secret: String,
}

/// A plugin to make. Its address has been checked.
#[derive(Clone, Debug)]
pub struct NewPlugin {
    /// Its name.
    pub name: String,
    /// Where it is called.
    pub address: WebhookAddress,
    /// When it is called.
    pub hooks: Vec<Hook>,
    /// How long it may take, in seconds.
    pub timeout_s: Option<u32>,
    /// What becomes of what it is asked about when it gives no answer.
    pub failure_policy: FailurePolicy,
}

/// What shall change; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct PluginChange {
    /// Where it is called.
    pub address: Option<WebhookAddress>,
    /// When it is called.
    pub hooks: Option<Vec<Hook>>,
    /// How long it may take, in seconds.
    pub timeout_s: Option<u32>,
    /// What becomes of what it is asked about when it gives no answer.
    pub failure_policy: Option<FailurePolicy>,
    /// Whether it is called at all.
    pub enabled: Option<bool>,
}

/// What it takes to call a plugin.
#[derive(Debug)]
pub struct Callee {
    /// The plugin.
    pub id: PluginId,
    /// Its name.
    pub name: String,
    /// Where it is called.
    pub url: String,
    /// The host there.
    pub host: String,
    /// How long it may take.
    pub timeout: Duration,
    /// What becomes of what it is asked about when it gives no answer.
    pub policy: FailurePolicy,
    secret: Vec<u8>,
    key_version: i64,
}

#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: Uuid,
    name: String,
    url: String,
    host: String,
    hooks: String,
    secret: Vec<u8>,
    key_version: i64,
    timeout_s: i64,
    failure_policy: String,
    state: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The columns of [`Row`].
macro_rules! select_plugins {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, url, host, hooks, secret, key_version, timeout_s, failure_policy, state, created_at,
                updated_at FROM custom_plugins WHERE ",
            $rest
        )
    };
}

impl TryFrom<Row> for Plugin {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let hooks = parse_hooks(&row.hooks)?;
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            url: row.url,
            hooks: hooks.into_iter().map(Hook::as_str).collect(),
            timeout_s: counted(row.timeout_s),
            failure_policy: row.failure_policy,
            state: row.state,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

impl TryFrom<Row> for Callee {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let damaged = |error| StoreError::Damaged(format!("the policy of a plugin: {error}"));
        Ok(Self {
            id: row.id.into(),
            policy: row.failure_policy.parse().map_err(damaged)?,
            timeout: Duration::from_secs(counted(row.timeout_s)),
            name: row.name,
            url: row.url,
            host: row.host,
            secret: row.secret,
            key_version: row.key_version,
        })
    }
}

impl Store {
    /// The team's plugins.
    pub async fn list_plugins(&self, tenant: &Tenant, page: Page) -> Result<Listed<Plugin>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_plugins!("team_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let plugins = rows.into_iter().map(Plugin::try_from);
        Ok(page.cut(plugins.collect::<Result<Vec<_>>>()?, |one| one.id.uuid()))
    }

    /// One plugin.
    pub async fn plugin(&self, tenant: &Tenant, id: PluginId) -> Result<Plugin> {
        self.plugin_row(tenant, id).await?.try_into()
    }

    /// What it takes to call one plugin, whether it is switched on or not.
    pub async fn callee(&self, tenant: &Tenant, id: PluginId) -> Result<Callee> {
        self.plugin_row(tenant, id).await?.try_into()
    }

    /// What is to be asked at a hook.
    pub async fn callees(&self, tenant: &Tenant, hook: Hook) -> Result<Vec<Callee>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_plugins!("team_id = $1 AND state = 'enabled' ORDER BY id"),
            tenant.team().uuid()
        )?;
        let called = rows.into_iter().filter(|row| has_hook(&row.hooks, hook));
        called.map(Callee::try_from).collect()
    }

    /// What the requests to a plugin are signed with.
    pub async fn plugin_secret(&self, callee: &Callee) -> Result<Zeroizing<Vec<u8>>> {
        let place = place(callee.id.uuid());
        self.unseal(place, callee.key_version, &callee.secret).await
    }

    async fn plugin_row(&self, tenant: &Tenant, id: PluginId) -> Result<Row> {
        let mut reader = self.main().read().await?;
        let sql = select_plugins!("id = $1 AND team_id = $2");
        let row = optional!(reader.conn(), Row, sql, id.uuid(), tenant.team().uuid())?;
        row.ok_or(StoreError::NotFound(Resource::Plugin))
    }

    /// Makes a plugin with a secret of its own.
    pub async fn create_plugin(&self, tenant: &Tenant, new: NewPlugin) -> Result<PluginWithSecret> {
        check_name("name", &new.name)?;
        let hooks = checked_hooks(new.hooks)?;
        let timeout_s = checked_timeout(new.timeout_s.unwrap_or(DEFAULT_TIMEOUT_S))?;
        let mut tx = self.main().begin().await?;
        members::lock_team(&mut tx, tenant.team()).await?;
        refuse_too_many(&mut tx, tenant).await?;
        let (id, now, secret) = (PluginId::new(), local_now(), signing_secret()?);
        let sealed = self.seal(&mut tx, place(id.uuid()), secret.as_bytes());
        let sealed = sealed.await?;
        let made = execute!(
            tx.conn(),
            "INSERT INTO custom_plugins (id, team_id, name, url, host, hooks, secret, key_version, timeout_s,
                failure_policy, state, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'enabled', $11, $11) ON CONFLICT (team_id, name) DO NOTHING",
            id.uuid(),
            tenant.team().uuid(),
            new.name.as_str(),
            new.address.url.as_str(),
            new.address.host.as_str(),
            hooks.as_str(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            timeout_s,
            new.failure_policy.as_str(),
            now
        )?;
        if made == 0 {
            return Err(StoreError::Conflict {
                message: format!("a plugin named {:?} exists already", new.name),
                remedy: "choose another name, or change that plugin".to_owned(),
            });
        }
        let row = find(&mut tx, tenant, id).await?;
        write_audit(&mut tx, tenant, "plugin.create", &row, now).await?;
        tx.commit().await?;
        Ok(PluginWithSecret {
            plugin: row.try_into()?,
            secret: secret.as_str().to_owned(),
        })
    }

    /// Changes a plugin. What waits for one that is switched off is not sent any more.
    pub async fn change_plugin(
        &self,
        tenant: &Tenant,
        id: PluginId,
        change: PluginChange,
    ) -> Result<Plugin> {
        let hooks = change.hooks.map(checked_hooks).transpose()?;
        let timeout_s = change.timeout_s.map(checked_timeout).transpose()?;
        let mut tx = self.main().begin().await?;
        let (before, now) = (lock(&mut tx, tenant, id).await?, local_now());
        let state = match change.enabled {
            Some(true) => "enabled",
            Some(false) => "disabled",
            None => before.state.as_str(),
        };
        let address = change.address.unwrap_or_else(|| WebhookAddress {
            url: before.url.clone(),
            host: before.host.clone(),
        });
        let policy = change.failure_policy.map(FailurePolicy::as_str);
        execute!(
            tx.conn(),
            "UPDATE custom_plugins SET url = $2, host = $3, hooks = $4, timeout_s = $5, failure_policy = $6, state = $7,
                updated_at = $8 WHERE id = $1",
            id.uuid(),
            address.url.as_str(),
            address.host.as_str(),
            hooks.as_deref().unwrap_or(&before.hooks),
            timeout_s.unwrap_or(before.timeout_s),
            policy.unwrap_or(&before.failure_policy),
            state,
            now
        )?;
        if state != "enabled" {
            plugin_runs::give_up(&mut tx, id, "the plugin was switched off", now).await?;
        }
        let after = find(&mut tx, tenant, id).await?;
        write_audit(&mut tx, tenant, "plugin.change", &after, now).await?;
        tx.commit().await?;
        after.try_into()
    }

    /// Gives a plugin another secret. The former one signs nothing any more.
    pub async fn rotate_plugin_secret(
        &self,
        tenant: &Tenant,
        id: PluginId,
    ) -> Result<PluginWithSecret> {
        let mut tx = self.main().begin().await?;
        lock(&mut tx, tenant, id).await?;
        let (now, secret) = (local_now(), signing_secret()?);
        let sealed = self.seal(&mut tx, place(id.uuid()), secret.as_bytes());
        let sealed = sealed.await?;
        execute!(
            tx.conn(),
            "UPDATE custom_plugins SET secret = $2, key_version = $3, updated_at = $4 WHERE id = $1",
            id.uuid(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        let row = find(&mut tx, tenant, id).await?;
        write_audit(&mut tx, tenant, "plugin.rotate_secret", &row, now).await?;
        tx.commit().await?;
        Ok(PluginWithSecret {
            plugin: row.try_into()?,
            secret: secret.as_str().to_owned(),
        })
    }

    /// Deletes a plugin with its runs.
    pub async fn delete_plugin(&self, tenant: &Tenant, id: PluginId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let row = lock(&mut tx, tenant, id).await?;
        let sql = "DELETE FROM custom_plugins WHERE id = $1";
        execute!(tx.conn(), sql, id.uuid())?;
        write_audit(&mut tx, tenant, "plugin.delete", &row, local_now()).await?;
        tx.commit().await
    }
}

/// What it takes to call the plugin of a run.
pub(super) async fn callee_of(tx: &mut Tx, id: Uuid) -> Result<Callee> {
    let row = optional!(tx.conn(), Row, select_plugins!("id = $1"), id)?;
    let missing = || StoreError::Damaged(format!("a run has no plugin {id}"));
    row.ok_or_else(missing)?.try_into()
}

async fn lock(tx: &mut Tx, tenant: &Tenant, id: PluginId) -> Result<Row> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM custom_plugins WHERE id = $1",
        "SELECT id FROM custom_plugins WHERE id = $1 FOR UPDATE",
    );
    optional!(conn, (Uuid,), sql, id.uuid())?;
    find(tx, tenant, id).await
}

async fn find(tx: &mut Tx, tenant: &Tenant, id: PluginId) -> Result<Row> {
    let sql = select_plugins!("id = $1 AND team_id = $2");
    let row = optional!(tx.conn(), Row, sql, id.uuid(), tenant.team().uuid())?;
    row.ok_or(StoreError::NotFound(Resource::Plugin))
}

async fn refuse_too_many(tx: &mut Tx, tenant: &Tenant) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM custom_plugins WHERE team_id = $1";
    let (count,) = one!(tx.conn(), (i64,), sql, tenant.team().uuid())?;
    if counted(count) < MAX_PLUGINS as u64 {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!("a team has at most {MAX_PLUGINS} plugins"),
        remedy: "delete one that is not used any more".to_owned(),
    })
}

/// The address may be a secret; its host is enough.
async fn write_audit(
    tx: &mut Tx,
    tenant: &Tenant,
    action: &str,
    row: &Row,
    now: DateTime<Utc>,
) -> Result<()> {
    let subject = ("plugin", row.id);
    audit::append_of(tx, tenant, action, subject, shown(row), now).await
}

fn shown(row: &Row) -> Value {
    json!({
        "name": row.name,
        "host": row.host,
        "hooks": row.hooks,
        "timeout_s": row.timeout_s,
        "failure_policy": row.failure_policy,
        "state": row.state,
    })
}

fn checked_timeout(timeout_s: u32) -> Result<i64> {
    if TIMEOUT_S.contains(&timeout_s) {
        return Ok(timeout_s.into());
    }
    let (least, most) = (TIMEOUT_S.start(), TIMEOUT_S.end());
    Err(StoreError::Invalid {
        field: "timeout_s",
        message: format!("a plugin may take {least} to {most} seconds"),
        remedy: "give another time, or none".to_owned(),
    })
}

/// Each hook once, in a fixed order, as the column has them.
fn checked_hooks(mut hooks: Vec<Hook>) -> Result<String> {
    hooks.sort_unstable();
    hooks.dedup();
    if hooks.is_empty() {
        return Err(StoreError::Invalid {
            field: "hooks",
            message: "a plugin has one hook at least".to_owned(),
            remedy: format!("give some of {}", Hook::ALL.map(Hook::as_str).join(", ")),
        });
    }
    let names: Vec<_> = hooks.into_iter().map(Hook::as_str).collect();
    Ok(names.join(" "))
}

fn parse_hooks(text: &str) -> Result<Vec<Hook>> {
    let parse = |name: &str| {
        name.parse::<Hook>()
            .map_err(|error| StoreError::Damaged(format!("a hook of a plugin: {error}")))
    };
    text.split(' ').map(parse).collect()
}

/// Whether the column names a hook.
pub(super) fn has_hook(column: &str, hook: Hook) -> bool {
    column.split(' ').any(|name| name == hook.as_str())
}

/// Where a plugin's secret stands.
const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "custom_plugins",
        id,
        version: 1,
    }
}
