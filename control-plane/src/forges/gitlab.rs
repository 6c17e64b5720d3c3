//! GitLab's REST API, version 4.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use towline_shared::spec::FileMode;

use super::caller::{Caller, read, text};
use super::{
    Account, Branch, ENTRIES, ForgeError, Hook, NewCommit, NewPull, NewStatus, Onto, Part,
    REPOSITORIES, Repository, visibility,
};
use crate::domain::delivery::{Before, Change};
use crate::domain::integration::{CommitState, RepositoryPath, segment};

#[derive(Deserialize)]
struct User {
    id: u64,
    username: String,
}

#[derive(Deserialize)]
struct Token {
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Project {
    path_with_namespace: String,
    visibility: Option<String>,
    default_branch: Option<String>,
}

#[derive(Deserialize)]
struct FoundBranch {
    name: String,
    commit: Commit,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
}

#[derive(Deserialize)]
struct Installed {
    id: u64,
    url: Option<String>,
}

#[derive(Deserialize)]
struct Merge {
    iid: u64,
}

#[derive(Deserialize)]
struct Key {
    id: u64,
}

impl From<Project> for Repository {
    fn from(project: Project) -> Self {
        Self {
            name: project.path_with_namespace,
            visibility: visibility(project.visibility.as_deref() != Some("public")),
            default_branch: project.default_branch,
        }
    }
}

pub async fn account(caller: &Caller) -> Result<Account, ForgeError> {
    let user: User = caller.get("/user").await?;
    // Tokens of OAuth tell nothing of themselves.
    let token = caller.get::<Token>("/personal_access_tokens/self").await;
    Ok(Account {
        id: user.id.to_string(),
        login: user.username,
        scopes: token.ok().map(|token| token.scopes),
    })
}

pub async fn repositories(caller: &Caller, page: u32) -> Result<Part<Repository>, ForgeError> {
    let path = format!(
        "/projects?membership=true&order_by=last_activity_at&per_page={REPOSITORIES}&page={page}"
    );
    let listed = list::<Project>(caller, &path, page).await?;
    Ok(Part {
        items: listed.items.into_iter().map(Into::into).collect(),
        next_page: listed.next_page,
    })
}

pub async fn repository(caller: &Caller, path: &RepositoryPath) -> Result<Repository, ForgeError> {
    let project: Project = caller.get(&of(path, "")).await?;
    Ok(project.into())
}

pub async fn branches(
    caller: &Caller,
    path: &RepositoryPath,
    page: u32,
) -> Result<Part<Branch>, ForgeError> {
    let query = format!("/repository/branches?per_page={ENTRIES}&page={page}");
    let listed = list::<FoundBranch>(caller, &of(path, &query), page).await?;
    let branch = |one: FoundBranch| Branch {
        name: one.name,
        commit_sha: one.commit.id,
    };
    Ok(Part {
        items: listed.items.into_iter().map(branch).collect(),
        next_page: listed.next_page,
    })
}

pub async fn set_status(
    caller: &Caller,
    path: &RepositoryPath,
    status: NewStatus<'_>,
) -> Result<(), ForgeError> {
    let state = match status.state {
        CommitState::Pending => "pending",
        CommitState::Success => "success",
        CommitState::Failure => "failed",
        CommitState::Cancelled => "canceled",
    };
    let body = json!({
        "state": state, "name": status.context, "description": status.description, "target_url": status.url,
    });
    let at = of(path, &format!("/statuses/{}", segment(status.commit)));
    match caller.send(Method::POST, &at, Some(&body)).await {
        Ok(_) => Ok(()),
        // It is in that state already.
        Err(ForgeError::Refused { status: 400, words }) if words.contains("Cannot transition") => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

pub async fn hooks(
    caller: &Caller,
    path: &RepositoryPath,
) -> Result<Vec<(String, String)>, ForgeError> {
    let at = of(path, &format!("/hooks?per_page={ENTRIES}"));
    let listed: Vec<Installed> = caller.get(&at).await?;
    let pair = |one: Installed| Some((one.id.to_string(), one.url?));
    Ok(listed.into_iter().filter_map(pair).collect())
}

pub async fn make_hook(
    caller: &Caller,
    path: &RepositoryPath,
    hook: Hook<'_>,
) -> Result<String, ForgeError> {
    let (at, body) = (of(path, "/hooks"), body(hook));
    let made: Installed = caller.ask(Method::POST, &at, Some(&body)).await?;
    Ok(made.id.to_string())
}

pub async fn change_hook(
    caller: &Caller,
    path: &RepositoryPath,
    id: &str,
    hook: Hook<'_>,
) -> Result<(), ForgeError> {
    let (at, body) = (hook_of(path, id), body(hook));
    let changed = caller.send(Method::PUT, &at, Some(&body)).await;
    changed.map(|_| ())
}

pub async fn remove_hook(
    caller: &Caller,
    path: &RepositoryPath,
    id: &str,
) -> Result<(), ForgeError> {
    let at = hook_of(path, id);
    let removed = caller.send(Method::DELETE, &at, None).await;
    removed.map(|_| ())
}

pub async fn commit(
    caller: &Caller,
    path: &RepositoryPath,
    commit: NewCommit<'_>,
) -> Result<(), ForgeError> {
    let actions: Vec<Value> = commit.changes.iter().flat_map(actions).collect();
    let mut body = json!({
        "branch": commit.branch, "commit_message": commit.message, "actions": actions,
    });
    if commit.onto == Onto::NewBranch {
        body["start_sha"] = json!(commit.parent);
    }
    let at = of(path, "/repository/commits");
    let made = caller.send(Method::POST, &at, Some(&body)).await;
    made.map(|_| ())
}

/// What becomes of a file. Whether it may be run is an action of its own.
fn actions(change: &Change) -> Vec<Value> {
    let (action, former) = match change.before {
        Before::Absent => ("create", FileMode::Regular),
        Before::File(mode) => ("update", mode),
    };
    let content = STANDARD.encode(&change.content);
    let mut actions = vec![json!({
        "action": action, "file_path": change.path, "content": content, "encoding": "base64",
    })];
    if former != change.mode {
        let executable = change.mode == FileMode::Executable;
        actions.push(json!({
            "action": "chmod", "file_path": change.path, "execute_filemode": executable,
        }));
    }
    actions
}

pub async fn open_pull(
    caller: &Caller,
    path: &RepositoryPath,
    branch: &str,
) -> Result<Option<u64>, ForgeError> {
    let branch = segment(branch);
    let query = format!("/merge_requests?state=opened&per_page=1&source_branch={branch}");
    let listed: Vec<Merge> = caller.get(&of(path, &query)).await?;
    Ok(listed.first().map(|merge| merge.iid))
}

pub async fn make_pull(
    caller: &Caller,
    path: &RepositoryPath,
    pull: NewPull<'_>,
) -> Result<u64, ForgeError> {
    let body = json!({
        "source_branch": pull.branch, "target_branch": pull.base, "title": pull.title, "description": pull.body,
        "remove_source_branch": true,
    });
    let at = of(path, "/merge_requests");
    let made: Merge = caller.ask(Method::POST, &at, Some(&body)).await?;
    Ok(made.iid)
}

pub async fn make_key(
    caller: &Caller,
    path: &RepositoryPath,
    title: &str,
    key: &str,
) -> Result<String, ForgeError> {
    let body = json!({ "title": title, "key": key, "can_push": false });
    let at = of(path, "/deploy_keys");
    let made: Key = caller.ask(Method::POST, &at, Some(&body)).await?;
    Ok(made.id.to_string())
}

pub async fn has_key(caller: &Caller, path: &RepositoryPath, id: &str) -> Result<(), ForgeError> {
    let found = caller.send(Method::GET, &key_of(path, id), None).await;
    found.map(|_| ())
}

pub async fn remove_key(
    caller: &Caller,
    path: &RepositoryPath,
    id: &str,
) -> Result<(), ForgeError> {
    let removed = caller.send(Method::DELETE, &key_of(path, id), None).await;
    removed.map(|_| ())
}

fn key_of(path: &RepositoryPath, id: &str) -> String {
    of(path, &format!("/deploy_keys/{}", segment(id)))
}

fn of(path: &RepositoryPath, rest: &str) -> String {
    format!("/projects/{}{rest}", segment(path.as_str()))
}

fn hook_of(path: &RepositoryPath, id: &str) -> String {
    of(path, &format!("/hooks/{}", segment(id)))
}

fn body(hook: Hook<'_>) -> Value {
    json!({
        "url": hook.url, "token": hook.secret, "push_events": true, "tag_push_events": false,
        "enable_ssl_verification": true,
    })
}

async fn list<T: DeserializeOwned>(
    caller: &Caller,
    path: &str,
    page: u32,
) -> Result<Part<T>, ForgeError> {
    let answer = caller.send(Method::GET, path, None).await?;
    let next = text(&answer.headers, "x-next-page").unwrap_or_default();
    Ok(Part {
        items: read(&answer)?,
        next_page: (!next.is_empty()).then_some(page + 1),
    })
}
