//! Accounts at forges: see [`crate::forge`] for what answers here in a forge's place.

use http::{Method, header};
use serde_json::{Value, json};
use towline_tests::git_server::GitServer;

use crate::database::on_both;
use crate::forge::{FakeForge, Instead, LAST, TOKEN};
use crate::host::Host;
use crate::receiver::{Receiver, until};
use crate::world::{COMPOSE, Somebody, World};

on_both!(
    an_account_is_connected_and_what_it_reaches_is_listed,
    what_cannot_be_connected_is_refused,
    what_forges_refuse_is_told_and_the_token_goes_nowhere_else,
    a_project_comes_from_an_integration_and_its_forge_is_told,
    hooks_are_installed_and_taken_away,
);

pub const FORGES: [&str; 3] = ["github", "gitlab", "bitbucket"];

fn connect(forge: &FakeForge, kind: &str) -> Value {
    json!({"name": kind, "forge": kind, "url": forge.url(), "token": TOKEN})
}

pub async fn connected(ada: &Somebody<'_>, forge: &FakeForge, kind: &str) -> String {
    let made = ada
        .post("/api/v1/integrations", &connect(forge, kind))
        .await;
    let made = made.expect(201);
    format!("/api/v1/integrations/{}", made["id"].as_str().unwrap())
}

async fn an_account_is_connected_and_what_it_reaches_is_listed() {
    let world = World::open().await;
    let (ada, forge) = (world.first().await, FakeForge::start().await);
    for kind in FORGES {
        let one = connected(&ada, &forge, kind).await;
        let shown = ada.get(&one).await;
        let json = shown.expect(200);
        assert_eq!(
            (&json["login"], &json["forge"]),
            (&json!("ada"), &json!(kind))
        );
        let repositories = format!("{one}/repositories");
        let first = ada.get(&repositories).await.expect(200);
        let shop = json!({"name": "ada/shop", "visibility": "private", "default_branch": "main"});
        assert_eq!(first, json!({"items": [shop], "next_page": 2}), "{kind}");
        let last = ada.get(&format!("{repositories}?page=2")).await.expect(200);
        assert_eq!(
            (&last["items"][0]["name"], &last["next_page"]),
            (&json!(LAST), &Value::Null)
        );
        let branches = ada
            .get(&format!("{one}/branches?repository=ada/shop"))
            .await;
        let branch = json!({"name": "main", "commit_sha": "a".repeat(40)});
        assert_eq!(branches.expect(200)["items"], json!([branch]), "{kind}");
        for wrong in [
            "repositories?page=0",
            "repositories?page=201",
            "branches?repository=shop",
            "branches",
            "repositories?x=1",
        ] {
            ada.get(&format!("{one}/{wrong}")).await.expect(422);
        }
        ada.get(&format!("{one}/branches?repository=ada/other"))
            .await
            .expect(409);
        // Another token takes the place of the first, if it is one.
        let path = format!("{one}/token");
        let refused = ada.put(&path, &json!({"token": "wrong"})).await.expect(409);
        assert_eq!(refused["field"], "token");
        ada.put(
            &path,
            &json!({"token": TOKEN, "token_user": "ada@example.org"}),
        )
        .await
        .expect(200);
        ada.get(&repositories).await.expect(200);
        let last = forge.asked(&Method::GET, "").pop().unwrap();
        assert!(last.authorization.starts_with("Basic "), "{last:?}");
    }
    let listed = ada.get("/api/v1/integrations").await;
    assert_eq!(listed.expect(200)["items"].as_array().unwrap().len(), 3);
    let audit = ada.get("/api/v1/audit?limit=100").await;
    for text in [listed.text(), audit.text()] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    for action in ["integration.connect", "integration.token"] {
        assert!(audit.text().contains(action), "{action}");
    }
    // What a viewer sees is which there are, and not what they reach.
    let one = &listed.expect(200)["items"][0];
    let one = format!("/api/v1/integrations/{}", one["id"].as_str().unwrap());
    let gone = ada.delete(&one).await;
    assert_eq!(gone.status.as_u16(), 204, "{gone:?}");
    ada.get(&one).await.expect(404);
    let stranger = world.another("owner").await;
    let other = stranger
        .post("/api/v1/integrations", &connect(&forge, "github"))
        .await;
    let other = format!(
        "/api/v1/integrations/{}/repositories",
        other.expect(201)["id"].as_str().unwrap()
    );
    ada.get(&other).await.expect(404);
}

