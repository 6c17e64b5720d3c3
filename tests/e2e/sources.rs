//! A project from a repository: a commit is read, built on the host and run; and what cannot be says why.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use towline_tests::agent::AgentPlan;
use towline_tests::engine::{Engine, EngineKind};
use towline_tests::git_server::{GitServer, Repository};
use towline_tests::ports::published_port;
use towline_tests::server::{DatabaseKind, ServerPlan};
use towline_tests::story::{Installation, unique};

use crate::DEPLOY_LIMIT;

const PASSWORD: &str = "ghp-a-token-of-the-test";
/// What a build of a few small files takes on a busy machine.
pub const BUILD_LIMIT: Duration = Duration::from_mins(2);

mod a_commit_is_built_and_run_and_another_replaces_it {
    use super::*;

    #[test]
    fn embedded() {
        pushed_and_deployed(DatabaseKind::Sqlite, EngineKind::New);
    }

    #[test]
    fn scaled_out() {
        pushed_and_deployed(DatabaseKind::Postgres, EngineKind::Old);
    }
}

/// An installation that may call this machine, where the Git server is.
pub fn installation(database: DatabaseKind, engine: EngineKind) -> Installation {
    let mut plan = ServerPlan::new(database);
    plan.arguments = ["--egress-allow", "127.0.0.0/8", "--egress-allow-http"]
        .map(str::to_owned)
        .into();
    let mut agent = AgentPlan::new(&unique("host"));
    agent.policy = Some(
        "build = \"allow\"
"
        .to_owned(),
    );
    Installation::over(plan, Engine::shared(engine), agent)
}

pub fn compose(port: u16) -> String {
    format!(
        "services:\n  web:\n    build: .\n    init: true\n    ports: [\"{port}:80\"]\n    volumes: [\"./motd:/www/motd:ro\"]\n    \
         healthcheck: {{test: [CMD, wget, -q, -O, /dev/null, \"http://127.0.0.1/\"], interval: 1s, retries: 10}}\n"
    )
}

pub fn dockerfile(text: &str) -> String {
    format!(
        "FROM towline-test/busybox:1\nCOPY page /www/index.html\nRUN echo {text} >>/www/index.html\n\
         CMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/www\"]\n"
    )
}

fn pushed_and_deployed(database: DatabaseKind, engine: EngineKind) {
    let story = installation(database, engine);
    let server = GitServer::start();
    server.ask_for("x-access-token", PASSWORD);
    let (repository, port) = (server.repository("shop"), published_port());
    let first = repository.commit(
        "Open the shop",
        &[
            ("apps/web/compose.yaml", &compose(port)),
            ("apps/web/Dockerfile", &dockerfile("first")),
            ("apps/web/page", "a page "),
            ("apps/web/motd", "good morning"),
            ("README.md", "not part of the project"),
        ],
    );
    let cli = story.cli();
    let project = unique("shop");
    cli.run(&["projects", "create", &project]).ok();
    let set = [
        "source",
        "set",
        &project,
        repository.url(),
        "--folder",
        "apps/web",
    ];
    let refused = cli.run(&set);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.errors.contains("token"), "{refused:?}");
    let user = ["--user", "x-access-token", "--password-stdin"];
    let set = cli.run_with(&[&set[..], &user].concat(), PASSWORD).ok();
    assert!(set.contains("Open the shop"), "{set}");

    let target = story.first_agent()["name"].as_str().unwrap().to_owned();
    let deploy = ["deploy", "--project", &project, "--target", &target];
    let ran = cli.run(&deploy);
    let _gone = Removed(&story, &project);
    let log = ran.ok();
    assert!(log.contains("fetching http://127.0.0.1"), "{log}");
    assert!(log.contains("RUN echo first"), "{log}");
    assert_eq!(story.engine.fetch(port).as_deref(), Some("a page first"));
    assert_eq!(
        story.engine.fetch_path(port, "motd").as_deref(),
        Some("good morning")
    );
    let pipelines = cli.run(&["pipelines", "ls", &project, "--json"]).json();
    let parts = parts(&pipelines[0]);
    assert_eq!(
        parts,
        [
            ("clone", "succeeded"),
            ("build", "succeeded"),
            ("deploy", "succeeded")
        ]
    );
    each_line_is_in_one_step(&story, &project, &pipelines[0]);
    assert_eq!(pipelines[0]["commit_sha"], first.as_str());
    assert_eq!(pipelines[0]["title"], "Open the shop");

    each_layer_has_its_instruction(&story, &pipelines[0]);

    // A second commit is pushed, and back to the first, whose image is there.
    let second = [("apps/web/Dockerfile", dockerfile("second"))];
    let second = repository.commit("Refurbish", &[(second[0].0, &second[0].1)]);
    pushed(&story, &project, &target, &second);
    assert_eq!(story.engine.fetch(port).as_deref(), Some("a page second"));
    let rolled_back = cli.run(&["rollback", &project]).ok();
    assert!(!rolled_back.contains("RUN echo"), "{rolled_back}");
    assert_eq!(story.engine.fetch(port).as_deref(), Some("a page first"));
    let pipelines = cli.run(&["pipelines", "ls", &project, "--json"]).json();
    let commits: Vec<&str> = (0..3)
        .map(|at| pipelines[at]["commit_sha"].as_str().unwrap())
        .collect();
    assert_eq!(commits, [&first, &second, &first]);
    assert_eq!(pipelines[0]["steps"][1]["status"], "skipped");
    nothing_of_it_stays(&story, PASSWORD);
}

