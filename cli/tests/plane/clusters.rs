//! What makes an agent in a cluster.

use axum::{Json, http::StatusCode};
use serde_json::{Value, json};

/// Tells what it was asked, too.
pub async fn token(Json(asked): Json<Value>) -> (StatusCode, Json<Value>) {
    let mut made = json!({
        "id": "01935a2b-0000-7000-8000-000000000071", "name": asked["name"], "token": "twl1_x",
        "expires_at": "2026-01-31T12:15:00Z", "command": "towline-agent enroll --token twl1_x",
        "install": "curl …",
    });
    if let Some(wish) = asked.get("kubernetes") {
        let manifest = format!("kind: Secret\ntoken: twl1_x\nfor: {wish}\n");
        made["kubernetes"] =
            json!({ "manifest": manifest, "helm": "helm install --set-string token=twl1_x" });
    }
    (StatusCode::CREATED, Json(made))
}
