//! One HTTPS request: small, bounded, without redirects.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{Request, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::address::Address;
use crate::dial::{DialError, Dialer};

/// The most bytes of an answer's body.
const MAX_BODY: usize = 256 * 1024;
/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// How far the server's clock is ahead of this host's, by its `Date` header, in seconds.
    pub clock_ahead_s: Option<i64>,
    body: Vec<u8>,
}

/// What a control plane says when it refuses: the part of a problem document that people need.
#[derive(Debug, Default, Deserialize)]
pub struct Problem {
    /// What it is.
    pub title: Option<String>,
    /// What it is in this case.
    pub detail: Option<String>,
    /// What to do.
    pub remedy: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There was no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(String),
    /// The connection broke, or the answer is no HTTP.
    #[error("{address} gave no answer: {cause}")]
    Broken {
        /// Who was asked.
        address: Address,
        /// Why.
        cause: hyper::Error,
    },
    /// It took too long.
    #[error("{address} gave no answer within {} s", PATIENCE.as_secs())]
    Silent {
        /// Who was asked.
        address: Address,
    },
    /// The answer is too long.
    #[error("{0} answered with more than {MAX_BODY} bytes; is it a Towline control plane?")]
    TooLong(Address),
}

/// Posts a JSON body.
pub async fn post(
    dialer: &Dialer,
    tls: Arc<ClientConfig>,
    address: &Address,
    path: &str,
    body: &impl Serialize,
) -> Result<Answer, RequestError> {
    let unmakeable = |error: &dyn std::fmt::Display| RequestError::Request(error.to_string());
    let body = serde_json::to_string(body).map_err(|error| unmakeable(&error))?;
    let request = Request::post(path)
        .header(header::HOST, address.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .header(
            header::USER_AGENT,
            concat!("towline-agent/", env!("CARGO_PKG_VERSION")),
        )
        .body(body)
        .map_err(|error| unmakeable(&error))?;
    let exchange = async {
        let stream = dialer.tls(address, tls).await?;
        exchange(TokioIo::new(stream), request, address).await
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_| {
        Err(RequestError::Silent {
            address: address.clone(),
        })
    })
}

async fn exchange<S>(
    stream: S,
    request: Request<String>,
    address: &Address,
) -> Result<Answer, RequestError>
where
    S: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let broken = |cause| RequestError::Broken {
        address: address.clone(),
        cause,
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(broken)?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let date = response
        .headers()
        .get(header::DATE)
        .and_then(|date| date.to_str().ok());
    let clock_ahead_s = date.and_then(seconds_ahead);
    let body = collect(response.into_body(), address).await?;
    connection.abort();
    Ok(Answer {
        status,
        clock_ahead_s,
        body,
    })
}

async fn collect(mut body: Incoming, address: &Address) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    while let Some(frame) =
        std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        let frame = frame.map_err(|cause| RequestError::Broken {
            address: address.clone(),
            cause,
        })?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > MAX_BODY {
                return Err(RequestError::TooLong(address.clone()));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

fn seconds_ahead(date: &str) -> Option<i64> {
    let theirs = DateTime::parse_from_rfc2822(date).ok()?;
    Some(theirs.signed_duration_since(Utc::now()).num_seconds())
}

impl Answer {
    /// The body, if it is what was asked for.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The refusal in words.
    pub fn problem(&self) -> Problem {
        self.json().unwrap_or_default()
    }
}
