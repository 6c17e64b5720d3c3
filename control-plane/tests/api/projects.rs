use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_project_is_made_found_and_taken_away() {
    let world = World::open().await;
    let ada = world.first().await;
    let answer = ada.post("/api/v1/projects", &json!({"name": "shop"})).await;
    let made = answer.expect(201);
    let path = answer.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(
        path,
        format!("/api/v1/projects/{}", made["id"].as_str().unwrap())
    );
    assert_eq!(ada.get(&path).await.expect(200)["name"], "shop");
    assert_eq!(
        ada.get("/api/v1/projects").await.expect(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    ada.post("/api/v1/projects", &json!({"name": "shop"}))
        .await
        .expect(409);
    ada.delete(&path).await.expect(204);
    ada.get(&path).await.expect(404);
    ada.post("/api/v1/projects", &json!({"name": "shop"}))
        .await
        .expect(201);
}

#[tokio::test]
async fn names_are_held_to_their_rule() {
    let world = World::open().await;
    let ada = world.first().await;
    for name in ["", "Shop", "-a", "a b", "a/b", "ä", &"a".repeat(64)] {
        let problem = ada
            .post("/api/v1/projects", &json!({"name": name}))
            .await
            .expect(422);
        assert_eq!(problem["field"], "name", "{name}");
    }
    ada.post("/api/v1/projects", &json!({"name": "a".repeat(63)}))
        .await
        .expect(201);
}

#[tokio::test]
async fn secrets_are_set_listed_and_never_shown() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[]).await;
    let secrets = format!("/api/v1/projects/{project}/secrets");
    let path = format!("{secrets}/PASSWORD");
    let first = ada
        .put(&path, &json!({"value": "hunter2"}))
        .await
        .expect(200);
    let second = ada
        .put(&path, &json!({"value": "hunter3"}))
        .await
        .expect(200);
    assert_eq!(
        (&first["key"], &second["key"]),
        (&json!("PASSWORD"), &json!("PASSWORD"))
    );
    assert!(second["version"].as_u64() > first["version"].as_u64());
    let listed = ada.get(&secrets).await;
    assert_eq!(listed.expect(200)["items"].as_array().unwrap().len(), 1);
    assert!(!listed.text().contains("hunter"));

    // As long as it may be, though each of its bytes takes six in JSON.
    let most = "\u{1}".repeat(64 * 1024);
    ada.put(&path, &json!({"value": most})).await.expect(200);
    let beyond = json!({"value": format!("{most}x")});
    assert_eq!(ada.put(&path, &beyond).await.expect(422)["field"], "value");

    for (key, body, field) in [
        ("lower-case", json!({"value": "v"}), "key"),
        ("PASSWORD", json!({}), "value"),
        ("PASSWORD", json!({"value": 1}), "value"),
    ] {
        let problem = ada
            .put(&format!("{secrets}/{key}"), &body)
            .await
            .expect(422);
        assert_eq!(problem["field"], field, "{key} {body}");
    }
    ada.delete(&path).await.expect(204);
    ada.delete(&path).await.expect(404);
}

#[tokio::test]
async fn secrets_have_environments_scopes_and_versions() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[]).await;
    let secrets = format!("/api/v1/projects/{project}/secrets");
    let path = format!("{secrets}/PASSWORD");
    for (scope, environment) in [
        ("deploy", None),
        ("deploy", Some("production")),
        ("build", None),
        ("pipeline", None),
    ] {
        let body = json!({"value": "hunter2", "scope": scope, "environment": environment});
        let set = ada.put(&path, &body).await.expect(200);
        assert_eq!(set["scope"], scope);
        assert_eq!(set["environment"], json!(environment));
        assert_eq!((&set["version"], &set["outdated"]), (&json!(1), &json!([])));
    }
    let listed = ada.get(&secrets).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);

    let body = json!({"value": "hunter3", "environment": "production"});
    ada.put(&path, &body).await.expect(200);
    let kept = async |query: &str| {
        let kept = ada
            .get(&format!("{path}/versions{query}"))
            .await
            .expect(200);
        kept["items"].as_array().unwrap().len()
    };
    assert_eq!(kept("?environment=production").await, 2);
    assert_eq!((kept("").await, kept("?scope=build").await), (1, 1));
    let restore = format!("{path}/restore");
    let wish = json!({"version": 1, "environment": "production"});
    let restored = ada.post(&restore, &wish).await.expect(200);
    assert_eq!(restored["version"], 3);
    ada.post(&restore, &json!({"version": 1})).await.expect(404);

    for (body, field) in [
        (json!({"value": "v", "scope": "run"}), "scope"),
        (json!({"value": "v", "environment": "a b"}), "environment"),
        (json!({"value": "v", "environment": ""}), "environment"),
        (json!({"value": "v", "envrionment": "a"}), "envrionment"),
    ] {
        let problem = ada.put(&path, &body).await.expect(422);
        assert_eq!(problem["field"], field, "{body}");
    }
    for (query, field) in [
        ("scope=run", "scope"),
        ("environment=", "environment"),
        ("env=a", "env"),
    ] {
        let problem = ada.delete(&format!("{path}?{query}")).await.expect(422);
        assert_eq!(problem["field"], field, "{query}");
    }
    for (body, field) in [
        (json!({}), "version"),
        (json!({"version": "1"}), "version"),
        (json!({"version": 1, "value": "v"}), "value"),
    ] {
        let problem = ada.post(&restore, &body).await.expect(422);
        assert_eq!(problem["field"], field, "{body}");
    }
    let production = format!("{path}?environment=production");
    ada.delete(&production).await.expect(204);
    ada.delete(&production).await.expect(404);
    ada.delete(&path).await.expect(204);
    let listed = ada.get(&secrets).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains("hunter"));
}