/// The logs of the steps, one after the other, are the deployment's, and each has what its own programs said.
fn each_line_is_in_one_step(story: &Installation, project: &str, pipeline: &Value) {
    let whole = story.deployment(pipeline["deployment_id"].as_str().unwrap());
    let show = [
        "pipelines",
        "show",
        project,
        pipeline["id"].as_str().unwrap(),
    ];
    let mut said = Vec::new();
    for (step, own) in [
        ("clone", "fetching http://127.0.0.1"),
        ("build", "RUN echo first"),
        ("deploy", "Container"),
    ] {
        let of_it = ["--step", step, "--log", "--json"];
        let log = story.cli().run(&[&show[..], &of_it].concat()).ok();
        let lines: Vec<String> = log
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).unwrap()["text"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        assert!(lines.iter().any(|line| line.contains(own)), "{step}: {log}");
        let earlier = said.iter().any(|line: &String| line.contains(own));
        assert!(!earlier, "{step}: {said:?}");
        said.extend(lines);
    }
    assert_eq!(said, whole.log());
    let all = story.cli().run(&[&show[..], &["--log"]].concat());
    assert!(all.errors.contains("build (succeeded):"), "{all:?}");
    let none = story.cli().run(&[&show[..], &["--step", "relay"]].concat());
    assert!(none.errors.contains("clone, build, deploy"), "{none:?}");
}

/// What was built is written down with its layers, which are the engine's own.
fn each_layer_has_its_instruction(story: &Installation, pipeline: &Value) {
    let id = pipeline["deployment_id"].as_str().unwrap();
    let shown = story.deployment(id).show();
    let built = &shown["built"][0];
    assert_eq!(built["id"], shown["images"][0]["id"], "{shown}");
    let image = built["id"].as_str().unwrap();
    let format = "{{json .RootFS.Layers}} {{.Size}}";
    let of_engine = story
        .engine
        .run_docker(&["image", "inspect", "--format", format, image]);
    let layers = built["layers"].as_array().unwrap();
    let digests: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let told = format!(
        "{} {}",
        serde_json::to_string(&digests).unwrap(),
        built["size"]
    );
    assert_eq!(told, of_engine);
    let made = |at: usize| layers[at]["made_by"].as_str().unwrap();
    assert!(made(1).contains("COPY"), "{built}");
    assert!(made(2).contains("echo first"), "{built}");
    assert!(
        layers[2]["size"].as_u64().is_some_and(|size| size > 0),
        "{built}"
    );
    let table = story.cli().run(&["deployments", "show", id]).ok();
    assert!(table.contains("echo first"), "{table}");
    let listed = story.api.get("/deployments").ok();
    assert!(listed["items"][0].get("built").is_none(), "{listed}");
}

