//! A new password by a link: by mail, or by an administrator.

use http::header;
use serde_json::json;

use crate::smtp::Postbox;
use crate::world::{PASSWORD, Somebody, World};

const NEW: &str = "a better horse battery";

/// The secret of a link.
fn token(link: &str) -> &str {
    let (_, fragment) = link.split_once("/reset#").unwrap();
    fragment.split_once('.').unwrap().0
}

async fn world(postbox: &Postbox, query: &str) -> World {
    let mailer = postbox.mailer(query);
    World::with(|parts| parts.mailer = Some(mailer)).await
}

async fn id(somebody: &Somebody<'_>) -> String {
    let me = somebody.get("/api/v1/me").await.expect(200);
    me["user"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn somebody_who_forgot_their_password_is_sent_a_link() {
    let mut postbox = Postbox::open().await;
    let world = world(&postbox, "?tls=none").await;
    let ada = world.first().await;
    let browser = world.sign_in("ada@example.org", PASSWORD).await;
    assert!(postbox.next().await.text.contains("has signed in"));
    let nobody = world.nobody();
    let ask = json!({"email": "ADA@example.org"});
    let asked = nobody.post("/api/v1/password-resets", &ask).await;
    asked.expect(202);
    let mail = postbox.next().await;
    assert_eq!(mail.from, "towline@plane.example");
    assert_eq!(mail.to, ["ada@example.org"], "the account's own spelling");
    for part in [
        "From: Towline <towline@plane.example>",
        "Subject: A new password for Towline",
        "within an hour",
    ] {
        assert!(mail.text.contains(part), "{part} in {}", mail.text);
    }
    let mut words = mail.text.split_whitespace();
    let link = words.find(|word| word.contains("/reset#")).unwrap();
    assert!(
        link.starts_with("https://plane.example:8443/reset#twlr_"),
        "{link}"
    );
    assert!(!mail.text.contains(PASSWORD));

    let secret = token(link);
    let unfit = json!({"token": secret, "password": "short"});
    let unfit = nobody
        .post("/api/v1/password-resets/use", &unfit)
        .await
        .expect(422);
    assert_eq!(unfit["field"], "password");
    let new = json!({"token": secret, "password": NEW});
    let done = nobody.post("/api/v1/password-resets/use", &new).await;
    done.expect(204);
    assert!(
        !done.headers.contains_key(header::SET_COOKIE),
        "it is no sign-in"
    );
    let again = nobody
        .post("/api/v1/password-resets/use", &new)
        .await
        .expect(404);
    assert!(again["remedy"].as_str().unwrap().contains("works once"));
    browser.get("/api/v1/me").await.expect(401);
    ada.get("/api/v1/me").await.expect(200);
    let old = json!({"email": "ada@example.org", "password": PASSWORD});
    nobody.post("/api/v1/session", &old).await.expect(401);
    world.sign_in("ada@example.org", NEW).await;
}

#[tokio::test]
async fn an_address_without_an_account_is_answered_the_same_and_sent_nothing() {
    let mut postbox = Postbox::open().await;
    let world = world(&postbox, "?tls=none").await;
    world.first().await;
    let ask = async |email: &str| {
        let body = json!({ "email": email });
        world.nobody().post("/api/v1/password-resets", &body).await
    };
    ask("eve@example.org").await.expect(202);
    assert!(postbox.is_empty().await);
    // So many mails to one person and no more, and so much asked by one network.
    for _ in 0..5 {
        ask("ada@example.org").await.expect(202);
    }
    for _ in 0..3 {
        postbox.next().await;
    }
    assert!(postbox.is_empty().await);
    for _ in 0..4 {
        ask("eve@example.org").await.expect(202);
    }
    ask("eve@example.org").await.expect(429);
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_does_not_encrypt() {
    let mut postbox = Postbox::open().await;
    let world = world(&postbox, "").await;
    world.first().await;
    let ask = json!({"email": "ada@example.org"});
    world
        .nobody()
        .post("/api/v1/password-resets", &ask)
        .await
        .expect(202);
    assert!(postbox.is_empty().await);
}

#[tokio::test]
async fn without_mail_an_administrator_makes_a_link() {
    let world = World::open().await;
    let ada = world.first().await;
    let bob = world.another("owner").await;
    let ask = json!({"email": "ada@example.org"});
    let refused = world
        .nobody()
        .post("/api/v1/password-resets", &ask)
        .await
        .expect(409);
    assert!(
        refused["remedy"]
            .as_str()
            .unwrap()
            .contains("towline users reset-link")
    );

    let users = ada.get("/api/v1/users").await.expect(200);
    assert_eq!(users["items"].as_array().map(Vec::len), Some(2));
    let path = format!("/api/v1/users/{}/reset-link", id(&bob).await);
    let made = ada.post(&path, &json!({})).await.expect(201);
    for (method, path) in [("get", "/api/v1/users"), ("post", path.as_str())] {
        let refused = if method == "get" {
            bob.get(path).await
        } else {
            bob.post(path, &json!({})).await
        };
        refused.expect(403);
    }
    let new = json!({"token": token(made["link"].as_str().unwrap()), "password": NEW});
    world
        .nobody()
        .post("/api/v1/password-resets/use", &new)
        .await
        .expect(204);
    world.sign_in(made["email"].as_str().unwrap(), NEW).await;
    let absent = format!("/api/v1/users/{}/reset-link", uuid::Uuid::now_v7());
    ada.post(&absent, &json!({})).await.expect(404);
}

#[tokio::test]
async fn guessing_links_is_slowed_down_and_bad_input_names_the_field() {
    let world = World::open().await;
    for (path, body, field) in [
        ("password-resets", json!({}), "email"),
        ("password-resets/use", json!({"token": "x"}), "password"),
        ("password-resets/use", json!({"password": NEW}), "token"),
        (
            "password-resets/use",
            json!({"token": "x", "password": NEW, "more": 1}),
            "more",
        ),
    ] {
        let problem = world.nobody().post(&format!("/api/v1/{path}"), &body).await;
        assert_eq!(problem.expect(422)["field"], field, "{body}");
    }
    let guess = json!({"token": "twlr_guess", "password": NEW});
    let mut last = None;
    for _ in 0..70 {
        last = Some(
            world
                .nobody()
                .post("/api/v1/password-resets/use", &guess)
                .await,
        );
    }
    last.unwrap().expect(429);
}
