//! Repositories with submodules: taken where that is asked for, and what is wrong with them is said.

use serde_json::{Value, json};
use towline_tests::engine::EngineKind;
use towline_tests::git_server::{GitServer, Repository};
use towline_tests::server::DatabaseKind;
use towline_tests::story::{Installation, unique};

use crate::sources::{dockerfile, ended, installation, nothing_of_it_stays};

const TOKEN: &str = "ghp-a-token-for-all-of-it";

/// Has a repository's index name another one's commit, as `git submodule add` does.
fn adds(repository: &Repository, path: &str, url: &str, commit: &str) {
    let entry = format!("160000,{commit},{path}");
    repository.git(&["update-index", "--add", "--cacheinfo", &entry]);
    let key = |field: &str| format!("submodule.{path}.{field}");
    for (field, value) in [("path", path), ("url", url)] {
        repository.git(&["config", "--file", ".gitmodules", &key(field), value]);
    }
    repository.git(&["add", ".gitmodules"]);
}

fn commits(repository: &Repository) -> String {
    repository.git(&["commit", "--quiet", "--allow-empty", "--message", "x"]);
    repository.git(&["rev-parse", "HEAD"])
}

struct Shop<'a> {
    story: &'a Installation,
    project: String,
}

impl Shop<'_> {
    fn set(&self, url: &str, submodules: &str) {
        let login = json!({"user": "any", "password": TOKEN});
        let body = json!({"url": url, "submodules": submodules, "login": login});
        let path = format!("/projects/{}/source", self.project);
        let set = self.story.api.put(&path, &body).ok();
        assert_eq!(set["submodules"], submodules);
    }

    /// How a deployment of the last commit ends, and its log.
    fn deploy(&self) -> (Value, String) {
        let path = format!("/projects/{}/deployments", self.project);
        let body = json!({ "target": self.story.target() });
        let made = self.story.api.post(&path, &body).ok();
        let id = made["id"].as_str().unwrap();
        let ended = ended(self.story, id);
        let log = self.story.api.get(&format!("/deployments/{id}/log")).ok();
        (ended, log.to_string())
    }

    fn fails(&self, url: &str, says: &str) {
        self.set(url, "take");
        let (ended, log) = self.deploy();
        assert_eq!(ended["reason"], "source_unavailable", "{says}: {ended}");
        let message = ended["message"].as_str().unwrap();
        assert!(message.contains(says), "{says}: {message}");
        assert!(!log.contains(TOKEN), "{log}");
    }
}

#[test]
fn submodules_are_taken_where_that_is_asked_for() {
    let story = installation(DatabaseKind::Sqlite, EngineKind::New);
    let server = GitServer::start();
    server.ask_for("any", TOKEN);
    let project = json!({ "name": unique("modular") });
    let project = story.api.post("/projects", &project).ok();
    let project = project["id"].as_str().unwrap().to_owned();
    let shop = Shop {
        story: &story,
        project,
    };

    // A page lies two deep, beside the server's other repositories.
    let (inner, outer) = (server.repository("inner"), server.repository("outer"));
    let page = inner.commit("x", &[("page", "a page of the innermost ")]);
    adds(&outer, "in", "../inner", &page);
    let outermost = commits(&outer);
    let whole = server.repository("whole");
    let text = dockerfile("taken").replace("COPY page", "COPY lib/out/in/page");
    let compose = "services:\n  web: {build: ., init: true}\n";
    whole.commit("x", &[("compose.yaml", compose), ("Dockerfile", &text)]);
    adds(&whole, "lib/out", outer.url(), &outermost);
    commits(&whole);
    shop.set(whole.url(), "leave");
    let (left, _) = shop.deploy();
    assert_eq!(left["status"], "failed", "the page is not there: {left}");
    shop.set(whole.url(), "take");
    let (taken, log) = shop.deploy();
    assert_eq!(taken["status"], "succeeded", "{taken} {log}");
    for path in ["lib/out from", "lib/out/in from"] {
        assert!(
            log.contains(&format!("fetching the submodule {path}")),
            "{path}: {log}"
        );
    }
    assert!(!log.contains(TOKEN), "{log}");
    what_is_wrong_with_submodules_is_said(&shop, &server, (&inner, &page));
    nothing_of_it_stays(&story, TOKEN);
}

fn what_is_wrong_with_submodules_is_said(
    shop: &Shop<'_>,
    server: &GitServer,
    (inner, page): (&Repository, &str),
) {
    let project = [("compose.yaml", "services: {web: {image: \"x:1\"}}\n")];
    let bad = |name: &str, path: &str, url: &str, commit: &str| {
        let repository = server.repository(name);
        repository.commit("x", &project);
        adds(&repository, path, url, commit);
        commits(&repository);
        repository.url().to_owned()
    };
    shop.fails(
        &bad("file", "x", "file:///etc", page),
        "the submodule x comes from",
    );
    shop.fails(
        &bad("elsewhere", "x", "http://127.0.0.1:1/x", page),
        "over https alone",
    );
    let gone = "a".repeat(40);
    shop.fails(&bad("gone", "x", inner.url(), &gone), "the submodule x:");
    let unnamed = server.repository("unnamed");
    unnamed.commit("x", &project);
    let entry = format!("160000,{page},x");
    unnamed.git(&["update-index", "--add", "--cacheinfo", &entry]);
    commits(&unnamed);
    shop.fails(unnamed.url(), "does not name");
    let named = server.repository("named");
    named.commit(
        "x",
        &[
            project[0],
            (
                ".gitmodules",
                "[submodule \"../../x\"]\npath = x\nurl = ../inner\n",
            ),
        ],
    );
    named.git(&["update-index", "--add", "--cacheinfo", &entry]);
    commits(&named);
    shop.fails(named.url(), "leads out of git's own folder");

    // It contains itself, as it was before, again and again.
    let looped = server.repository("looped");
    let mut last = looped.commit("x", &project);
    for _ in 0..7 {
        adds(&looped, "again", "../looped", &last);
        last = commits(&looped);
    }
    shop.fails(looped.url(), "contains itself as a submodule");
}
