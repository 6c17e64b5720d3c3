//! Watches: what there is, then each change in its order, as lines of JSON.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    api::{
        answer::{Body, stream},
        prepare::shown_as,
        read::selection,
        request::{Asked, ResourcePlace},
    },
    document::text,
    kinds::Kind,
    refusal::{Answer, Refusal},
    selectors::Selection,
    state::{Shared, State},
    store::{Change, Event},
};

/// How long a watch lasts that says nothing of it; the real one takes half an hour to an hour.
const LASTS: Duration = Duration::from_mins(40);

/// Whether a watch is told of the revision when nothing happens.
#[derive(Clone, Copy, PartialEq)]
enum Bookmarks {
    Wanted,
    Unknown,
}

struct Watch {
    kind: Arc<Kind>,
    namespace: String,
    selection: Selection,
    /// The revision that the watcher knows all of.
    revision: u64,
    bookmarks: Bookmarks,
}

pub(super) fn respond(
    shared: &Arc<Shared>,
    place: &ResourcePlace,
    asked: &Asked,
) -> Answer<Response<Body>> {
    let bookmarks = if asked.says("allowWatchBookmarks") {
        Bookmarks::Wanted
    } else {
        Bookmarks::Unknown
    };
    let lasts = asked
        .number("timeoutSeconds")
        .filter(|seconds| *seconds > 0)
        .map_or(LASTS, Duration::from_secs);
    let (watch, first) = shared.with(|state| begin(state, place, asked, bookmarks))?;
    let (lines, receiver) = mpsc::channel(64);
    let shared = Arc::clone(shared);
    tokio::spawn(run(shared, watch, first, lines, Instant::now() + lasts));
    Ok(stream("application/json", receiver))
}

/// The watch, and the lines of what is already there.
fn begin(
    state: &State,
    place: &ResourcePlace,
    asked: &Asked,
    bookmarks: Bookmarks,
) -> Answer<(Watch, Vec<String>)> {
    let kind = place.kind(state)?;
    let selection = selection(&kind, place, asked)?;
    let (now, wanted) = (state.store.revision(), asked.number("resourceVersion"));
    let with_initial = asked.says("sendInitialEvents");
    let mut watch = Watch {
        kind,
        namespace: place.namespace.clone(),
        selection,
        revision: now,
        bookmarks,
    };
    let mut lines = Vec::new();
    match wanted.filter(|wanted| *wanted != 0) {
        Some(wanted) if !with_initial => {
            if wanted < state.store.history.oldest() {
                let refusal = Refusal::expired(wanted, state.store.history.oldest());
                lines.push(line("ERROR", &refusal.status()));
            }
            watch.revision = wanted;
        }
        _ => {
            let resource = watch.kind.resource();
            let all = state.store.list(&resource, &place.namespace);
            let meant = all.filter(|object| watch.selection.meets(object));
            lines.extend(meant.map(|object| line("ADDED", &shown_as(&watch.kind, object))));
            if with_initial {
                lines.push(watch.bookmark(json!({"k8s.io/initial-events-end": "true"})));
            }
        }
    }
    Ok((watch, lines))
}

fn line(what: &str, object: &Value) -> String {
    format!("{{\"type\":\"{what}\",\"object\":{object}}}\n")
}

impl Watch {
    fn bookmark(&self, annotations: Value) -> String {
        let mut metadata =
            json!({"resourceVersion": self.revision.to_string(), "creationTimestamp": null});
        if annotations.is_object() {
            metadata["annotations"] = annotations;
        }
        let object = json!({
            "kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata,
        });
        line("BOOKMARK", &object)
    }

    /// The lines of what has happened since, or that the history is gone.
    fn next(&mut self, state: &State) -> Result<Vec<String>, String> {
        let oldest = state.store.history.oldest();
        if self.revision < oldest {
            let refusal = Refusal::expired(self.revision, oldest);
            return Err(line("ERROR", &refusal.status()));
        }
        let resource = self.kind.resource();
        let mut lines = Vec::new();
        for event in state.store.history.after(self.revision) {
            let is_here = *event.resource == *resource
                && (self.namespace.is_empty()
                    || text(&event.object, "metadata/namespace") == self.namespace);
            if is_here {
                lines.extend(self.spoken(event));
            }
        }
        self.revision = self.revision.max(state.store.revision());
        Ok(lines)
    }

    /// A change as the watcher sees it: what comes into the selection is added, what leaves it is gone.
    fn spoken(&self, event: &Event) -> Option<String> {
        let now = self.selection.meets(&event.object);
        let what = match (&event.change, now) {
            (Change::Deleted, true) => "DELETED",
            (Change::Modified(before), true) if self.selection.meets(before) => "MODIFIED",
            (Change::Added | Change::Modified(_), true) => "ADDED",
            (Change::Modified(before), false) if self.selection.meets(before) => "DELETED",
            _ => return None,
        };
        Some(line(what, &shown_as(&self.kind, &event.object)))
    }
}

async fn run(
    shared: Arc<Shared>,
    mut watch: Watch,
    first: Vec<String>,
    lines: mpsc::Sender<Bytes>,
    end: Instant,
) {
    let mut changes = shared.changes();
    let is_over = first
        .iter()
        .any(|line| line.starts_with("{\"type\":\"ERROR\""));
    if !send(&lines, first).await || is_over {
        return;
    }
    let pause = shared.with(|state| state.settings.bookmarks);
    let mut bookmark = Instant::now() + pause;
    loop {
        changes.mark_unchanged();
        match shared.with(|state| watch.next(state)) {
            Ok(new) => {
                if !send(&lines, new).await {
                    return;
                }
            }
            Err(error) => {
                send(&lines, vec![error]).await;
                return;
            }
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = sleep_until(bookmark) => {
                bookmark = Instant::now() + pause;
                let line = watch.bookmark(Value::Null);
                if watch.bookmarks == Bookmarks::Wanted && !send(&lines, vec![line]).await {
                    return;
                }
            }
            () = sleep_until(end) => return,
            () = lines.closed() => return,
        }
    }
}

async fn send(lines: &mpsc::Sender<Bytes>, new: Vec<String>) -> bool {
    if new.is_empty() {
        return !lines.is_closed();
    }
    lines.send(Bytes::from(new.concat())).await.is_ok()
}
