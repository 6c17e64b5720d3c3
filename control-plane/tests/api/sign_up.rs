//! Making an account for oneself.

use http::header;
use serde_json::json;
use towline_server::config::SignUp;

use crate::world::{PASSWORD, World};

#[tokio::test]
async fn a_closed_installation_asks_for_an_invitation() {
    let world = World::open().await;
    let body = json!({"email": "bob@example.org", "name": "Bob", "password": PASSWORD});
    let refused = world
        .nobody()
        .post("/api/v1/sign-up", &body)
        .await
        .expect(403);
    assert!(refused["remedy"].as_str().unwrap().contains("invitation"));
}

#[tokio::test]
async fn somebody_makes_an_account_and_works_on_the_plan_free() {
    let world = World::with(|parts| parts.sign_up = SignUp::Open).await;
    let ada = world.first().await;
    let body = json!({"email": "bob@example.org", "name": "Bob", "password": PASSWORD});
    let answer = world.nobody().post("/api/v1/sign-up", &body).await;
    let made = answer.expect(201);
    assert_eq!(made["user"]["role"], "user");
    let bob = world.with_cookie(&answer.cookie());
    let me = bob.get("/api/v1/me").await.expect(200);
    assert_eq!(
        (&me["role"], &me["user"]["id"]),
        (&json!("owner"), &made["user"]["id"])
    );
    let usage = bob.get("/api/v1/usage").await.expect(200);
    assert_eq!(usage["plan"]["name"], "Free");
    let projects = ada.get("/api/v1/projects").await.expect(200);
    assert_eq!(projects["items"], json!([]));
    world.sign_in("BOB@example.org", PASSWORD).await;

    let again = world.nobody().post("/api/v1/sign-up", &body).await;
    again.expect(409);
    assert!(!again.headers.contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn bad_input_names_the_field_and_accounts_are_not_made_by_the_hundred() {
    let world = World::with(|parts| parts.sign_up = SignUp::Open).await;
    let sign_up = async |body| world.nobody().post("/api/v1/sign-up", &body).await;
    for (body, field) in [
        (json!({"email": "b@example.org", "name": "B"}), "password"),
        (
            json!({"email": "nobody", "name": "B", "password": PASSWORD}),
            "email",
        ),
        (
            json!({"email": "b@example.org", "name": "", "password": PASSWORD}),
            "name",
        ),
        (
            json!({"email": "b@example.org", "name": "B", "password": "short"}),
            "password",
        ),
        (
            json!({"email": "b@example.org", "name": "B", "password": PASSWORD, "plan": "Pro"}),
            "plan",
        ),
    ] {
        let problem = sign_up(body.clone()).await.expect(422);
        assert_eq!(problem["field"], field, "{body}");
    }
    let mut last = None;
    for number in 0..8 {
        let email = format!("b{number}@example.org");
        last = Some(sign_up(json!({"email": email, "name": "B", "password": PASSWORD})).await);
    }
    last.unwrap().expect(429);
}
