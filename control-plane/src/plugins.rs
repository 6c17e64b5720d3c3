//! Calling plugins: each request is signed, goes through the guarded way out, and has a time of the plugin's own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::plugin::{Answer, MAX_ANSWER, UnfitAnswer, read_answer};
use crate::domain::retry::{Pace, Verdict};
use crate::domain::webhook::signed_headers;
use crate::domain::webhook_signature::SigningKey;
use crate::egress::{self, BodyEnd, Egress, Limits, retry_after};
use crate::outbox::{self, Outbox, json_headers};
use crate::store::{Attempted, Callee, DueRun, Store, StoreError};

/// The receiver does not want to be told of this.
const GONE: u16 = 410;

/// What plugins are told of what has happened. Clones are the same.
#[derive(Clone, Debug)]
pub struct Plugins {
    /// Where the tellings are.
    pub store: Store,
    /// The way out.
    pub egress: Egress,
}

/// What came of a call.
#[derive(Debug)]
pub struct Heard {
    /// As it is written down.
    pub attempted: Attempted,
    /// What the plugin says, if it can be used.
    pub answer: Option<Answer>,
}

impl Outbox for Plugins {
    type Due = DueRun;

    fn store(&self) -> &Store {
        &self.store
    }

    async fn next(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.store.next_plugin_run().await
    }

    async fn claim(&self, busy: &[String]) -> Result<Option<DueRun>, StoreError> {
        self.store.claim_plugin_run(busy).await
    }

    fn host(due: &DueRun) -> &str {
        &due.callee.host
    }

    async fn attempt(&self, due: DueRun) {
        let (id, body) = (due.id.to_string(), due.body.clone());
        let heard = call(&self.store, &self.egress, &due.callee, &id, body).await;
        let said = heard.answer.and_then(Answer::words);
        let noted = self
            .store
            .plugin_attempted(&due, &heard.attempted, said.as_deref());
        match noted.await {
            Ok(true) => {}
            Ok(false) => tracing::info!(run = %due.id, "another sender has this telling now"),
            Err(error) => {
                tracing::warn!(run = %due.id, %error, "the end of an attempt was not stored; it is sent again");
            }
        }
    }
}

/// Calls a plugin once.
pub async fn call(
    store: &Store,
    egress: &Egress,
    callee: &Callee,
    id: &str,
    body: String,
) -> Heard {
    let key = match signing_key(store, callee).await {
        Ok(key) => key,
        Err(error) => {
            tracing::warn!(plugin = %callee.id, %error, "a request to a plugin could not be signed");
            let why = "the control plane could not sign the request";
            return silent(Verdict::Again, why.to_owned());
        }
    };
    let headers = signed_headers(&key, id, Utc::now().timestamp(), body.as_bytes());
    let Some(headers) = json_headers(&headers) else {
        let why = "the control plane could not write the request's headers";
        return silent(Verdict::Again, why.to_owned());
    };
    let (egress, began) = (egress.within(limits(callee.timeout)), Instant::now());
    match egress.post(&callee.url, headers, Bytes::from(body)).await {
        Ok(answer) => hear(answer),
        Err(error) => {
            let mut heard = silent(Verdict::Again, error.to_string());
            heard.attempted.took = TimeDelta::from_std(began.elapsed()).unwrap_or_default();
            heard
        }
    }
}

const fn limits(timeout: Duration) -> Limits {
    Limits {
        connect: outbox::LIMITS.connect,
        total: timeout,
        body: MAX_ANSWER,
    }
}

async fn signing_key(store: &Store, callee: &Callee) -> Result<SigningKey, StoreError> {
    let secret = store.plugin_secret(callee).await?;
    let key = std::str::from_utf8(&secret).ok();
    let key = key.and_then(|key| SigningKey::parse(key).ok());
    key.ok_or_else(|| StoreError::Damaged("the secret of a plugin".to_owned()))
}

fn hear(got: egress::Answer) -> Heard {
    let read = match got.end {
        BodyEnd::Whole => {
            read_answer(got.status, &got.body).map_err(|unfit| (verdict(&unfit), unfit.to_string()))
        }
        BodyEnd::Limit => {
            let why = format!("the plugin's answer has more than {MAX_ANSWER} bytes");
            Err((Verdict::Refused, why))
        }
        BodyEnd::BrokenOff => {
            let why = "the plugin's answer broke off, or came too slowly".to_owned();
            Err((Verdict::Again, why))
        }
    };
    let (verdict, error, answer) = match read {
        Ok(answer) => (Verdict::Delivered, None, Some(answer)),
        Err((verdict, why)) => (verdict, Some(why), None),
    };
    let pace = Pace::after(retry_after(&got.headers));
    Heard {
        attempted: Attempted {
            verdict,
            answer: Some((got.status, got.body)),
            error,
            took: TimeDelta::from_std(got.took).unwrap_or_default(),
            pace,
        },
        answer,
    }
}

/// Who has answered, if not well, was told.
const fn verdict(unfit: &UnfitAnswer) -> Verdict {
    match unfit {
        UnfitAnswer::Status(GONE) | UnfitAnswer::Unreadable(_) | UnfitAnswer::Text(_) => {
            Verdict::Refused
        }
        UnfitAnswer::Status(_) => Verdict::Again,
    }
}

fn silent(verdict: Verdict, why: String) -> Heard {
    Heard {
        attempted: Attempted::unanswered(verdict, why),
        answer: None,
    }
}
