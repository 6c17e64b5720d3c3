//! Providers of identities, as far as no provider is needed; `tests/e2e/sign_in_providers.rs` goes to a real one.

use http::header;
use serde_json::json;
use towline_server::config::{ClientSecret, IdentityProvider, ProviderKind, SignUp};
use towline_server::sso::Providers;

use crate::world::{PASSWORD, World, egress};

fn provider(id: &str, kind: ProviderKind, issuer: &str) -> IdentityProvider {
    IdentityProvider {
        id: id.parse().unwrap(),
        name: format!("The {id}"),
        kind,
        issuer: issuer.to_owned(),
        client_id: "towline".to_owned(),
        client_secret: ClientSecret::Environment("s3cret".to_owned().into()),
        sign_up: SignUp::Closed,
        email_domains: Vec::new(),
    }
}

/// At the first nobody listens; the second needs no answer to be gone to.
async fn world() -> World {
    let all = [
        provider("acme", ProviderKind::Oidc, "http://127.0.0.1:9"),
        provider("hub", ProviderKind::Github, "https://github.com"),
    ];
    let all = all.map(|one| (one, "s3cret".to_owned().into()));
    World::with(|parts| {
        parts.providers = Providers::new(all, &egress(), &parts.url).unwrap();
    })
    .await
}

