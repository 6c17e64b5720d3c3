//! What a project has in a cluster.

use axum::{
    Json,
    extract::{Query, State},
};
use serde_json::{Value, json};

use super::{Shared, TARGET};

fn target() -> Value {
    json!({ "id": TARGET, "name": "web-1" })
}

pub async fn events(Query(query): Query<Vec<(String, String)>>) -> Json<Value> {
    assert_eq!(query, [("target".into(), TARGET.into())]);
    Json(json!({ "items": [{
        "at": "2026-01-30T00:00:00Z", "object": "Pod/web-5d4f", "namespace": "shop", "weight": "warning",
        "reason": "FailedScheduling", "message": "0/3 nodes are available", "count": 7,
    }], "next_cursor": null }))
}

/// On the named target something drifted, on the only one nothing did.
pub async fn drift(Query(query): Query<Vec<(String, String)>>) -> Json<Value> {
    let drifted = json!([{
        "object": "Deployment/web", "namespace": "shop", "drift": "changed", "fields": ["spec.replicas"],
        "managers": ["kubectl-edit"],
    }, { "object": "Service/web", "namespace": "shop", "drift": "gone", "fields": [], "managers": [] }]);
    let drifted = if query.is_empty() { json!([]) } else { drifted };
    Json(json!({ "target": target(), "release": "r1", "compared": 2, "drifted": drifted }))
}

pub async fn act(State(world): State<Shared>, Json(body): Json<Value>) -> Json<Value> {
    world.lock().unwrap().cluster_actions.push(body);
    Json(json!({ "target": target(), "message": "Deployment/web gets new pods" }))
}
