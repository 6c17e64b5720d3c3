//! What Towline writes at a forge: generated files as pull requests, and deploy keys. See [`crate::forge`] for what answers in a forge's place.

use http::Method;
use serde_json::{Value, json};
use towline_tests::git_server::{GitServer, Repository};

use crate::database::on_both;
use crate::forge::{FakeForge, Instead, TOKEN};
use crate::integrations::{FORGES, connected};
use crate::world::{Answer, Somebody, World};

on_both!(
    files_are_delivered_as_a_pull_request_of_each_forge,
    what_stands_in_the_way_of_a_delivery_is_told,
    deliveries_that_race_open_one_pull_request,
    a_deploy_key_is_installed_rotated_and_taken_away,
);

const PACKAGE: &str = r#"{"name": "shop", "scripts": {"start": "node server.js"}, "dependencies": {"express": "4.21.0"}}"#;

/// A project of a repository at a forge.
struct Shop<'a> {
    ada: &'a Somebody<'a>,
    repository: Repository,
    project: String,
    folder: &'static str,
}

impl<'a> Shop<'a> {
    async fn open(
        ada: &'a Somebody<'a>,
        (forge, git): (&FakeForge, &GitServer),
        kind: &str,
        folder: &'static str,
    ) -> Self {
        let user = match kind {
            "github" => "x-access-token",
            "gitlab" => "oauth2",
            _ => "x-token-auth",
        };
        git.ask_for(user, TOKEN);
        let repository = git.repository(kind);
        let path = |name: &str| format!("{folder}{name}");
        repository.commit(
            "Open",
            &[(&path("package.json"), PACKAGE), (&path("server.js"), "")],
        );
        forge.serve_git(repository.url());
        forge.write_to(repository.folder());
        let integration = connected(ada, forge, kind).await;
        let project = ada.project(kind, &[]).await;
        let shop = Self {
            ada,
            repository,
            project,
            folder,
        };
        let id = integration.rsplit('/').next().unwrap();
        let wish = json!({"integration": id, "repository": "ada/shop", "folder": folder.trim_end_matches('/')});
        ada.put(&shop.at("source"), &wish).await.expect(200);
        shop
    }

    fn at(&self, part: &str) -> String {
        format!("/api/v1/projects/{}/{part}", self.project)
    }

    async fn deliver(&self) -> Answer {
        self.ada.post(&self.at("pull-request"), &json!({})).await
    }

    async fn generate(&self) {
        let wish = json!({"mode": "write", "ci": "github_actions"});
        self.ada.post(&self.at("generate"), &wish).await.expect(200);
    }

    async fn edit(&self, path: &str, content: &str, mode: &str) {
        let file = json!({"content": content, "mode": mode});
        let path = self.at(&format!("file?path={path}"));
        self.ada.put(&path, &file).await.expect(200);
    }

    /// A file of a branch: its mode and its text.
    fn file(&self, branch: &Value, path: &str) -> (String, String) {
        let (branch, path) = (branch.as_str().unwrap(), format!("{}{path}", self.folder));
        let listed = self.repository.git(&["ls-tree", branch, &path]);
        let mode = listed.split(' ').next().unwrap().to_owned();
        (
            mode,
            self.repository.git(&["show", &format!("{branch}:{path}")]),
        )
    }
}

