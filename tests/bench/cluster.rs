//! Releases of 200 objects in a cluster against `kubectl apply --server-side` of the same files, in one run and in turns;
//! and what an agent weighs beside 5,000 pods. The cluster is the one in memory, so what is measured is what the two ask
//! of it and how, not how long a real one takes.

use std::time::Duration;

use serde_json::json;
use towline_tests::cluster::{Cluster, ClusterAgent, NAMESPACE};
use towline_tests::compose::ComposeFolder;
use towline_tests::engine::EngineKind;
use towline_tests::patience::wait_until;
use towline_tests::server::DatabaseKind;
use towline_tests::story::{Installation, Project, enrolment_token_for, unique};

use crate::deploy::milliseconds;
use crate::footprint::{megabytes, resident};
use crate::report::{Row, median_and_p99};

const LIMIT: Duration = Duration::from_mins(2);
const ROUNDS: usize = 5;
const OBJECTS: usize = 200;
const PODS: usize = 5000;
/// The namespace that kubectl has for itself.
const BARE: &str = "bare";

/// Measures both.
pub fn measure() -> Vec<Row> {
    let story = Installation::start(DatabaseKind::Sqlite, EngineKind::New);
    let cluster = Cluster::start();
    cluster.kubectl(&["create", "namespace", BARE]);
    let target = unique("cluster");
    let mut agent = ClusterAgent::new(&cluster, &target);
    agent.start(Some(&enrolment_token_for(&story.api, &target)));
    story.wait_online(2);
    let folder = ComposeFolder::new("services: {}\n");
    folder.write("kubernetes/all.yaml", &manifests());
    let project = story.project("bench", &folder);
    let file = folder
        .path()
        .join("kubernetes/all.yaml")
        .display()
        .to_string();
    let apply = ["apply", "--server-side", "-n", BARE, "-f", &file];
    let (mut fresh, mut same, mut bare_fresh, mut bare_same) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        fresh.push(milliseconds(|| deploy(&project, &target)));
        same.push(milliseconds(|| deploy(&project, &target)));
        remove(&story, &project, &target);
        bare_fresh.push(milliseconds(|| drop(cluster.kubectl(&apply))));
        bare_same.push(milliseconds(|| drop(cluster.kubectl(&apply))));
        cluster.kubectl(&["delete", "-n", BARE, "--wait=false", "-f", &file]);
    }
    let before = resident(agent.running().id());
    let mut rows = vec![
        row("release of 200 objects", fresh, bare_fresh, 1.0),
        row("the same release once more", same, bare_same, 1.0 / 3.0),
        Row::figure("agent in a cluster, memory", "MB", megabytes(before)),
    ];
    rows.push(beside_many_pods(&story, &cluster, &mut agent, &target));
    rows
}

fn row(what: &str, ours: Vec<f64>, theirs: Vec<f64>, bar: f64) -> Row {
    let (ours, p99) = median_and_p99(ours);
    Row {
        p99: Some(p99),
        against: Some((
            "kubectl apply --server-side".into(),
            median_and_p99(theirs).0,
        )),
        at_most: Some(bar),
        ..Row::figure(what, "ms", ours)
    }
}

/// Two halves: what is only stored, and what runs and has no pod.
fn manifests() -> String {
    (0..OBJECTS / 4).map(four).collect()
}

fn four(index: usize) -> String {
    format!(
            "---
apiVersion: v1
kind: ConfigMap
metadata: {{name: config-{index}}}
data: {{one: 'a', other: 'b'}}
---
apiVersion: v1
kind: Secret
metadata: {{name: secret-{index}}}
stringData: {{password: 'p-{index}'}}
---
apiVersion: v1
kind: Service
metadata: {{name: web-{index}}}
spec: {{selector: {{app: web-{index}}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{index}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: web-{index}}}}}
  template:
    metadata: {{labels: {{app: web-{index}}}}}
    spec: {{containers: [{{name: app, image: 'registry.example.com/web:1', ports: [{{containerPort: 8080}}]}}]}}
"
    )
}

fn deploy(project: &Project<'_>, target: &str) {
    let asked = project
        .request_deployment(&json!({ "target": target }))
        .ok();
    let deployment = project.deployment(&asked);
    let end = deployment
        .follow(None)
        .wait_for("the end", LIMIT, |event| event.kind == "end");
    assert_eq!(end.data["status"], "succeeded", "{}", end.data);
}

fn remove(story: &Installation, project: &Project<'_>, target: &str) {
    let path = format!("/projects/{}/removals", project.id);
    let asked = story.api.post(&path, &json!({ "target": target })).ok();
    project.deployment(&asked).wait("succeeded", LIMIT);
}

/// Everybody's pods are listed, and more of the project come and go, while the agent works.
fn beside_many_pods(
    story: &Installation,
    cluster: &Cluster,
    agent: &mut ClusterAgent,
    target: &str,
) -> Row {
    let fill = json!({ "namespace": NAMESPACE, "count": PODS });
    cluster.control("pods/bulk", &fill);
    let targets = story.api.get("/targets").ok();
    let items = targets["items"].as_array().unwrap();
    let found = items.iter().find(|shown| shown["name"] == target).unwrap();
    let path = format!("/targets/{}/containers", found["id"].as_str().unwrap());
    for _ in 0..3 {
        wait_until("the containers", LIMIT, || {
            let listed = story.api.get(&path);
            (listed.status == 200).then_some(())
        });
    }
    let memory = resident(agent.running().id());
    Row::figure(
        "the same, beside 5,000 pods that were listed",
        "MB",
        megabytes(memory),
    )
}
