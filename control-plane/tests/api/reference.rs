//! The description of the API, and the pages made of it.

use std::collections::BTreeSet;

use http::header;

use crate::world::World;

const WRITTEN: &str = include_str!("../../../docs/openapi.json");

/// The file is there for people and generators of clients; it changes with the code, in one commit.
#[tokio::test]
async fn the_committed_description_is_the_served_one() {
    let world = World::open().await;
    let served = world.nobody().get("/api/v1/openapi.json").await.expect(200);
    let served = serde_json::to_string_pretty(&served).unwrap() + "\n";
    if served != WRITTEN {
        let fresh = std::env::temp_dir().join("towline-openapi.json");
        std::fs::write(&fresh, served).unwrap();
        panic!(
            "docs/openapi.json is out of date: copy {} over it",
            fresh.display()
        );
    }
}

#[tokio::test]
async fn every_operation_is_described_whole() {
    let world = World::open().await;
    let api = world.nobody().get("/api/v1/openapi.json").await.expect(200);
    let tags = api["tags"].as_array().unwrap().iter();
    let tags: BTreeSet<_> = tags.map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut ids = BTreeSet::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = format!("{method} {path}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{name}: {id} is there twice");
            let text = operation["summary"]
                .as_str()
                .or(operation["description"].as_str());
            assert!(
                text.is_some_and(|text| text.len() > 5),
                "{name} is not described"
            );
            let tag = operation["tags"][0].as_str().unwrap();
            assert!(tags.contains(tag), "{name}: {tag} is not described");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses
                    .keys()
                    .any(|status| status == "101" || status.starts_with(['2', '3'])),
                "{name} tells no success"
            );
            assert!(responses.contains_key("default"), "{name} tells no refusal");
            for (status, response) in responses {
                assert!(
                    response["description"].is_string(),
                    "{name}: {status} is not described"
                );
            }
            let bodies = responses.values().chain([&operation["requestBody"]]);
            for (media, content) in bodies
                .filter_map(|body| body["content"].as_object())
                .flatten()
            {
                assert!(
                    !media.ends_with("json") || content["example"].is_object(),
                    "{name}: {media} has no example"
                );
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(
                    parameter["description"].is_string(),
                    "{name}: {}",
                    parameter["name"]
                );
            }
        }
    }
}

#[tokio::test]
async fn the_pages_need_no_other_server() {
    let world = World::open().await;
    for (path, kind) in [
        ("/reference", "text/html"),
        ("/reference.js", "text/javascript"),
        ("/reference.css", "text/css"),
    ] {
        let answer = world.nobody().get(path).await;
        assert_eq!(answer.status.as_u16(), 200);
        let sent = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
        assert!(sent.starts_with(kind), "{path}: {sent}");
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert!(!text.contains("://"), "{path} asks another server");
    }
    let page = world.nobody().get("/reference").await;
    let policy = page.headers[header::CONTENT_SECURITY_POLICY]
        .to_str()
        .unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
}
