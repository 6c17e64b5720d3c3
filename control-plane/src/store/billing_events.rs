//! What a provider of payments tells of subscriptions: taken in any order, and as often as it likes.

use chrono::{DateTime, Utc};
use serde_json::json;
use towline_shared::ids::{PlanId, SubscriptionId, UserId};
use uuid::Uuid;

use super::audit::Actor;
use super::billing::write_audit;
use super::db::{Tx, execute, local_now, one, optional};
use super::{Result, Store, StoreError, notification_events};
use crate::domain::billing::{BillingEvent, BillingProvider, Known, Picture, SubscriptionStatus};

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// Something has changed.
    Effect,
    /// It was known, or is outdated.
    None,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    user_id: Option<Uuid>,
    customer_id: Option<String>,
    status: String,
    price_id: Option<String>,
    plan_id: Option<Uuid>,
    started_at: DateTime<Utc>,
    renew_at: Option<DateTime<Utc>>,
    event_at: Option<DateTime<Utc>>,
    event_id: Option<String>,
    payment_failed_at: Option<DateTime<Utc>>,
}

impl Row {
    fn known(&self) -> Result<Known> {
        let status = self.status.parse();
        let status =
            status.map_err(|_| StoreError::Damaged("a subscription's status".to_owned()))?;
        let picture = self.event_at.map(|at| Picture {
            status,
            price: self.price_id.clone(),
            plan: self.plan_id.map(PlanId::from),
            started_at: self.started_at,
            renew_at: self.renew_at,
            at,
            event: self.event_id.clone().unwrap_or_default(),
        });
        Ok(Known {
            user: self.user_id.map(UserId::from),
            customer: self.customer_id.clone(),
            picture,
            payment_failed_at: self.payment_failed_at,
        })
    }
}

impl Store {
    /// Takes what Stripe tells of a subscription. To be called only with what Stripe has signed.
    pub async fn take_billing_event(&self, event: &BillingEvent) -> Result<Took> {
        let now = local_now();
        let mut tx = self.main().begin().await?;
        let row = lock(&mut tx, event, now).await?;
        let before = row.known()?;
        let mut event = event.clone();
        event.user = owner(&mut tx, &event).await?;
        let after = before.clone().after(&event);
        if after == before {
            // The row may be new.
            tx.commit().await?;
            return Ok(Took::None);
        }
        write(&mut tx, row.id, &after, event.at, now).await?;
        if let Some(user) = after.user {
            // Whose it is may be told last.
            let failed = |known: &Known| known.user.and(known.payment_failed_at);
            if failed(&after).is_some() && failed(&after) != failed(&before) {
                notification_events::payment_failed(&mut tx, user, now).await?;
            }
            let picture = after.picture.as_ref();
            let detail = json!({
                "provider": BillingProvider::Stripe.as_str(),
                "subscription": event.subscription,
                "event": event.id,
                "status": picture.map(|picture| picture.status.as_str()),
                "plan_id": picture.and_then(|picture| picture.plan),
            });
            let id = SubscriptionId::from(row.id);
            write_audit(
                &mut tx,
                user,
                Actor::System,
                "billing.change",
                id,
                detail,
                now,
            )
            .await?;
        }
        tx.commit().await?;
        self.wake().outbox();
        Ok(Took::Effect)
    }
}

/// The subscription's row, which is made when it is not there: what is told of it first may be anything.
async fn lock(tx: &mut Tx, event: &BillingEvent, now: DateTime<Utc>) -> Result<Row> {
    let provider = BillingProvider::Stripe.as_str();
    execute!(
        tx.conn(),
        "INSERT INTO billing_subscriptions (id, provider, subscription_id, status, started_at, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (provider, subscription_id) DO NOTHING",
        Uuid::now_v7(),
        provider,
        event.subscription.as_str(),
        SubscriptionStatus::Incomplete.as_str(),
        event.at,
        now
    )?;
    let conn = tx.conn();
    let sql = conn.pick(
        "SELECT id, user_id, customer_id, status, price_id, plan_id, started_at, renew_at, event_at, event_id,
            payment_failed_at FROM billing_subscriptions WHERE provider = $1 AND subscription_id = $2",
        "SELECT id, user_id, customer_id, status, price_id, plan_id, started_at, renew_at, event_at, event_id,
            payment_failed_at FROM billing_subscriptions WHERE provider = $1 AND subscription_id = $2 FOR NO KEY UPDATE",
    );
    Ok(one!(conn, Row, sql, provider, event.subscription.as_str())?)
}

/// Whose it is: as the event tells, if that is somebody here, else whose the customer's other subscriptions are.
async fn owner(tx: &mut Tx, event: &BillingEvent) -> Result<Option<UserId>> {
    if let Some(user) = event.user {
        let sql = "SELECT id FROM users WHERE id = $1";
        let here = optional!(tx.conn(), (Uuid,), sql, user.uuid())?;
        return Ok(here.map(|(user,)| user.into()));
    }
    let Some(customer) = event.customer.as_deref() else {
        return Ok(None);
    };
    let sql = "SELECT user_id FROM billing_subscriptions WHERE customer_id = $1 AND user_id IS NOT NULL ORDER BY id LIMIT 1";
    let row = optional!(tx.conn(), (Uuid,), sql, customer)?;
    Ok(row.map(|(user,)| user.into()))
}

async fn write(
    tx: &mut Tx,
    id: Uuid,
    known: &Known,
    told_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    let picture = known.picture.as_ref();
    let status = picture.map_or(SubscriptionStatus::Incomplete, |picture| picture.status);
    // What has lapsed stays so until something new is told.
    let gives_until = picture.and_then(Picture::gives_until);
    execute!(
        tx.conn(),
        "UPDATE billing_subscriptions SET user_id = $2, customer_id = $3, status = $4, price_id = $5, plan_id = $6,
            started_at = $7, renew_at = $8, gives_until = $9, event_at = $10, event_id = $11, payment_failed_at = $12,
            updated_at = $13 WHERE id = $1",
        id,
        known.user.map(UserId::uuid),
        known.customer.as_deref(),
        status.as_str(),
        picture.and_then(|picture| picture.price.as_deref()),
        picture.and_then(|picture| picture.plan).map(PlanId::uuid),
        picture.map_or(told_at, |picture| picture.started_at),
        picture.and_then(|picture| picture.renew_at),
        gives_until.filter(|until| *until > now),
        picture.map(|picture| picture.at),
        picture.map(|picture| picture.event.as_str()),
        known.payment_failed_at,
        now
    )?;
    Ok(())
}
