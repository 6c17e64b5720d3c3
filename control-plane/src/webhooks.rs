//! The way of messages to webhooks.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::domain::retry::Verdict;
use crate::domain::webhook::signed_headers;
use crate::domain::webhook_signature::SigningKey;
use crate::egress::Egress;
use crate::outbox::{Outbox, post};
use crate::store::{Attempted, DueDelivery, Store, StoreError};

/// The receiver does not want to be told any more.
const GONE: u16 = 410;

/// Messages to webhooks. Clones are the same.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// Where the messages are.
    pub store: Store,
    /// The way out.
    pub egress: Egress,
}

impl Outbox for Webhooks {
    type Due = DueDelivery;

    fn store(&self) -> &Store {
        &self.store
    }

    async fn next(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.store.next_webhook_delivery().await
    }

    async fn claim(&self, busy: &[String]) -> Result<Option<DueDelivery>, StoreError> {
        self.store.claim_webhook_delivery(busy).await
    }

    fn host(due: &DueDelivery) -> &str {
        &due.host
    }

    async fn attempt(&self, due: DueDelivery) {
        let attempted = match self.call(&due).await {
            Ok(attempted) => attempted,
            Err(error) => {
                tracing::warn!(delivery = %due.id, %error, "a message to a webhook could not be signed");
                let why = "the control plane could not sign the message";
                Attempted::unanswered(Verdict::Again, why.to_owned())
            }
        };
        match self.store.webhook_attempted(&due, &attempted).await {
            Ok(true) => {}
            Ok(false) => tracing::info!(delivery = %due.id, "another sender has this message now"),
            Err(error) => {
                tracing::warn!(delivery = %due.id, %error, "the end of an attempt was not stored; it is sent again");
            }
        }
    }
}

impl Webhooks {
    async fn call(&self, due: &DueDelivery) -> Result<Attempted, StoreError> {
        let secret = self.store.webhook_secret(due).await?;
        let key = std::str::from_utf8(&secret).ok();
        let key = key.and_then(|key| SigningKey::parse(key).ok());
        let damaged = || StoreError::Damaged("the secret of a webhook".to_owned());
        let key = key.ok_or_else(damaged)?;
        let (id, body) = (due.event_id.to_string(), due.body.as_bytes());
        let headers = signed_headers(&key, &id, Utc::now().timestamp(), body);
        let body = Bytes::from(due.body.clone());
        Ok(post(&self.egress, &due.url, &headers, body, judge).await)
    }
}

const fn judge(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        GONE => Verdict::Gone,
        _ => Verdict::Again,
    }
}
