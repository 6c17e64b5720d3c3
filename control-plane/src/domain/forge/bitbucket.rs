//! Bitbucket Cloud's `repo:push`, which tells of several branches at once and of no path.

use serde::Deserialize;

use super::{Message, Told, parse};
use crate::domain::push::{Changes, Push};

/// So many changes Bitbucket tells of at once, and somewhat more.
const MOST_CHANGES: usize = 20;

#[derive(Deserialize)]
struct Body {
    actor: Option<Account>,
    push: Changed,
}

#[derive(Deserialize)]
struct Account {
    nickname: Option<String>,
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct Changed {
    changes: Vec<Change>,
}

#[derive(Deserialize)]
struct Change {
    old: Option<Place>,
    new: Option<Place>,
}

#[derive(Deserialize)]
struct Place {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    target: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    hash: String,
    #[serde(default)]
    message: String,
}

pub(super) fn read(message: &Message<'_>) -> Told {
    if message.header("x-event-key") != Some("repo:push") {
        return Told::Nothing("it is no push; have the hook send pushes alone".to_owned());
    }
    let body: Body = match parse(message) {
        Ok(body) => body,
        Err(why) => return why,
    };
    let sender = body
        .actor
        .and_then(|actor| actor.nickname.or(actor.display_name));
    let changes = body.push.changes.into_iter().take(MOST_CHANGES);
    let pushes: Vec<_> = changes
        .filter_map(|change| push(change, sender.as_deref()))
        .collect();
    if pushes.is_empty() {
        return Told::Nothing("the push has moved nothing".to_owned());
    }
    Told::Pushes(pushes)
}

fn push(change: Change, sender: Option<&str>) -> Option<Push> {
    let is_deleted = change.new.is_none();
    let place = change.new.or(change.old)?;
    let folder = match place.kind.as_str() {
        "branch" | "named_branch" => "heads",
        "tag" | "annotated_tag" => "tags",
        other => other,
    };
    let target = place.target.filter(|_| !is_deleted);
    let (commit, message) = target.map(|commit| (commit.hash, commit.message)).unzip();
    Some(Push {
        reference: format!("refs/{folder}/{}", place.name),
        commit,
        message: message.unwrap_or_default(),
        sender: sender.map(str::to_owned),
        changes: Changes::Unknown,
        default_branch: None,
    })
}
