//! The logs that the control plane gives, and the harm it does to them.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio_stream::StreamExt as _;

use super::{Shared, Waits, World, routes::deployment_as};

fn line(number: u64) -> Value {
    json!({
        "n": number, "at": "2026-01-31T12:00:00.5Z", "stream": "stdout", "source": "web-1",
        "text": format!("line {number}"),
    })
}

/// Lines by range or from the end.
pub async fn log(
    State(world): State<Shared>,
    Query(query): Query<Vec<(String, u64)>>,
) -> Json<Value> {
    let asked = |wanted: &str| {
        query
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| *value)
    };
    let world = world.lock().unwrap();
    let from = match (asked("tail"), asked("from")) {
        (Some(tail), _) => world.lines.saturating_sub(tail),
        (None, from) => from.unwrap_or(0),
    };
    let end = world
        .lines
        .min(from + asked("limit").unwrap_or(1000).min(2));
    let end = if asked("tail").is_some() {
        world.lines
    } else {
        end
    };
    let lines: Vec<_> = (from..end).map(line).collect();
    Json(json!({ "lines": lines, "next": end.max(from), "complete": end == world.lines }))
}

/// The deployment's log and status as they grow.
pub async fn deployment(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let from = query[0].1.clone();
    let last = headers
        .get("last-event-id")
        .map(|id| id.to_str().unwrap().to_owned());
    let (events, waits) = {
        let mut world = shared.lock().unwrap();
        world.streams.push((from.clone(), last.clone()));
        (
            events(&mut world, from.parse().unwrap()),
            world.waits_for_cancel,
        )
    };
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    if waits == Waits::No {
        let body = tokio_stream::iter(events).then(cut_here);
        return (kind, Body::from_stream(body)).into_response();
    }
    let before_end = events
        .into_iter()
        .filter(|event| !event.starts_with("event: end"));
    let ending = tokio_stream::once(()).then(move |()| end_after_cancel(Arc::clone(&shared)));
    let body = tokio_stream::iter(before_end)
        .map(Ok::<_, Infallible>)
        .chain(ending);
    (kind, Body::from_stream(body)).into_response()
}

async fn end_after_cancel(world: Shared) -> Result<String, Infallible> {
    while world.lock().unwrap().end["status"] != "cancelled" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let world = world.lock().unwrap();
    Ok(end_event(&world))
}

const CUT: &str = "the connection is cut here";

/// What was sent before has left by then, so that the client is in the middle of the stream.
async fn cut_here(event: String) -> io::Result<String> {
    if event == CUT {
        tokio::time::sleep(Duration::from_millis(20)).await;
        return Err(io::Error::other(CUT));
    }
    Ok(event)
}

fn end_event(world: &World) -> String {
    format!(
        "event: end\ndata: {}\n\n",
        deployment_as(&world.end, world.lines)
    )
}

fn events(world: &mut World, from: u64) -> Vec<String> {
    let running = deployment_as(&json!({ "status": "running", "step": "applying" }), 0);
    let mut events = vec![
        ": hello\n\n".to_owned(),
        format!("event: status\ndata: {running}\n\n"),
    ];
    let skips = std::mem::take(&mut world.skips);
    for number in from.saturating_sub(world.repeats)..world.lines {
        if skips.contains(&number) || world.lost.contains(&number) {
            continue;
        }
        events.push(format!(
            "id: {number}\nevent: line\ndata: {}\n\n",
            line(number)
        ));
    }
    events.push(end_event(world));
    if !world.cuts.is_empty() {
        let cut = world.cuts.remove(0);
        events.truncate(usize::try_from(cut).unwrap());
        events.push(CUT.to_owned());
    }
    events
}

/// The container's log: lines without numbers, two of them at each moment.
pub async fn container(
    State(shared): State<Shared>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let asked = |wanted: &str| {
        query
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    let tail: u64 = asked("tail").map_or(1000, |tail| tail.parse().unwrap());
    let mut world = shared.lock().unwrap();
    let lines: Vec<_> = (world.lines.saturating_sub(tail)..world.lines)
        .map(container_line)
        .collect();
    if asked("follow").is_none() {
        return Json(json!({ "items": lines, "next_cursor": null })).into_response();
    }
    world.container_tails.push(tail);
    let mut events: Vec<_> = lines
        .iter()
        .map(|line| format!("event: line\ndata: {line}\n\n"))
        .collect();
    events.push("event: end\ndata: {}\n\n".to_owned());
    if !world.cuts.is_empty() {
        let cut = world.cuts.remove(0);
        events.truncate(usize::try_from(cut).unwrap());
        events.push(CUT.to_owned());
    }
    let body = tokio_stream::iter(events).then(cut_here);
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(body),
    )
        .into_response()
}

fn container_line(number: u64) -> Value {
    json!({
        "at": format!("2026-01-31T12:00:{:02}Z", number / 2), "stream": "stdout", "source": "web-1",
        "text": format!("line {number}"),
    })
}