async fn what_cannot_be_connected_is_refused() {
    let world = World::open().await;
    let (ada, forge) = (world.first().await, FakeForge::start().await);
    let integrations = "/api/v1/integrations";
    let with = |field: &str, value: Value| {
        let mut wish = connect(&forge, "github");
        wish[field] = value;
        wish
    };
    let table = [
        (with("token", json!("wrong")), 409, "token"),
        (with("token", json!("a b")), 422, "token"),
        (with("token_user", json!("a:b")), 422, "token_user"),
        (with("forge", json!("generic")), 422, "forge"),
        (with("forge", json!("svn")), 422, "forge"),
        (with("name", json!("Not a name")), 422, "name"),
        (with("url", json!("ftp://example.org")), 422, "url"),
        (with("url", json!("http://10.0.0.1/")), 422, "url"),
        (with("url", json!("http://ada@127.0.0.1/")), 422, "url"),
        (with("url", json!("http://127.0.0.1:1/")), 409, "url"),
        (with("depth", json!(1)), 422, "depth"),
    ];
    for (wish, status, field) in table {
        let answer = ada.post(integrations, &wish).await;
        let refused = answer.expect(status);
        assert_eq!(refused["field"], field, "{refused}");
        assert!(
            refused["remedy"].is_string() || field == "depth" || field == "forge",
            "{refused}"
        );
        assert!(!answer.text().contains(TOKEN), "{answer:?}");
    }
    for (kind, scopes, missing) in [
        ("github", "gist, public_repo", "repo"),
        ("gitlab", "read_api", "api"),
        ("bitbucket", "account", "repository"),
    ] {
        forge.scopes(scopes);
        let other = world.another("owner").await;
        let refused = other
            .post(integrations, &connect(&forge, kind))
            .await
            .expect(409);
        let says = format!("lacks the scope {missing}");
        assert!(
            refused["detail"].as_str().unwrap().contains(&says),
            "{refused}"
        );
    }
    forge.scopes("repo, api, repository");
    assert_eq!(ada.get(integrations).await.expect(200)["items"], json!([]));
}

