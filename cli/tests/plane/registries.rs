//! Registries.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::PERSON;

fn registry() -> Value {
    json!({
        "id": PERSON, "registry": "ghcr.io", "user": "acme-robot", "note": "expires in March", "projects": 2,
    })
}

pub async fn list() -> Json<Value> {
    Json(json!({ "items": [registry()], "next_cursor": null }))
}

/// Gives back what it was asked for, too.
pub async fn add(Json(body): Json<Value>) -> Response {
    let mut made = registry();
    made["asked"] = body;
    (StatusCode::CREATED, Json(made)).into_response()
}

pub async fn set_password(Json(body): Json<Value>) -> Json<Value> {
    let mut changed = registry();
    changed["asked"] = body;
    Json(changed)
}

pub async fn of_project() -> Json<Value> {
    Json(json!({ "repository": "ghcr.io/acme/shop", "registry_id": PERSON }))
}

pub async fn set_of_project(Json(body): Json<Value>) -> Json<Value> {
    Json(json!({ "repository": body["repository"], "registry_id": PERSON }))
}
