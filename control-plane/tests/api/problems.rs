//! Every refusal is a problem document.

use axum::body::Body;
use http::{Method, header};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn refusals_of_the_router_are_problems_too() {
    let world = World::open().await;
    let ada = world.first().await;
    let ask = async |method: Method, path: &str, media: &str, body: String| {
        let request = ada
            .request(method, path)
            .header(header::CONTENT_TYPE, media);
        ada.ask(request.body(Body::from(body)).unwrap()).await
    };
    let table = [
        (
            Method::GET,
            "/api/v1/nothing",
            "application/json",
            String::new(),
            404,
        ),
        (Method::GET, "/", "application/json", String::new(), 404),
        (
            Method::PATCH,
            "/api/v1/me",
            "application/json",
            String::new(),
            405,
        ),
        (
            Method::POST,
            "/healthz",
            "application/json",
            String::new(),
            405,
        ),
        (
            Method::POST,
            "/api/v1/projects",
            "text/plain",
            r#"{"name":"a"}"#.into(),
            415,
        ),
        (
            Method::POST,
            "/api/v1/projects",
            "application/json",
            "{".into(),
            400,
        ),
        (
            Method::POST,
            "/api/v1/projects",
            "application/json",
            String::new(),
            400,
        ),
        (
            Method::POST,
            "/api/v1/projects",
            "application/json",
            r#"{"name":"a"} {}"#.into(),
            400,
        ),
        (
            Method::POST,
            "/api/v1/projects",
            "application/json",
            "[]".into(),
            422,
        ),
        (
            Method::POST,
            "/api/v1/projects",
            "application/json",
            json!({"name": "a".repeat(70_000)}).to_string(),
            413,
        ),
    ];
    for (method, path, media, body, status) in table {
        let answer = ask(method.clone(), path, media, body).await;
        let problem = answer.expect(status);
        assert!(
            problem["type"]
                .as_str()
                .unwrap()
                .starts_with("urn:towline:problem:"),
            "{problem}"
        );
        if status == 405 {
            assert!(
                answer.headers.contains_key(header::ALLOW),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn every_answer_has_an_id_and_headers_that_keep_browsers_from_guessing() {
    let world = World::open().await;
    for path in ["/healthz", "/setup", "/api/v1/me", "/nothing"] {
        let answer = world.nobody().get(path).await;
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
        assert_eq!(answer.headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        assert!(
            answer.headers.contains_key("content-security-policy"),
            "{path}"
        );
        assert_eq!(answer.headers["x-request-id"].len(), 36, "{path}");
    }
}
