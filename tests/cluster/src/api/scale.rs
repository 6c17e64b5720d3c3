//! The subresource `scale`: how many replicas, without the rest of the object.

use std::sync::Arc;

use http::Response;
use serde_json::{Value, json};

use crate::{
    api::{
        answer::{Body, json as as_json},
        patches::Change,
        read::find,
        request::{Asked, ResourcePlace},
        write,
    },
    document::{at, number, put, text, texts},
    kinds::shape::Shape,
    patch::{json_patch, merge_patch, strategic},
    refusal::{Answer, Refusal},
    state::Shared,
};

fn scale_of(object: &Value) -> Value {
    let selector: Vec<String> = texts(object, "spec/selector/matchLabels")
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let meta = |field: &str| at(object, &format!("metadata/{field}")).clone();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta("name"), "namespace": meta("namespace"), "uid": meta("uid"),
            "resourceVersion": meta("resourceVersion"), "creationTimestamp": meta("creationTimestamp"),
        },
        "spec": {"replicas": number(object, "spec/replicas").unwrap_or(0)},
        "status": {
            "replicas": number(object, "status/replicas").unwrap_or(0),
            "selector": selector.join(","),
        },
    })
}

pub(super) fn read(shared: &Arc<Shared>, place: &ResourcePlace) -> Answer<Response<Body>> {
    shared.with(|state| {
        let kind = place.kind(state)?;
        let found = find(state, &kind, &place.namespace, &place.name)?;
        Ok(as_json(200, &scale_of(&found)))
    })
}

pub(super) async fn write(
    shared: &Arc<Shared>,
    place: &ResourcePlace,
    asked: &Asked,
    change: Change,
) -> Answer<Response<Body>> {
    let live = shared.with(|state| {
        let kind = place.kind(state)?;
        find(state, &kind, &place.namespace, &place.name)
    })?;
    let mut scale = scale_of(&live);
    match change {
        Change::Replace(new) | Change::Create(new) => scale = new,
        Change::Merge(patch) | Change::Apply(patch, _) => merge_patch(&mut scale, &patch),
        Change::Strategic(patch) => strategic(&Shape::built_in("Scale"), &mut scale, &patch),
        Change::Json(patch) => json_patch(&mut scale, &patch).map_err(Refusal::bad_request)?,
    }
    let mut object = (*live).clone();
    let version = text(&scale, "metadata/resourceVersion").to_owned();
    put(&mut object, "metadata/resourceVersion", version);
    put(
        &mut object,
        "spec/replicas",
        at(&scale, "spec/replicas").clone(),
    );
    let written = write::write(shared, place, asked, Change::Replace(object)).await?;
    Ok(as_json(200, &scale_of(&written.object)))
}
