//! Accounts at forges.

use axum::{
    Json,
    extract::Query,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{PERSON, PROJECT};

fn integration() -> Value {
    json!({
        "id": PERSON, "name": "hub", "forge": "github", "url": "https://github.com", "login": "ada", "scopes": ["repo"],
        "projects": 1, "last_error": "the forge answers 500",
    })
}

pub async fn list() -> Json<Value> {
    Json(json!({ "items": [integration()], "next_cursor": null }))
}

/// Gives back what it was asked for, too.
pub async fn connect(Json(body): Json<Value>) -> Response {
    let mut made = integration();
    made["asked"] = body;
    (StatusCode::CREATED, Json(made)).into_response()
}

pub async fn replace(Json(body): Json<Value>) -> Json<Value> {
    let mut changed = integration();
    changed["asked"] = body;
    Json(changed)
}

/// Two parts, and then one that says that there are more before it.
pub async fn repositories(Query(query): Query<Vec<(String, String)>>) -> Json<Value> {
    let page = query.iter().find(|(name, _)| name == "page");
    let page = page.map_or("1", |(_, page)| page);
    let next = match page {
        "1" => json!(2),
        "2" => json!(1),
        _ => Value::Null,
    };
    let one = json!({ "name": format!("ada/shop-{page}"), "visibility": "private", "default_branch": "main" });
    Json(json!({ "items": [one], "next_page": next }))
}

pub async fn branches(Query(query): Query<Vec<(String, String)>>) -> Json<Value> {
    let asked: Vec<_> = query
        .into_iter()
        .filter(|(name, _)| name == "repository")
        .collect();
    assert_eq!(asked, [("repository".to_owned(), "ada/shop".to_owned())]);
    let one = json!({ "name": "trunk", "commit_sha": "a".repeat(40) });
    Json(json!({ "items": [one], "next_page": null }))
}

pub async fn statuses() -> Json<Value> {
    let one = json!({
        "id": PERSON, "repository": "ada/shop", "commit_sha": "b".repeat(40), "context": "towline/shop/web-1",
        "commit_state": "failure", "state": "failed", "error": "the token may not do this", "created_at": "2026-01-30T00:00:00Z",
    });
    Json(json!({ "items": [one], "next_cursor": null }))
}

pub async fn source(Json(body): Json<Value>) -> Json<Value> {
    Json(json!({
        "url": "https://github.com/ada/shop.git", "branch": null, "folder": "", "login": "x-access-token", "integration": "hub",
        "repository": "ada/shop", "commit_sha": "c".repeat(40), "title": "Open", "asked": body,
    }))
}

pub async fn install() -> Json<Value> {
    Json(json!({
        "id": PERSON, "project_id": PROJECT, "forge": "github", "url": "https://towline.example.org/api/v1/hooks/1",
        "installed_in": "ada/shop",
    }))
}

pub async fn install_key(Json(body): Json<Value>) -> Json<Value> {
    Json(json!({
        "url": "ssh://git@github.com/ada/shop.git", "public_key": "ssh-ed25519 AAAA towline-shop", "fingerprint": "SHA256:x",
        "host_keys": [], "host_keys_from": "published", "installed_in": "ada/shop", "asked": body,
    }))
}

pub async fn deliver() -> Json<Value> {
    Json(json!({
        "outcome": "opened", "url": "https://github.com/ada/shop/pull/7", "number": 7, "branch": "towline/shop-1a2b3c4d",
        "files": ["Dockerfile"],
    }))
}
