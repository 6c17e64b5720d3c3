//! The second factor of one's own account.

use serde_json::json;
use towline_server::domain::totp;

use crate::world::{PASSWORD, World};

fn code(secret: &str, ahead: u64) -> String {
    let secret = data_encoding::BASE32_NOPAD
        .decode(secret.as_bytes())
        .unwrap();
    let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap();
    totp::code_at(&secret, totp::step_at(now) + ahead)
}

#[tokio::test]
async fn it_is_turned_on_asked_for_and_turned_off() {
    let world = World::open().await;
    world.first().await;
    let ada = world.sign_in("ada@example.org", PASSWORD).await;
    let other = world.sign_in("ada@example.org", PASSWORD).await;
    let confirm = json!({"password": PASSWORD});
    let made = ada.post("/api/v1/me/totp", &confirm).await.expect(201);
    let secret = made["secret"].as_str().unwrap();
    let uri = made["uri"].as_str().unwrap();
    assert!(
        uri.starts_with("otpauth://totp/Towline%20plane.example:ada%40example.org?secret="),
        "{uri}"
    );
    let wrong = json!({"code": "000000"});
    let refused = ada.post("/api/v1/me/totp/enable", &wrong).await.expect(422);
    assert_eq!(refused["field"], "code");
    let right = json!({"code": code(secret, 0)});
    let on = ada.post("/api/v1/me/totp/enable", &right).await.expect(200);
    let codes = on["recovery_codes"].as_array().unwrap();
    assert_eq!(codes.len(), 10);
    other.get("/api/v1/me").await.expect(401);
    ada.get("/api/v1/me").await.expect(200);
    let shown = ada.get("/api/v1/me/totp").await.expect(200);
    assert_eq!(shown, json!({"state": "on", "recovery_codes_left": 10}));

    let sign_in = async |code: Option<&str>| {
        let body = json!({"email": "ada@example.org", "password": PASSWORD, "code": code});
        world.nobody().post("/api/v1/session", &body).await
    };
    let needed = sign_in(None).await.expect(401);
    assert_eq!(needed["type"], "urn:towline:problem:totp_required");
    assert_eq!(needed["field"], "code");
    let wrong = sign_in(Some("000000")).await.expect(401);
    assert_eq!(wrong["type"], "urn:towline:problem:unauthorized");
    sign_in(Some(&code(secret, 1))).await.expect(201);
    sign_in(Some(&code(secret, 1))).await.expect(401);
    sign_in(codes[0].as_str()).await.expect(201);
    sign_in(codes[0].as_str()).await.expect(401);

    let body = json!({"password": "wrong horse battery"});
    let refused = ada.post("/api/v1/me/totp/disable", &body).await.expect(422);
    assert_eq!(refused["field"], "password");
    ada.post("/api/v1/me/totp/disable", &confirm)
        .await
        .expect(204);
    sign_in(None).await.expect(201);
}

#[tokio::test]
async fn without_the_password_nobody_learns_that_a_code_is_needed() {
    let world = World::open().await;
    world.first().await;
    let ada = world.sign_in("ada@example.org", PASSWORD).await;
    let confirm = json!({"password": PASSWORD});
    let made = ada.post("/api/v1/me/totp", &confirm).await.expect(201);
    let right = json!({"code": code(made["secret"].as_str().unwrap(), 0)});
    ada.post("/api/v1/me/totp/enable", &right).await.expect(200);
    let wrong = json!({"email": "ada@example.org", "password": "wrong horse battery"});
    let refused = world
        .nobody()
        .post("/api/v1/session", &wrong)
        .await
        .expect(401);
    assert_eq!(refused["type"], "urn:towline:problem:unauthorized");
}

#[tokio::test]
async fn codes_are_not_guessed() {
    let world = World::open().await;
    world.first().await;
    let ada = world.sign_in("ada@example.org", PASSWORD).await;
    let confirm = json!({"password": PASSWORD});
    let made = ada.post("/api/v1/me/totp", &confirm).await.expect(201);
    let right = json!({"code": code(made["secret"].as_str().unwrap(), 0)});
    ada.post("/api/v1/me/totp/enable", &right).await.expect(200);
    let mut last = None;
    for number in 0..11 {
        let body = json!({"email": "ada@example.org", "password": PASSWORD, "code": format!("{number:06}")});
        last = Some(world.nobody().post("/api/v1/session", &body).await);
    }
    last.unwrap().expect(429);
}
