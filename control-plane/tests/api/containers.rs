use axum::body::Body;
use futures_util::StreamExt as _;
use http::Method;
use serde_json::json;
use towline_shared::log::{LogChunk, LogPosition};
use towline_shared::metrics::Health;
use towline_shared::protocol::v1::{FromAgent, FromServer, QueryReply, StreamData, StreamEnd};
use towline_shared::query::{ContainerSummary, Follow, Reply, StreamRequest};

use crate::host::{Host, line};
use crate::world::World;

fn container() -> ContainerSummary {
    ContainerSummary {
        id: "0123".into(),
        name: "shop-web-1".into(),
        image: "busybox".into(),
        project: "shop".into(),
        service: "web".into(),
        state: "running".into(),
        status: "Up 3 minutes".into(),
        health: Health::Healthy,
        created_s: 1_700_000_000,
        ports: vec!["127.0.0.1:8080->80/tcp".into()],
    }
}

async fn answer(host: &mut Host, reply: Reply) {
    let FromServer::Ask(ask) = host.hear().await else {
        panic!("no question")
    };
    host.say(FromAgent::Reply(QueryReply { id: ask.id, reply }))
        .await;
}

async fn opened(host: &mut Host) -> (u32, StreamRequest) {
    let FromServer::OpenStream(open) = host.hear().await else {
        panic!("no stream")
    };
    (open.stream, open.request)
}

async fn send(host: &mut Host, stream: u32, texts: &[&str]) {
    let lines: Vec<_> = texts.iter().copied().map(line).collect();
    let (chunk, _) = LogChunk::encode(LogPosition::default(), &lines).unwrap();
    let bytes = chunk.payload;
    host.say(FromAgent::StreamData(StreamData { stream, bytes }))
        .await;
}

#[tokio::test]
async fn containers_are_asked_of_the_agent() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let path = format!("/api/v1/targets/{}/containers?limit=200", host.target);
    let (listed, ()) = tokio::join!(
        ada.get(&path),
        answer(&mut host, Reply::Containers(vec![container()]))
    );
    let listed = listed.expect(200);
    let shown = &listed["items"][0];
    assert_eq!(
        (&shown["name"], &shown["health"]),
        (&json!("shop-web-1"), &json!("healthy"))
    );
    assert_eq!(shown["created_at"], "2023-11-14T22:13:20Z");

    let (failed, ()) = tokio::join!(
        ada.get(&path),
        answer(&mut host, Reply::Failed("the engine is down".into()))
    );
    assert_eq!(failed.expect(503)["detail"], "the engine is down");
    drop(host);
    let offline = ada.get(&path).await;
    offline.expect(503);
    assert!(offline.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn the_last_lines_of_a_container_are_read() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let path = format!("/api/v1/targets/{}/containers/shop-web-1/logs", host.target);
    let agent = async {
        let (stream, request) = opened(&mut host).await;
        let StreamRequest::ContainerLog {
            container,
            tail,
            follow,
        } = request;
        assert_eq!(
            (container.as_str(), tail, follow),
            ("shop-web-1", Some(2), Follow::No)
        );
        send(&mut host, stream, &["one", "two"]).await;
        host.say(FromAgent::StreamEnd(StreamEnd {
            stream,
            error: None,
        }))
        .await;
    };
    let query = format!("{path}?tail=2");
    let (read, ()) = tokio::join!(ada.get(&query), agent);
    let read = read.expect(200);
    assert_eq!(
        (&read["items"][0]["text"], &read["items"][1]["text"]),
        (&json!("one"), &json!("two"))
    );
    assert!(read["items"][0].get("n").is_none());

    let agent = async {
        let (stream, _) = opened(&mut host).await;
        let error = Some("there is no container shop-web-1".into());
        host.say(FromAgent::StreamEnd(StreamEnd { stream, error }))
            .await;
    };
    let follow = format!("{path}?follow=true");
    let (refused, ()) = tokio::join!(ada.get(&follow), agent);
    assert_eq!(
        refused.expect(503)["detail"],
        "there is no container shop-web-1"
    );
    assert_eq!(
        ada.get(&format!("{path}?tail=10001")).await.expect(422)["field"],
        "tail"
    );
    assert_eq!(
        ada.get(&format!("{path}?follow=maybe")).await.expect(422)["field"],
        "follow"
    );
}

#[tokio::test]
async fn an_answer_has_a_bounded_size() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let path = format!("/api/v1/targets/{}/containers/shop-web-1/logs", host.target);
    let long = "x".repeat(15_000);
    let agent = async {
        let (stream, _) = opened(&mut host).await;
        // Repeated text takes little of the stream's credit.
        for _ in 0..150 {
            send(&mut host, stream, &[&long, &long, &long, &long]).await;
        }
    };
    let (refused, ()) = tokio::join!(ada.get(&path), agent);
    assert_eq!(refused.expect(422)["field"], "tail");
}

#[tokio::test]
async fn a_container_is_followed_and_let_go() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let path = format!(
        "/api/v1/targets/{}/containers/shop-web-1/logs?tail=0&follow=true",
        host.target
    );
    let request = ada.request(Method::GET, &path).body(Body::empty()).unwrap();
    let (response, (stream, _)) = tokio::join!(ada.send(request), opened(&mut host));
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    for n in 0..3 {
        send(&mut host, stream, &["tick"]).await;
        let event = body.next().await.unwrap().unwrap();
        let event = std::str::from_utf8(&event).unwrap();
        assert!(
            event.starts_with("event: line\n") && event.contains("tick"),
            "{n}: {event}"
        );
    }
    drop(body);
    assert!(matches!(host.hear().await, FromServer::CloseStream(close) if close.stream == stream));
}
