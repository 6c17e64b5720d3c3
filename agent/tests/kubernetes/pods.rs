//! What runs: waited for, explained, listed, read.

use std::time::Duration;

use futures_util::StreamExt as _;
use towline_agent::executor::Executor as _;
use towline_shared::log::decode_payload;
use towline_shared::outcome::{FailureReason, Outcome};
use towline_shared::query::{Follow, Query, Reply, StreamRequest};
use towline_shared::spec::OnFailure;

use crate::host::{Host, Options, has_pods};

fn deployment(container: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      {container}
"
    )
}

const PAUSE: &str = "containers: [{name: app, image: 'registry.k8s.io/pause:3.9'}]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_done_when_its_pods_are_and_its_images_are_settled() {
    if !has_pods() {
        return;
    }
    let host = Host::new().await;
    let ended = host.deploy(&deployment(PAUSE)).await;
    let images = ended.succeeded();
    assert_eq!(images.len(), 1, "{images:?}");
    assert_eq!(images[0].service, "Deployment/web/app");
    assert_eq!(images[0].reference, "registry.k8s.io/pause:3.9");
    assert!(images[0].digests[0].contains("@sha256:"), "{images:?}");
    let status = host.object("deployment", "web").await.unwrap()["status"].clone();
    assert_eq!(status["availableReplicas"], 2);
    // Brought back later, the very image runs.
    let work = Host::release(&deployment(PAUSE), &images, OnFailure::Leave);
    host.run(work, Options::default()).await.succeeded();
    let web = host.object("deployment", "web").await.unwrap();
    assert_eq!(
        web["spec"]["template"]["spec"]["containers"][0]["image"],
        images[0].digests[0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_come_up_is_explained_by_its_pod() {
    if !has_pods() {
        return;
    }
    let host = Host::new().await;
    let missing = "containers: [{name: app, image: 'registry.example.com/does-not-exist:1'}]";
    let ended = host.deploy(&deployment(missing)).await;
    let message = ended.failed(FailureReason::Unhealthy);
    assert!(
        message.contains("Deployment/web does not come up: pod web-")
            && message.contains("ImagePull"),
        "{message}"
    );
    let image = if host.fake.is_some() {
        "busybox"
    } else {
        "docker.io/library/busybox"
    };
    let crash = format!(
        "containers: [{{name: app, image: {image}, command: [sh, -c, 'echo the last words; exit 1']}}]"
    );
    let ended = host.deploy(&deployment(&crash)).await;
    let message = ended.failed(FailureReason::CrashLoop);
    assert!(message.contains("exit code 1"), "{message}");
    let last: Vec<_> = ended
        .lines
        .iter()
        .filter(|line| line.source.ends_with("/app"))
        .collect();
    assert!(
        last.iter().any(|line| line.text == "the last words"),
        "{:#?}",
        ended.texts()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_scheduled_is_said_when_the_time_is_over() {
    if !has_pods() {
        return;
    }
    let host = Host::new().await;
    let nowhere = format!("nodeSelector: {{there: is-none}}\n      {PAUSE}");
    let options = Options {
        deadline_s: 3,
        ..Options::default()
    };
    let ended = host.run(Host::one(&deployment(&nowhere)), options).await;
    let message = ended.failed(FailureReason::Deadline);
    for words in [
        "Deployment/web",
        "cannot be scheduled",
        "node",
        "deploy again or roll back",
    ] {
        assert!(message.contains(words), "{words:?}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_fails_the_release_and_one_that_is_done_is_done() {
    if !has_pods() {
        return;
    }
    let host = Host::new().await;
    let job = |name: &str, command: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec: {{backoffLimit: 0, template: {{spec: {{restartPolicy: Never, containers: [{{name: app, image: docker.io/library/busybox, command: [sh, -c, '{command}']}}]}}}}}}\n"
        )
    };
    host.deploy(&job("good", "exit 0")).await.succeeded();
    let text = format!("{}---\n{}", job("good", "exit 0"), job("bad", "exit 1"));
    let message = host.deploy(&text).await.failed(FailureReason::Unhealthy);
    assert!(message.contains("Job/bad"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_says_what_it_leaves() {
    if !has_pods() {
        return;
    }
    let host = Host::new().await;
    let nowhere = format!("nodeSelector: {{there: is-none}}\n      {PAUSE}");
    let running = host.start(Host::one(&deployment(&nowhere)), Options::default());
    running.says("Deployment/web created").await;
    running.cancel.cancel();
    let ended = running.ended().await;
    assert!(
        matches!(&ended.outcome, Outcome::Cancelled { left } if left.contains("stays in the cluster")),
        "{:?}",
        ended.outcome
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_are_listed_and_their_logs_followed_over_restarts() {
    if !has_pods() {
        return;
    }
    let host = Host::in_memory().await;
    host.deploy(&deployment(PAUSE)).await.succeeded();
    let executor = host.executor();
    let Reply::Containers(containers) = executor.ask(Query::Containers).await else {
        panic!("no containers");
    };
    assert_eq!(containers.len(), 2);
    assert!(
        containers
            .iter()
            .all(|container| container.project == "shop"
                && container.service == "web"
                && container.state == "running")
    );
    let id = containers[0].id.clone();
    let pod = id.split('/').nth(1).unwrap().to_owned();
    let fake = host.fake();
    fake.write_log(&host.namespace, &pod, "app", "one\ntwo\n");
    let request = |follow| StreamRequest::ContainerLog {
        container: id.clone(),
        tail: None,
        follow,
    };
    let mut stream = executor.open_stream(request(Follow::Yes));
    let mut lines = Vec::new();
    let expected = ["one", "two", "three", "four", "five"];
    let mut next = 2;
    let all = async {
        while lines.len() < expected.len() {
            let piece = stream.next().await.unwrap().unwrap();
            lines.extend(
                decode_payload(&piece)
                    .unwrap()
                    .into_iter()
                    .map(|line| line.text),
            );
            match (lines.len(), next) {
                (2, 2) => {
                    fake.write_log(&host.namespace, &pod, "app", "three\n");
                    next = 3;
                }
                (3, 3) => {
                    fake.away(Duration::from_millis(300));
                    next = 4;
                    fake.write_log(&host.namespace, &pod, "app", "four\n");
                }
                (4, 4) => {
                    fake.restart_container(&host.namespace, &pod, "app");
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    fake.write_log(&host.namespace, &pod, "app", "five\n");
                    next = 5;
                }
                _ => {}
            }
        }
    };
    let done = tokio::time::timeout(Duration::from_mins(1), all).await;
    assert!(done.is_ok(), "{lines:?}");
    assert_eq!(lines, expected);
    let unknown = StreamRequest::ContainerLog {
        container: format!("{}/none/app", host.namespace),
        tail: None,
        follow: Follow::No,
    };
    let refused = executor
        .open_stream(unknown)
        .next()
        .await
        .unwrap()
        .unwrap_err();
    assert!(refused.contains("towline ps"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pods_use_is_measured_where_the_cluster_measures() {
    let host = Host::in_memory().await;
    host.deploy(&deployment(PAUSE)).await.succeeded();
    let executor = host.executor();
    assert!(executor.containers().await.is_empty());
    let fake = host.fake();
    fake.serve_metrics();
    let Reply::Containers(containers) = executor.ask(Query::Containers).await else {
        panic!("no containers");
    };
    let pod = containers[0].id.split('/').nth(1).unwrap();
    fake.use_resources(pod, "250m", "64Mi");
    let samples = executor.containers().await;
    let sample = samples
        .iter()
        .find(|sample| sample.name.starts_with(pod))
        .unwrap();
    assert!((sample.cpu_percent - 25.0).abs() < 0.1, "{sample:?}");
    assert_eq!(sample.memory_used, 64 * 1024 * 1024);
}
