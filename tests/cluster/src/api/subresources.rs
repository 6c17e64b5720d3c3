//! The parts of objects that have paths of their own.

use std::sync::Arc;

use http::Response;
use serde_json::{Value, json};

use crate::{
    api::{
        answer::{Body, json as as_json},
        delete, document, log, patches,
        prepare::shown_as,
        read::find,
        request::{Asked, ResourcePlace, Verb},
        scale,
    },
    document::at,
    refusal::{Answer, Refusal},
    state::Shared,
};

/// Reads `status`, `scale`, or `log`.
pub(super) fn read(
    shared: &Arc<Shared>,
    place: &ResourcePlace,
    asked: &Asked,
) -> Answer<Response<Body>> {
    match place.subresource.as_str() {
        "status" => shared.with(|state| {
            let kind = place.kind(state)?;
            let found = find(state, &kind, &place.namespace, &place.name)?;
            Ok(as_json(200, &shown_as(&kind, &found)))
        }),
        "scale" => scale::read(shared, place),
        "log" => log::respond(shared, place, asked),
        _ => Err(Refusal::no_such_resource()),
    }
}

/// Does what is no plain write of the object; nothing if it is one.
pub(super) async fn write(
    shared: &Arc<Shared>,
    place: &ResourcePlace,
    asked: &Asked,
    body: &[u8],
) -> Answer<Option<Response<Body>>> {
    match (place.subresource.as_str(), asked.verb) {
        ("scale", Verb::Update | Verb::Patch) => {
            let change = patches::change(asked, body)?;
            scale::write(shared, place, asked, change).await.map(Some)
        }
        ("eviction", Verb::Create) => evict(shared, place, asked, body).await.map(Some),
        ("token", Verb::Create) => {
            let wanted = document(body)?.unwrap_or_default();
            shared.with(|state| token(state, place, &wanted)).map(Some)
        }
        _ => Ok(None),
    }
}

async fn evict(
    shared: &Arc<Shared>,
    place: &ResourcePlace,
    asked: &Asked,
    body: &[u8],
) -> Answer<Response<Body>> {
    let eviction = document(body)?.unwrap_or_default();
    let pod = ResourcePlace {
        subresource: String::new(),
        ..place.clone()
    };
    let asked = Asked {
        verb: Verb::Delete,
        ..asked.clone()
    };
    let options = at(&eviction, "deleteOptions").clone();
    delete::respond(shared, &pod, &asked, &options).await?;
    let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(as_json(201, &done))
}

fn token(
    state: &mut crate::state::State,
    place: &ResourcePlace,
    wanted: &Value,
) -> Answer<Response<Body>> {
    let kind = place.kind(state)?;
    find(state, &kind, &place.namespace, &place.name)?;
    let issued = state
        .access
        .issue(&state.store, &place.namespace, &place.name, wanted);
    let mut request = wanted.clone();
    request["kind"] = "TokenRequest".into();
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["metadata"] =
        json!({"name": place.name, "namespace": place.namespace, "creationTimestamp": null});
    request["status"] = issued;
    Ok(as_json(201, &request))
}