#[allow(clippy::too_many_lines, reason = "it is one story")]
async fn files_are_delivered_as_a_pull_request_of_each_forge() {
    let world = World::open().await;
    let ada = world.first().await;
    let git = GitServer::start();
    for (kind, folder, page) in [
        ("github", "apps/web/", "pull"),
        ("gitlab", "", "-/merge_requests"),
        ("bitbucket", "", "pull-requests"),
    ] {
        let forge = FakeForge::start().await;
        let shop = Shop::open(&ada, (&forge, &git), kind, folder).await;
        let none = shop.deliver().await.expect(409);
        assert!(
            none["remedy"].as_str().unwrap().contains("--write"),
            "{none}"
        );
        shop.generate().await;
        shop.edit("Dockerfile", "FROM scratch\n", "executable")
            .await;
        let main = shop.repository.git(&["rev-parse", "main"]);

        let opened = shop.deliver().await.expect(200);
        assert_eq!(
            (&opened["outcome"], &opened["number"]),
            (&json!("opened"), &json!(1)),
            "{opened}"
        );
        assert_eq!(opened["url"], format!("{}/ada/shop/{page}/1", forge.url()));
        let branch = &opened["branch"];
        let name = branch.as_str().unwrap();
        assert!(name.starts_with(&format!("towline/{kind}-")), "{opened}");
        let files = opened["files"].as_array().unwrap();
        for path in [
            "Dockerfile",
            "docker-compose.yml",
            ".github/workflows/ci.yml",
        ] {
            assert!(
                files.contains(&json!(format!("{folder}{path}"))),
                "{path}: {opened}"
            );
        }
        assert!(
            !files
                .iter()
                .any(|path| path.as_str().unwrap().contains("package.json"))
        );
        let (mode, text) = shop.file(branch, "Dockerfile");
        let expected = if kind == "bitbucket" {
            "100644"
        } else {
            "100755"
        };
        assert_eq!(
            (mode.as_str(), text.as_str()),
            (expected, "FROM scratch"),
            "{kind}"
        );
        assert_eq!(
            shop.file(branch, "package.json").1,
            PACKAGE,
            "what is there stays"
        );
        assert_eq!(
            shop.repository
                .git(&["rev-parse", "main", &format!("{name}^")]),
            format!("{main}\n{main}")
        );
        let [pull] = forge.open().try_into().unwrap();
        let said = pull.to_string();
        for part in [
            "builds the image",
            "express",
            "main",
            "runs the project on a Docker host",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }

        let same = shop.deliver().await.expect(200);
        assert_eq!(
            (&same["outcome"], &same["url"], &same["files"]),
            (&json!("unchanged"), &opened["url"], &json!([]))
        );
        shop.edit("Dockerfile", "FROM busybox\n", "regular").await;
        let updated = shop.deliver().await.expect(200);
        assert_eq!(
            (&updated["outcome"], &updated["number"], &updated["branch"]),
            (&json!("updated"), &json!(1), branch)
        );
        assert_eq!(updated["files"], json!([format!("{folder}Dockerfile")]));
        assert_eq!(
            shop.file(branch, "Dockerfile"),
            ("100644".to_owned(), "FROM busybox".to_owned())
        );
        assert_eq!(forge.open().len(), 1);
        assert_eq!(shop.deliver().await.expect(200)["outcome"], "unchanged");

        if kind != "github" {
            continue;
        }
        // It is merged; then something else is to be delivered.
        shop.repository
            .git(&["merge", "--quiet", "--ff-only", name]);
        forge.close_all();
        let nothing = shop.deliver().await.expect(200);
        assert_eq!(
            (&nothing["outcome"], &nothing["url"], &nothing["files"]),
            (&json!("nothing"), &Value::Null, &json!([]))
        );
        assert_eq!(forge.open().len(), 0);
        shop.edit("Dockerfile", "FROM alpine\n", "regular").await;
        let next = shop.deliver().await.expect(200);
        assert_eq!(
            (&next["outcome"], &next["number"]),
            (&json!("opened"), &json!(2)),
            "{next}"
        );
        assert_ne!(next["branch"], *branch);
    }
    let audit = ada.get("/api/v1/audit?limit=100").await;
    for action in ["pull_request.begin", "pull_request.deliver"] {
        assert!(audit.text().contains(action), "{action}");
    }
    assert!(!audit.text().contains(TOKEN));
}

async fn what_stands_in_the_way_of_a_delivery_is_told() {
    let world = World::open().await;
    let ada = world.first().await;
    let (git, forge) = (GitServer::start(), FakeForge::start().await);
    let plain = ada.project("plain", &[]).await;
    let no_source = ada
        .post(
            &format!("/api/v1/projects/{plain}/pull-request"),
            &json!({}),
        )
        .await;
    assert!(
        no_source.expect(409)["detail"]
            .as_str()
            .unwrap()
            .contains("no repository")
    );
    let public = git.repository("public");
    public.commit("Open", &[("package.json", PACKAGE)]);
    let shop = Shop::open(&ada, (&forge, &git), "github", "").await;
    shop.generate().await;
    let says = async |instead: Instead, words: &str| {
        forge.instead(Some(instead));
        let refused = shop.deliver().await;
        assert!(
            refused.expect(409)["detail"]
                .as_str()
                .unwrap()
                .contains(words),
            "{words}: {refused:?}"
        );
        assert!(!refused.text().contains(TOKEN), "{refused:?}");
        forge.instead(None);
    };
    let answer = |status, message: &str| Instead {
        status,
        headers: Vec::new(),
        body: json!({ "message": message }).to_string(),
    };
    // Nothing is there yet: what is refused first is the commit.
    says(answer(403, "Resource not accessible"), "contents: write").await;
    let begun = shop.repository.git(&["branch", "--list"]);
    assert_eq!(begun, "* main");
    // From now on it is asked first whether its pull request is open.
    says(
        answer(403, "Resource not accessible"),
        "pull_requests: write",
    )
    .await;
    says(answer(500, "oops"), "answers 500").await;
    // The branch that was to be made is the one that is.
    let opened = shop.deliver().await.expect(200);
    assert_eq!(opened["outcome"], "opened");
    let audit = ada.get("/api/v1/audit?limit=100").await;
    assert_eq!(audit.text().matches("pull_request.begin").count(), 1);
    assert!(audit.text().contains(opened["branch"].as_str().unwrap()));

    // What is no file is not written over.
    forge.close_all();
    shop.repository.link("package.json", "Dockerfile");
    shop.repository.commit("Link", &[]);
    let link = shop.deliver().await.expect(409);
    assert!(
        link["detail"]
            .as_str()
            .unwrap()
            .contains("Dockerfile of the repository is a link"),
        "{link}"
    );
    // A key needs to be let at integrations, too.
    let key = json!({"name": "k", "scopes": ["projects:read", "projects:write"]});
    let key = ada.post("/api/v1/api-keys", &key).await.expect(201);
    let key = world.with_key(key["key"].as_str().unwrap());
    key.post(&shop.at("pull-request"), &json!({}))
        .await
        .expect(403);
}

