//! GitLab's REST API, version 4.

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::caller::{Caller, read, text};
use super::{
    Account, Branch, ENTRIES, ForgeError, Hook, NewStatus, Part, REPOSITORIES, Repository,
    visibility,
};
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
