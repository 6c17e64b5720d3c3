//! A cluster as a target: the agent in it, and a project's whole life there.

use std::time::Duration;

use serde_json::{Value, json};
use towline_tests::cluster::{Cluster, ClusterAgent, HOME};
use towline_tests::compose::ComposeFolder;
use towline_tests::engine::EngineKind;
use towline_tests::git_server::GitServer;
use towline_tests::patience::wait_until;
use towline_tests::server::DatabaseKind;
use towline_tests::story::{Deployment, Installation, Project, enrolment_token_for, unique};

const LIMIT: Duration = Duration::from_mins(2);

/// An installation with a cluster, in which an agent works.
struct World {
    story: Installation,
    cluster: Cluster,
    target: String,
}

impl World {
    fn new(database: DatabaseKind) -> (Self, ClusterAgent) {
        Self::over(Installation::start(database, EngineKind::New))
    }

    fn over(story: Installation) -> (Self, ClusterAgent) {
        let cluster = Cluster::start();
        let target = unique("cluster");
        let mut agent = ClusterAgent::new(&cluster, &target);
        agent.start(Some(&enrolment_token_for(&story.api, &target)));
        let world = Self {
            story,
            cluster,
            target,
        };
        world.online();
        (world, agent)
    }

    fn online(&self) {
        wait_until("the agent in the cluster online", LIMIT, || {
            let shown = self.shown();
            (shown["status"] == "online" && shown["ready"] == "ready").then_some(())
        });
    }

    fn shown(&self) -> Value {
        let targets = self.story.api.get("/targets").ok();
        let items = targets["items"].as_array().unwrap();
        let found = items.iter().find(|target| target["name"] == *self.target);
        found.unwrap_or(&Value::Null).clone()
    }

    fn project(&self, manifests: &str) -> Project<'_> {
        let project = self.story.project("shop", &folder(manifests));
        project.upload(&folder(manifests)).ok();
        project
    }

    fn request<'p>(&self, project: &'p Project<'_>, more: &Value) -> Deployment<'p> {
        let mut body = json!({ "target": self.target });
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        project.deployment(&project.request_deployment(&body).ok())
    }

    fn deploy(&self, project: &Project<'_>) -> Value {
        self.request(project, &json!({})).wait("succeeded", LIMIT)
    }
}

fn folder(manifests: &str) -> ComposeFolder {
    let folder = ComposeFolder::new("services: {}\n");
    folder.write("kubernetes/all.yaml", manifests);
    folder
}

fn web(text: &str, image: &str) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: page}}
data: {{text: {text}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: app, image: '{image}'}}]}}
"
    )
}

fn a_project_lives_in_a_cluster(database: DatabaseKind) {
    let (world, _agent) = World::new(database);
    let shown = world.shown();
    assert_eq!(shown["type"], "kubernetes_agent", "{shown}");
    let project = world.project(&web("one", "registry.example.com/web:1"));
    let first = world.deploy(&project);
    assert_eq!(
        world.cluster.object("configmap", "page")["data"]["text"],
        "one"
    );
    assert!(
        first["images"].to_string().contains("Deployment/web/app"),
        "{first}"
    );
    // A change, with its preview; then back.
    project
        .upload(&folder(&web("two", "registry.example.com/web:2")))
        .ok();
    let preview = world.story.api.post(
        &format!("/projects/{}/previews", project.id),
        &json!({ "target": world.target }),
    );
    let preview = project.deployment(&preview.ok()).wait("succeeded", LIMIT);
    assert!(
        preview.to_string().contains("registry.example.com/web:2"),
        "{preview}"
    );
    assert_eq!(
        world.cluster.object("configmap", "page")["data"]["text"],
        "one"
    );
    world.deploy(&project);
    assert_eq!(
        world.cluster.object("configmap", "page")["data"]["text"],
        "two"
    );
    let rollback = world.story.api.post(
        &format!("/projects/{}/rollback", project.id),
        &json!({ "target": world.target }),
    );
    let rollback = rollback.ok();
    let back = project.deployment(&rollback);
    back.wait("succeeded", LIMIT);
    assert_eq!(
        world.cluster.object("configmap", "page")["data"]["text"],
        "one"
    );
    // What is forbidden is told before anything is queued, with its line.
    project.upload(&folder("apiVersion: v1\nkind: Pod\nmetadata: {name: root}\nspec: {hostPID: true, containers: [{name: a, image: b}]}\n")).ok();
    let refused = project.request_deployment(&json!({ "target": world.target }));
    assert!(
        refused.body.to_string().contains("spec.hostPID")
            || refused.body.to_string().contains("host_namespaces"),
        "{refused:?}"
    );
    let removed = world.story.api.post(
        &format!("/projects/{}/removals", project.id),
        &json!({ "target": world.target }),
    );
    project.deployment(&removed.ok()).wait("succeeded", LIMIT);
    assert!(world.cluster.names("deployment").is_empty());
}

