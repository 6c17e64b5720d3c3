//! Signing in and out in a browser.

use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};

use crate::world::{Answer, PASSWORD, Somebody, World};

const NEW: &str = "a better horse battery";

async fn ask(
    somebody: &Somebody<'_>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = somebody.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Body::from(json!({"name": "shop"}).to_string());
    somebody.ask(request.body(body).unwrap()).await
}

#[tokio::test]
async fn somebody_signs_in_works_and_signs_out() {
    let world = World::open().await;
    world.first().await;
    let body = json!({"email": "Ada@example.org", "password": PASSWORD});
    let answer = world.nobody().post("/api/v1/session", &body).await;
    let session = answer.expect(201);
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    let (cookie, flags) = set.split_once("; ").unwrap();
    assert!(cookie.starts_with("__Host-towline=twlc_"), "{set}");
    assert_eq!(
        flags,
        "Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=2592000"
    );
    assert!(!answer.text().contains("twlc_"), "the cookie alone has it");

    let ada = world.with_cookie(cookie);
    let me = ada.get("/api/v1/me").await.expect(200);
    assert_eq!(me["user"]["email"], "ada@example.org");
    assert_eq!(me["session"]["id"], session["id"]);
    assert!(me.get("key").is_none());
    ada.post("/api/v1/projects", &json!({"name": "shop"}))
        .await
        .expect(201);
    let listed = ada.get("/api/v1/sessions").await.expect(200);
    assert_eq!(listed["items"][0]["is_this"], true);

    let out = ada.delete("/api/v1/session").await;
    out.expect(204);
    assert!(
        out.headers[header::SET_COOKIE]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(
        ada.get("/api/v1/me").await.expect(401)["remedy"],
        "sign in again"
    );
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_password_are_one_answer() {
    let world = World::open().await;
    world.first().await;
    let mut answers = Vec::new();
    for (email, password) in [
        ("ada@example.org", "wrong horse battery"),
        ("eve@example.org", PASSWORD),
    ] {
        let body = json!({"email": email, "password": password});
        let answer = world.nobody().post("/api/v1/session", &body).await;
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
        answers.push(answer.expect(401));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn bad_input_names_the_field() {
    let world = World::open().await;
    let ada = world.first().await;
    for (path, body, field) in [
        ("session", json!({"email": "a@b"}), "password"),
        ("session", json!({"password": "x"}), "email"),
        (
            "session",
            json!({"email": "a@b", "password": 1}),
            "password",
        ),
        (
            "session",
            json!({"email": "a@b", "password": "x", "remember": true}),
            "remember",
        ),
        ("me/password", json!({"password": PASSWORD}), "new_password"),
        (
            "me/password",
            json!({"password": PASSWORD, "new_password": "short"}),
            "new_password",
        ),
        (
            "me/password",
            json!({"password": "wrong", "new_password": NEW}),
            "password",
        ),
    ] {
        let problem = ada
            .post(&format!("/api/v1/{path}"), &body)
            .await
            .expect(422);
        assert_eq!(problem["field"], field, "{body}");
    }
}

#[tokio::test]
async fn a_key_and_a_session_together_are_refused() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut both = world.sign_in("ada@example.org", PASSWORD).await;
    both.key = ada.key.clone();
    both.get("/api/v1/me").await.expect(400);
    both.key = Some("twlk_wrong".to_owned());
    both.get("/api/v1/me").await.expect(400);
    ada.delete("/api/v1/session").await.expect(409);
}

#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let world = World::open().await;
    world.first().await;
    let cookie = world
        .sign_in("ada@example.org", PASSWORD)
        .await
        .cookie
        .unwrap();
    let browser = world.nobody();
    let json = ("content-type", "application/json");
    for headers in [
        &[json][..],
        &[json, ("origin", "https://evil.example")],
        &[json, ("sec-fetch-site", "cross-site")],
        &[json, ("sec-fetch-site", "same-site")],
        &[
            ("content-type", "text/plain"),
            ("origin", "https://plane.example:8443"),
        ],
    ] {
        let with = [headers, &[("cookie", cookie.as_str())]].concat();
        for (method, path) in [
            (Method::POST, "/api/v1/projects"),
            (Method::DELETE, "/api/v1/session"),
        ] {
            let refused = ask(&browser, method, path, &with).await.expect(403);
            assert!(refused["remedy"].as_str().unwrap().contains("Towline-Csrf"));
        }
        ask(&browser, Method::GET, "/api/v1/me", &with)
            .await
            .expect(200);
    }
    let ours = [
        json,
        ("origin", "https://plane.example:8443"),
        ("cookie", &cookie),
    ];
    ask(&browser, Method::POST, "/api/v1/projects", &ours)
        .await
        .expect(201);
}

#[tokio::test]
async fn the_team_is_chosen_by_a_header() {
    let world = World::open().await;
    let ada = world.first().await;
    let bob = world.another("owner").await;
    let team = async |somebody: &Somebody<'_>| {
        let me = somebody.get("/api/v1/me").await.expect(200);
        me["team"]["id"].as_str().unwrap().to_owned()
    };
    let (own, foreign) = (team(&ada).await, team(&bob).await);
    let browser = world.sign_in("ada@example.org", PASSWORD).await;
    let absent = uuid::Uuid::now_v7().to_string();
    for somebody in [&browser, &ada] {
        for (id, status) in [
            (&own, 200),
            (&foreign, 404),
            (&absent, 404),
            (&"x".to_owned(), 404),
        ] {
            let answer = ask(somebody, Method::GET, "/api/v1/me", &[("towline-team", id)]).await;
            let answer = answer.expect(status);
            if status == 200 {
                assert_eq!(answer["team"]["id"], **id);
            } else {
                assert_eq!(answer["detail"], "there is no such team");
            }
        }
    }
}

#[tokio::test]
async fn guessing_a_password_is_slowed_down_for_its_account_alone() {
    let world = World::open().await;
    let ada = world.first().await;
    let sign_in = async |email: &str, password: &str| {
        let body = json!({"email": email, "password": password});
        world.nobody().post("/api/v1/session", &body).await
    };
    for email in ["ada@example.org", "nobody@example.org"] {
        let mut statuses = Vec::new();
        for _ in 0..12 {
            statuses.push(sign_in(email, "wrong horse battery").await.status.as_u16());
        }
        assert_eq!(statuses[..10], [401; 10], "{email}");
        assert_eq!(statuses[10..], [429; 2], "{email}");
    }
    // The right one must wait, too: else whoever guesses would see which it is.
    let refused = sign_in("ada@example.org", PASSWORD).await;
    refused.expect(429);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    let change = json!({"password": PASSWORD, "new_password": NEW});
    ada.post("/api/v1/me/password", &change).await.expect(429);
    ada.get("/api/v1/me").await.expect(200);
    sign_in("bob@example.org", PASSWORD).await.expect(401);
}

#[tokio::test]
async fn a_right_password_costs_no_attempt() {
    let world = World::open().await;
    world.first().await;
    for _ in 0..12 {
        world.sign_in("ada@example.org", PASSWORD).await;
    }
}

#[tokio::test]
async fn a_new_password_ends_the_other_browsers() {
    let world = World::open().await;
    world.first().await;
    let here = world.sign_in("ada@example.org", PASSWORD).await;
    let there = world.sign_in("ada@example.org", PASSWORD).await;
    let change = json!({"password": PASSWORD, "new_password": NEW});
    here.post("/api/v1/me/password", &change).await.expect(204);
    there.get("/api/v1/me").await.expect(401);
    let listed = here.get("/api/v1/sessions").await.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));

    let other = world.sign_in("ada@example.org", NEW).await;
    let listed = here.get("/api/v1/sessions").await.expect(200);
    let id = listed["items"][0]["id"].as_str().unwrap();
    assert_eq!(listed["items"][0]["is_this"], Value::Bool(false));
    here.delete(&format!("/api/v1/sessions/{id}"))
        .await
        .expect(204);
    here.delete(&format!("/api/v1/sessions/{id}"))
        .await
        .expect(404);
    other.get("/api/v1/me").await.expect(401);
}