#[tokio::test]
async fn providers_are_listed_in_their_order_and_nothing_of_them_is_told() {
    let world = world().await;
    let listed = world.nobody().get("/api/v1/sign-in/providers").await;
    let providers = [
        json!({"id": "acme", "name": "The acme", "kind": "oidc"}),
        json!({"id": "hub", "name": "The hub", "kind": "github"}),
    ];
    assert_eq!(listed.expect(200)["items"], json!(providers));
    let none = World::open().await;
    let listed = none.nobody().get("/api/v1/sign-in/providers").await;
    assert_eq!(listed.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_browser_is_sent_away_with_a_cookie_a_state_and_a_challenge() {
    let world = world().await;
    let path = "/api/v1/sign-in/providers/hub";
    let answer = world.nobody().post(path, &json!({})).await;
    let to = answer.expect(200);
    let set = answer.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(set.starts_with("__Host-towline-away=twlo_"), "{set}");
    let flags = "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600";
    assert!(set.ends_with(flags), "{set}");
    let to = to["authorization_url"].as_str().unwrap();
    assert!(
        to.starts_with("https://github.com/login/oauth/authorize?"),
        "{to}"
    );
    for part in [
        "code_challenge_method=S256",
        "code_challenge=",
        "state=",
        "redirect_uri=https%3A%2F%2Fplane.example%3A8443%2Fapi%2Fv1%2Fsign-in%2Fproviders%2Fhub%2Fcallback",
    ] {
        assert!(to.contains(part), "{part}: {to}");
    }
    assert!(!to.contains("s3cret") && !to.contains("twlo_"), "{to}");
    let again = world.nobody().post(path, &json!({})).await.expect(200);
    assert_ne!(again["authorization_url"], to);
}

#[tokio::test]
async fn one_that_is_not_there_or_not_up_is_told() {
    let world = world().await;
    let nobody = world.nobody();
    let path = "/api/v1/sign-in/providers/acme";
    let down = nobody.post(path, &json!({})).await.expect(503);
    assert!(!down.to_string().contains("127.0.0.1"), "{down}");
    for path in ["/nobody", "/ACME"] {
        let path = format!("/api/v1/sign-in/providers{path}");
        nobody.post(&path, &json!({})).await.expect(404);
        nobody.get(&format!("{path}/callback")).await.expect(404);
    }
    let more = json!({"return_to": "https://evil.example"});
    let refused = nobody.post("/api/v1/sign-in/providers/hub", &more).await;
    assert_eq!(refused.expect(422)["field"], "return_to");
}

#[tokio::test]
async fn a_return_that_belongs_to_nothing_leads_to_the_page() {
    let world = world().await;
    let long = "x".repeat(5000);
    for query in [
        "",
        "?state=x&code=y",
        "?error=access_denied",
        &format!("?state={long}&code=y"),
    ] {
        let mut browser = world.nobody();
        for cookie in [
            None,
            Some("__Host-towline-away=twlo_guess"),
            Some("__Host-towline-away=a; __Host-towline-away=b"),
        ] {
            browser.cookie = cookie.map(str::to_owned);
            let path = format!("/api/v1/sign-in/providers/hub/callback{query}");
            let answer = browser.get(&path).await;
            assert_eq!(answer.status.as_u16(), 303, "{query}");
            assert_eq!(answer.headers[header::LOCATION], "/sign-in#trouble=over");
            assert!(!answer.headers.contains_key(header::SET_COOKIE));
        }
    }
}

#[tokio::test]
async fn journeys_are_not_begun_by_the_hundred() {
    let world = world().await;
    let begin = async || {
        let path = "/api/v1/sign-in/providers/hub";
        world.nobody().post(path, &json!({})).await
    };
    for _ in 0..30 {
        begin().await.expect(200);
    }
    let refused = begin().await;
    refused.expect(429);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn linking_takes_a_session_and_the_password() {
    let world = world().await;
    let key = world.first().await;
    let browser = world.sign_in("ada@example.org", PASSWORD).await;
    let path = "/api/v1/me/identities";
    for (body, field) in [
        (json!({}), "provider"),
        (
            json!({"provider": "nobody", "password": PASSWORD}),
            "provider",
        ),
        (json!({"provider": "hub"}), "password"),
        (
            json!({"provider": "hub", "password": "wrong horse battery"}),
            "password",
        ),
        (
            json!({"provider": "hub", "password": PASSWORD, "user": "x"}),
            "user",
        ),
    ] {
        let refused = browser.post(path, &body).await.expect(422);
        assert_eq!(refused["field"], field, "{body}");
    }
    let right = json!({"provider": "hub", "password": PASSWORD});
    key.post(path, &right).await.expect(409);
    let answer = browser.post(path, &right).await;
    answer.expect(200);
    assert!(answer.cookie().starts_with("__Host-towline-away=twlo_"));
    let mut foreign = browser.clone();
    foreign.cookie = None;
    foreign.post(path, &right).await.expect(401);
}

#[tokio::test]
async fn identities_are_listed_and_unlinked_but_for_the_last_way_in() {
    let world = world().await;
    let ada = world.first().await;
    let bob = world.another("owner").await;
    let (own, other) = (
        world.identity_of(&bob, "hub").await,
        world.identity_of(&bob, "acme").await,
    );
    let listed = bob.get("/api/v1/me/identities").await.expect(200);
    assert_eq!(listed["items"][0]["id"], *other);
    assert_eq!(listed["items"][1]["provider"], "hub");
    let none = ada.get("/api/v1/me/identities").await.expect(200);
    assert_eq!(none["items"], json!([]));
    let at = |id: &str| format!("/api/v1/me/identities/{id}");
    bob.delete(&at(&own)).await.expect(204);
    let last = bob.delete(&at(&other)).await.expect(409);
    assert!(last["remedy"].as_str().unwrap().contains("password"));
    // With a password there is another way.
    let of_ada = world.identity_of(&ada, "acme").await;
    ada.delete(&at(&of_ada)).await.expect(204);
    ada.delete(&at(&of_ada)).await.expect(404);
}

#[tokio::test]
async fn a_code_is_taken_from_a_browser_that_waits_alone() {
    let world = world().await;
    let mut browser = world.nobody();
    let give = json!({"code": "123456"});
    browser
        .post("/api/v1/sign-in/code", &give)
        .await
        .expect(410);
    browser.cookie = Some("__Host-towline-away=twlo_guess".to_owned());
    browser
        .post("/api/v1/sign-in/code", &give)
        .await
        .expect(410);
    let refused = browser
        .post("/api/v1/sign-in/code", &json!({"pin": "1"}))
        .await;
    assert_eq!(refused.expect(422)["field"], "pin");
}
