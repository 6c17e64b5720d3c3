//! The API over HTTP: from a request to its answer.

pub(crate) mod answer;
pub(crate) mod delete;
pub(crate) mod discovery;
mod log;
mod openapi;
pub(crate) mod patches;
pub(crate) mod prepare;
pub(crate) mod read;
pub(crate) mod request;
pub(crate) mod reviews;
mod scale;
mod subresources;
mod watch;
pub(crate) mod write;

use std::{convert::Infallible, sync::Arc};

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use crate::{
    access,
    api::{
        answer::{Body, json, refuse},
        request::{Asked, Effect, Place, Verb},
    },
    controls,
    document::items,
    kinds::wire,
    refusal::{Answer, Refusal},
    state::Shared,
};

/// The most bytes of a request's body, as of the real server.
const LONGEST_BODY: usize = 3 * 1024 * 1024;

/// Answers any request.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let latency = shared.with(|state| state.controls.latency());
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    Ok(match respond(&shared, request).await {
        Ok(response) => response,
        Err(refusal) => refuse(&refusal),
    })
}

async fn respond(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer<Response<Body>> {
    let (parts, body) = request.into_parts();
    let asked = Asked::read(&parts)?;
    let user = shared.with(|state| state.access.identify(&state.store, &parts.headers))?;
    let mut asked = Asked { user, ..asked };
    let body = bytes(body).await?;
    if asked.verb.deletes() && says_dry(&body) {
        asked.effect = Effect::Dry;
    }
    if parts.uri.path().starts_with(controls::PREFIX) {
        return controls::respond(shared, &asked, &body).await;
    }
    shared.with(|state| state.controls.meet(&asked))?;
    shared.with(|state| access::authorize(state, &asked))?;
    match &asked.place {
        Place::NoResource(path) => {
            if asked.method != Method::GET {
                return Err(Refusal::no_such_resource());
            }
            discovery::respond(shared, path, &asked)
        }
        Place::Resource(place) => {
            shared.with(|state| place.kind(state).map(drop))?;
            match asked.verb {
                Verb::Get | Verb::List if !place.subresource.is_empty() => {
                    subresources::read(shared, place, &asked)
                }
                Verb::Get => shared.with(|state| read::get(state, place, &asked)),
                Verb::List => shared.with(|state| read::list(state, place, &asked)),
                Verb::Watch => watch::respond(shared, place, &asked),
                Verb::Create | Verb::Update | Verb::Patch => {
                    writes(shared, place, &asked, &body).await
                }
                Verb::Delete | Verb::DeleteCollection => {
                    let options = document(&body)?.unwrap_or_default();
                    delete::respond(shared, place, &asked, &options).await
                }
            }
        }
    }
}

/// Whether the options of a deletion ask for no effect.
fn says_dry(body: &[u8]) -> bool {
    let options = document(body).ok().flatten().unwrap_or_default();
    items(&options, "dryRun").iter().any(|word| word == "All")
}

async fn writes(
    shared: &Arc<Shared>,
    place: &request::ResourcePlace,
    asked: &Asked,
    body: &[u8],
) -> Answer<Response<Body>> {
    if let Some(response) = reviews::respond(shared, place, asked, body)? {
        return Ok(response);
    }
    if let Some(response) = subresources::write(shared, place, asked, body).await? {
        return Ok(response);
    }
    let change = patches::change(asked, body)?;
    let written = write::write(shared, place, asked, change).await?;
    let code = written.code();
    let object = shared.with(|state| read::shown(state, place, &written.object))?;
    Ok(answer::warned(json(code, &object), &written.warnings))
}

/// The whole body.
async fn bytes(body: Incoming) -> Answer<Vec<u8>> {
    let limited = Limited::new(body, LONGEST_BODY).collect().await;
    let collected = limited.map_err(|_| {
        Refusal::plain(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {LONGEST_BODY}"),
        )
    })?;
    Ok(collected.to_bytes().to_vec())
}

/// The body as JSON, nothing if it is empty.
pub(crate) fn document(body: &[u8]) -> Answer<Option<Value>> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    if let Some(read) = wire::document(body) {
        return Ok(Some(read));
    }
    let read = serde_json::from_slice(body).map_err(|error| {
        Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type JSON): {error}"
        ))
    })?;
    Ok(Some(read))
}
