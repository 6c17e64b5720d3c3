//! Bitbucket Cloud's REST API, version 2.0.

use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::caller::{Caller, read, scopes};
use super::{
    Account, Branch, ENTRIES, ForgeError, Hook, NewStatus, Part, REPOSITORIES, Repository,
    visibility,
};
use crate::domain::integration::{CommitState, RepositoryPath, key, segment};

#[derive(Deserialize)]
struct User {
    uuid: String,
    nickname: Option<String>,
    display_name: Option<String>,
}

#[derive(Deserialize)]
struct Values<T> {
    values: Vec<T>,
    next: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Membership {
    workspace: Workspace,
}

#[derive(Deserialize)]
struct Workspace {
    slug: String,
}

#[derive(Deserialize)]
struct Found {
    full_name: String,
    #[serde(default = "hidden")]
    is_private: bool,
    mainbranch: Option<MainBranch>,
}

#[derive(Deserialize)]
struct MainBranch {
    name: String,
}

#[derive(Deserialize)]
struct FoundBranch {
    name: String,
    target: Commit,
}

#[derive(Deserialize)]
struct Commit {
    hash: String,
}

#[derive(Deserialize)]
struct Installed {
    uuid: String,
    url: Option<String>,
}

const fn hidden() -> bool {
    true
}

impl From<Found> for Repository {
    fn from(found: Found) -> Self {
        Self {
            name: found.full_name,
            visibility: visibility(found.is_private),
            default_branch: found.mainbranch.map(|branch| branch.name),
        }
    }
}

pub async fn account(caller: &Caller) -> Result<Account, ForgeError> {
    let answer = caller.send(Method::GET, "/user", None).await?;
    let user: User = read(&answer)?;
    let login = user.nickname.or(user.display_name);
    Ok(Account {
        login: login.unwrap_or_else(|| user.uuid.clone()),
        id: user.uuid,
        scopes: scopes(&answer.headers),
    })
}

pub async fn repositories(
    caller: &Caller,
    page: u32,
    workspace: Option<&str>,
) -> Result<Part<Repository>, ForgeError> {
    let workspace = match workspace {
        Some(one) => one.to_owned(),
        None => only_workspace(caller).await?,
    };
    let path = format!(
        "/repositories/{}?role=member&sort=-updated_on&pagelen={REPOSITORIES}&page={page}",
        segment(&workspace)
    );
    part::<Found, _>(caller, &path, page).await
}

/// There is no list over all workspaces any more.
async fn only_workspace(caller: &Caller) -> Result<String, ForgeError> {
    let path = format!("/user/workspaces?pagelen={ENTRIES}");
    let listed: Values<Membership> = caller.get(&path).await?;
    let mut slugs: Vec<_> = listed
        .values
        .into_iter()
        .map(|one| one.workspace.slug)
        .collect();
    match slugs.as_slice() {
        [] => Err(ForgeError::Absent {
            words: "the account is in no workspace".to_owned(),
        }),
        [_] => Ok(slugs.remove(0)),
        _ => Err(ForgeError::WhichWorkspace(slugs.join(", "))),
    }
}

pub async fn repository(caller: &Caller, path: &RepositoryPath) -> Result<Repository, ForgeError> {
    let found: Found = caller.get(&of(path, "")).await?;
    Ok(found.into())
}

pub async fn branches(
    caller: &Caller,
    path: &RepositoryPath,
    page: u32,
) -> Result<Part<Branch>, ForgeError> {
    let query = format!("/refs/branches?pagelen={ENTRIES}&page={page}");
    part::<FoundBranch, _>(caller, &of(path, &query), page).await
}

impl From<FoundBranch> for Branch {
    fn from(found: FoundBranch) -> Self {
        Self {
            name: found.name,
            commit_sha: found.target.hash,
        }
    }
}

pub async fn set_status(
    caller: &Caller,
    path: &RepositoryPath,
    status: NewStatus<'_>,
) -> Result<(), ForgeError> {
    let state = match status.state {
        CommitState::Pending => "INPROGRESS",
        CommitState::Success => "SUCCESSFUL",
        CommitState::Failure => "FAILED",
        CommitState::Cancelled => "STOPPED",
    };
    let body = json!({
        "key": key(status.context), "state": state, "name": status.context,
        "description": status.description, "url": status.url,
    });
    let rest = format!("/commit/{}/statuses/build", segment(status.commit));
    caller
        .send(Method::POST, &of(path, &rest), Some(&body))
        .await
        .map(|_| ())
}

pub async fn hooks(
    caller: &Caller,
    path: &RepositoryPath,
) -> Result<Vec<(String, String)>, ForgeError> {
    let at = of(path, &format!("/hooks?pagelen={ENTRIES}"));
    let listed: Values<Installed> = caller.get(&at).await?;
    let pair = |one: Installed| Some((one.uuid, one.url?));
    Ok(listed.values.into_iter().filter_map(pair).collect())
}

pub async fn make_hook(
    caller: &Caller,
    path: &RepositoryPath,
    hook: Hook<'_>,
) -> Result<String, ForgeError> {
    let (at, body) = (of(path, "/hooks"), body(hook));
    let made: Installed = caller.ask(Method::POST, &at, Some(&body)).await?;
    Ok(made.uuid)
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
    format!("/repositories/{}{rest}", path.as_str())
}

fn hook_of(path: &RepositoryPath, id: &str) -> String {
    of(path, &format!("/hooks/{}", segment(id)))
}

fn body(hook: Hook<'_>) -> Value {
    json!({
        "description": "Towline", "url": hook.url, "active": true, "events": ["repo:push"], "secret": hook.secret,
    })
}

async fn part<T, U>(caller: &Caller, path: &str, page: u32) -> Result<Part<U>, ForgeError>
where
    T: serde::de::DeserializeOwned + Into<U>,
{
    let listed: Values<T> = caller.get(path).await?;
    Ok(Part {
        items: listed.values.into_iter().map(Into::into).collect(),
        next_page: listed.next.is_some().then_some(page + 1),
    })
}
