//! GitHub's event `push`, and that of Gitea and Forgejo.

use serde::Deserialize;

use super::{Message, Told, commit, parse};
use crate::domain::push::{Changes, Push, paths};

/// So many commits GitHub tells of at most; there may have been more.
const MOST_COMMITS: usize = 2048;

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "ref")]
    reference: String,
    after: String,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    forced: bool,
    #[serde(default)]
    commits: Vec<Commit>,
    /// Gitea's, which tells of a few.
    total_commits: Option<usize>,
    head_commit: Option<Commit>,
    repository: Option<Repository>,
    sender: Option<Account>,
}

#[derive(Deserialize)]
struct Commit {
    #[serde(default)]
    message: String,
    added: Option<Vec<String>>,
    modified: Option<Vec<String>>,
    removed: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Repository {
    default_branch: Option<String>,
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

pub(super) fn read(message: &Message<'_>) -> Told {
    match message.header("x-github-event") {
        Some("push") => match parse::<Body>(message) {
            Ok(body) => Told::Pushes(vec![push(body)]),
            Err(why) => why,
        },
        Some("ping") => {
            Told::Nothing("GitHub tries whether the hook works, and it does".to_owned())
        }
        _ => Told::Nothing("it is no push; have the hook send pushes alone".to_owned()),
    }
}

fn push(body: Body) -> Push {
    let changes = changes(&body);
    let commit = commit(&body.after).filter(|_| !body.deleted);
    Push {
        reference: body.reference,
        commit,
        message: body
            .head_commit
            .map(|head| head.message)
            .unwrap_or_default(),
        sender: body.sender.map(|account| account.login),
        changes,
        default_branch: body.repository.and_then(|one| one.default_branch),
    }
}

/// A new branch, or one that was moved elsewhere, differs in more than in its new commits.
fn changes(body: &Body) -> Changes {
    let told = body.commits.len();
    let is_cut = told >= MOST_COMMITS || body.total_commits.is_some_and(|all| all > told);
    if body.created || body.forced || is_cut {
        return Changes::Unknown;
    }
    let lists = body
        .commits
        .iter()
        .flat_map(|one| [&one.added, &one.modified, &one.removed]);
    paths(lists.flatten().flatten().map(String::as_str))
}
