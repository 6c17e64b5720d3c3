//! Sending's side of the messages to webhooks.

use chrono::{DateTime, Utc};
use towline_shared::ids::{WebhookDeliveryId, WebhookId};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::optional;
use super::outbox::{self, After, Attempted, LEASE, Underway, claim, next_due, note_attempt};
use super::webhooks::{lock_row, note_gone, place};
use super::{Result, Store, StoreError};
use crate::domain::retry::Verdict;

const CLAIM: [&str; 2] = claim!("webhook_deliveries" for "webhooks" by "webhook_id"
    gives "id, webhook_id, event_id, attempts, request_body, give_up_at");
const NEXT: &str = next_due!("webhook_deliveries");

/// A message to send now.
#[derive(Debug)]
pub struct DueDelivery {
    /// The delivery.
    pub id: WebhookDeliveryId,
    /// Its webhook.
    pub webhook: WebhookId,
    /// What the receiver knows the message by.
    pub event_id: Uuid,
    /// Which attempt this is.
    pub attempt: i64,
    /// Where it goes.
    pub url: String,
    /// The host there.
    pub host: String,
    /// What is sent.
    pub body: String,
    /// The database's time.
    pub now: DateTime<Utc>,
    secret: Vec<u8>,
    key_version: i64,
    give_up_at: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    webhook_id: Uuid,
    event_id: Uuid,
    attempts: i64,
    request_body: String,
    give_up_at: DateTime<Utc>,
}

impl Store {
    /// Takes the message that has been due for longest, but for hosts that are called enough already.
    pub async fn claim_webhook_delivery(&self, busy: &[String]) -> Result<Option<DueDelivery>> {
        if !self.may_be_due(NEXT).await? {
            return Ok(None);
        }
        let busy = serde_json::Value::from(busy).to_string();
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let conn = tx.conn();
        let sql = conn.pick(CLAIM[0], CLAIM[1]);
        let Some(row) = optional!(conn, Row, sql, now, now + LEASE, busy)? else {
            tx.roll_back().await?;
            return Ok(None);
        };
        let target = optional!(
            tx.conn(),
            (String, String, Vec<u8>, i64),
            "SELECT url, host, secret, key_version FROM webhooks WHERE id = $1",
            row.webhook_id
        )?;
        let missing = || StoreError::Damaged(format!("delivery {} has no webhook", row.id));
        let (url, host, secret, key_version) = target.ok_or_else(missing)?;
        tx.commit().await?;
        Ok(Some(DueDelivery {
            id: row.id.into(),
            webhook: row.webhook_id.into(),
            event_id: row.event_id,
            attempt: row.attempts,
            url,
            host,
            body: row.request_body,
            now,
            secret,
            key_version,
            give_up_at: row.give_up_at,
        }))
    }

    /// What a message is signed with.
    pub async fn webhook_secret(&self, due: &DueDelivery) -> Result<Zeroizing<Vec<u8>>> {
        let place = place(due.webhook.uuid());
        self.unseal(place, due.key_version, &due.secret).await
    }

    /// When the next message is due.
    pub async fn next_webhook_delivery(&self) -> Result<Option<DateTime<Utc>>> {
        self.next_due(NEXT).await
    }

    /// Writes down what became of an attempt. Gives false when it was another sender's by then.
    pub async fn webhook_attempted(
        &self,
        due: &DueDelivery,
        attempted: &Attempted,
    ) -> Result<bool> {
        let mut tx = self.main().begin().await?;
        let is_gone = attempted.verdict == Verdict::Gone;
        if is_gone && !lock_row(&mut tx, due.webhook).await? {
            return Ok(false);
        }
        let now = tx.now().await?;
        let underway = Underway {
            id: due.id.uuid(),
            attempt: due.attempt,
            taken_at: due.now,
            give_up_at: due.give_up_at,
        };
        let sql = note_attempt!("webhook_deliveries");
        if outbox::note(&mut tx, sql, &underway, attempted, now).await? == After::Superseded {
            tx.roll_back().await?;
            return Ok(false);
        }
        if is_gone {
            note_gone(&mut tx, due.webhook, now).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}
