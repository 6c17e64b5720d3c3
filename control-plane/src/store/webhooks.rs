//! Webhooks: whom to tell what happens to a project's deployments.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use towline_shared::ids::{ProjectId, WebhookId};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::audit;
use super::db::{Tx, all, execute, local_now, one, optional};
use super::page::{Listed, Page};
use super::{Resource, Result, Store, StoreError, Tenant, projects, webhook_deliveries};
use crate::domain::webhook::{MAX_WEBHOOKS, WebhookEvent};
use crate::domain::webhook_signature::SECRET_PREFIX;
use crate::vault::{Place, VaultError};

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

/// Somebody to tell.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Webhook {
    /// The webhook's id.
    #[schema(value_type = Uuid)]
    pub id: WebhookId,
    /// The project whose deployments it is told of.
    #[schema(value_type = Uuid)]
    pub project_id: ProjectId,
    /// Where messages go.
    pub url: String,
    /// What it is told of.
    pub event_types: Vec<&'static str>,
    /// `enabled`, `disabled` by somebody, or `gone`: its receiver has answered 410.
    pub state: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

/// A new webhook: the only time that its secret is shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookWithSecret {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// What its messages are signed with.
    pub secret: String,
}

/// A webhook to make. Its address has been checked.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Where messages go.
    pub address: WebhookAddress,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
}

/// An address that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookAddress {
    /// All of it.
    pub url: String,
    /// The host in it.
    pub host: String,
}

/// What shall change; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    /// Where messages go.
    pub address: Option<WebhookAddress>,
    /// What it is told of.
    pub events: Option<Vec<WebhookEvent>>,
    /// Whether it is told at all.
    pub enabled: Option<bool>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    project_id: Uuid,
    url: String,
    host: String,
    event_type: String,
    state: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The columns of [`Row`], of webhooks of a team.
macro_rules! select_webhooks {
    ($condition:literal) => {
        concat!(
            "SELECT w.id, w.project_id, w.url, w.host, w.event_type, w.state, w.created_at, w.updated_at
             FROM webhooks w JOIN projects p ON p.id = w.project_id WHERE ",
            $condition
        )
    };
}

