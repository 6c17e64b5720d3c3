//! What containers have written, read at once or followed.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::Response;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    api::{
        answer::{Body, stream, text as as_text},
        read::find,
        request::{Asked, ResourcePlace},
    },
    containers::{ContainerKey, Line, names},
    document::{at, items, text},
    refusal::{Answer, Refusal},
    state::{Shared, State},
};

/// Which lines are wanted, and how.
#[derive(Clone)]
struct Wanted {
    timestamps: bool,
    since: Option<DateTime<Utc>>,
    tail: Option<usize>,
    most: usize,
}

pub(super) fn respond(
    shared: &Arc<Shared>,
    place: &ResourcePlace,
    asked: &Asked,
) -> Answer<Response<Body>> {
    let wanted = wanted(asked)?;
    let (key, pod) = shared.with(|state| container(state, place, asked))?;
    if asked.says("previous") {
        let lines = shared.with(|state| {
            let log = state.containers.log(&key);
            let lines = log.and_then(|log| log.previous()).map(<[Line]>::to_vec);
            lines.ok_or_else(|| {
                let (_, pod, name) = &key;
                Refusal::bad_request(format!(
                    "previous terminated container {name:?} in pod {pod:?} not found"
                ))
            })
        })?;
        return Ok(as_text(
            200,
            wanted.tell(&wanted.choose(&lines), wanted.most),
        ));
    }
    started(&pod, &key)?;
    let (first, place, run) = shared.with(|state| match state.containers.log(&key) {
        Some(log) => {
            let (lines, place) = log.after(0);
            (wanted.choose(lines), place, log.run())
        }
        None => (Vec::new(), 0, 0),
    });
    let words = wanted.tell(&first, wanted.most);
    if !asked.says("follow") {
        return Ok(as_text(200, words));
    }
    let (sender, receiver) = mpsc::channel(16);
    let follow = Follow {
        key,
        wanted,
        place,
        run,
    };
    tokio::spawn(follow.run(Arc::clone(shared), sender, words));
    Ok(stream("text/plain", receiver))
}

fn wanted(asked: &Asked) -> Answer<Wanted> {
    let since = match (asked.number("sinceSeconds"), asked.parameter("sinceTime")) {
        (Some(seconds), _) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX / 2);
            TimeDelta::try_seconds(seconds).and_then(|delta| Utc::now().checked_sub_signed(delta))
        }
        (None, "") => None,
        (None, time) => Some(
            DateTime::parse_from_rfc3339(time)
                .map_err(|error| Refusal::bad_request(format!("parsing time {time:?}: {error}")))?
                .to_utc(),
        ),
    };
    let count = |name: &str| {
        asked
            .number(name)
            .map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    };
    Ok(Wanted {
        timestamps: asked.says("timestamps"),
        since,
        tail: count("tailLines"),
        most: count("limitBytes").unwrap_or(usize::MAX),
    })
}

impl Wanted {
    fn choose(&self, lines: &[Line]) -> Vec<Line> {
        let recent = |line: &&Line| self.since.is_none_or(|since| line.time >= since);
        let chosen: Vec<Line> = lines.iter().filter(recent).cloned().collect();
        let skip = self
            .tail
            .map_or(0, |tail| chosen.len().saturating_sub(tail));
        chosen[skip..].to_vec()
    }

    fn tell(&self, lines: &[Line], most: usize) -> String {
        let mut words = String::new();
        for line in lines {
            if self.timestamps {
                let time = line.time.to_rfc3339_opts(SecondsFormat::Nanos, true);
                words.push_str(&time);
                words.push(' ');
            }
            words.push_str(&line.text);
            words.push('\n');
        }
        let end = (0..=most.min(words.len()))
            .rev()
            .find(|at| words.is_char_boundary(*at));
        words.truncate(end.unwrap_or(0));
        words
    }
}

/// Which container is meant.
fn container(
    state: &State,
    place: &ResourcePlace,
    asked: &Asked,
) -> Answer<(ContainerKey, Arc<Value>)> {
    let kind = place.kind(state)?;
    let pod = find(state, &kind, &place.namespace, &place.name)?;
    let (all, initial) = (names(&pod, "containers"), names(&pod, "initContainers"));
    let wanted = asked.parameter("container");
    let name = match (wanted, all.as_slice()) {
        ("", [one]) if initial.is_empty() => one.clone(),
        ("", _) => {
            let mut message = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                place.name,
                all.join(" ")
            );
            if !initial.is_empty() {
                message = format!(
                    "{message} or one of the init containers: [{}]",
                    initial.join(" ")
                );
            }
            return Err(Refusal::bad_request(message));
        }
        (name, _) if all.iter().chain(&initial).any(|there| there == name) => name.to_owned(),
        (name, _) => {
            let message = format!("container {name} is not valid for pod {}", place.name);
            return Err(Refusal::bad_request(message));
        }
    };
    Ok(((place.namespace.clone(), place.name.clone(), name), pod))
}

/// The container has been started at least once.
fn started(pod: &Value, (_, pod_name, name): &ContainerKey) -> Answer<()> {
    let statuses = items(pod, "status/containerStatuses").iter();
    let mut statuses = statuses.chain(items(pod, "status/initContainerStatuses"));
    let status = statuses.find(|status| text(status, "name") == name);
    let why = match status.map(|status| at(status, "state/waiting/reason")) {
        None if text(pod, "spec/nodeName").is_empty() => {
            return Err(Refusal::bad_request(format!(
                "pod {pod_name} does not have a host assigned"
            )));
        }
        None => "ContainerCreating",
        Some(Value::String(reason)) => match reason.as_str() {
            "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image",
            "CrashLoopBackOff" => return Ok(()),
            reason => reason,
        },
        Some(_) => return Ok(()),
    };
    Err(Refusal::bad_request(format!(
        "container {name:?} in pod {pod_name:?} is waiting to start: {why}"
    )))
}

struct Follow {
    key: ContainerKey,
    wanted: Wanted,
    place: usize,
    run: u64,
}

impl Follow {
    /// Sends what is written until the container ends.
    async fn run(mut self, shared: Arc<Shared>, sender: mpsc::Sender<Bytes>, first: String) {
        let mut left = self.wanted.most.saturating_sub(first.len());
        let mut changes = shared.changes();
        if sender.send(Bytes::from(first)).await.is_err() {
            return;
        }
        loop {
            changes.mark_unchanged();
            let (words, runs) = shared.with(|state| self.next(state, left));
            left = left.saturating_sub(words.len());
            if !words.is_empty() && sender.send(Bytes::from(words)).await.is_err() {
                return;
            }
            if !runs || left == 0 {
                return;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = sender.closed() => return,
            }
        }
    }

    /// New words, and whether more can come.
    fn next(&mut self, state: &State, left: usize) -> (String, bool) {
        let (namespace, pod, name) = &self.key;
        let Some(log) = state.containers.log(&self.key) else {
            return (
                String::new(),
                state.store.get("pods", namespace, pod).is_some(),
            );
        };
        if log.run() > self.run && self.run > 0 {
            return (String::new(), false);
        }
        self.run = log.run();
        let (lines, place) = log.after(self.place);
        let words = self.wanted.tell(lines, left);
        self.place = place;
        let pod = state.store.get("pods", namespace, pod);
        let runs = pod.is_some_and(|pod| {
            let statuses = items(&pod, "status/containerStatuses").iter();
            let mut statuses = statuses.chain(items(&pod, "status/initContainerStatuses"));
            let ended = |status: &Value| at(status, "state/terminated").is_object();
            !statuses.any(|status| text(status, "name") == name && ended(status))
        });
        (words, runs)
    }
}
