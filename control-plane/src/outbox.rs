//! Sends what is due: each message at least once, and again until it is taken or its time is over.
//!
//! Woken by the commits that queue messages, by the end of a call, and when the next message is due; a timer finds what
//! another replica has queued or left. At most [`CALLS`] calls are under way in a process for each outbox, and
//! [`CALLS_PER_HOST`] to one host, so that a receiver that hangs keeps nobody else waiting.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::domain::retry::{Pace, Verdict};
use crate::egress::{Egress, Limits, retry_after};
use crate::store::outbox::KEPT_BYTES;
use crate::store::{Attempted, Store, StoreError};
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

/// A table of messages and the way they go.
pub trait Outbox: Clone + Send + 'static {
    /// A message that is to be sent now.
    type Due: Send + 'static;

    /// Where the messages are.
    fn store(&self) -> &Store;

    /// When the next message is due.
    fn next(&self) -> impl Future<Output = Result<Option<DateTime<Utc>>, StoreError>> + Send;

    /// Takes the message that has been due for longest, but for hosts that are called enough already.
    fn claim(
        &self,
        busy: &[String],
    ) -> impl Future<Output = Result<Option<Self::Due>, StoreError>> + Send;

    /// The host that is called.
    fn host(due: &Self::Due) -> &str;

    /// Sends a message once and writes down what became of it.
    fn attempt(&self, due: Self::Due) -> impl Future<Output = ()> + Send;
}

/// The calls that are under way.
#[derive(Default)]
struct Calls {
    running: JoinSet<String>,
    per_host: HashMap<String, usize>,
}

/// Sends until `stopping` is cancelled.
pub async fn send<O: Outbox>(outbox: O, stopping: CancellationToken) {
    let mut woken = outbox.store().wake().subscribe(Topic::Outbox);
    let mut calls = Calls::default();
    loop {
        let rest = match calls.start_due(&outbox).await {
            Ok(()) => until_due(&outbox, &calls).await,
            Err(error) => {
                tracing::warn!(%error, "messages could not be looked for; it is tried again");
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
        tracing::info!("some messages are sent again after the next start");
    }
}

/// Until the next message is due. One that is due already waits for its host, so for the end of a call.
async fn until_due<O: Outbox>(outbox: &O, calls: &Calls) -> Duration {
    let next = outbox.next().await.ok().flatten();
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
    async fn start_due<O: Outbox>(&mut self, outbox: &O) -> Result<(), StoreError> {
        while self.running.len() < CALLS {
            let full = self
                .per_host
                .iter()
                .filter(|(_, count)| **count >= CALLS_PER_HOST);
            let busy: Vec<_> = full.map(|(host, _)| host.clone()).collect();
            let Some(due) = outbox.claim(&busy).await? else {
                break;
            };
            let host = O::host(&due).to_owned();
            *self.per_host.entry(host.clone()).or_default() += 1;
            let outbox = outbox.clone();
            self.running.spawn(async move {
                outbox.attempt(due).await;
                host
            });
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

/// Posts JSON, and says what came of it as `judge` reads the status.
pub async fn post(
    egress: &Egress,
    url: &str,
    headers: &[(&'static str, String)],
    body: Bytes,
    judge: impl Fn(u16) -> Verdict,
) -> Attempted {
    let Some(headers) = json_headers(headers) else {
        let why = "the control plane could not write the message's headers";
        return Attempted::unanswered(Verdict::Again, why.to_owned());
    };
    match egress.post(url, headers, body).await {
        Ok(answer) => {
            let verdict = judge(answer.status);
            let pace = Pace::after(retry_after(&answer.headers));
            let taken = verdict == Verdict::Delivered;
            Attempted {
                verdict,
                error: (!taken).then(|| format!("the receiver answered {}", answer.status)),
                answer: Some((answer.status, answer.body)),
                took: TimeDelta::from_std(answer.took).unwrap_or_default(),
                pace,
            }
        }
        Err(error) => Attempted::unanswered(Verdict::Again, error.to_string()),
    }
}

/// The headers of a request with JSON, and some more.
pub(crate) fn json_headers(more: &[(&'static str, String)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    for (name, value) in more {
        headers.insert(HeaderName::from_static(name), value.parse().ok()?);
    }
    Some(headers)
}
