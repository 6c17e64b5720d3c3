//! Sends what is due to webhooks: each message at least once, and again until it is taken or a day is over.
//!
//! Woken by the commits that queue messages, by the end of a call, and when the next message is due; a timer finds what
//! another replica has queued or left. At most [`CALLS`] calls are under way in a process, and [`CALLS_PER_HOST`] to
//! one host, so that a receiver that hangs keeps nobody else waiting.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::domain::webhook_signature::SigningKey;
use crate::egress::{Egress, Limits};
use crate::store::webhook_sending::KEPT_BYTES;
use crate::store::{Attempted, DueDelivery, Store, StoreError};
use crate::wake::Topic;

/// What a call may cost. All of it is well within the lease of a message.
pub const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(15),
    body: KEPT_BYTES,
};

/// Calls at once.
const CALLS: usize = 32;
/// Calls at once to one host.
const CALLS_PER_HOST: usize = 4;
/// How long nothing is looked for when nothing says that there is something.
const REST: Duration = Duration::from_secs(15);
/// How long to wait after the database did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long calls may go on when the process stops. What does not end is sent again later.
const GOODBYE: Duration = Duration::from_secs(4);

/// The calls that are under way.
#[derive(Default)]
struct Calls {
    running: JoinSet<String>,
    per_host: HashMap<String, usize>,
}

/// Sends until `stopping` is cancelled.
pub async fn send(store: Store, egress: Egress, stopping: CancellationToken) {
    let mut woken = store.wake().subscribe(Topic::Webhooks);
    let mut calls = Calls::default();
    loop {
        let rest = match calls.start_due(&store, &egress).await {
            Ok(()) => until_due(&store, &calls).await,
            Err(error) => {
                tracing::warn!(%error, "webhooks could not be looked for; it is tried again");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(host) = calls.running.join_next() => calls.ended(host.ok().as_deref()),
            () = woken.woken() => {}
            () = sleep(rest) => {}
        }
    }
    let all = async { while calls.running.join_next().await.is_some() {} };
    if timeout(GOODBYE, all).await.is_err() {
        tracing::info!("some messages to webhooks are sent again after the next start");
    }
}

/// Until the next message is due. One that is due already waits for its host, so for the end of a call.
async fn until_due(store: &Store, calls: &Calls) -> Duration {
    let next = store.next_webhook_delivery().await.ok().flatten();
    let Some(due) = next else {
        return REST;
    };
    match (due - Utc::now()).to_std() {
        Ok(rest) => rest.min(REST) + Duration::from_millis(1),
        // The database's clock is a little behind this machine's.
        Err(_) if calls.running.is_empty() => Duration::from_millis(250),
        Err(_) => REST,
    }
}

impl Calls {
    async fn start_due(&mut self, store: &Store, egress: &Egress) -> Result<(), StoreError> {
        while self.running.len() < CALLS {
            let full = self
                .per_host
                .iter()
                .filter(|(_, count)| **count >= CALLS_PER_HOST);
            let busy: Vec<_> = full.map(|(host, _)| host.clone()).collect();
            let Some(due) = store.claim_webhook_delivery(&busy).await? else {
                break;
            };
            *self.per_host.entry(due.host.clone()).or_default() += 1;
            let (store, egress) = (store.clone(), egress.clone());
            self.running
                .spawn(async move { attempt(&store, &egress, due).await });
        }
        Ok(())
    }

    /// A call that panicked has lost its host's name; the count is made anew when none is under way.
    fn ended(&mut self, host: Option<&str>) {
        if let Some(count) = host.and_then(|host| self.per_host.get_mut(host)) {
            *count = count.saturating_sub(1);
        }
        self.per_host.retain(|_, count| *count > 0);
        if self.running.is_empty() {
            self.per_host.clear();
        }
    }
}

/// Sends a message once and writes down what became of it; gives the host.
async fn attempt(store: &Store, egress: &Egress, due: DueDelivery) -> String {
    let attempted = match call(store, egress, &due).await {
        Ok(attempted) => attempted,
        Err(error) => {
            tracing::warn!(delivery = %due.id, %error, "a message to a webhook could not be signed");
            failed("the control plane could not sign the message".to_owned())
        }
    };
    match store.webhook_attempted(&due, &attempted).await {
        Ok(true) => {}
        Ok(false) => tracing::info!(delivery = %due.id, "another sender has this message now"),
        Err(error) => {
            tracing::warn!(delivery = %due.id, %error, "the end of an attempt was not stored; it is sent again");
        }
    }
    due.host
}

async fn call(store: &Store, egress: &Egress, due: &DueDelivery) -> Result<Attempted, StoreError> {
    let secret = store.webhook_secret(due).await?;
    let Some(headers) = headers(&secret, due) else {
        return Err(StoreError::Damaged("the secret of a webhook".to_owned()));
    };
    let body = Bytes::from(due.body.clone());
    Ok(match egress.post(&due.url, headers, body).await {
        Ok(answer) => {
            let taken = (200..300).contains(&answer.status);
            Attempted {
                error: (!taken).then(|| format!("the receiver answered {}", answer.status)),
                answer: Some((answer.status, answer.body)),
                took: TimeDelta::from_std(answer.took).unwrap_or_default(),
                jitter: fastrand::f64(),
            }
        }
        Err(error) => failed(error.to_string()),
    })
}

fn failed(error: String) -> Attempted {
    Attempted {
        answer: None,
        error: Some(error),
        took: TimeDelta::zero(),
        jitter: fastrand::f64(),
    }
}

fn headers(secret: &[u8], due: &DueDelivery) -> Option<HeaderMap> {
    let key = SigningKey::parse(std::str::from_utf8(secret).ok()?).ok()?;
    let (id, timestamp) = (due.event_id.to_string(), Utc::now().timestamp());
    let signature = key.sign(&id, timestamp, due.body.as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    for (name, value) in [
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature),
    ] {
        headers.insert(HeaderName::from_static(name), value.parse().ok()?);
    }
    Some(headers)
}