async fn deliveries_that_race_open_one_pull_request() {
    let world = World::open().await;
    let ada = world.first().await;
    let (git, forge) = (GitServer::start(), FakeForge::start().await);
    let shop = Shop::open(&ada, (&forge, &git), "github", "").await;
    shop.generate().await;
    let (one, other, third) = tokio::join!(shop.deliver(), shop.deliver(), shop.deliver());
    let all = [one, other, third];
    assert!(
        all.iter().any(|answer| answer.status.as_u16() == 200),
        "{all:?}"
    );
    assert!(
        all.iter()
            .all(|answer| matches!(answer.status.as_u16(), 200 | 409)),
        "{all:?}"
    );
    assert_eq!(forge.open().len(), 1);
    let branches = shop.repository.git(&["branch", "--list", "towline/*"]);
    assert_eq!(branches.lines().count(), 1, "{branches}");
    assert_eq!(shop.deliver().await.expect(200)["outcome"], "unchanged");
}

async fn a_deploy_key_is_installed_rotated_and_taken_away() {
    let world = World::open().await;
    let ada = world.first().await;
    for kind in FORGES {
        let forge = FakeForge::start().await;
        let integration = connected(&ada, &forge, kind).await;
        let id = integration.rsplit('/').next().unwrap();
        let project = ada.project(kind, &[]).await;
        let key = format!("/api/v1/projects/{project}/source/key");
        let installation = format!("{key}/installation");
        // Its server's keys are published: nobody is asked for them.
        let url = "git@github.com:ada/shop.git";
        for (wish, status) in [
            (json!({"url": url}), 409),
            (json!({}), 409),
            (
                json!({"url": url, "integration": uuid::Uuid::now_v7()}),
                404,
            ),
            (
                json!({"url": "git@github.com:shop.git", "integration": id}),
                409,
            ),
            (
                json!({"url": "https://github.com/ada/shop", "integration": id}),
                422,
            ),
            (json!({"url": url, "integration": id, "write": true}), 422),
        ] {
            ada.put(&installation, &wish).await.expect(status);
        }
        let wish = json!({"url": url, "integration": id});
        let shown = ada.put(&installation, &wish).await.expect(200);
        assert_eq!(shown["installed_in"], "ada/shop");
        let [there] = forge.keys().try_into().unwrap();
        assert_eq!(there["key"], shown["public_key"]);
        match kind {
            "github" => assert_eq!(there["read_only"], true),
            "gitlab" => assert_eq!(there["can_push"], false),
            _ => assert_eq!(there["label"], format!("towline-{kind}")),
        }

        // Again, and after somebody has taken it away there: there is one.
        ada.put(&installation, &wish).await.expect(200);
        assert_eq!(forge.asked(&Method::POST, "key").len(), 1);
        forge.forget_keys();
        ada.put(&installation, &wish).await.expect(200);
        assert_eq!(forge.keys().len(), 1);

        // A forge that does not take the new key leaves the former one as it is.
        forge.instead(Some(Instead {
            status: 403,
            headers: Vec::new(),
            body: r#"{"message": "Must have admin rights"}"#.to_owned(),
        }));
        let refused = ada.post(&key, &json!({"url": url})).await.expect(409);
        assert!(
            refused["detail"].as_str().unwrap().contains("it needs"),
            "{refused}"
        );
        forge.instead(None);
        assert_eq!(
            ada.get(&key).await.expect(200)["public_key"],
            shown["public_key"]
        );
        let rotated = ada.post(&key, &json!({"url": url})).await.expect(200);
        assert_ne!(rotated["public_key"], shown["public_key"]);
        let [there] = forge.keys().try_into().unwrap();
        assert_eq!(there["key"], rotated["public_key"]);

        let in_use = ada.delete(&integration).await.expect(409);
        assert!(
            in_use["detail"]
                .as_str()
                .unwrap()
                .contains("deploy keys were installed"),
            "{in_use}"
        );
        assert_eq!(ada.delete(&installation).await.status.as_u16(), 204);
        assert_eq!(forge.keys().len(), 0);
        assert_eq!(ada.get(&key).await.expect(200)["installed_in"], Value::Null);
        // Who forgets the repository takes it away as well.
        ada.put(&installation, &wish).await.expect(200);
        assert_eq!(forge.keys().len(), 1);
        let forgotten = ada
            .delete(&format!("/api/v1/projects/{project}/source"))
            .await;
        assert_eq!((forgotten.status.as_u16(), forge.keys().len()), (204, 0));
    }
    let audit = ada.get("/api/v1/audit?limit=100").await;
    for action in ["deploy_key.install", "deploy_key.uninstall"] {
        assert!(audit.text().contains(action), "{action}");
    }
}