/// Has pushes to a project deployed, and tells of one as a forge does. Returns when it is up.
pub fn pushed(story: &Installation, project: &str, target: &str, commit: &str) {
    let cli = story.cli();
    let on = [
        "pushes", "on", project, "--forge", "gitlab", "--branch", "main",
    ];
    let to = ["--target", target, "--json"];
    let hook = cli.run(&[&on[..], &to].concat()).json();
    let shown = cli.run(&["pushes", "show", project]).ok();
    assert!(
        !shown.contains("whsec_") && shown.contains(target),
        "{shown}"
    );
    let body = json!({
        "ref": "refs/heads/main", "before": "1".repeat(40), "after": commit, "user_username": "octo-ada",
        "commits": [{"id": commit, "message": "Refurbish"}],
    });
    let path = format!("/hooks/{}", hook["id"].as_str().unwrap());
    let request = story.api.request(Method::POST, &path);
    let request = request
        .header("X-Gitlab-Event", "Push Hook")
        .header("X-Gitlab-Token", hook["secret"].as_str().unwrap());
    let receipt = story.api.send(request.json(&body)).ok();
    assert_eq!(receipt["outcome"], "taken");
    let end = Instant::now() + BUILD_LIMIT;
    let deployment = loop {
        let listed = cli.run(&["pushes", "ls", project, "--json"]).json();
        let deploy = &listed[0]["deploys"][0];
        if let Some(id) = deploy["deployment_id"].as_str() {
            break id.to_owned();
        }
        assert!(
            Instant::now() < end && deploy["state"] != "refused",
            "{listed}"
        );
        std::thread::sleep(Duration::from_millis(100));
    };
    cli.run(&["logs", "--follow", &deployment]).ok();
    let table = cli.run(&["pushes", "ls", project]).ok();
    for word in ["octo-ada", "main", "deployed to"] {
        assert!(table.contains(word), "{table}");
    }
}

/// Takes a project off the shared engine when the test ends.
pub struct Removed<'a>(pub &'a Installation, pub &'a str);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        self.0.engine.remove_project(self.1);
    }
}

fn parts(pipeline: &Value) -> Vec<(&str, &str)> {
    let steps = pipeline["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            (
                step["name"].as_str().unwrap(),
                step["status"].as_str().unwrap(),
            )
        })
        .collect()
}

/// Neither the password or key nor a clone is left in the agent's folder.
pub fn nothing_of_it_stays(story: &Installation, secret: &str) {
    let jobs = story.agent.state_dir().join("jobs");
    let deadline = Instant::now() + DEPLOY_LIMIT;
    loop {
        let left = files_below(&jobs);
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    for file in files_below(&story.agent.state_dir()) {
        let content = std::fs::read(&file).unwrap_or_default();
        let found = content
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!found, "{}", file.display());
    }
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let below = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_below(&entry.path()),
        _ => vec![entry.path()],
    };
    entries.flatten().flat_map(below).collect()
}

