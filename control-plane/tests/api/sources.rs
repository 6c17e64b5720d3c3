//! Projects that come from a repository, read from a real Git server.

use serde_json::{Value, json};
use towline_tests::git_server::GitServer;

use crate::database::on_both;
use crate::host::Host;
use crate::world::{Somebody, World};

const COMPOSE: &str = "services: {web: {image: \"nginx:1.27\"}}\n";
const TOKEN: &str = "ghp-never-to-be-shown";

on_both!(
    a_project_comes_from_a_repository_and_no_longer,
    a_commit_is_on_its_way_until_it_is_cancelled,
    what_a_repository_lacks_is_generated_and_nothing_is_overwritten,
    what_was_edited_stays_when_it_is_generated_anew,
    a_deploy_key_is_made_shown_and_replaced,
);

fn source(project: &str) -> String {
    format!("/api/v1/projects/{project}/source")
}

async fn set(ada: &Somebody<'_>, project: &str, body: &Value) -> Value {
    ada.put(&source(project), body).await.expect(200)
}

async fn a_project_comes_from_a_repository_and_no_longer() {
    let world = World::open().await;
    let ada = world.first().await;
    let server = GitServer::start();
    server.ask_for("any", TOKEN);
    let repository = server.repository("shop");
    let commit = repository.commit(
        "Open\n\nThe shop is open.",
        &[("web/compose.yaml", COMPOSE)],
    );
    let project = ada.project("shop", &[]).await;
    ada.get(&source(&project)).await.expect(404);
    let login = json!({"user": "any", "password": TOKEN});
    let body = json!({"url": repository.url(), "folder": "web", "login": login});
    let made = set(&ada, &project, &body).await;
    assert_eq!(made["commit_sha"], commit.as_str());
    assert_eq!(made["title"], "Open");
    assert_eq!(made["login"], "any");
    let shown = ada.get(&source(&project)).await;
    assert_eq!(shown.expect(200), made);
    let audit = ada.get("/api/v1/audit?limit=20").await;
    for text in [shown.text(), audit.text()] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    assert!(audit.text().contains("project.set_source"));

    // What cannot be read changes nothing.
    let wrong = json!({"user": "any", "password": "wrong"});
    let table = [
        json!({"url": repository.url(), "login": wrong}),
        json!({"url": repository.url()}),
        json!({"url": repository.url(), "login": login, "branch": "other"}),
        json!({"url": repository.url(), "login": {"user": "a:b", "password": "x"}}),
        json!({"url": repository.url(), "login": login, "folder": "/web"}),
        json!({"url": repository.url(), "login": login, "depth": 1}),
    ];
    for body in table {
        let answer = ada.put(&source(&project), &body).await;
        assert!(answer.status.is_client_error(), "{body}: {answer:?}");
        assert!(!answer.text().contains(TOKEN), "{answer:?}");
        assert_eq!(ada.get(&source(&project)).await.expect(200), made, "{body}");
    }
    assert_eq!(ada.delete(&source(&project)).await.status.as_u16(), 204);
    ada.get(&source(&project)).await.expect(404);
}

