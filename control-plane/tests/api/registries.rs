//! Registries: asked whether they take a login before it is kept.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::database::on_both;
use crate::world::{COMPOSE, World};

on_both!(
    a_login_is_kept_when_its_registry_takes_it,
    what_cannot_be_added_is_refused_by_its_field,
    a_project_pushes_to_a_registry_of_the_team,
);

const PASSWORD: &str = "never-to-be-shown";

/// How a registry asks who somebody is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Basic,
    Bearer,
    /// It asks nobody, and is none.
    None,
    Failing,
}

/// A registry in the shape of the distribution specification, as far as logins go.
#[derive(Clone)]
struct FakeRegistry {
    address: String,
    kind: Arc<Mutex<Kind>>,
}

impl FakeRegistry {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Self {
            address: listener.local_addr().unwrap().to_string(),
            kind: Arc::new(Mutex::new(Kind::Basic)),
        };
        let app = Router::new().fallback(answer).with_state(registry.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        registry
    }

    fn be(&self, kind: Kind) {
        *self.kind.lock().unwrap() = kind;
    }
}

async fn answer(State(registry): State<FakeRegistry>, uri: Uri, headers: HeaderMap) -> Response {
    let right = format!("Basic {}", STANDARD.encode(format!("ada:{PASSWORD}")));
    let is_right = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|given| given.as_bytes() == right.as_bytes());
    let kind = *registry.kind.lock().unwrap();
    let challenge = match (kind, uri.path()) {
        (Kind::Failing, _) => return StatusCode::BAD_GATEWAY.into_response(),
        (Kind::Basic, "/v2/") => "Basic realm=\"Registry\"".to_owned(),
        (Kind::Bearer, "/v2/") => format!(
            "Bearer realm=\"http://{}/token\",service=\"fake\"",
            registry.address
        ),
        (Kind::Bearer, "/token") if is_right => {
            assert_eq!(uri.query(), Some("account=ada&service=fake"));
            return "{\"token\":\"x\"}".into_response();
        }
        (Kind::Bearer, "/token") => return StatusCode::UNAUTHORIZED.into_response(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    if kind == Kind::Basic && is_right {
        return StatusCode::OK.into_response();
    }
    let challenge = [(header::WWW_AUTHENTICATE, challenge)];
    (StatusCode::UNAUTHORIZED, challenge).into_response()
}

fn wish(registry: &str, password: &str) -> Value {
    json!({"registry": registry, "user": "ada", "password": password, "note": "reads"})
}

async fn a_login_is_kept_when_its_registry_takes_it() {
    let world = World::open().await;
    let (ada, fake) = (world.first().await, FakeRegistry::start().await);
    for kind in [Kind::Basic, Kind::Bearer] {
        fake.be(kind);
        let new = |password| wish(&fake.address, password);
        let wrong = ada.post("/api/v1/registries", &new("wrong")).await;
        let wrong = wrong.expect(409);
        assert_eq!(wrong["field"], "password", "{wrong}");
        let made = ada.post("/api/v1/registries", &new(PASSWORD)).await;
        assert!(!made.text().contains(PASSWORD));
        let made = made.expect(201);
        assert_eq!(
            (&made["registry"], &made["user"], &made["note"]),
            (&json!(fake.address), &json!("ada"), &json!("reads"))
        );
        let one = format!("/api/v1/registries/{}", made["id"].as_str().unwrap());
        let password = format!("{one}/password");
        let wrong = ada.put(&password, &json!({"password": "wrong"})).await;
        assert_eq!(wrong.expect(409)["field"], "password");
        ada.put(&password, &json!({"password": PASSWORD}))
            .await
            .expect(200);
        let shown = ada.get(&one).await;
        assert!(!shown.text().contains(PASSWORD));
        assert_eq!(shown.expect(200)["registry"], made["registry"]);
        let listed = ada.get("/api/v1/registries").await.expect(200);
        assert_eq!(listed["items"][0]["id"], made["id"]);
        ada.delete(&one).await.expect(204);
        ada.get(&one).await.expect(404);
    }
    for (kind, words) in [(Kind::None, "as no registry does"), (Kind::Failing, "502")] {
        fake.be(kind);
        let new = wish(&fake.address, PASSWORD);
        let refused = ada.post("/api/v1/registries", &new).await.expect(409);
        assert_eq!(refused["field"], "registry");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
        assert!(refused["remedy"].as_str().unwrap().contains("--no-check"));
    }
    let mut unchecked = wish(&fake.address, PASSWORD);
    unchecked["check"] = "skip".into();
    ada.post("/api/v1/registries", &unchecked).await.expect(201);
    let twice = ada.post("/api/v1/registries", &unchecked).await.expect(409);
    assert!(twice["detail"].as_str().unwrap().contains("already"));
}

async fn what_cannot_be_added_is_refused_by_its_field() {
    let world = World::open().await;
    let ada = world.first().await;
    let table = [
        ("registry", json!("https://ghcr.io")),
        ("registry", json!("acme")),
        ("user", json!("a:b")),
        ("user", json!("")),
        ("password", json!("abc")),
        ("password", json!("line\nbreak")),
        ("note", json!("x".repeat(201))),
        ("check", json!("perhaps")),
        ("more", json!("x")),
    ];
    for (field, value) in table {
        let mut new = wish("registry.example.com", PASSWORD);
        new["check"] = "skip".into();
        new[field] = value.clone();
        let refused = ada.post("/api/v1/registries", &new).await.expect(422);
        let told = refused.to_string();
        assert!(told.contains(field), "{field} {value}: {told}");
        assert!(!told.contains(PASSWORD), "{told}");
    }
    let listed = ada.get("/api/v1/registries").await.expect(200);
    assert_eq!(listed["items"], json!([]));
}

async fn a_project_pushes_to_a_registry_of_the_team() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let path = format!("/api/v1/projects/{project}/registry");
    ada.get(&path).await.expect(404);
    let to = |repository: &str| json!({ "repository": repository });
    for wrong in ["ghcr.io", "acme/shop", "ghcr.io/Acme", "ghcr.io/acme:1", ""] {
        let refused = ada.put(&path, &to(wrong)).await.expect(422);
        assert_eq!(refused["field"], "repository", "{wrong}");
    }
    let unknown = ada.put(&path, &to("ghcr.io/acme/shop")).await.expect(422);
    assert!(
        unknown["remedy"]
            .as_str()
            .unwrap()
            .contains("registries add")
    );
    let mut new = wish("ghcr.io", PASSWORD);
    new["check"] = "skip".into();
    let registry = ada.post("/api/v1/registries", &new).await.expect(201);
    let set = ada.put(&path, &to("ghcr.io/acme/shop")).await.expect(200);
    let expected = json!({"repository": "ghcr.io/acme/shop", "registry_id": registry["id"]});
    assert_eq!(set, expected);
    assert_eq!(ada.get(&path).await.expect(200), expected);
    let one = format!("/api/v1/registries/{}", registry["id"].as_str().unwrap());
    assert_eq!(ada.get(&one).await.expect(200)["projects"], 1);
    ada.delete(&one).await.expect(409);
    ada.delete(&path).await.expect(204);
    ada.get(&path).await.expect(404);
    ada.delete(&one).await.expect(204);
}
