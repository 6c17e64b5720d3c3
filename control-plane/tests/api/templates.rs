use serde_json::{Value, json};

use crate::database::on_both;
use crate::world::{COMPOSE, Somebody, World};

on_both!(
    a_project_is_made_of_an_official_template,
    a_template_of_a_team_is_its_own,
    what_cannot_be_made_is_said,
);

fn names(listed: &Value) -> Vec<&str> {
    let items = listed["items"].as_array().unwrap();
    items
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect()
}

async fn made(ada: &Somebody<'_>, body: Value) -> String {
    let made = ada.post("/api/v1/projects", &body).await.expect(201);
    assert_eq!(made["status"], "ready", "{made}");
    assert_eq!(made["compose_file"], "docker-compose.yml", "{made}");
    made["id"].as_str().unwrap().to_owned()
}

async fn a_project_is_made_of_an_official_template() {
    let world = World::open().await;
    let ada = world.first().await;
    let listed = ada.get("/api/v1/templates").await.expect(200);
    assert!(names(&listed).len() >= 12, "{listed}");
    let shown = ada.get("/api/v1/templates/postgres-app").await.expect(200);
    assert_eq!(shown["secrets"][0]["is_generated"], true, "{shown}");
    assert!(shown["readme"].as_str().unwrap().contains("PostgreSQL"));

    let wish = json!({"name": "notes", "template": "postgres-app", "parameters": {"port": "8123"}});
    let project = made(&ada, wish).await;
    let files = ada.get(&format!("/api/v1/projects/{project}/files")).await;
    let files = files.expect(200);
    assert_eq!(files["findings"], json!([]), "{files}");
    let paths = files["files"].as_array().unwrap().iter();
    let paths: Vec<&str> = paths.map(|file| file["path"].as_str().unwrap()).collect();
    assert!(
        paths.contains(&"app/Dockerfile") && !paths.contains(&"template.toml"),
        "{paths:?}"
    );
    let secrets = ada
        .get(&format!("/api/v1/projects/{project}/secrets"))
        .await;
    let secrets = secrets.expect(200);
    assert_eq!(secrets["items"][0]["key"], "POSTGRES_PASSWORD", "{secrets}");
    assert_eq!(secrets["items"].as_array().unwrap().len(), 1);
    let audit = ada.get("/api/v1/audit").await.expect(200).to_string();
    assert!(
        audit.contains("postgres-app") && audit.contains("secret.put"),
        "{audit}"
    );
}

async fn a_template_of_a_team_is_its_own() {
    let world = World::open().await;
    let ada = world.first().await;
    let bob = world.another("owner").await;
    let project = ada
        .project(
            "shop",
            &[("compose.yaml", COMPOSE), ("web/index.html", "hi")],
        )
        .await;
    ada.put(
        &format!("/api/v1/projects/{project}/secrets/TOKEN"),
        &json!({"value": "hunter2"}),
    )
    .await
    .expect(200);
    let new = json!({"name": "ours", "project": "shop", "description": "As we like it"});
    let answer = ada.post("/api/v1/templates", &new).await;
    assert_eq!(answer.headers["location"], "/api/v1/templates/ours");
    answer.expect(201);
    ada.post("/api/v1/templates", &new).await.expect(409);
    let shown = ada.get("/api/v1/templates/ours").await.expect(200);
    assert_eq!(shown["secrets"][0]["name"], "TOKEN");
    assert_eq!(shown["secrets"][0]["is_generated"], false);
    assert_eq!(shown["files"].as_array().unwrap().len(), 2);
    assert!(!shown.to_string().contains("hunter2"), "{shown}");

    // Nobody else sees, uses or deletes it.
    assert!(!names(&bob.get("/api/v1/templates").await.expect(200)).contains(&"ours"));
    let foreign = bob.get("/api/v1/templates/ours").await.expect(404);
    assert_eq!(foreign, bob.get("/api/v1/templates/none").await.expect(404));
    bob.delete("/api/v1/templates/ours").await.expect(404);
    let refused = bob
        .post(
            "/api/v1/projects",
            &json!({"name": "a", "template": "ours"}),
        )
        .await;
    assert_eq!(refused.expect(422)["field"], "template");
    let theirs = json!({"name": "theirs", "project": "shop"});
    let refused = bob.post("/api/v1/templates", &theirs).await.expect(422);
    assert_eq!(refused["field"], "project");

    // It is a copy: what becomes of its project is nothing to it.
    ada.delete(&format!("/api/v1/projects/{project}"))
        .await
        .expect(204);
    let again = ada
        .post(
            "/api/v1/projects",
            &json!({"name": "again", "template": "ours"}),
        )
        .await
        .expect(201);
    assert_eq!(again["compose_file"], "compose.yaml", "{again}");
    ada.delete("/api/v1/templates/ours").await.expect(204);
    ada.delete("/api/v1/templates/ours").await.expect(404);
    assert!(!names(&ada.get("/api/v1/templates").await.expect(200)).contains(&"ours"));
}

async fn what_cannot_be_made_is_said() {
    let world = World::open().await;
    let ada = world.first().await;
    ada.project("bare", &[]).await;
    let table = [
        (
            "projects",
            json!({"name": "a", "template": "nope"}),
            422,
            "template",
        ),
        (
            "projects",
            json!({"name": "a", "parameters": {"port": "1"}}),
            422,
            "parameters",
        ),
        (
            "projects",
            json!({"name": "a", "template": "node-server", "parameters": {"port": "x"}}),
            422,
            "parameters",
        ),
        (
            "projects",
            json!({"name": "a", "template": "node-server", "parameters": {"prot": "1"}}),
            422,
            "parameters",
        ),
        (
            "templates",
            json!({"name": "Bad", "project": "bare"}),
            422,
            "name",
        ),
        (
            "templates",
            json!({"name": "a", "project": "none"}),
            422,
            "project",
        ),
        (
            "templates",
            json!({"name": "a", "project": "bare"}),
            422,
            "project",
        ),
        (
            "templates",
            json!({"name": "a", "project": "bare", "description": "x".repeat(301)}),
            422,
            "description",
        ),
    ];
    for (path, body, status, field) in table {
        let problem = ada.post(&format!("/api/v1/{path}"), &body).await;
        let problem = problem.expect(status);
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    let taken = json!({"name": "node-server", "project": "bare"});
    ada.post("/api/v1/templates", &taken).await.expect(409);
    ada.delete("/api/v1/templates/node-server")
        .await
        .expect(404);
    let listed = ada.get("/api/v1/projects").await.expect(200);
    assert_eq!(names(&listed), ["bare"], "nothing was made");
}
