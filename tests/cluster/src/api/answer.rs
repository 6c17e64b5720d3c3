//! Answers as HTTP.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::refusal::Refusal;

/// Of any answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

fn respond(code: u16, kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::OK);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed_unsync()
}

/// A document.
pub(crate) fn json(code: u16, document: &Value) -> Response<Body> {
    let mut bytes = document.to_string();
    bytes.push('\n');
    respond(code, JSON, full(bytes))
}

/// A document of another media type.
pub(crate) fn json_as(kind: &'static str, document: &Value) -> Response<Body> {
    let kind = HeaderValue::from_static(kind);
    respond(200, kind, full(document.to_string()))
}

/// Words.
pub(crate) fn text(code: u16, words: impl Into<Bytes>) -> Response<Body> {
    respond(code, TEXT, full(words))
}

/// What is sent as it comes about; ends with its sender.
pub(crate) fn stream(kind: &'static str, parts: mpsc::Receiver<Bytes>) -> Response<Body> {
    let frames = ReceiverStream::new(parts).map(|part| Ok(Frame::data(part)));
    respond(
        200,
        HeaderValue::from_static(kind),
        StreamBody::new(frames).boxed_unsync(),
    )
}

/// A refusal, with the header that tells when to try again.
pub(crate) fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut response = json(refusal.code, &refusal.status());
    if let Some(seconds) = refusal.details["retryAfterSeconds"].as_u64()
        && let Ok(value) = HeaderValue::from_str(&seconds.to_string())
    {
        response.headers_mut().insert("retry-after", value);
    }
    response
}

/// With warnings, as headers.
pub(crate) fn warned(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append("warning", value);
        }
    }
    response
}
