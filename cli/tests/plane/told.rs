//! What a person is told, and over which channels.

use axum::{
    Json,
    extract::Query,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::PERSON;

pub async fn notifications(Query(query): Query<Vec<(String, String)>>) -> Json<Value> {
    assert!(query.contains(&("unread".into(), "true".into())));
    Json(json!({ "items": [{
        "id": PERSON, "type": "deployment.failed", "message": "shop: deployment to web-1 has failed",
        "team": { "id": PERSON, "name": "first" }, "is_read": false, "created_at": "2026-01-30T00:00:00Z",
    }], "next_cursor": null }))
}

pub async fn read_all(Json(body): Json<Value>) -> Json<Value> {
    assert_eq!(body, json!({}));
    Json(json!({ "read": 3 }))
}

fn channel(state: &str) -> Value {
    json!({
        "id": PERSON, "name": "ops", "kind": "slack", "host": "hooks.slack.com", "state": state, "failures": 5,
        "last_error": "the receiver answered 404", "created_at": "2026-01-30T00:00:00Z",
    })
}

pub async fn channels() -> Json<Value> {
    Json(json!({ "items": [channel("broken")], "next_cursor": null }))
}

pub async fn add_channel(Json(body): Json<Value>) -> Response {
    let settings = match body["kind"].as_str().unwrap() {
        "slack" | "webhook" => json!({ "url": "https://hunter2" }),
        "telegram" => json!({ "bot_token": "https://hunter2", "chat_id": "-42", "server": null }),
        _ => json!({ "topic": "deploys", "server": null, "token": null }),
    };
    assert_eq!(body["settings"], settings);
    let mut made = channel("enabled");
    if body["kind"] == "webhook" {
        made["secret"] = "whsec_x".into();
    }
    (StatusCode::CREATED, Json(made)).into_response()
}

pub async fn switch_channel(Json(body): Json<Value>) -> Json<Value> {
    assert_eq!(body, json!({ "enabled": true }));
    Json(channel("enabled"))
}

pub async fn test_channel() -> Json<Value> {
    Json(json!({ "id": PERSON, "state": "failed", "error": "the receiver answered 404" }))
}

fn rule(in_product: &str, channels: &Value) -> Value {
    json!({ "items": [{
        "event": "deployment.failed", "in_product": in_product, "channels": channels, "is_default": true,
    }], "next_cursor": null })
}

pub async fn rules() -> Json<Value> {
    Json(rule("all", &json!([])))
}

pub async fn choose(Json(body): Json<Value>) -> Json<Value> {
    let channels = json!([{ "channel_id": PERSON, "tell": "own" }]);
    let expected =
        json!({ "event": "deployment.failed", "in_product": "all", "channels": channels });
    assert_eq!(body["rules"], json!([expected]));
    Json(rule("all", &channels))
}
