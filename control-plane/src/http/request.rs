//! What happens to every request: it gets an id and a time limit, is counted, and is answered with
//! headers that keep browsers from guessing.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use tracing::Instrument as _;
use uuid::Uuid;

use super::problem::{Kind, Problem};
use super::router::API;
use super::state::Api;

/// From a request's head to its answer's head. Streams answer at once and then go on for ever.
const TIME_LIMIT: Duration = Duration::from_mins(1);
/// Finds a request in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The label of requests that no route matches.
const NO_ROUTE: &str = "none";

/// What answers say unless a handler says otherwise.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ),
    ),
];

/// Gives a request its id, counts it, and puts the headers on its answer.
pub async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = Uuid::now_v7();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", %id, %method, path = request.uri().path());
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status(), began.elapsed());
    span.in_scope(|| {
        tracing::debug!(
            status = status.as_u16(),
            took_us = took.as_micros(),
            "answered"
        );
    });
    api.metrics.answered(&method, &route, status, took);
    finish(response.headers_mut(), id);
    response
}

fn finish(headers: &mut HeaderMap, id: Uuid) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Ends what takes too long.
pub async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Kind::Timeout, "the request took too long and was given up")
            .remedy("try again; what it was to change may or may not have been changed")
            .into_response(),
    }
}

/// Refuses new work while the process stops. Health and metrics go on to the end.
pub async fn refuse_when_stopping(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Response {
    if api.stopping.is_cancelled() && request.uri().path().starts_with(API) {
        return Problem::stopping().into_response();
    }
    next.run(request).await
}
