use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn the_process_lives_is_ready_and_stops_being_ready() {
    let world = World::open().await;
    let ada = world.first().await;
    assert_eq!(world.nobody().get("/healthz").await.text(), "ok\n");
    assert_eq!(world.nobody().get("/readyz").await.text(), "ready\n");
    world.stopping.cancel();
    assert_eq!(world.nobody().get("/healthz").await.text(), "ok\n");
    let stopping = world.nobody().get("/readyz").await;
    stopping.expect(503);
    let refused = ada.post("/api/v1/projects", &json!({"name": "shop"})).await;
    refused.expect(503);
    assert!(refused.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn requests_and_jobs_are_counted() {
    let world = World::open().await;
    let ada = world.first().await;
    ada.get("/api/v1/me").await.expect(200);
    ada.get(&format!("/api/v1/projects/{}", uuid::Uuid::now_v7()))
        .await
        .expect(404);
    let answer = world.nobody().get("/metrics").await;
    let text = answer.text();
    for line in [
        r#"towline_http_requests_total{method="GET",route="/api/v1/me",status="200"} 1"#,
        r#"towline_http_requests_total{method="GET",route="/api/v1/projects/{id}",status="404"} 1"#,
        "towline_agents_connected 0",
        "# TYPE towline_store_commit_duration_seconds histogram",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(
        !text.contains("towline_store_commit_duration_seconds_count 0"),
        "the set-up was a commit"
    );
}

#[tokio::test]
async fn the_description_is_whole() {
    let world = World::open().await;
    let document = world.nobody().get("/api/v1/openapi.json").await.expect(200);
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(
            document["components"]["schemas"].get(name).is_some(),
            "{name} is not described"
        );
    }
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(
                operation["summary"].is_string() || operation["description"].is_string(),
                "{method} {path}"
            );
            let has_problem =
                operation["responses"]["default"]["content"].get("application/problem+json");
            assert!(has_problem.is_some(), "{method} {path}");
            ids.insert(operation["operationId"].to_string());
        }
    }
    let operations: usize = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .map(|item| item.as_object().unwrap().len())
        .sum();
    assert_eq!(ids.len(), operations);
}

#[test]
fn every_route_of_the_router_is_in_the_description() {
    // Routes enter the router through `routes!`, which describes what it adds; nothing else does.
    let router = include_str!("../../src/http/router.rs");
    assert!(router.matches("routes!(").count() > 30);
    for way_around in [
        ".route(",
        ".route_service(",
        ".nest_service(",
        ".fallback_service(",
    ] {
        assert!(!router.contains(way_around), "{way_around}");
    }
}