#[test]
fn a_project_lives_in_a_cluster_on_sqlite() {
    a_project_lives_in_a_cluster(DatabaseKind::Sqlite);
}

#[test]
fn a_project_lives_in_a_cluster_on_postgres() {
    a_project_lives_in_a_cluster(DatabaseKind::Postgres);
}

#[test]
fn an_agent_s_pod_comes_and_goes_and_its_identity_stays() {
    let (world, mut agent) = World::new(DatabaseKind::Sqlite);
    let id = world.story.agent_named(&world.target)["id"].clone();
    let project = world.project(&web("one", "registry.example.com/web:1"));
    world.deploy(&project);
    let identity = [
        "get",
        "secret",
        "towline-agent-identity",
        "-n",
        HOME,
        "-o",
        "name",
    ];
    assert_eq!(
        world.cluster.kubectl(&identity).trim(),
        "secret/towline-agent-identity"
    );
    // Another pod with an empty folder and no token waits for the lease, and is the same agent.
    let mut next = ClusterAgent::new(&world.cluster, &world.target);
    next.start(None);
    wait_until("the next one to wait", LIMIT, || {
        next.log()
            .contains("another agent has the lease")
            .then_some(())
    });
    agent.stop();
    agent = next;
    wait_until("the same agent online", LIMIT, || {
        (agent.log().contains("starting in a cluster") && world.shown()["status"] == "online")
            .then_some(())
    });
    assert_eq!(world.story.agent_named(&world.target)["id"], id);
    let other = web("two", "registry.example.com/web:1").replace("page", "other");
    let project = world.project(&other.replace("name: web", "name: next"));
    world.deploy(&project);
    assert_eq!(
        world.cluster.object("configmap", "other")["data"]["text"],
        "two"
    );
}

#[test]
fn an_agent_that_is_killed_in_a_deployment_finishes_it() {
    let (world, mut agent) = World::new(DatabaseKind::Sqlite);
    let map = |index: usize| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: map-{index}}}\ndata: {{a: b}}\n"
        )
    };
    let manifests: String = (0..150).map(map).collect();
    let project = world.project(&manifests);
    let deployment = world.request(&project, &json!({}));
    let mut kills = 0;
    wait_until("the deployment's end", LIMIT, || {
        let count = world.cluster.names("configmap").len();
        if (10..120).contains(&count) && kills < 3 {
            kills += 1;
            agent.kill();
            agent.start(None);
        }
        matches!(deployment.status().as_str(), "succeeded" | "failed").then_some(())
    });
    let shown = deployment.show();
    assert_eq!(
        shown["status"],
        "succeeded",
        "{shown}: {:#?}",
        deployment.log()
    );
    assert!(kills > 0, "it was killed at work");
    let maps = world.cluster.names("configmap");
    assert_eq!(
        maps.iter().filter(|name| name.starts_with("map-")).count(),
        150
    );
}

#[test]
fn a_commit_s_manifests_are_applied_and_another_s_replace_them() {
    let story = crate::sources::installation(DatabaseKind::Sqlite, EngineKind::New);
    let (world, _agent) = World::over(story);
    let server = GitServer::start();
    let repository = server.repository("shop");
    // More than is held of a file before it is known to be wanted.
    let long = format!(
        "{}# {}\n",
        web("one", "registry.example.com/web:1"),
        "x".repeat(100_000)
    );
    repository.commit(
        "Open the shop",
        &[("kubernetes/all.yaml", &long), ("README.md", "no manifest")],
    );
    let cli = world.story.cli();
    let name = unique("shop");
    cli.run(&["projects", "create", &name]).ok();
    cli.run(&["source", "set", &name, repository.url()]).ok();
    let deploy = ["deploy", "--project", &name, "--target", &world.target];
    let said = cli.run(&deploy).ok();
    assert!(said.contains("fetching http://127.0.0.1"), "{said}");
    assert!(said.contains("Deployment/web created"), "{said}");
    assert_eq!(
        world.cluster.object("configmap", "page")["data"]["text"],
        "one"
    );
    repository.commit(
        "Another text",
        &[(
            "kubernetes/all.yaml",
            &long.replace("text: one", "text: two"),
        )],
    );
    let said = cli.run(&deploy).ok();
    assert!(said.contains("ConfigMap/page configured"), "{said}");
    assert_eq!(
        world.cluster.object("configmap", "page")["data"]["text"],
        "two"
    );
}
