//! The one way out: every call of the control plane to an address that a user has named goes through here.
//!
//! A name is resolved here, each of its addresses is judged, and only those that passed are connected to, so that
//! nothing can be another address at the second look. An address that is written in a URL is judged as well. No
//! redirect is followed, no proxy of the environment is used, no connection is kept, and an answer has limits of time
//! and size while it is read.

mod judge;
mod network;
mod resolve;
#[cfg(test)]
mod tests;
mod wait;

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use reqwest::{Client, Url, redirect};
use towline_pki::tls::install_provider;

pub use judge::{Refused, Why};
pub use network::{Network, NetworkError};
use resolve::Resolver;
pub use wait::{MAX_WAIT, retry_after};

/// The longest address that may be called.
pub const MAX_URL: usize = 2048;

/// Where calls may go beside the internet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Networks that are allowed after all.
    pub allow: Vec<Network>,
    /// Whether calls may go without TLS.
    pub plain_http: PlainHttp,
}

/// Whether calls may go without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// Only `https` is called.
    #[default]
    Refused,
    /// `http` as well.
    Allowed,
}

/// What a call may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the answer is read.
    pub total: Duration,
    /// The most bytes of the answer's body that are read.
    pub body: usize,
}

/// Calls out. Clones are the same.
#[derive(Clone, Debug)]
pub struct Egress {
    policy: Arc<Policy>,
    limits: Limits,
    /// None when this machine has no authorities to verify others by.
    client: Option<Client>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
    /// Why it was not read further.
    pub end: BodyEnd,
    /// From the call to here.
    pub took: Duration,
}

/// Where the reading of a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// At its end.
    Whole,
    /// At the limit of bytes.
    Limit,
    /// It broke off, or was too slow.
    BrokenOff,
}

/// Why an address is not one that may be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It is too long.
    #[error("an address has at most {MAX_URL} bytes")]
    TooLong,
    /// It is no URL with a host.
    #[error("this is not an address such as https://example.org/hook")]
    Malformed,
    /// It is neither https nor an allowed http.
    #[error("only https:// may be called")]
    Scheme,
    /// It carries a user or a password.
    #[error("an address must not carry a user or a password")]
    Credentials,
    /// It has a part that is never sent.
    #[error("an address must not have a part behind #")]
    Fragment,
    /// It is an address where nothing may be called.
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The address may not be called.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The name led to nothing that may be called.
    #[error(transparent)]
    Refused(Refused),
    /// It took too long.
    #[error("there was no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// No connection came about.
    #[error("no connection: {0}")]
    Connect(String),
    /// It broke off before there was an answer.
    #[error("the call broke off: {0}")]
    Broken(String),
    /// There is nothing to verify others by.
    #[error(
        "this machine has no certificate authorities; install ca-certificates and restart the control plane"
    )]
    NoAuthorities,
}

impl Egress {
    /// A way out under a policy.
    pub fn new(policy: Policy, limits: Limits) -> Self {
        install_provider();
        let policy = Arc::new(policy);
        let client = Client::builder()
            .user_agent(concat!("towline-server/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Resolver::new(&policy)))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            .connect_timeout(limits.connect)
            .timeout(limits.total)
            .https_only(policy.plain_http == PlainHttp::Refused)
            .build();
        if let Err(error) = &client {
            tracing::warn!(?error, "nothing outside can be called");
        }
        Self {
            policy,
            limits,
            client: client.ok(),
        }
    }

    /// The same way, with other limits. The one for the connection stays.
    #[must_use]
    pub fn within(&self, limits: Limits) -> Self {
        Self {
            limits,
            ..self.clone()
        }
    }

    /// No way: every call fails.
    pub fn closed() -> Self {
        Self {
            policy: Arc::default(),
            limits: Limits {
                connect: Duration::ZERO,
                total: Duration::ZERO,
                body: 0,
            },
            client: None,
        }
    }

    /// Reads an address and checks all that can be told without calling it.
    pub fn check(&self, text: &str) -> Result<Url, UrlError> {
        if text.len() > MAX_URL {
            return Err(UrlError::TooLong);
        }
        let url: Url = text.parse().map_err(|_| UrlError::Malformed)?;
        match (url.scheme(), self.policy.plain_http) {
            ("https", _) | ("http", PlainHttp::Allowed) => {}
            _ => return Err(UrlError::Scheme),
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(UrlError::Malformed)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        if let Some(address) = literal(host) {
            judge::judge(&self.policy.allow, address)?;
        }
        Ok(url)
    }

    /// Where a program of this machine may connect to that reads an address by itself: it is to connect nowhere else.
    pub async fn locate(&self, text: &str) -> Result<IpAddr, EgressError> {
        let url = self.check(text)?;
        self.locate_host(url.host_str().unwrap_or_default()).await
    }

    /// The same for a host that is spoken to in another way than by addresses of the web.
    pub async fn locate_host(&self, host: &str) -> Result<IpAddr, EgressError> {
        if let Some(address) = literal(host) {
            judge::judge(&self.policy.allow, address).map_err(EgressError::Refused)?;
            return Ok(address);
        }
        let found = resolve::allowed(&self.policy.allow, host);
        let found = tokio::time::timeout(self.limits.connect, found).await;
        let found = found.map_err(|_| EgressError::TimedOut(self.limits.connect))?;
        match found.map_err(|error| EgressError::Connect(error.to_string()))? {
            Ok(addresses) => addresses
                .first()
                .map(SocketAddr::ip)
                .ok_or_else(|| EgressError::Connect("the name has no address".to_owned())),
            Err(refused) => Err(EgressError::Refused(refused)),
        }
    }

    /// Sends a body.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, EgressError> {
        self.send(Method::POST, url, headers, body).await
    }

    /// Sends a request of any kind.
    pub async fn call(&self, request: Request<Vec<u8>>) -> Result<Answer, EgressError> {
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        self.send(head.method, &url, head.headers, body.into())
            .await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, EgressError> {
        let url = self.check(url)?;
        let client = self.client.as_ref().ok_or(EgressError::NoAuthorities)?;
        let began = Instant::now();
        let request = client.request(method, url).headers(headers).body(body);
        let request = request.timeout(self.limits.total);
        let sent = request.send().await;
        let mut response = sent.map_err(|error| self.failure(&error))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        let end = loop {
            match response.chunk().await {
                Ok(None) => break BodyEnd::Whole,
                Ok(Some(piece)) => {
                    let room = self.limits.body - body.len();
                    body.extend_from_slice(&piece[..piece.len().min(room)]);
                    if piece.len() > room {
                        break BodyEnd::Limit;
                    }
                }
                Err(_) => break BodyEnd::BrokenOff,
            }
        };
        Ok(Answer {
            status,
            headers,
            body,
            end,
            took: began.elapsed(),
        })
    }

    /// What to say of a call without an answer. The address is not part of it: it may be a secret.
    fn failure(&self, error: &reqwest::Error) -> EgressError {
        let mut cause = error.source();
        let mut last = None;
        while let Some(one) = cause {
            if let Some(refused) = one.downcast_ref::<Refused>() {
                return EgressError::Refused(refused.clone());
            }
            last = Some(one.to_string());
            cause = one.source();
        }
        if error.is_timeout() {
            return EgressError::TimedOut(self.limits.total);
        }
        let why = last.unwrap_or_else(|| "no reason is known".to_owned());
        if error.is_connect() {
            EgressError::Connect(why)
        } else {
            EgressError::Broken(why)
        }
    }
}

/// The address that stands in place of a host's name.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}
