//! One installation's API over HTTPS.

use std::{sync::Arc, time::Duration};

use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, UPGRADE},
    redirect::Policy,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use towline_pki::tls;

use super::{
    problem, sse,
    unreachable::{self, Part},
};
use crate::{
    config::ApiKey,
    connection::Connection,
    exit::{Exit, Failure},
    trust::Trust,
};

/// How long a TCP connection and its TLS handshake may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an answer may take. A query that waits for an agent takes less than half of it.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// A stream that says nothing for so long, not even a comment, is dead: the control plane sends
/// one at least every 15 seconds.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// How many items one page of a list has at most.
const PAGE: &str = "200";

type Query<'q> = &'q [(&'q str, String)];

/// A connection to the API.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<ApiKey>,
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl Client {
    /// A client of this installation; nothing is sent yet.
    pub fn new(connection: &Connection) -> Result<Self, Failure> {
        let tls = match &connection.trust {
            Trust::Fingerprint(fingerprint) => Some(tls::pinned_client_config(*fingerprint)),
            Trust::Authority(roots) => Some(tls::ca_client_config(roots)),
            Trust::Machine => None,
        };
        let tls = tls
            .transpose()
            .map_err(|error| Failure::usage("TLS cannot be set up").detail(error.to_string()))?;
        // Without a configuration of ours, reqwest asks for the process's provider.
        tls::install_provider();
        let builder = reqwest::Client::builder()
            .user_agent(concat!("towline/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .redirect(Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .tcp_nodelay(true);
        let builder = match tls {
            Some(config) => builder.tls_backend_preconfigured(Arc::unwrap_or_clone(config)),
            None => builder,
        };
        let http = builder
            .build()
            .map_err(|error| Failure::usage("TLS cannot be set up").detail(format!("{error:?}")))?;
        Ok(Self {
            http,
            base: connection.url.clone(),
            key: connection.key.clone(),
        })
    }

    /// The installation's address.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Reads one thing.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Query<'_>,
    ) -> Result<T, Failure> {
        self.answer(self.request(Method::GET, path, query)).await
    }

    /// Reads a whole list, page by page, up to `limit` items.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Query<'_>,
        limit: Option<usize>,
    ) -> Result<Vec<T>, Failure> {
        let mut items: Vec<T> = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = query.to_vec();
            let wanted = limit.map(|limit| limit - items.len());
            let size = wanted.map_or_else(|| PAGE.to_owned(), |wanted| wanted.min(200).to_string());
            query.push(("limit", size));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.get(path, &query).await?;
            let empty = page.items.is_empty();
            items.extend(page.items);
            let full = limit.is_some_and(|limit| items.len() >= limit);
            match page.next_cursor {
                Some(next) if !full && !empty => cursor = Some(next),
                _ => break,
            }
        }
        items.truncate(limit.unwrap_or(usize::MAX));
        Ok(items)
    }

    /// Makes something, or asks for something to be done.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.answer(self.request(Method::POST, path, &[]).json(body))
            .await
    }

    /// Asks for something to be done once, however often it is asked under the same key.
    pub async fn post_once<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
        idempotency_key: &str,
    ) -> Result<T, Failure> {
        let request = self.request(Method::POST, path, &[]).json(body);
        self.answer(request.header("Idempotency-Key", idempotency_key))
            .await
    }

    /// Puts a value.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.answer(self.request(Method::PUT, path, &[]).json(body))
            .await
    }

    /// Puts a value at the one of several places that a query names.
    pub async fn put_one_of<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: Query<'_>,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.answer(self.request(Method::PUT, path, query).json(body))
            .await
    }

    /// Changes a part of something.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.answer(self.request(Method::PATCH, path, &[]).json(body))
            .await
    }

    /// Puts bytes.
    pub async fn put_bytes<T: DeserializeOwned>(
        &self,
        path: &[&str],
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<T, Failure> {
        let request = self
            .request(Method::PUT, path, &[])
            .header(CONTENT_TYPE, content_type)
            .body(body);
        self.answer(request).await
    }

    /// Takes something away.
    pub async fn delete(&self, path: &[&str]) -> Result<(), Failure> {
        self.delete_one_of(path, &[]).await
    }

    /// Takes the one of several things away that a query names.
    pub async fn delete_one_of(&self, path: &[&str], query: Query<'_>) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, path, query);
        let answer: serde::de::IgnoredAny = self.answer(request).await?;
        let _ = answer;
        Ok(())
    }

    /// Reads an answer of any length, piece by piece. It must go on coming, and come whole.
    pub async fn download(
        &self,
        path: &[&str],
        query: Query<'_>,
        mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let mut response = self.opened(self.request(Method::GET, path, query)).await?;
        loop {
            let piece = timeout(SILENCE_LIMIT, response.chunk())
                .await
                .map_err(|_| unreachable::too_slow(&self.base))?
                .map_err(|error| unreachable::failure(&self.base, &error, Part::Answer))?;
            match piece {
                Some(piece) => write(&piece)?,
                None => return Ok(()),
            }
        }
    }

    /// Opens a stream of events, behind the event with the given id.
    pub async fn events(
        &self,
        path: &[&str],
        query: Query<'_>,
        last_event_id: Option<u64>,
    ) -> Result<EventStream, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(id) = last_event_id {
            headers.insert("last-event-id", HeaderValue::from(id));
        }
        let request = self.request(Method::GET, path, query).headers(headers);
        Ok(EventStream {
            response: self.opened(request).await?,
            parser: sse::Parser::default(),
            base: self.base.clone(),
        })
    }

    /// An answer whose body is still to come.
    async fn opened(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = timeout(ANSWER_LIMIT, request.send())
            .await
            .map_err(|_| unreachable::too_slow(&self.base))?
            .map_err(|error| unreachable::failure(&self.base, &error, Part::Request))?;
        if response.status() == StatusCode::OK {
            Ok(response)
        } else {
            Err(self.refusal(response).await)
        }
    }

    /// Has the connection upgraded to another protocol.
    pub async fn upgrade(
        &self,
        path: &[&str],
        body: &impl Serialize,
        protocol: &'static str,
    ) -> Result<reqwest::Upgraded, Failure> {
        let request = self
            .request(Method::POST, path, &[])
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, protocol)
            .json(body);
        let response = timeout(ANSWER_LIMIT, request.send())
            .await
            .map_err(|_| unreachable::too_slow(&self.base))?
            .map_err(|error| unreachable::failure(&self.base, &error, Part::Request))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.refusal(response).await);
        }
        let upgraded = response.upgrade().await;
        upgraded.map_err(|error| unreachable::failure(&self.base, &error, Part::Answer))
    }

    fn request(&self, method: Method, path: &[&str], query: Query<'_>) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url);
        match &self.key {
            Some(key) => request.bearer_auth(key.reveal()),
            None => request,
        }
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let response = request
            .timeout(ANSWER_LIMIT)
            .send()
            .await
            .map_err(|error| unreachable::failure(&self.base, &error, Part::Request))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let body = response
            .bytes()
            .await
            .map_err(|error| unreachable::failure(&self.base, &error, Part::Answer))?;
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(text).map_err(|error| {
            Failure::new(Exit::Failed, "The control plane's answer is not understood")
                .detail(error.to_string())
                .remedy("use the towline of the control plane's version; `towline --version` shows this one's")
        })
    }

    async fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        let is_problem = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/problem+json"));
        match response.bytes().await {
            Ok(body) if is_problem => problem::failure(status, &body),
            Ok(_) => problem::unexplained(status, &self.base),
            Err(error) => unreachable::failure(&self.base, &error, Part::Answer),
        }
    }
}

/// An open stream of events.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    parser: sse::Parser,
    base: Url,
}

impl EventStream {
    /// The next events, at least one unless the stream ended (`None`). Cancelling the wait loses
    /// nothing.
    pub async fn next(&mut self) -> Result<Option<Vec<sse::Event>>, Failure> {
        loop {
            let piece = timeout(SILENCE_LIMIT, self.response.chunk())
                .await
                .map_err(|_| unreachable::too_slow(&self.base))?
                .map_err(|error| unreachable::failure(&self.base, &error, Part::Answer))?;
            let Some(piece) = piece else { return Ok(None) };
            let events = self.parser.push(&piece).map_err(|error| {
                Failure::new(Exit::Unreachable, "The stream is not understood")
                    .detail(error.to_string())
            })?;
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
    }
}