async fn a_deploy_key_is_made_shown_and_replaced() {
    let world = World::open().await;
    let ada = world.first().await;
    let project = ada.project("shop", &[]).await;
    let key = format!("{}/key", source(&project));
    let host_keys = format!("{}/host-keys", source(&project));
    ada.get(&key).await.expect(404);
    // Its server's keys are published: nobody is called.
    let url = json!({"url": "git@github.com:team/shop.git"});
    let made = ada.post(&key, &url).await.expect(200);
    assert_eq!(made["url"], "ssh://git@github.com/team/shop.git");
    assert_eq!(made["host_keys_from"], "published");
    let page = "https://github.com/team/shop/settings/keys";
    assert_eq!(made["settings_page"], page);
    let public = made["public_key"].as_str().unwrap();
    assert!(public.starts_with("ssh-ed25519 AAAA") && public.ends_with(" towline-shop"));
    assert_eq!(ada.get(&key).await.expect(200), made);
    let accepted = ada.post(&host_keys, &url).await.expect(200);
    assert_eq!(accepted, made);
    let renewed = ada.post(&key, &url).await.expect(200);
    assert_ne!(renewed["public_key"], made["public_key"]);
    assert_ne!(renewed["fingerprint"], made["fingerprint"]);
    let audit = ada.get("/api/v1/audit?limit=20").await;
    for words in ["make_deploy_key", "renew_deploy_key", "accept_host_keys"] {
        assert!(audit.text().contains(words), "{words}: {audit:?}");
    }
    for shown in [ada.get(&key).await.text(), audit.text()] {
        assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    }

    let login = json!({"user": "git", "password": "x"});
    let over_ssh = "ssh://git@127.0.0.1:1/x";
    let table = [
        (&key, json!({}), "no repository"),
        (
            &key,
            json!({"url": "https://git.example.org/x"}),
            "over ssh",
        ),
        (&key, json!({"url": "ssh://-oProxyCommand=id/x"}), "url"),
        (
            &key,
            json!({"url": "ssh://git@10.0.0.1/x"}),
            "may not be called",
        ),
        (&key, json!({"url": over_ssh}), "no host key"),
        (&key, json!({"user": "x"}), "user"),
        (&host_keys, json!({"url": over_ssh}), "no deploy key"),
        (
            &host_keys,
            json!({"url": url["url"], "fingerprint": "SHA256:x"}),
            "fingerprint",
        ),
        (&host_keys, json!({"key": "x"}), "key"),
    ];
    for (path, body, says) in table {
        let answer = ada.post(path, &body).await;
        assert!(answer.status.is_client_error(), "{body}: {answer:?}");
        assert!(answer.text().contains(says), "{body}: {answer:?}");
    }
    let with_login = json!({"url": over_ssh, "login": login});
    let refused = ada.put(&source(&project), &with_login).await;
    assert!(
        refused.text().contains("leave the login away"),
        "{refused:?}"
    );
    assert_eq!(ada.get(&key).await.expect(200), renewed);
    assert_eq!(ada.delete(&source(&project)).await.status.as_u16(), 204);
    ada.get(&key).await.expect(404);
}