impl TryFrom<Row> for Webhook {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let events = parse_events(&row.event_type)?;
        Ok(Self {
            id: row.id.into(),
            project_id: row.project_id.into(),
            url: row.url,
            event_types: events.into_iter().map(WebhookEvent::as_str).collect(),
            state: row.state,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

impl Store {
    /// The project's webhooks.
    pub async fn list_webhooks(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        page: Page,
    ) -> Result<Listed<Webhook>> {
        self.project(tenant, project).await?;
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            select_webhooks!(
                "w.project_id = $1 AND p.team_id = $2 AND w.id < $3 ORDER BY w.id DESC LIMIT $4"
            ),
            project.uuid(),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let webhooks = rows.into_iter().map(Webhook::try_from);
        let webhooks = webhooks.collect::<Result<Vec<_>>>()?;
        Ok(page.cut(webhooks, |webhook| webhook.id.uuid()))
    }

    /// Makes a webhook with a secret of its own.
    pub async fn create_webhook(
        &self,
        tenant: &Tenant,
        project: ProjectId,
        new: NewWebhook,
    ) -> Result<WebhookWithSecret> {
        let events = checked_events(new.events)?;
        let mut tx = self.main().begin().await?;
        projects::lock(&mut tx, tenant, project).await?;
        refuse_too_many(&mut tx, project).await?;
        let (id, now, secret) = (WebhookId::new(), local_now(), signing_secret()?);
        let sealed = self.seal(&mut tx, place(id.uuid()), secret.as_bytes());
        let sealed = sealed.await?;
        execute!(
            tx.conn(),
            "INSERT INTO webhooks (id, project_id, url, host, event_type, secret, key_version, state, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, 'enabled', $8, $8)",
            id.uuid(),
            project.uuid(),
            new.address.url.as_str(),
            new.address.host.as_str(),
            events.as_str(),
            sealed.bytes.as_slice(),
            sealed.key_version,
            now
        )?;
        let webhook = find(&mut tx, tenant, id).await?;
        let detail = json!({ "webhook": id, "host": webhook.host, "events": events });
        write_audit(&mut tx, tenant, "webhook.create", &webhook, detail, now).await?;
        tx.commit().await?;
        Ok(WebhookWithSecret {
            webhook: webhook.try_into()?,
            secret: secret.as_str().to_owned(),
        })
    }

    /// Changes a webhook. What waits for one that is switched off is not sent any more.
    pub async fn change_webhook(
        &self,
        tenant: &Tenant,
        id: WebhookId,
        change: WebhookChange,
    ) -> Result<Webhook> {
        let events = change.events.map(checked_events).transpose()?;
        let mut tx = self.main().begin().await?;
        let before = lock(&mut tx, tenant, id).await?;
        let now = local_now();
        let state = match change.enabled {
            Some(true) => "enabled",
            Some(false) => "disabled",
            None => before.state.as_str(),
        };
        let address = change.address.unwrap_or_else(|| WebhookAddress {
            url: before.url.clone(),
            host: before.host.clone(),
        });
        execute!(
            tx.conn(),
            "UPDATE webhooks SET url = $2, host = $3, event_type = $4, state = $5, updated_at = $6 WHERE id = $1",
            id.uuid(),
            address.url.as_str(),
            address.host.as_str(),
            events.as_deref().unwrap_or(&before.event_type),
            state,
            now
        )?;
        if state != "enabled" {
            let why = "the webhook was switched off";
            webhook_deliveries::give_up(&mut tx, id, why, now).await?;
        }
        let after = find(&mut tx, tenant, id).await?;
        let detail = json!({ "webhook": id, "host": after.host, "events": after.event_type, "state": after.state });
        write_audit(&mut tx, tenant, "webhook.change", &after, detail, now).await?;
        tx.commit().await?;
        after.try_into()
    }

    /// Deletes a webhook with all that was sent to it.
    pub async fn delete_webhook(&self, tenant: &Tenant, id: WebhookId) -> Result<()> {
        let mut tx = self.main().begin().await?;
        let webhook = lock(&mut tx, tenant, id).await?;
        let sql = "DELETE FROM webhooks WHERE id = $1";
        execute!(tx.conn(), sql, id.uuid())?;
        let detail = json!({ "webhook": id, "host": webhook.host });
        write_audit(
            &mut tx,
            tenant,
            "webhook.delete",
            &webhook,
            detail,
            local_now(),
        )
        .await?;
        tx.commit().await
    }
}

/// Holds a webhook that is switched on until the commit, so that what is queued for it is seen by who switches it off.
pub(super) async fn hold_enabled(tx: &mut Tx, tenant: &Tenant, id: WebhookId) -> Result<ProjectId> {
    let webhook = lock(tx, tenant, id).await?;
    if webhook.state == "enabled" {
        return Ok(webhook.project_id.into());
    }
    Err(StoreError::Conflict {
        message: format!("the webhook is {}", webhook.state),
        remedy: "switch it on first".to_owned(),
    })
}

/// Switches a webhook off whose receiver is gone for good. It has been locked.
pub(super) async fn note_gone(tx: &mut Tx, id: WebhookId, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE webhooks SET state = 'gone', updated_at = $2 WHERE id = $1";
    execute!(tx.conn(), sql, id.uuid(), now)?;
    let why = "the receiver has answered 410 Gone";
    webhook_deliveries::give_up(tx, id, why, now).await?;
    let (project, team, host) = one!(
        tx.conn(),
        (Uuid, Uuid, String),
        "SELECT p.id, p.team_id, w.host FROM webhooks w JOIN projects p ON p.id = w.project_id WHERE w.id = $1",
        id.uuid()
    )?;
    let entry = audit::Entry {
        chain: team,
        team: Some(team.into()),
        actor: audit::Actor::System,
        action: "webhook.gone",
        subject: ("project", Some(project)),
        detail: json!({ "webhook": id, "host": host }),
    };
    audit::append(tx, &entry, now).await
}

/// Locks a webhook's row before any of its deliveries.
pub(super) async fn lock_row(tx: &mut Tx, id: WebhookId) -> Result<bool> {
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id FROM webhooks WHERE id = $1",
        "SELECT id FROM webhooks WHERE id = $1 FOR UPDATE",
    );
    Ok(optional!(conn, (Uuid,), sql, id.uuid())?.is_some())
}

async fn lock(tx: &mut Tx, tenant: &Tenant, id: WebhookId) -> Result<Row> {
    lock_row(tx, id).await?;
    find(tx, tenant, id).await
}

async fn find(tx: &mut Tx, tenant: &Tenant, id: WebhookId) -> Result<Row> {
    let sql = select_webhooks!("w.id = $1 AND p.team_id = $2");
    let row = optional!(tx.conn(), Row, sql, id.uuid(), tenant.team().uuid())?;
    row.ok_or(StoreError::NotFound(Resource::Webhook))
}

async fn refuse_too_many(tx: &mut Tx, project: ProjectId) -> Result<()> {
    let sql = "SELECT COUNT(*) FROM webhooks WHERE project_id = $1";
    let (count,) = one!(tx.conn(), (i64,), sql, project.uuid())?;
    if super::counted(count) < MAX_WEBHOOKS as u64 {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: format!("a project has at most {MAX_WEBHOOKS} webhooks"),
        remedy: "delete one that is not used any more".to_owned(),
    })
}

async fn write_audit(
    tx: &mut Tx,
    tenant: &Tenant,
    action: &str,
    webhook: &Row,
    detail: Value,
    now: DateTime<Utc>,
) -> Result<()> {
    let subject = ("project", webhook.project_id);
    audit::append_of(tx, tenant, action, subject, detail, now).await
}

/// Each event once, in a fixed order, as the column has them.
fn checked_events(mut events: Vec<WebhookEvent>) -> Result<String> {
    events.sort_unstable();
    events.dedup();
    if events.is_empty() {
        return Err(StoreError::Invalid {
            field: "event_types",
            message: "a webhook is told of one event at least".to_owned(),
            remedy: format!(
                "give some of {}",
                WebhookEvent::ALL.map(WebhookEvent::as_str).join(", ")
            ),
        });
    }
    Ok(events
        .into_iter()
        .map(WebhookEvent::as_str)
        .collect::<Vec<_>>()
        .join(" "))
}

fn parse_events(text: &str) -> Result<Vec<WebhookEvent>> {
    let parse = |name: &str| {
        name.parse::<WebhookEvent>()
            .map_err(|error| StoreError::Damaged(format!("an event of a webhook: {error}")))
    };
    text.split(' ').map(parse).collect()
}

/// Whether the column names an event.
pub(super) fn has_event(column: &str, event: WebhookEvent) -> bool {
    column.split(' ').any(|name| name == event.as_str())
}

/// What messages are signed with.
pub fn signing_secret() -> Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(bytes.as_mut()).map_err(VaultError::Randomness)?;
    let body = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
    Ok(Zeroizing::new(format!("{SECRET_PREFIX}{}", body.as_str())))
}

/// Where a webhook's secret stands.
pub(super) const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "webhooks",
        id,
        version: 1,
    }
}
