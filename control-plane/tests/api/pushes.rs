//! Pushes: signed as forges sign them, they deploy the very commit from a real Git server, once, by the right of who
//! has set the hook.

use axum::body::Body;
use futures_util::future::join_all;
use http::{Method, header};
use ring::hmac;
use serde_json::{Value, json};
use towline_server::domain::hex::hex;
use towline_tests::git_server::{GitServer, Repository};
use uuid::Uuid;

use crate::database::on_both;
use crate::host::Host;
use crate::receiver::until;
use crate::world::{Answer, COMPOSE, Somebody, World};

on_both!(
    a_push_deploys_its_commit_once,
    what_is_not_the_forges_is_nothing,
    a_refusal_stands_in_the_list,
    the_repository_has_its_say,
);

/// The forge's side of a hook.
struct Forge<'w> {
    world: &'w World,
    path: String,
    secret: String,
}

impl<'w> Forge<'w> {
    fn of(world: &'w World, hook: &Value) -> Self {
        let url = hook["url"].as_str().unwrap();
        let path = url.strip_prefix("https://plane.example:8443").unwrap();
        Self {
            world,
            path: path.to_owned(),
            secret: hook["secret"].as_str().unwrap().to_owned(),
        }
    }

    async fn tell(&self, delivery: &str, body: &str) -> Answer {
        let signature = sign(&self.secret, body.as_bytes());
        let headers = [
            ("x-github-event", "push"),
            ("x-github-delivery", delivery),
            ("x-hub-signature-256", &signature),
        ];
        send(self.world, &self.path, &headers, body).await
    }
}

fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex(hmac::sign(&key, body).as_ref()))
}

async fn send(world: &World, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let nobody = world.nobody();
    let mut request = nobody
        .request(Method::POST, path)
        .header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    nobody
        .ask(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

fn push(commit: &str, message: &str, at: u64) -> String {
    json!({
        "ref": "refs/heads/main", "after": commit, "deleted": false,
        "commits": [{"id": commit, "message": message, "author": {"name": "Mallory"}, "modified": ["compose.yaml"]}],
        "head_commit": {"id": commit, "message": message},
        "repository": {"default_branch": "main", "pushed_at": at},
        "sender": {"login": "octo-ada"},
    })
    .to_string()
}

async fn sourced(ada: &Somebody<'_>, repository: &Repository) -> String {
    let project = ada.project("shop", &[]).await;
    let source = json!({"url": repository.url()});
    let path = format!("/api/v1/projects/{project}/source");
    ada.put(&path, &source).await.expect(200);
    project
}

fn hook_of(project: &str) -> String {
    format!("/api/v1/projects/{project}/push-hook")
}

async fn a_push_deploys_its_commit_once() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let server = GitServer::start();
    let repository = server.repository("shop");
    let commit = repository.commit("Open", &[("compose.yaml", COMPOSE)]);
    let project = sourced(&ada, &repository).await;
    // It deploys what was pushed, and not what is last by now.
    repository.commit("Later", &[("later", "")]);
    let settings = json!({"forge": "github", "targets": ["web-1"], "exclude_paths": ["docs/"]});
    let hook = ada.put(&hook_of(&project), &settings).await.expect(200);
    let forge = Forge::of(&world, &hook);
    let body = push(&commit, "Open", 1);
    let answers = join_all((0..16).map(|_| forge.tell("d-1", &body))).await;
    let outcomes: Vec<_> = answers
        .iter()
        .map(|answer| answer.expect(202)["outcome"].clone())
        .collect();
    let count = |outcome: &str| outcomes.iter().filter(|one| **one == outcome).count();
    assert_eq!((count("taken"), count("repeated")), (1, 15), "{outcomes:?}");

    let pushes = format!("/api/v1/projects/{project}/pushes");
    let listed = until(&ada, &pushes, |listed| {
        !listed["items"][0]["deploys"][0]["deployment_id"].is_null()
    })
    .await;
    let one = &listed["items"][0];
    assert_eq!(
        (&one["outcome"], &one["sender"]),
        (&json!("taken"), &json!("octo-ada"))
    );
    assert_eq!(one["deploys"][0]["state"], "deployed");
    let id = one["deploys"][0]["deployment_id"].as_str().unwrap();
    let deployment = ada
        .get(&format!("/api/v1/deployments/{id}"))
        .await
        .expect(200);
    assert_eq!(deployment["pushed_by"], "octo-ada");
    assert_eq!(
        (&deployment["push_id"], &deployment["triggered_by"]),
        (&one["id"], &Value::Null)
    );
    let all = ada.get("/api/v1/deployments").await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    let pipelines = ada
        .get(&format!("/api/v1/projects/{project}/pipelines"))
        .await
        .expect(200);
    let pipeline = &pipelines["items"][0];
    assert_eq!(
        (&pipeline["commit_sha"], &pipeline["branch"]),
        (&json!(commit), &json!("main"))
    );
    let audit = ada.get("/api/v1/audit?limit=50").await;
    let entries = audit.expect(200);
    let mut entries = entries["items"].as_array().unwrap().iter();
    let made = entries.find(|one| one["action"] == "deployment.create");
    let made = made.unwrap();
    assert_eq!(made["detail"]["push"]["sender"], "octo-ada");
    assert_eq!(made["actor"]["type"], "system", "{made}");
    for secret in [forge.secret.as_str(), "Mallory"] {
        assert!(!audit.text().contains(secret) && !listed.to_string().contains(secret));
    }

    // What is not deployed says why, and stands in the list.
    for (delivery, body, why) in [
        ("d-2", push(&commit, "Open [skip ci]", 2), "[skip ci]"),
        ("d-3", push(&commit, "Open", 3), "a moment ago"),
        (
            "d-4",
            body.replace("heads/main", "heads/dev"),
            "the branch dev",
        ),
        (
            "d-5",
            body.replace("compose.yaml", "docs/a.md"),
            "changed paths",
        ),
        ("d-6", "{".to_owned(), "cannot be read"),
    ] {
        let answer = forge.tell(delivery, &body).await.expect(202);
        assert_eq!(answer["outcome"], "ignored", "{answer}");
        assert!(answer["reason"].as_str().unwrap().contains(why), "{answer}");
    }
    let listed = ada.get(&pushes).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 6);
    let all = ada.get("/api/v1/deployments").await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
}

