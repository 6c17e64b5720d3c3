//! A thin client of the public API that trusts the installation's own authority and nothing else.

use std::{path::Path, sync::Arc, time::Duration};

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::events::Events;

/// No answer of the API takes longer.
const LIMIT: Duration = Duration::from_mins(1);

/// A client of one control plane. It blocks, so it belongs in plain tests.
#[derive(Clone, Debug)]
pub struct Api {
    runtime: Arc<Runtime>,
    http: reqwest::Client,
    base: String,
    key: Option<String>,
    limit: Duration,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The request, for messages.
    request: String,
    /// HTTP status.
    pub status: u16,
    /// Its `Location`, if it has one.
    pub location: Option<String>,
    /// The cookie it sets, if it sets one: `name=value`.
    pub cookie: Option<String>,
    /// Its body: JSON, or a string when it is none.
    pub body: Value,
}

impl Answer {
    /// The body; panics when the status is no success.
    pub fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{}: {} {}",
            self.request,
            self.status,
            self.body
        );
        self.body
    }

    /// What the problem document says, as text; panics when the request was not refused.
    pub fn refused(self) -> String {
        let is_refusal = (400..500).contains(&self.status);
        assert!(
            is_refusal,
            "{}: {} {}",
            self.request, self.status, self.body
        );
        self.body.to_string()
    }

    /// The problem document; panics when the status is another.
    pub fn problem(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.request, self.body);
        self.body
    }
}

impl Api {
    /// A client without a key, which trusts the certificates in `ca`.
    pub fn new(base: &str, ca: &Path) -> Self {
        // Several parts of one test may come first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pem = std::fs::read(ca).unwrap_or_else(|e| panic!("{}: {e}", ca.display()));
        let roots =
            reqwest::Certificate::from_pem_bundle(&pem).expect("the authority's file is PEM");
        let http = reqwest::Client::builder()
            .tls_certs_only(roots)
            .no_proxy()
            .https_only(true);
        let http = http
            .connect_timeout(Duration::from_secs(5))
            .build()
            .expect("a client can be built");
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        Self {
            runtime: Arc::new(runtime),
            http,
            base: base.to_owned(),
            key: None,
            limit: LIMIT,
        }
    }

    /// The same with an API key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self.clone()
        }
    }

    /// The same, giving up an answer that takes longer than `limit`.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Its key.
    pub fn key(&self) -> &str {
        self.key.as_deref().expect("this client has a key")
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path))
    }

    /// `POST` of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body))
    }

    /// `PUT` of JSON.
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body))
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path))
    }

    /// A request to be completed and given to [`Self::send`]. `path` is below `/api/v1`, unless it begins with `//`:
    /// then it is the whole path.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.strip_prefix('/') {
            Some(whole) if whole.starts_with('/') => format!("{}{whole}", self.base),
            _ => format!("{}/api/v1{path}", self.base),
        };
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends it; panics when no answer comes.
    pub fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request)
            .unwrap_or_else(|e| panic!("no answer: {e:?}"))
    }

    /// Sends it.
    pub fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let (client, request) = request.timeout(self.limit).build_split();
        let request = request?;
        let name = format!("{} {}", request.method(), request.url());
        self.runtime.block_on(async {
            let response = client.execute(request).await?;
            let status = response.status().as_u16();
            let header = |name| {
                let value = response.headers().get(name);
                value.and_then(|value| value.to_str().ok().map(str::to_owned))
            };
            let location = header("location");
            let cookie = header("set-cookie");
            let cookie = cookie.and_then(|cookie| Some(cookie.split_once(';')?.0.to_owned()));
            let text = response.text().await?;
            let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
            Ok(Answer {
                request: name,
                status,
                location,
                cookie,
                body,
            })
        })
    }

    /// The headers and the body of an answer as they came; panics when it is no success.
    pub fn raw(&self, path: &str) -> (reqwest::header::HeaderMap, String) {
        let request = self.request(Method::GET, path).timeout(LIMIT);
        let answer = self.runtime.block_on(async {
            let response = request.send().await?.error_for_status()?;
            let headers = response.headers().clone();
            Ok::<_, reqwest::Error>((headers, response.text().await?))
        });
        answer.unwrap_or_else(|e| panic!("no answer: {e:?}"))
    }

    /// Opens a stream of events, after `last` if given; panics when there is none.
    pub fn events(&self, path: &str, last: Option<&str>) -> Events {
        self.try_events(path, last)
            .unwrap_or_else(|why| panic!("no stream of {path}: {why}"))
    }

    /// Opens a stream of events, or says why there is none.
    pub fn try_events(&self, path: &str, last: Option<&str>) -> Result<Events, String> {
        let request = self
            .request(Method::GET, path)
            .header("Accept", "text/event-stream");
        let request = match last {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        };
        let opened = async { tokio::time::timeout(self.limit, request.send()).await };
        let response = self
            .runtime
            .block_on(opened)
            .map_err(|e| e.to_string())?
            .map_err(|e| format!("{e:?}"))?;
        if !response.status().is_success() {
            return Err(response.status().to_string());
        }
        Ok(Events::read(response, self.runtime.handle()))
    }
}
