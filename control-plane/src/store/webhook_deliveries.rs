//! Messages to webhooks: each with its request, its attempts, and what came back.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_shared::ids::{WebhookDeliveryId, WebhookId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::audit;
use super::db::{Tx, all, execute, local_now, optional};
use super::page::{Listed, Page};
use super::{Resource, Result, Store, StoreError, Tenant, counted, outbox, webhooks};
use crate::domain::retry::GIVE_UP_AFTER;

/// The type of the message that somebody sends to try a webhook.
const TEST: &str = "webhook.test";

/// A message to a webhook.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookDelivery {
    /// The delivery's id.
    #[schema(value_type = Uuid)]
    pub id: WebhookDeliveryId,
    /// The webhook.
    #[schema(value_type = Uuid)]
    pub webhook_id: WebhookId,
    /// What the receiver knows the message by (`webhook-id`): the same when it is sent again.
    pub event_id: Uuid,
    /// What happened (`deployment.failed`), or `webhook.test`.
    pub event_type: String,
    /// The delivery that this one repeats by hand.
    #[schema(value_type = Option<Uuid>)]
    pub replay_of: Option<WebhookDeliveryId>,
    /// `waiting`, `sending`, `delivered` or `failed`.
    pub state: String,
    /// How many attempts were begun.
    pub attempts: u64,
    /// When the next one is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last answer.
    pub response_status: Option<i64>,
    /// How long the last attempt took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// Why the last attempt was none.
    pub error: Option<String>,
    /// When the event happened.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A message with what was sent and what came back.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebhookExchange {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: WebhookDelivery,
    /// What is sent, the bytes that are signed.
    pub request_body: String,
    /// The first 4 KiB of the last answer.
    pub response_body: Option<String>,
    /// When the last attempt that has ended began.
    pub attempted_at: Option<DateTime<Utc>>,
}

/// A message to queue.
pub(super) struct NewDelivery<'a> {
    pub(super) webhook: WebhookId,
    pub(super) event_id: Uuid,
    pub(super) event_type: &'a str,
    pub(super) replay_of: Option<WebhookDeliveryId>,
    pub(super) body: &'a str,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    webhook_id: Uuid,
    event_id: Uuid,
    event_type: String,
    replay_of: Option<Uuid>,
    state: String,
    attempts: i64,
    next_attempt_at: Option<DateTime<Utc>>,
    response_status: Option<i64>,
    duration_ms: Option<i64>,
    error: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct ExchangeRow {
    #[sqlx(flatten)]
    delivery: Row,
    request_body: String,
    response_body: Option<String>,
    attempted_at: Option<DateTime<Utc>>,
}

macro_rules! columns {
    ($more:literal) => {
        concat!(
            "SELECT d.id, d.webhook_id, d.event_id, d.event_type, d.replay_of, d.state, d.attempts, d.next_attempt_at,
                d.response_status, d.duration_ms, d.error, d.created_at, d.finished_at",
            $more,
            " FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN projects p ON p.id = w.project_id"
        )
    };
}

impl From<Row> for WebhookDelivery {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            webhook_id: row.webhook_id.into(),
            event_id: row.event_id,
            event_type: row.event_type,
            replay_of: row.replay_of.map(Into::into),
            state: row.state,
            attempts: counted(row.attempts),
            next_attempt_at: row.next_attempt_at,
            response_status: row.response_status,
            duration_ms: row.duration_ms,
            error: row.error,
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

impl From<ExchangeRow> for WebhookExchange {
    fn from(row: ExchangeRow) -> Self {
        Self {
            delivery: row.delivery.into(),
            request_body: row.request_body,
            response_body: row.response_body,
            attempted_at: row.attempted_at,
        }
    }
}

impl Store {
    /// What was and is to be sent to a webhook.
    pub async fn list_webhook_deliveries(
        &self,
        tenant: &Tenant,
        webhook: WebhookId,
        page: Page,
    ) -> Result<Listed<WebhookDelivery>> {
        let mut reader = self.main().read().await?;
        let known = optional!(
            reader.conn(),
            (Uuid,),
            "SELECT w.id FROM webhooks w JOIN projects p ON p.id = w.project_id WHERE w.id = $1 AND p.team_id = $2",
            webhook.uuid(),
            tenant.team().uuid()
        )?;
        known.ok_or(StoreError::NotFound(Resource::Webhook))?;
        let rows = all!(
            reader.conn(),
            Row,
            concat!(
                columns!(""),
                " WHERE d.webhook_id = $1 AND p.team_id = $2 AND d.id < $3 ORDER BY d.id DESC LIMIT $4"
            ),
            webhook.uuid(),
            tenant.team().uuid(),
            page.before(),
            page.fetch()
        )?;
        let deliveries = rows.into_iter().map(Into::into).collect();
        Ok(page.cut(deliveries, |one: &WebhookDelivery| one.id.uuid()))
    }