async fn what_is_not_the_forges_is_nothing() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let server = GitServer::start();
    let repository = server.repository("shop");
    let commit = repository.commit("Open", &[("compose.yaml", COMPOSE)]);
    let project = sourced(&ada, &repository).await;
    let path = hook_of(&project);
    ada.get(&path).await.expect(404);
    let settings = json!({"forge": "github", "targets": ["web-1"]});
    let made = ada.put(&path, &settings).await.expect(200);
    let forge = Forge::of(&world, &made);
    for answer in [ada.get(&path).await, ada.put(&path, &settings).await] {
        assert!(!answer.text().contains(&forge.secret), "{answer:?}");
        assert_eq!(answer.expect(200)["url"], made["url"]);
    }

    let body = push(&commit, "Open", 1);
    let wrong = sign("whsec_other", body.as_bytes());
    let right = sign(&forge.secret, body.as_bytes());
    let event = ("x-github-event", "push");
    let absent = format!("/api/v1/hooks/{}", Uuid::now_v7());
    let unknown = send(
        &world,
        &absent,
        &[event, ("x-hub-signature-256", &right)],
        &body,
    )
    .await;
    let unknown = unknown.expect(404);
    let headers = [event, ("x-hub-signature-256", wrong.as_str())];
    let changed = format!("{body} ");
    for answer in [
        send(&world, &forge.path, &headers, &body).await,
        send(&world, &forge.path, &[event], &body).await,
        send(
            &world,
            &forge.path,
            &[event, ("x-hub-signature-256", &right)],
            &changed,
        )
        .await,
        send(
            &world,
            &forge.path,
            &[event, ("x-gitlab-token", &forge.secret)],
            &body,
        )
        .await,
        send(&world, "/api/v1/hooks/nonsense", &headers, &body).await,
    ] {
        assert_eq!(answer.expect(404), unknown);
    }
    let huge = "x".repeat(4 * 1024 * 1024 + 1);
    forge.tell("d-0", &huge).await.expect(413);
    send(&world, &absent, &[], &huge).await.expect(413);
    let rotate = format!("{path}/rotate-secret");
    let rotated = ada.post(&rotate, &json!({})).await.expect(200);
    assert_ne!(rotated["secret"], made["secret"]);
    forge.tell("d-1", &body).await.expect(404);
    let pushes = format!("/api/v1/projects/{project}/pushes");
    assert_eq!(ada.get(&pushes).await.expect(200)["items"], json!([]));

    let good = |change: Value| {
        let mut settings = settings.clone();
        settings
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        settings
    };
    let many = ["a"; 17];
    for (field, change) in [
        ("forge", json!({"forge": "sourceforge"})),
        ("targets", json!({"targets": []})),
        ("targets", json!({"targets": ["other"]})),
        ("branches", json!({"branches": [""]})),
        ("include_paths", json!({"include_paths": ["/etc"]})),
        ("exclude_paths", json!({"exclude_paths": many})),
        ("environment", json!({"environment": "Ü"})),
        ("on_failure", json!({"on_failure": "cry"})),
        ("secret", json!({"secret": "mine"})),
    ] {
        let refused = ada.put(&path, &good(change)).await.expect(422);
        assert_eq!(refused["field"], field, "{refused}");
    }
    ada.delete(&path).await.expect(204);
    ada.delete(&path).await.expect(404);
    let forge = Forge::of(&world, &rotated);
    assert_eq!(forge.tell("d-2", &body).await.expect(404), unknown);
}

