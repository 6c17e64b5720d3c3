use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt as _;
use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use towline_shared::outcome::Outcome;

use crate::host::Host;
use crate::world::{COMPOSE, Somebody, World};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, PartialEq)]
struct Event {
    id: Option<u64>,
    name: String,
    data: Value,
}

/// An open stream of events.
struct Events {
    body: BodyDataStream,
    text: String,
}

impl Events {
    async fn open(somebody: &Somebody<'_>, path: &str, last: Option<&str>) -> Self {
        let mut request = somebody.request(Method::GET, path);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = somebody.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event; nothing at the stream's end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if !event.starts_with(':') {
                    return Some(parse(&event));
                }
                continue;
            }
            let piece = timeout(PATIENCE, self.body.next())
                .await
                .expect("in time")?;
            self.text
                .push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    }

    /// The next event of this name.
    async fn skip_to(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect(name);
            if event.name == name {
                return event;
            }
        }
    }
}

fn parse(text: &str) -> Event {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    Event {
        id: field("id: ").map(|id| id.parse().unwrap()),
        name: field("event: ").unwrap().to_owned(),
        data: serde_json::from_str(field("data: ").unwrap()).unwrap(),
    }
}

async fn deployment(ada: &Somebody<'_>) -> String {
    let project = ada.project("shop", &[("compose.yaml", COMPOSE)]).await;
    let path = format!("/api/v1/projects/{project}/deployments");
    let made = ada
        .post(&path, &json!({"target": "web-1"}))
        .await
        .expect(202);
    format!("/api/v1/deployments/{}/log", made["id"].as_str().unwrap())
}

#[tokio::test]
async fn lines_are_read_by_range_and_from_the_end() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let log = deployment(&ada).await;
    let empty = ada.get(&log).await.expect(200);
    assert_eq!(empty, json!({"lines": [], "next": 0, "complete": false}));
    let attempt = host.begin().await;
    host.write(attempt, &["a", "b"]).await;
    host.write(attempt, &["c", "d", "e"]).await;
    host.finish(attempt, Outcome::Succeeded { images: vec![] })
        .await;

    let all = ada.get(&log).await.expect(200);
    assert_eq!((&all["next"], &all["complete"]), (&json!(5), &json!(true)));
    let first = json!({"n": 0, "at": "2023-11-14T22:13:20.000001Z", "stream": "stdout", "source": "web-1", "text": "a"});
    assert_eq!(all["lines"][0], first);
    for (query, texts, next, complete) in [
        ("?from=1&limit=3", &["b", "c", "d"][..], 4, false),
        ("?from=4", &["e"], 5, true),
        ("?from=5", &[], 5, true),
        ("?tail=2", &["d", "e"], 5, true),
        ("?tail=100", &["a", "b", "c", "d", "e"], 5, true),
    ] {
        let page = ada.get(&format!("{log}{query}")).await.expect(200);
        let read: Vec<_> = page["lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["text"].as_str().unwrap())
            .collect();
        assert_eq!(read, texts, "{query}");
        assert_eq!(
            (&page["next"], &page["complete"]),
            (&json!(next), &json!(complete)),
            "{query}"
        );
    }
    for (query, field) in [
        ("?limit=0", "limit"),
        ("?limit=10001", "limit"),
        ("?tail=0", "tail"),
        ("?tail=1&from=1", "tail"),
        ("?from=-1", "from"),
        ("?since=1", "since"),
    ] {
        assert_eq!(
            ada.get(&format!("{log}{query}")).await.expect(422)["field"],
            field,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_stream_gives_history_the_live_tail_changes_and_the_end() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let log = deployment(&ada).await;
    let attempt = host.begin().await;
    host.write(attempt, &["old"]).await;
    let mut events = Events::open(&ada, &format!("{log}/stream"), None).await;
    let status = events.next().await.unwrap();
    assert_eq!((status.name.as_str(), status.id), ("status", None));
    let old = events.skip_to("line").await;
    assert_eq!(
        (old.id, &old.data["text"], &old.data["n"]),
        (Some(0), &json!("old"), &json!(0))
    );

    for n in 1..=20 {
        let began = Instant::now();
        host.write(attempt, &["live"]).await;
        let live = events.skip_to("line").await;
        assert_eq!(live.id, Some(n));
        assert!(
            began.elapsed() < Duration::from_millis(250),
            "{:?}",
            began.elapsed()
        );
    }
    host.write(attempt, &["last"]).await;
    host.finish(attempt, Outcome::Succeeded { images: vec![] })
        .await;
    let last = events.skip_to("line").await;
    assert_eq!(last.id, Some(21));
    let end = events.skip_to("end").await;
    assert_eq!(end.data["status"], "succeeded");
    assert_eq!(end.data["log"]["lines"], 22);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_stream_goes_on_behind_the_last_event_seen() {
    let world = World::open().await;
    let ada = world.first().await;
    let mut host = Host::connect(&ada, &world, "web-1").await;
    let log = deployment(&ada).await;
    let attempt = host.begin().await;
    let many: Vec<_> = (0..2500).map(|n| n.to_string()).collect();
    host.write(
        attempt,
        &many.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await;
    host.finish(attempt, Outcome::Succeeded { images: vec![] })
        .await;
    for (query, last, first) in [
        ("", None, 0),
        ("?from=7", None, 7),
        ("?from=7", Some("2000"), 2001),
        ("", Some("2499"), 2500),
    ] {
        let mut events = Events::open(&ada, &format!("{log}/stream{query}"), last).await;
        let mut expected = first;
        loop {
            let event = events.next().await.unwrap();
            match event.name.as_str() {
                "line" => {
                    assert_eq!(event.id, Some(expected));
                    expected += 1;
                }
                "end" => break,
                _ => {}
            }
        }
        assert_eq!(expected, 2500, "{query} {last:?}");
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_process_stops() {
    let world = World::open().await;
    let ada = world.first().await;
    let _host = Host::connect(&ada, &world, "web-1").await;
    let log = deployment(&ada).await;
    let mut events = Events::open(&ada, &format!("{log}/stream"), None).await;
    events.skip_to("status").await;
    world.stopping.cancel();
    loop {
        match events.next().await {
            None => break,
            Some(event) => assert_eq!(event.name, "status"),
        }
    }
}
