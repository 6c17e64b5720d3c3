//! Asking until there is an answer, as a careful client does: the same request with the same key.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use towline_tests::api::Api;
use uuid::Uuid;

use crate::{curtain::Curtain, diary::Diary};

/// Between a failure and the next attempt.
const PAUSE: Duration = Duration::from_millis(250);
/// Answers that say: later.
const LATER: [u16; 4] = [429, 503, 504, 507];

/// A client of the control plane that does not give up while the run goes on.
#[derive(Clone, Copy, Debug)]
pub struct Client<'r> {
    api: &'r Api,
    diary: &'r Diary,
    curtain: &'r Curtain,
}

impl<'r> Client<'r> {
    /// A client for one person's key.
    pub fn new(api: &'r Api, diary: &'r Diary, curtain: &'r Curtain) -> Self {
        Self {
            api,
            diary,
            curtain,
        }
    }

    /// The plain client.
    pub fn api(self) -> &'r Api {
        self.api
    }

    /// Asks until there is an answer; nothing when the run ends before, or when it is refused, which is
    /// a breach unless the host has no engine.
    pub fn insist(self, what: &str, request: impl Fn(&Api) -> RequestBuilder) -> Option<Value> {
        let mut attempts = 0;
        while !self.curtain.is_down() {
            attempts += 1;
            if let Ok(answer) = self.api.try_send(request(self.api)) {
                match answer.status {
                    200..300 => {
                        self.diary.open().repeated += usize::from(attempts > 1);
                        return Some(answer.body);
                    }
                    status if LATER.contains(&status) => {}
                    // An order is refused while the host says that it has no engine.
                    409 if answer.body["field"] == "target" => {
                        self.diary.open().refused += 1;
                        return None;
                    }
                    status => {
                        self.diary
                            .breach(format!("{what} was refused: {status} {}", answer.body));
                        return None;
                    }
                }
            }
            self.curtain.sleep(PAUSE, Curtain::is_down);
        }
        self.diary.open().unanswered += 1;
        None
    }

    /// Orders something under a key of its own until it is acknowledged, now and then once more; gives the
    /// deployment's id.
    pub fn order(self, path: &str, body: &Value, once_more: bool) -> Option<String> {
        let key = Uuid::now_v7().to_string();
        let ask = |api: &Api| {
            api.request(Method::POST, path)
                .header("Idempotency-Key", &key)
                .json(body)
        };
        let first = id(&self.insist(path, ask)?);
        if once_more && let Some(again) = self.insist(path, ask) {
            self.diary.open().repeated += 1;
            if id(&again) != first {
                self.diary.breach(format!(
                    "{path} repeated with its key gave {} after {first}",
                    id(&again)
                ));
            }
        }
        Some(first)
    }

    /// A deployment as it is now; nothing when there is no answer.
    pub fn look(self, id: &str) -> Option<Value> {
        let request = self.api.request(Method::GET, &format!("/deployments/{id}"));
        let answer = self.api.try_send(request).ok()?;
        (answer.status == 200).then_some(answer.body)
    }
}

/// The id of what an answer shows.
pub fn id(shown: &Value) -> String {
    shown["id"].as_str().unwrap_or_default().to_owned()
}

/// Whether a deployment's status never changes any more.
pub fn has_ended(shown: &Value) -> bool {
    ["succeeded", "failed", "cancelled"].contains(&shown["status"].as_str().unwrap_or_default())
}