async fn a_refusal_stands_in_the_list() {
    let world = World::open().await;
    let ada = world.first().await;
    let plans = ada.get("/api/v1/plans").await.expect(200);
    let free = plans["items"][0]["id"].as_str().unwrap().to_owned();
    let none = json!({"max_deployments_per_day": 0});
    ada.patch(&format!("/api/v1/plans/{free}"), &none)
        .await
        .expect(200);
    let bob = world.on_free().await;
    let _host = Host::connect(&bob, &world, "web-1").await;
    let server = GitServer::start();
    let repository = server.repository("shop");
    let commit = repository.commit("Open", &[("compose.yaml", COMPOSE)]);
    let project = sourced(&bob, &repository).await;
    let settings = json!({"forge": "generic", "targets": ["web-1"], "branches": ["main"]});
    let hook = bob.put(&hook_of(&project), &settings).await.expect(200);
    let forge = Forge::of(&world, &hook);
    let body = json!({"branch": "main", "commit": commit, "sender": "bob"}).to_string();
    let taken = forge.tell("ignored by this forge", &body).await.expect(202);
    assert_eq!(taken["outcome"], "taken");
    let pushes = format!("/api/v1/projects/{project}/pushes");
    let listed = until(&bob, &pushes, |listed| {
        listed["items"][0]["deploys"][0]["state"] == "refused"
    })
    .await;
    let why = listed["items"][0]["deploys"][0]["message"]
        .as_str()
        .unwrap();
    assert!(why.contains("deployments"), "{why}");
    let all = bob.get("/api/v1/deployments").await.expect(200);
    assert_eq!(all["items"], json!([]));
}

/// What becomes of a push that says this in its pipeline file: the deploys of it, when none is due any more.
async fn pushed_with(shop: &Shop<'_>, file: &str) -> Value {
    let files = [("compose.yaml", COMPOSE), (".towline/pipeline.yaml", file)];
    let commit = shop.repository.commit("Say", &files);
    let body = json!({"branch": "main", "commit": commit, "sender": "ada"}).to_string();
    let taken = shop.forge.tell("any", &body).await.expect(202);
    assert_eq!(taken["outcome"], "taken", "{taken}");
    let listed = until(shop.ada, &shop.pushes, |listed| {
        let deploys = listed["items"][0]["deploys"].as_array().unwrap();
        let is_over = |one: &Value| one["state"] == "refused" || one["state"] == "deployed";
        listed["items"][0]["commit_sha"] == commit.as_str() && deploys.iter().all(is_over)
    });
    listed.await["items"][0]["deploys"].clone()
}

struct Shop<'a> {
    ada: &'a Somebody<'a>,
    forge: Forge<'a>,
    repository: Repository,
    pushes: String,
}

async fn the_repository_has_its_say() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let _other = Host::connect(&ada, &world, "web-2").await;
    let server = GitServer::start();
    let repository = server.repository("shop");
    repository.commit("Open", &[("compose.yaml", COMPOSE)]);
    let project = sourced(&ada, &repository).await;
    let settings = json!({"forge": "generic", "targets": ["web-1", "web-2"], "branches": ["*"]});
    let hook = ada.put(&hook_of(&project), &settings).await.expect(200);
    let shop = Shop {
        ada: &ada,
        forge: Forge::of(&world, &hook),
        repository,
        pushes: format!("/api/v1/projects/{project}/pushes"),
    };
    for (file, says) in [
        (
            "version: 1\non:\n  branch: main\n",
            "pipeline.yaml, line 3: `branch` is no key of `on`",
        ),
        (
            "version: 1\non:\n  branches: release/*\n",
            "deploys pushes to release/* alone, and not to main",
        ),
        ("version: 1\nbuild:\n  on: nowhere\n", "nowhere"),
        ("version: 1\ndeploy:\n  deadline_s: 0\n", "may take"),
    ] {
        for deploy in pushed_with(&shop, file).await.as_array().unwrap() {
            let message = deploy["message"].as_str().unwrap_or_default();
            assert!(message.contains(says), "{file}: {deploy}");
        }
    }
    let all = ada.get("/api/v1/deployments").await.expect(200);
    assert_eq!(all["items"], json!([]));

    let file =
        "version: 1\non:\n  branches: main\ndeploy:\n  targets: [web-2]\n  on_failure: roll_back\n";
    let deploys = pushed_with(&shop, file).await;
    let states: Vec<_> = deploys
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["state"])
        .collect();
    assert!(
        states.contains(&&json!("deployed")) && states.contains(&&json!("refused")),
        "{deploys}"
    );
    let all = ada.get("/api/v1/deployments").await.expect(200);
    let made = all["items"].as_array().unwrap();
    assert_eq!(made.len(), 1, "{all}");
    assert_eq!(
        (&made[0]["target"]["name"], &made[0]["on_failure"]),
        (&json!("web-2"), &json!("roll_back"))
    );
}
