//! What is asked of a host beside its jobs.

use futures_util::StreamExt as _;
use towline_agent::executor::Executor as _;
use towline_agent::executor::docker::DockerExecutor;
use towline_shared::log::{LogLine, decode_payload};
use towline_shared::metrics::Health;
use towline_shared::protocol::v1::{Engine, Plugin};
use towline_shared::query::{Follow, Query, Reply, StreamRequest};

use crate::host::{Host, Kind};

crate::on_both_engines! {
    a_host_tells_what_it_is,
    containers_are_listed_measured_and_read,
    an_engine_that_is_not_there_is_told_apart,
}

async fn a_host_tells_what_it_is(kind: Kind) {
    let found = Host::new(kind).executor().capabilities().await;
    let Engine::Docker { version, api } = &found.engine else {
        panic!("{:?}", found.engine)
    };
    let expected = match kind {
        Kind::Old => "20.",
        Kind::New => "2",
    };
    assert!(
        version.starts_with(expected) && api.starts_with("1."),
        "{version} {api}"
    );
    assert!(
        matches!(&found.compose, Plugin::Version(version) if version.starts_with('2')),
        "{:?}",
        found.compose
    );
    assert!(found.cores > 0 && found.memory > 0 && !found.hostname.is_empty());
}

async fn containers_are_listed_measured_and_read(kind: Kind) {
    let host = Host::new(kind);
    let text = "services:
  web:
    image: IMAGE
    command: sh -c 'seq 1 5; while :; do :; done'
    ports: ['127.0.0.1::80']
    healthcheck: {test: [CMD, 'true'], interval: 200ms}
";
    host.deploy(&[("compose.yaml", text)]).await.succeeded();
    let executor = host.executor();
    let Reply::Containers(all) = executor.ask(Query::Containers).await else {
        panic!("no answer")
    };
    let web = all
        .iter()
        .find(|container| container.project == host.name)
        .unwrap();
    assert_eq!(
        (web.service.as_str(), web.state.as_str(), web.health),
        ("web", "running", Health::Healthy)
    );
    assert!(
        web.ports[0].starts_with("127.0.0.1:") && web.ports[0].ends_with("->80/tcp"),
        "{:?}",
        web.ports
    );
    executor.containers().await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let samples = executor.containers().await;
    let sample = samples
        .iter()
        .find(|sample| sample.project == host.name)
        .unwrap();
    assert!(
        sample.cpu_percent > 5.0 && sample.memory_used > 0,
        "{sample:?}"
    );
    assert_eq!((sample.id.len(), sample.restarts), (12, 0));
    let log = |tail, follow| StreamRequest::ContainerLog {
        container: web.name.clone(),
        tail,
        follow,
    };
    assert_eq!(
        read(&executor, log(None, Follow::No), usize::MAX).await,
        ["1", "2", "3", "4", "5"]
    );
    assert_eq!(
        read(&executor, log(Some(2), Follow::Yes), 2).await,
        ["4", "5"]
    );
    let absent = StreamRequest::ContainerLog {
        container: "none".into(),
        tail: None,
        follow: Follow::No,
    };
    let error = executor
        .open_stream(absent)
        .next()
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.contains("there is no container `none`"), "{error}");
}

async fn read(executor: &DockerExecutor, request: StreamRequest, most: usize) -> Vec<String> {
    let mut stream = executor.open_stream(request);
    let mut lines: Vec<LogLine> = Vec::new();
    while lines.len() < most
        && let Some(piece) = stream.next().await
    {
        lines.extend(decode_payload(&piece.unwrap()).unwrap());
    }
    lines.into_iter().map(|line| line.text).collect()
}

async fn an_engine_that_is_not_there_is_told_apart(kind: Kind) {
    let host = Host::new(kind);
    let mut config = host.config.clone();
    config.host = "unix:///nowhere/docker.sock".into();
    let executor = DockerExecutor::new(config);
    let found = executor.capabilities().await;
    assert!(
        matches!(&found.engine, Engine::Missing(why) if why.contains("cannot be reached")),
        "{:?}",
        found.engine
    );
    assert!(matches!(
        executor.ask(Query::Containers).await,
        Reply::Failed(_)
    ));
    assert!(executor.containers().await.is_empty());
}
