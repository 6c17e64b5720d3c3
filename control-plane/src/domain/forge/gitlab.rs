//! GitLab's `Push Hook`.

use serde::Deserialize;

use super::{Message, NOWHERE, Told, commit, parse};
use crate::domain::push::{Changes, Push, paths};

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    user_username: Option<String>,
    project: Option<Project>,
    #[serde(default)]
    commits: Vec<Commit>,
    total_commits_count: Option<usize>,
}

#[derive(Deserialize)]
struct Project {
    default_branch: Option<String>,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    added: Vec<String>,
    #[serde(default)]
    modified: Vec<String>,
    #[serde(default)]
    removed: Vec<String>,
}

pub(super) fn read(message: &Message<'_>) -> Told {
    match message.header("x-gitlab-event") {
        Some("Push Hook" | "Tag Push Hook") => match parse::<Body>(message) {
            Ok(body) => Told::Pushes(vec![push(body)]),
            Err(why) => why,
        },
        _ => Told::Nothing("it is no push; have the hook send push events alone".to_owned()),
    }
}

fn push(body: Body) -> Push {
    let changes = changes(&body);
    let head = body.commits.into_iter().find(|one| one.id == body.after);
    Push {
        reference: body.reference,
        commit: commit(&body.after),
        message: head.map(|head| head.message).unwrap_or_default(),
        sender: body.user_username,
        changes,
        default_branch: body.project.and_then(|one| one.default_branch),
    }
}

/// GitLab tells of twenty commits at most, and how many there are.
fn changes(body: &Body) -> Changes {
    let is_new = body.before.chars().all(|digit| digit == NOWHERE);
    let told = body.commits.len();
    if is_new || body.total_commits_count.is_none_or(|all| all > told) {
        return Changes::Unknown;
    }
    let lists = body
        .commits
        .iter()
        .flat_map(|one| [&one.added, &one.modified, &one.removed]);
    paths(lists.flatten().map(String::as_str))
}
