//! A receiver of messages on loopback.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use chrono::Utc;
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use towline_server::domain::webhook_signature::{Signed, SigningKey, verify};

use crate::world::Somebody;

const PATIENCE: Duration = Duration::from_secs(20);

/// Answers by a script, then always the same; keeps what came, whatever the path.
#[derive(Clone)]
pub struct Receiver {
    script: Arc<Mutex<VecDeque<Reply>>>,
    otherwise: Arc<Mutex<Reply>>,
    received: Arc<Mutex<Vec<Message>>>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status; as some servers do, it gives back what it was sent.
    Echo(u16),
    /// A status and a body.
    Says(u16, String),
    /// Elsewhere is where it is.
    Moved(String),
    /// Nothing for so long.
    Late(Duration),
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
        let script = script.iter().map(|code| Reply::Echo(*code)).collect();
        Self::replying(script, Reply::Echo(200)).await
    }

    /// One that answers by a script, and then always the same.
    pub async fn replying(script: Vec<Reply>, otherwise: Reply) -> (Self, String) {
        let receiver = Self {
            script: Arc::new(Mutex::new(script.into())),
            otherwise: Arc::new(Mutex::new(otherwise)),
            received: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, url)
    }

    /// What it answers from now on.
    pub fn reply(&self, reply: Reply) {
        *self.otherwise.lock().unwrap() = reply;
    }

    /// How often it was called.
    pub fn count(&self) -> usize {
        self.received.lock().unwrap().len()
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
) -> Response {
    let path = uri.path().to_owned();
    let echo = format!("thanks for {path}");
    let message = Message {
        path,
        headers,
        body,
    };
    receiver.received.lock().unwrap().push(message);
    let scripted = receiver.script.lock().unwrap().pop_front();
    let reply = scripted.unwrap_or_else(|| receiver.otherwise.lock().unwrap().clone());
    let status = |code| StatusCode::from_u16(code).unwrap();
    match reply {
        Reply::Echo(code) => (status(code), echo).into_response(),
        Reply::Says(code, body) => (status(code), body).into_response(),
        Reply::Moved(url) => (StatusCode::FOUND, [(header::LOCATION, url)]).into_response(),
        Reply::Late(time) => {
            sleep(time).await;
            StatusCode::OK.into_response()
        }
    }
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