async fn what_forges_refuse_is_told_and_the_token_goes_nowhere_else() {
    let world = World::open().await;
    let (ada, forge) = (world.first().await, FakeForge::start().await);
    let (elsewhere, elsewhere_url) = Receiver::start(&[]).await;
    let instead = |status, headers: &[(&'static str, &str)], body: &str| Instead {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body: body.to_owned(),
    };
    let soon = (chrono::Utc::now().timestamp() + 60).to_string();
    let echo = format!(r#"{{"message": "no such token {TOKEN}\u0007"}}"#);
    let long = format!("[{}]", " ".repeat(3 * 1024 * 1024));
    let table = [
        (
            instead(401, &[], &echo),
            409,
            "does not take the token: no such token …",
        ),
        (
            instead(403, &[("retry-after", "30")], "{}"),
            409,
            "wait for 30 seconds",
        ),
        (
            instead(
                403,
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &soon)],
                "{}",
            ),
            409,
            "asked too often",
        ),
        (instead(429, &[], "slow down"), 409, "asked too often"),
        (
            instead(403, &[], r#"{"message": "Resource not accessible"}"#),
            409,
            "may not do this: Resource not accessible",
        ),
        (instead(404, &[], "<html>"), 409, "no such thing"),
        (
            instead(
                422,
                &[],
                r#"{"message": "Validation Failed", "errors": [{"code": "custom"}]}"#,
            ),
            409,
            "422: Validation Failed",
        ),
        (instead(500, &[], "oops"), 409, "answers 500"),
        (
            instead(302, &[("location", &elsewhere_url)], ""),
            409,
            "elsewhere",
        ),
        (
            instead(307, &[("location", &elsewhere_url)], ""),
            409,
            "elsewhere",
        ),
        (instead(200, &[], "[{\"id\":"), 409, "cannot be read"),
        (
            instead(200, &[], r#"{"values": 1, "id": "x"}"#),
            409,
            "cannot be read",
        ),
        (instead(200, &[], &long), 409, "too long"),
    ];
    for kind in FORGES {
        let one = connected(&ada, &forge, kind).await;
        for (instead, status, words) in &table {
            forge.instead(Some(instead.clone()));
            let path = format!("{one}/branches?repository=ada/shop");
            let answer = ada.get(&path).await;
            let refused = answer.expect(*status);
            assert!(
                refused["detail"].as_str().unwrap().contains(words),
                "{kind}: {refused}"
            );
            assert!(!answer.text().contains(TOKEN), "{answer:?}");
            if *words == "wait for 30 seconds" {
                assert_eq!(answer.headers[header::RETRY_AFTER], "30");
            }
        }
        forge.instead(None);
    }
    assert_eq!(elsewhere.count(), 0, "no redirect is followed");
}

fn source(project: &str) -> String {
    format!("/api/v1/projects/{project}/source")
}

/// A repository that the forge serves, and a project that comes from it.
async fn sourced(
    ada: &Somebody<'_>,
    forge: &FakeForge,
    git: &GitServer,
    integration: &str,
) -> (String, String) {
    git.ask_for("x-access-token", TOKEN);
    let repository = git.repository("shop");
    let commit = repository.commit("Open", &[("compose.yaml", COMPOSE)]);
    forge.serve_git(repository.url());
    let project = ada.project("shop", &[]).await;
    let id = integration.rsplit('/').next().unwrap();
    let wish = json!({"integration": id, "repository": "ada/shop"});
    let set = ada.put(&source(&project), &wish).await.expect(200);
    assert_eq!(set["commit_sha"], commit.as_str());
    assert_eq!(
        (&set["integration"], &set["repository"]),
        (&json!("github"), &json!("ada/shop"))
    );
    (project, commit)
}

async fn refuses_wrong_sources(ada: &Somebody<'_>, project: &str, integration: &str) {
    let id = integration.rsplit('/').next().unwrap();
    for (wish, status) in [
        (json!({"integration": id, "repository": "ada"}), 422),
        (json!({"integration": id}), 422),
        (
            json!({"integration": id, "repository": "ada/shop", "url": "https://example.org/a.git"}),
            422,
        ),
        (json!({"integration": id, "repository": "ada/none"}), 409),
        (
            json!({"integration": uuid::Uuid::now_v7(), "repository": "ada/shop"}),
            404,
        ),
    ] {
        ada.put(&source(project), &wish).await.expect(status);
    }
    let in_use = ada.delete(integration).await.expect(409);
    assert!(
        in_use["detail"]
            .as_str()
            .unwrap()
            .contains("projects come from it"),
        "{in_use}"
    );
}

async fn a_project_comes_from_an_integration_and_its_forge_is_told() {
    let world = World::open().await;
    let (ada, forge, git) = (
        world.first().await,
        FakeForge::start().await,
        GitServer::start(),
    );
    let _host = Host::connect(&ada, &world, "web-1").await;
    let integration = connected(&ada, &forge, "github").await;
    let (project, commit) = sourced(&ada, &forge, &git, &integration).await;
    refuses_wrong_sources(&ada, &project, &integration).await;
    let deployments = format!("/api/v1/projects/{project}/deployments");
    let statuses = format!("{integration}/statuses");
    let deploy = async |cancelled: usize| {
        let made = ada
            .post(&deployments, &json!({"target": "web-1"}))
            .await
            .expect(202);
        let cancel = format!(
            "/api/v1/deployments/{}/cancel",
            made["id"].as_str().unwrap()
        );
        let told = until(&ada, &statuses, |listed| {
            listed["items"][0]["deployment_id"] == made["id"]
                && listed["items"][0]["state"] != "sending"
                && listed["items"][0]["attempts"] != 0
        })
        .await;
        ada.post(&cancel, &json!({})).await;
        until(&ada, &statuses, |listed| {
            let all = listed["items"].as_array().unwrap();
            let ended = |one: &&Value| {
                one["commit_state"] == "cancelled"
                    && one["state"] != "sending"
                    && one["attempts"] != 0
            };
            all.iter().filter(ended).count() == cancelled
        })
        .await;
        told["items"][0].clone()
    };
    let pending = deploy(1).await;
    assert_eq!(
        (&pending["commit_state"], &pending["state"]),
        (&json!("pending"), &json!("delivered")),
        "{pending}"
    );
    let told = forge.asked(&Method::POST, &format!("/repos/ada/shop/statuses/{commit}"));
    let states: Vec<_> = told.iter().map(|one| one.body["state"].clone()).collect();
    assert_eq!(states, ["pending", "error"]);
    assert_eq!(told[0].body["context"], "towline/shop/web-1");
    let link = told[0].body["target_url"].as_str().unwrap();
    assert!(
        link.starts_with("https://plane.example:8443/")
            && link.ends_with(pending["deployment_id"].as_str().unwrap()),
        "{link}"
    );

    // A forge that fails harms no deployment, and is told of; what it will never take is not tried again.
    forge.instead(Some(Instead {
        status: 403,
        headers: Vec::new(),
        body: r#"{"message": "Resource not accessible"}"#.to_owned(),
    }));
    let failed = deploy(2).await;
    assert_eq!(
        (&failed["state"], &failed["response_status"]),
        (&json!("failed"), &json!(403)),
        "{failed}"
    );
    let shown = ada.get(&integration).await.expect(200);
    assert!(
        shown["last_error"]
            .as_str()
            .unwrap()
            .contains("Resource not accessible"),
        "{shown}"
    );
    let count = forge.asked(&Method::POST, "/statuses/").len();
    forge.instead(Some(Instead {
        status: 500,
        headers: Vec::new(),
        body: String::new(),
    }));
    let waits = deploy(3).await;
    assert!(
        ["waiting", "superseded"].contains(&waits["state"].as_str().unwrap()),
        "{waits}"
    );
    assert!(forge.asked(&Method::POST, "/statuses/").len() > count);
}

async fn hooks_are_installed_and_taken_away() {
    let world = World::open().await;
    let (ada, forge, git) = (
        world.first().await,
        FakeForge::start().await,
        GitServer::start(),
    );
    let _host = Host::connect(&ada, &world, "web-1").await;
    let integration = connected(&ada, &forge, "github").await;
    let (project, _) = sourced(&ada, &forge, &git, &integration).await;
    let hook = format!("/api/v1/projects/{project}/push-hook");
    let installation = format!("{hook}/installation");
    ada.put(&installation, &json!({})).await.expect(404);
    let settings = |forge: &str| json!({"forge": forge, "targets": ["web-1"]});
    ada.put(&hook, &settings("gitlab")).await.expect(200);
    let other = ada.put(&installation, &json!({})).await.expect(409);
    assert!(
        other["remedy"].as_str().unwrap().contains("--forge github"),
        "{other}"
    );
    ada.put(&hook, &settings("github")).await.expect(200);
    let shown = ada.put(&installation, &json!({})).await.expect(200);
    assert_eq!(shown["installed_in"], "ada/shop");
    let [made] = forge.hooks().try_into().unwrap();
    assert_eq!(
        (&made["config"]["url"], &made["events"]),
        (&shown["url"], &json!(["push"]))
    );
    let secret = made["config"]["secret"].clone();
    assert!(secret.as_str().unwrap().starts_with("whsec_"), "{made}");

    // Again, and after somebody has deleted it there, and with another secret: there is one, and it is the right one.
    ada.put(&installation, &json!({})).await.expect(200);
    assert_eq!(forge.hooks().len(), 1);
    forge.forget_hooks();
    ada.put(&installation, &json!({})).await.expect(200);
    let rotated = ada
        .post(&format!("{hook}/rotate-secret"), &json!({}))
        .await
        .expect(200);
    let [made] = forge.hooks().try_into().unwrap();
    assert_eq!(made["config"]["secret"], rotated["secret"]);
    assert_ne!(made["config"]["secret"], secret);
    assert_eq!(rotated["install_error"], Value::Null);
    forge.instead(Some(Instead {
        status: 500,
        headers: Vec::new(),
        body: String::new(),
    }));
    let rotated = ada
        .post(&format!("{hook}/rotate-secret"), &json!({}))
        .await
        .expect(200);
    assert!(
        rotated["install_error"].as_str().unwrap().contains("500"),
        "{rotated}"
    );
    ada.delete(&installation).await.expect(409);
    forge.instead(None);
    let gone = ada.delete(&installation).await;
    assert_eq!((gone.status.as_u16(), forge.hooks().len()), (204, 0));
    assert_eq!(
        ada.get(&hook).await.expect(200)["installed_in"],
        Value::Null
    );
    // Who switches it off takes it away as well.
    ada.put(&installation, &json!({})).await.expect(200);
    assert_eq!(ada.delete(&hook).await.status.as_u16(), 204);
    assert_eq!(forge.hooks().len(), 0);

    // The other two forges, each in its own words.
    for kind in ["gitlab", "bitbucket"] {
        let other = connected(&ada, &forge, kind).await;
        let user = if kind == "gitlab" {
            "oauth2"
        } else {
            "x-token-auth"
        };
        git.ask_for(user, TOKEN);
        let id = other.rsplit('/').next().unwrap();
        let wish = json!({"integration": id, "repository": "ada/shop"});
        ada.put(&source(&project), &wish).await.expect(200);
        ada.put(&hook, &settings(kind)).await.expect(200);
        for _ in 0..2 {
            ada.put(&installation, &json!({})).await.expect(200);
        }
        let [made] = forge.hooks().try_into().unwrap();
        let secret = made.get("token").or(made.get("secret")).unwrap();
        assert!(secret.as_str().unwrap().starts_with("whsec_"), "{made}");
        assert_eq!(ada.delete(&hook).await.status.as_u16(), 204);
        assert_eq!(forge.hooks().len(), 0, "{kind}");
    }
}