/// What is wrong with a repository is said before anything is queued where that can be known, and in the deployment's
/// own log where only the host can.
#[test]
fn what_is_wrong_with_a_repository_is_said_and_leaves_nothing() {
    let story = installation(DatabaseKind::Sqlite, EngineKind::New);
    let server = GitServer::start();
    let set = |project: &str, url: &str, more: Value| {
        let mut body = json!({ "url": url });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let source = format!("/projects/{project}/source");
        story.api.put(&source, &body)
    };
    let project = story
        .api
        .post("/projects", &json!({ "name": unique("bad") }))
        .ok();
    let id = project["id"].as_str().unwrap();
    let empty = server.repository("empty");
    let plain = server.repository("plain");
    plain.commit(
        "x",
        &[("compose.yaml", "services: {web: {image: \"x:1\"}}\n")],
    );
    let url = plain.url();
    let table = [
        (empty.url(), json!({}), "empty"),
        (&*format!("{url}-not-there"), json!({}), "not there"),
        (url, json!({"branch": "nope"}), "no such branch"),
        (url, json!({"branch": "a..b"}), "branch"),
        (url, json!({"folder": "nope"}), "no folder"),
        (url, json!({"folder": "../x"}), "folder"),
        ("file:///etc", json!({}), "https"),
        ("http://10.0.0.1/x", json!({}), "may not be called"),
        ("http://u:p@127.0.0.1/x", json!({}), "by itself"),
    ];
    for (url, more, says) in table {
        let said = set(id, url, more).refused();
        assert!(said.contains(says), "{url}: {said}");
    }
    story
        .api
        .get(&format!("/projects/{id}/source"))
        .problem(404);

    // Nine times nine times nine …
    let level = |level: usize| {
        let below = vec![format!("*{}", level - 1); 9].join(",");
        format!("x-{level}: &{level} [{below}]")
    };
    let levels: Vec<String> = (1..=9).map(level).collect();
    let mut bomb = format!("x-0: &0 x\n{}\n", levels.join("\n"));
    bomb += "services: {web: {image: \"x:1\"}}\n";
    let bombs = server.repository("bombs");
    bombs.commit("x", &[("compose.yaml", &bomb)]);
    set(id, bombs.url(), json!({})).ok();
    let deploy = |more: Value| {
        let mut body = json!({ "target": story.target() });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        story
            .api
            .post(&format!("/projects/{id}/deployments"), &body)
    };
    let said = deploy(json!({})).refused();
    assert!(said.contains("unfold into too many"), "{said}");
    set(id, url, json!({})).ok();
    let said = deploy(json!({ "commit": "a".repeat(40) })).refused();
    assert!(said.contains("no such"), "{said}");
    let said = deploy(json!({ "commit": "main" })).refused();
    assert!(said.contains("40"), "{said}");

    leads_out(&story, &server, id, &set, &deploy);
}

/// Links out of the commit are found on the host, before anything reads them.
fn leads_out(
    story: &Installation,
    server: &GitServer,
    id: &str,
    set: &dyn Fn(&str, &str, Value) -> towline_tests::api::Answer,
    deploy: &dyn Fn(Value) -> towline_tests::api::Answer,
) {
    let links: Repository = server.repository("links");
    links.link("/etc/hostname", "Dockerfile");
    links.commit("x", &[("compose.yaml", "services: {web: {build: .}}\n")]);
    set(id, links.url(), json!({})).ok();
    let deployment = deploy(json!({})).ok();
    let deployment = deployment["id"].as_str().unwrap();
    let ended = ended(story, deployment);
    assert_eq!(ended["status"], "failed", "{ended}");
    assert_eq!(ended["reason"], "source_unavailable", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains("Dockerfile is a link that leads out"),
        "{message}"
    );
    let log = story
        .api
        .get(&format!("/deployments/{deployment}/log"))
        .ok();
    assert!(log.to_string().contains("leads out"), "{log}");
    let pipelines = story.api.get(&format!("/projects/{id}/pipelines")).ok();
    let parts = parts(&pipelines["items"][0]);
    assert_eq!(
        parts,
        [
            ("clone", "failed"),
            ("build", "skipped"),
            ("deploy", "skipped")
        ]
    );
    nothing_of_it_stays(story, PASSWORD);
}

pub fn ended(story: &Installation, deployment: &str) -> Value {
    let deadline = Instant::now() + BUILD_LIMIT;
    loop {
        let shown = story.api.get(&format!("/deployments/{deployment}")).ok();
        let status = shown["status"].as_str().unwrap_or_default();
        if ["succeeded", "failed", "cancelled"].contains(&status) {
            return shown;
        }
        assert!(Instant::now() < deadline, "{shown}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