async fn a_commit_is_on_its_way_until_it_is_cancelled() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let (server, project) = (GitServer::start(), ada.project("shop", &[]).await);
    let repository = server.repository("shop");
    let commit = repository.commit("Open", &[("compose.yaml", COMPOSE)]);
    let deployments = format!("/api/v1/projects/{project}/deployments");
    let by_commit = json!({"target": "web-1", "commit": commit});
    let early = ada.post(&deployments, &by_commit).await;
    assert!(
        early.text().contains("comes from no repository"),
        "{early:?}"
    );
    set(
        &ada,
        &project,
        &json!({"url": repository.url(), "branch": "main"}),
    )
    .await;
    let deployment = ada.post(&deployments, &json!({"target": "web-1"})).await;
    let deployment = deployment.expect(202);
    let pipelines = format!("/api/v1/projects/{project}/pipelines");
    let listed = ada.get(&pipelines).await.expect(200);
    let pipeline = &listed["items"][0];
    assert_eq!(pipeline["deployment_id"], deployment["id"]);
    assert_eq!(pipeline["branch"], "main");
    assert_eq!(pipeline["commit_sha"], commit.as_str());
    let one = format!("{pipelines}/{}", pipeline["id"].as_str().unwrap());
    assert_eq!(&ada.get(&one).await.expect(200), pipeline);
    let bob = world.another("owner").await;
    bob.get(&one).await.expect(404);
    let cancel = format!(
        "/api/v1/deployments/{}/cancel",
        deployment["id"].as_str().unwrap()
    );
    let cancelled = ada.post(&cancel, &json!({})).await;
    assert!(cancelled.status.is_success(), "{cancelled:?}");
    // Its agent may have been offered it in this moment, and says so itself a moment later.
    let ended = loop {
        let shown = ada.get(&one).await.expect(200);
        if shown["status"] != "pending" && shown["status"] != "running" {
            break shown;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(ended["status"], "cancelled", "{ended}");
    assert_eq!(ended["steps"][0]["status"], "cancelled", "{ended}");
    assert_eq!(ended["steps"][2]["status"], "skipped", "{ended}");
}

async fn what_was_edited_stays_when_it_is_generated_anew() {
    let world = World::open().await;
    let ada = world.first().await;
    let package = r#"{"name":"shop","scripts":{"start":"node server.js"}}"#;
    let files = [
        ("package.json", package),
        ("server.js", "require('http').createServer().listen(3000)"),
    ];
    let project = ada.project("shop", &files).await;
    let generate = format!("/api/v1/projects/{project}/generate");
    let file = format!("/api/v1/projects/{project}/file?path=.github/workflows/ci.yml");
    let wish = |image: &str, mode: &str| json!({"ci": "github_actions", "image": format!("registry.example.com/{image}"), "mode": mode});
    let generated = async |wish: Value| {
        let made = ada.post(&generate, &wish).await.expect(200);
        let files = made["files"].as_array().unwrap().clone();
        files
            .into_iter()
            .find(|one| one["path"] == ".github/workflows/ci.yml")
            .unwrap()
    };
    let now = async || {
        ada.get(&file).await.expect(200)["content"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let edit = async |text: String| ada.put(&file, &json!({"content": text})).await.expect(200);

    assert_eq!(generated(wish("one", "write")).await["state"], "new");
    let updated = generated(wish("two", "preview")).await;
    assert_eq!(updated["state"], "updated");
    let diff = updated["diff"].as_str().unwrap();
    assert!(
        diff.contains("registry.example.com/one") && diff.contains("registry.example.com/two"),
        "{diff}"
    );
    assert!(
        now().await.contains("registry.example.com/one"),
        "a preview changes nothing"
    );

    edit(format!("# ours\n{}", now().await)).await;
    let merged = generated(wish("two", "write")).await;
    assert_eq!(merged["state"], "merged");
    let text = now().await;
    assert!(
        text.starts_with("# ours\n") && text.contains("registry.example.com/two"),
        "{text}"
    );
    assert_eq!(generated(wish("two", "write")).await["state"], "same");

    let mine = text.replace("registry.example.com/two", "registry.example.com/mine");
    edit(mine.clone()).await;
    assert_eq!(generated(wish("three", "write")).await["state"], "conflict");
    assert_eq!(now().await, mine, "nobody loses anything");
    let mut wish = wish("three", "write");
    wish["conflicts"] = json!("mark");
    generated(wish).await;
    let marked = now().await;
    for words in [
        "# ours\n",
        "<<<<<<< yours\n",
        "registry.example.com/mine",
        "registry.example.com/three",
        ">>>>>>> generated\n",
    ] {
        assert!(marked.contains(words), "{words}: {marked}");
    }
}

async fn what_a_repository_lacks_is_generated_and_nothing_is_overwritten() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let (server, project) = (GitServer::start(), ada.project("shop", &[]).await);
    let repository = server.repository("shop");
    let package = r#"{"name":"shop","scripts":{"start":"node server.js"},"dependencies":{"express":"^5.0.0"}}"#;
    let files = [
        ("package.json", package),
        ("server.js", "require('express')().listen(3000)"),
        (".dockerignore", "theirs"),
    ];
    repository.commit("Begin", &files);
    set(&ada, &project, &json!({"url": repository.url()})).await;
    let generate = format!("/api/v1/projects/{project}/generate");
    let made = ada.post(&generate, &json!({"ci": "github_actions"})).await;
    let made = made.expect(200);
    assert_eq!(made["detected"]["app"]["framework"], "express", "{made}");
    let evidence = made["detected"]["evidence"].to_string();
    assert!(evidence.contains("has express 5.0.0"), "{evidence}");
    let states = |made: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let files = made["files"].as_array().unwrap().iter();
        files
            .map(|file| (text(&file["path"]), text(&file["state"])))
            .collect()
    };
    let expected = |state: &str| {
        [
            (".dockerignore", "kept"),
            (".github/workflows/ci.yml", state),
            ("Dockerfile", state),
            ("docker-compose.yml", state),
        ]
        .map(|(path, state)| (path.to_owned(), state.to_owned()))
    };
    assert_eq!(states(&made), expected("new"));
    let listed = ada.get(&format!("/api/v1/projects/{project}/files")).await;
    assert_eq!(
        listed.expect(200)["files"],
        json!([]),
        "a preview changes nothing"
    );

    let write = json!({"ci": "github_actions", "mode": "write"});
    ada.post(&generate, &write).await.expect(200);
    let again = ada.post(&generate, &write).await.expect(200);
    assert_eq!(states(&again), expected("same"));
    let listed = ada.get(&format!("/api/v1/projects/{project}/files")).await;
    let listed = listed.expect(200);
    assert_eq!(listed["files"].as_array().unwrap().len(), 3);
    assert_eq!(listed["compose_file"], "docker-compose.yml");
    for wrong in [
        json!({"ci": "x"}),
        json!({"image": "A:b"}),
        json!({"mode": "overwrite"}),
    ] {
        let answer = ada.post(&generate, &wrong).await;
        assert!(answer.status.is_client_error(), "{wrong}: {answer:?}");
    }
}
