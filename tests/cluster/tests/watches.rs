//! Watches: what there is, what comes, and that history ends.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use crate::stage::{SOON, Stage, config_map};
use towline_cluster::Settings;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MERGE: &str = "application/merge-patch+json";

/// The lines of a stream, one after the other.
struct Lines {
    response: Response,
    rest: String,
}

impl Lines {
    async fn of(stage: &Stage, query: &str) -> Self {
        let response = stage.stream(&format!("{MAPS}?watch=true&{query}")).await;
        Self {
            response,
            rest: String::new(),
        }
    }

    /// The next event: its type, and the object's name and revision.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((line, rest)) = self.rest.split_once('\n') {
                let event: Value = serde_json::from_str(line).unwrap();
                let rest = rest.to_owned();
                self.rest = rest;
                return Some((event["type"].as_str()?.to_owned(), event["object"].clone()));
            }
            let chunk = tokio::time::timeout(SOON, self.response.chunk())
                .await
                .expect("something comes");
            self.rest
                .push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    async fn kind_and_name(&mut self) -> (String, String) {
        let (kind, object) = self.next().await.expect("it is not over");
        (
            kind,
            object["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    }
}

fn said(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_in_their_order_from_the_revision_on() {
    let stage = Stage::new().await;
    let (_, first) = stage.post(MAPS, &config_map("a", "1")).await;
    let from = first["metadata"]["resourceVersion"].as_str().unwrap();
    let mut lines = Lines::of(
        &stage,
        &format!("resourceVersion={from}&fieldSelector=metadata.name%21%3Dkube-root-ca.crt"),
    )
    .await;
    stage
        .ask(
            "PATCH",
            &format!("{MAPS}/a"),
            MERGE,
            &json!({"data": {"a": "2"}}),
        )
        .await;
    stage.post(MAPS, &config_map("b", "1")).await;
    stage
        .ask("DELETE", &format!("{MAPS}/a"), "", &Value::Null)
        .await;
    assert_eq!(lines.kind_and_name().await, said("MODIFIED", "a"));
    assert_eq!(lines.kind_and_name().await, said("ADDED", "b"));
    assert_eq!(lines.kind_and_name().await, said("DELETED", "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_a_selection_is_gone_for_its_watcher() {
    let stage = Stage::new().await;
    let mut map = config_map("a", "1");
    map["metadata"]["labels"] = json!({"on": "yes"});
    stage.post(MAPS, &map).await;
    let mut lines = Lines::of(&stage, "labelSelector=on%3Dyes").await;
    assert_eq!(lines.kind_and_name().await, said("ADDED", "a"));
    let label = |value: &str| json!({"metadata": {"labels": {"on": value}}});
    stage
        .ask("PATCH", &format!("{MAPS}/a"), MERGE, &label("no"))
        .await;
    assert_eq!(lines.kind_and_name().await, said("DELETED", "a"));
    stage
        .ask("PATCH", &format!("{MAPS}/a"), MERGE, &label("yes"))
        .await;
    assert_eq!(lines.kind_and_name().await, said("ADDED", "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_ends_watches_and_expires_older_revisions() {
    let stage = Stage::new().await;
    let (_, first) = stage.post(MAPS, &config_map("a", "1")).await;
    let from = first["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut open = Lines::of(&stage, &format!("resourceVersion={from}")).await;
    stage.cluster.compact();
    let (kind, status) = open.next().await.unwrap();
    assert_eq!(
        (kind.as_str(), &status["code"], &status["reason"]),
        ("ERROR", &json!(410), &json!("Expired"))
    );
    let mut late = Lines::of(&stage, &format!("resourceVersion={from}")).await;
    let (kind, status) = late.next().await.unwrap();
    let message = status["message"].as_str().unwrap();
    assert!(
        kind == "ERROR" && message.starts_with(&format!("too old resource version: {from} (")),
        "{message}"
    );
    assert!(late.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn bookmarks_tell_the_revision_and_timeouts_end_a_watch() {
    let bookmarks = Duration::from_millis(100);
    let stage = Stage::with(Settings {
        bookmarks,
        ..Settings::default()
    })
    .await;
    let (_, before) = stage.get(MAPS).await;
    let from = before["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    let query = format!("resourceVersion={from}&allowWatchBookmarks=true&timeoutSeconds=1");
    let mut marks = Lines::of(&stage, &query).await;
    stage
        .post(
            "/api/v1/namespaces/default/secrets",
            &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}),
        )
        .await;
    let mut revision = 0;
    while let Some((kind, object)) = marks.next().await {
        assert_eq!(
            (kind.as_str(), &object["kind"]),
            ("BOOKMARK", &json!("ConfigMap")),
            "{object}"
        );
        revision = object["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap();
    }
    assert!(revision > from.parse().unwrap());
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut lines = Lines::of(&stage, query).await;
    assert_eq!(
        lines.kind_and_name().await,
        said("ADDED", "kube-root-ca.crt")
    );
    let (kind, object) = lines.next().await.unwrap();
    assert_eq!(
        (
            kind.as_str(),
            &object["metadata"]["annotations"]["k8s.io/initial-events-end"]
        ),
        ("BOOKMARK", &json!("true"))
    );
}
