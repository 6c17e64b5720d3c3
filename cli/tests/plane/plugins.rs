//! What is asked before a deploy.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::PERSON;

fn plugin(state: &str) -> Value {
    json!({
        "id": PERSON, "name": "gate", "url": "https://example.org/gate", "hooks": ["before_deploy"], "timeout_s": 5,
        "failure_policy": "closed", "state": state,
    })
}

pub async fn list() -> Json<Value> {
    Json(json!({ "items": [plugin("enabled")], "next_cursor": null }))
}

/// Gives back what it was asked for, too.
pub async fn add(Json(body): Json<Value>) -> Response {
    let mut made = plugin("enabled");
    made["secret"] = "whsec_x".into();
    made["asked"] = body;
    (StatusCode::CREATED, Json(made)).into_response()
}

pub async fn change(Json(body): Json<Value>) -> Json<Value> {
    let mut changed = plugin("disabled");
    changed["asked"] = body;
    Json(changed)
}

pub async fn gone() -> StatusCode {
    StatusCode::NO_CONTENT
}

fn run(state: &str) -> Value {
    json!({
        "id": PERSON, "hook": "before_deploy", "state": state, "effect": "refused", "response_status": 200,
        "duration_ms": 7, "message": "frozen until Monday", "created_at": "2026-01-30T00:00:00Z",
    })
}

pub async fn runs() -> Json<Value> {
    Json(json!({ "items": [run("vetoed")], "next_cursor": null }))
}

pub async fn test() -> Json<Value> {
    let mut run = run("failed");
    run["error"] = "the plugin answered 500".into();
    Json(run)
}
