//! Sending's side of the messages to webhooks: who takes which, and what became of it.
//!
//! A message is taken by counting its attempt and moving the time at which it is due behind the sender's lease: a
//! sender that dies leaves a message that is due again. What became of an attempt is written under its number, so that
//! a sender that was taken for dead changes nothing any more.

use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::ids::{WebhookDeliveryId, WebhookId};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::db::{execute, local_now, optional};
use super::text::storable;
use super::webhooks::{lock_row, note_gone, place};
use super::{Result, Store, StoreError};
use crate::domain::webhook::next_attempt;

/// How long a sender has until it is taken for dead; more than a call may take.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);
/// How much of an answer is kept.
pub const KEPT_BYTES: usize = 4096;
/// How far a replica's clock may lie behind the database's before it looks in vain.
const APART: TimeDelta = TimeDelta::seconds(60);
/// The receiver does not want to be told any more.
const GONE: u16 = 410;

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

/// What became of an attempt.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// The answer's status and the beginning of its body.
    pub answer: Option<(u16, Vec<u8>)>,
    /// Why there was none, or why it does not count.
    pub error: Option<String>,
    /// How long it took.
    pub took: TimeDelta,
    /// 0 to 1: by how much the next attempt is moved.
    pub jitter: f64,
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
        // Who only looks does not wait for SQLite's writer.
        let next = self.next_webhook_delivery().await?;
        if next.is_none_or(|due| due > local_now() + APART) {
            return Ok(None);
        }
        let busy = serde_json::Value::from(busy).to_string();
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let conn = tx.conn();
        let sql = conn.pick(
            "UPDATE webhook_deliveries SET state = 'sending', attempts = attempts + 1, next_attempt_at = $2, updated_at = $1
             WHERE id = (
                SELECT d.id FROM webhook_deliveries d CROSS JOIN webhooks w ON w.id = d.webhook_id
                WHERE d.next_attempt_at <= $1 AND w.host NOT IN (SELECT value FROM json_each($3))
                ORDER BY d.next_attempt_at LIMIT 1)
             RETURNING id, webhook_id, event_id, attempts, request_body, give_up_at",
            "UPDATE webhook_deliveries SET state = 'sending', attempts = attempts + 1, next_attempt_at = $2, updated_at = $1
             WHERE id = (
                SELECT d.id FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id
                WHERE d.next_attempt_at <= $1 AND w.host NOT IN (SELECT jsonb_array_elements_text($3::jsonb))
                ORDER BY d.next_attempt_at LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
             RETURNING id, webhook_id, event_id, attempts, request_body, give_up_at",
        );
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
        let mut reader = self.main().read().await?;
        let sql = "SELECT next_attempt_at FROM webhook_deliveries WHERE next_attempt_at IS NOT NULL
             ORDER BY next_attempt_at LIMIT 1";
        let due = optional!(reader.conn(), (DateTime<Utc>,), sql)?;
        Ok(due.map(|(due,)| due))
    }

    /// Writes down what became of an attempt. Gives false when it was another sender's by then.
    pub async fn webhook_attempted(
        &self,
        due: &DueDelivery,
        attempted: &Attempted,
    ) -> Result<bool> {
        let mut tx = self.main().begin().await?;
        let status = attempted.answer.as_ref().map(|(status, _)| *status);
        let is_gone = status == Some(GONE);
        if is_gone && !lock_row(&mut tx, due.webhook).await? {
            return Ok(false);
        }
        let now = tx.now().await?;
        let delivered = status.is_some_and(|status| (200..300).contains(&status));
        let attempts = u32::try_from(due.attempt).unwrap_or(u32::MAX);
        let next = if delivered || is_gone {
            None
        } else {
            next_attempt(attempts, now, due.give_up_at, attempted.jitter)
        };
        let state = match next {
            Some(_) => "waiting",
            None if delivered => "delivered",
            None => "failed",
        };
        let body = attempted.answer.as_ref().map(|(_, body)| kept(body));
        let ended = execute!(
            tx.conn(),
            "UPDATE webhook_deliveries SET state = $3, next_attempt_at = $4, attempted_at = $5, response_status = $6,
                response_body = $7, duration_ms = $8, error = $9, finished_at = $10, updated_at = $11
             WHERE id = $1 AND attempts = $2 AND state = 'sending'",
            due.id.uuid(),
            due.attempt,
            state,
            next,
            due.now,
            status.map(i64::from),
            body,
            attempted.took.num_milliseconds(),
            attempted.error.as_deref().map(storable),
            next.is_none().then_some(now),
            now
        )?;
        if ended == 0 {
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

/// The beginning of an answer, as text that both databases take.
fn kept(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(KEPT_BYTES)]);
    storable(&text).into_owned()
}
