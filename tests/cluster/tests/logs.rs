//! What containers have written, read and followed.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::stage::{Stage, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";

async fn running(stage: &Stage, pod: &Value) {
    stage.post(PODS, pod).await;
    let one = format!("{PODS}/{}", pod["metadata"]["name"].as_str().unwrap());
    let runs = async || stage.get(&one).await.1["status"]["phase"] == "Running";
    stage.until("it runs", runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_read_as_they_are_wanted() {
    let stage = Stage::new().await;
    running(
        &stage,
        &pod("web", &["sh", "-c", "echo hello; sleep 9"], "Always"),
    )
    .await;
    stage
        .cluster
        .write_log("default", "web", "main", "two\nthree\n");
    let log = format!("{PODS}/web/log");
    let read = async |query: &str| {
        stage
            .get(&format!("{log}?{query}"))
            .await
            .1
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(read("").await, "hello\ntwo\nthree\n");
    assert_eq!(read("tailLines=1").await, "three\n");
    assert_eq!(read("limitBytes=7").await, "hello\nt");
    assert_eq!(read("sinceSeconds=3600&tailLines=2").await, "two\nthree\n");
    assert_eq!(read("sinceTime=2100-01-01T00:00:00Z").await, "");
    let stamped = read("timestamps=true&tailLines=1").await;
    assert!(
        stamped.ends_with("Z three\n") && stamped.starts_with("20"),
        "{stamped}"
    );
    let (code, status) = stage.get(&format!("{log}?previous=true")).await;
    assert_eq!(
        (code, &status["message"]),
        (
            400,
            &json!("previous terminated container \"main\" in pod \"web\" not found")
        )
    );
    stage.cluster.restart_container("default", "web", "main");
    let again = async || read("previous=true").await == "hello\ntwo\nthree\n";
    stage.until("it has been restarted", again).await;
    stage
        .until("it says hello again", async || read("").await == "hello\n")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_containers() {
    let stage = Stage::new().await;
    let mut two = pod("two", &["sleep", "9"], "Always");
    two["spec"]["containers"] =
        json!([{"name": "a", "image": "does-not-exist:1"}, {"name": "b", "image": "b:1"}]);
    stage.post(PODS, &two).await;
    let waits = async || {
        let (_, status) = stage.get(&format!("{PODS}/two/log?container=a")).await;
        status["message"]
            == "container \"a\" in pod \"two\" is waiting to start: trying and failing to pull image"
    };
    stage.until("it is refused for its image", waits).await;
    let table = [
        (
            "",
            "a container name must be specified for pod two, choose one of: [a b]",
        ),
        ("container=c", "container c is not valid for pod two"),
    ];
    for (query, words) in table {
        let (code, status) = stage.get(&format!("{PODS}/two/log?{query}")).await;
        assert_eq!((code, &status["message"]), (400, &json!(words)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_follows_until_the_container_ends() {
    let stage = Stage::new().await;
    running(
        &stage,
        &pod("web", &["sh", "-c", "echo hello; sleep 9"], "Never"),
    )
    .await;
    let mut command = stage.command(&["logs", "-f", "web"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "hello");
    for word in ["one", "two"] {
        stage.cluster.write_log("default", "web", "main", word);
        assert_eq!(lines.next().unwrap().unwrap(), word);
    }
    stage.cluster.restart_container("default", "web", "main");
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
}
