//! What a program of one's own sends.

use serde::Deserialize;

use super::{Message, Told, commit, parse};
use crate::domain::push::{Changes, Push, paths};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    branch: String,
    commit: String,
    #[serde(default)]
    message: String,
    sender: Option<String>,
    /// All that has changed, when it is known.
    paths: Option<Vec<String>>,
}

pub(super) fn read(message: &Message<'_>) -> Told {
    let body: Body = match parse(message) {
        Ok(body) => body,
        Err(why) => return why,
    };
    let changed = body.paths.as_deref();
    Told::Pushes(vec![Push {
        reference: format!("refs/heads/{}", body.branch),
        commit: commit(&body.commit),
        message: body.message,
        sender: body.sender,
        changes: changed.map_or(Changes::Unknown, |all| {
            paths(all.iter().map(String::as_str))
        }),
        default_branch: None,
    }])
}
