//! As much of the published description as tells a client that the server validates fields itself.

use std::sync::Arc;

use http::Response;
use serde_json::{Map, Value, json};

use crate::{
    api::answer::{Body, json as as_json},
    kinds::Kind,
    refusal::{Answer, Refusal},
};

fn root(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}/{}", kind.group, kind.version)
    }
}

/// Where the description of each version is.
pub(super) fn index(kinds: &[Arc<Kind>]) -> Value {
    let paths: Map<String, Value> = kinds
        .iter()
        .map(|kind| {
            let root = root(kind);
            let hash = kinds.len();
            let url = format!("/openapi/v3/{root}?hash={hash}");
            (root, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

/// The description of one version.
pub(super) fn of_version(
    kinds: &[Arc<Kind>],
    group: &str,
    version: &str,
) -> Answer<Response<Body>> {
    let here = kinds.iter();
    let here: Vec<&Arc<Kind>> = here
        .filter(|kind| kind.group == group && kind.version == version)
        .collect();
    if here.is_empty() {
        return Err(Refusal::no_such_resource());
    }
    let paths: Map<String, Value> = here.iter().map(|kind| path(kind)).collect();
    let description = json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.33.1"}, "paths": paths,
    });
    Ok(as_json(200, &description))
}

fn path(kind: &Kind) -> (String, Value) {
    let scope = if kind.is_namespaced() {
        "namespaces/{namespace}/"
    } else {
        ""
    };
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let operation = |action: &str| {
        json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
            "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation"), parameter("force")],
            "responses": {"200": {"description": "OK"}},
        })
    };
    let path = format!("/{}/{scope}{}/{{name}}", root(kind), kind.plural);
    (
        path,
        json!({"get": operation("get"), "patch": operation("patch"), "put": operation("put")}),
    )
}