    /// One message with what was sent and what came back.
    pub async fn webhook_delivery(
        &self,
        tenant: &Tenant,
        id: WebhookDeliveryId,
    ) -> Result<WebhookExchange> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            ExchangeRow,
            concat!(
                columns!(", d.request_body, d.response_body, d.attempted_at"),
                " WHERE d.id = $1 AND p.team_id = $2"
            ),
            id.uuid(),
            tenant.team().uuid()
        )?;
        row.map(Into::into)
            .ok_or(StoreError::NotFound(Resource::WebhookDelivery))
    }

    /// Queues a message that says nothing but that it works.
    pub async fn test_webhook(
        &self,
        tenant: &Tenant,
        webhook: WebhookId,
    ) -> Result<WebhookExchange> {
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let project = webhooks::hold_enabled(&mut tx, tenant, webhook).await?;
        let body = json!({
            "type": TEST,
            "timestamp": now,
            "data": { "webhook_id": webhook, "project_id": project },
        })
        .to_string();
        let new = NewDelivery {
            webhook,
            event_id: Uuid::now_v7(),
            event_type: TEST,
            replay_of: None,
            body: &body,
        };
        let id = insert(&mut tx, &new, now).await?;
        let detail = json!({ "webhook": webhook, "delivery": id });
        let subject = ("project", project.uuid());
        audit::append_of(&mut tx, tenant, "webhook.test", subject, detail, now).await?;
        tx.commit().await?;
        self.wake().outbox();
        self.webhook_delivery(tenant, id).await
    }

    /// Queues a message once more, as it was. Its receiver knows it by the same id.
    pub async fn replay_webhook_delivery(
        &self,
        tenant: &Tenant,
        id: WebhookDeliveryId,
    ) -> Result<WebhookExchange> {
        let former = self.webhook_delivery(tenant, id).await?;
        let webhook = former.delivery.webhook_id;
        let mut tx = self.main().begin().await?;
        let now = local_now();
        let project = webhooks::hold_enabled(&mut tx, tenant, webhook).await?;
        let new = NewDelivery {
            webhook,
            event_id: former.delivery.event_id,
            event_type: &former.delivery.event_type,
            replay_of: Some(id),
            body: &former.request_body,
        };
        let replayed = insert(&mut tx, &new, now).await?;
        let detail = json!({ "webhook": webhook, "delivery": replayed, "replay_of": id });
        let subject = ("project", project.uuid());
        audit::append_of(&mut tx, tenant, "webhook.replay", subject, detail, now).await?;
        tx.commit().await?;
        self.wake().outbox();
        self.webhook_delivery(tenant, replayed).await
    }
}

/// Queues a message.
pub(super) async fn insert(
    tx: &mut Tx,
    new: &NewDelivery<'_>,
    now: DateTime<Utc>,
) -> Result<WebhookDeliveryId> {
    let id = WebhookDeliveryId::new();
    execute!(
        tx.conn(),
        "INSERT INTO webhook_deliveries (id, webhook_id, event_id, event_type, replay_of, state, attempts,
            next_attempt_at, give_up_at, request_body, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, 'waiting', 0, $6, $7, $8, $6, $6)",
        id.uuid(),
        new.webhook.uuid(),
        new.event_id,
        new.event_type,
        new.replay_of.map(WebhookDeliveryId::uuid),
        now,
        now + GIVE_UP_AFTER,
        new.body
    )?;
    Ok(id)
}

/// Ends all that waits for a webhook, whose row has been locked.
pub(super) async fn give_up(
    tx: &mut Tx,
    webhook: WebhookId,
    why: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = outbox::give_up!("webhook_deliveries" by "webhook_id");
    execute!(tx.conn(), sql, webhook.uuid(), why, now)?;
    Ok(())
}
