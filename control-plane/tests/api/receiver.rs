//! A receiver of messages on loopback.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use chrono::Utc;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use towline_server::domain::webhook_signature::{Signed, SigningKey, verify};

use crate::world::Somebody;

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers by a script, then always with 200; keeps what came, whatever the path.
#[derive(Clone, Default)]
pub struct Receiver {
    script: Arc<Mutex<VecDeque<StatusCode>>>,
    received: Arc<Mutex<Vec<Message>>>,
}

/// What came.
#[derive(Clone, Debug)]
pub struct Message {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Message {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What a message says that must be signed with this secret.
    pub fn verified(&self, secret: &str) -> Value {
        let signed = Signed {
            id: self.header("webhook-id"),
            timestamp: self.header("webhook-timestamp"),
            signature: self.header("webhook-signature"),
        };
        let key = SigningKey::parse(secret).unwrap();
        assert_eq!(verify(&[key], signed, &self.body, Utc::now()), Ok(()));
        assert_eq!(self.header("content-type"), "application/json");
        self.json()
    }
}

impl Receiver {
    /// The receiver, and an address of it.
    pub async fn start(script: &[u16]) -> (Self, String) {
        let script = script
            .iter()
            .map(|code| StatusCode::from_u16(*code).unwrap());
        let receiver = Self {
            script: Arc::new(Mutex::new(script.collect())),
            ..Self::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, url)
    }

    pub async fn wait_for(&self, count: usize) -> Vec<Message> {
        let waited = timeout(PATIENCE, async {
            while self.received.lock().unwrap().len() < count {
                sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("the receiver is told");
        self.received.lock().unwrap().clone()
    }
}

async fn take(
    State(receiver): State<Receiver>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let path = uri.path().to_owned();
    // As some servers do, it gives back what it was sent.
    let echo = format!("thanks for {path}");
    let message = Message {
        path,
        headers,
        body,
    };
    receiver.received.lock().unwrap().push(message);
    let scripted = receiver.script.lock().unwrap().pop_front();
    (scripted.unwrap_or(StatusCode::OK), echo)
}

/// Asks again and again until the answer is as it shall be.
pub async fn until(ada: &Somebody<'_>, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let waited = timeout(PATIENCE, async {
        loop {
            let shown = ada.get(path).await.expect(200);
            if is_so(&shown) {
                return shown;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.expect("it comes to be so")
}
