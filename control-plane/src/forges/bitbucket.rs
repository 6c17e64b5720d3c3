//! Bitbucket Cloud's REST API, version 2.0.

use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use uuid::Uuid;

use super::caller::{Caller, read, scopes};
use super::{
    Account, Branch, ENTRIES, ForgeError, Hook, NewCommit, NewPull, NewStatus, Part, REPOSITORIES,
    Repository, visibility,
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

#[derive(Deserialize)]
struct Numbered {
    id: u64,
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

/// A form, each of whose files is a field of its path. It has no way to say that a file may be run: one that is there keeps what it has.
pub async fn commit(
    caller: &Caller,
    path: &RepositoryPath,
    commit: NewCommit<'_>,
) -> Result<(), ForgeError> {
    // No file has it in it: nobody can know it before.
    let boundary = Uuid::now_v7().simple().to_string();
    let media = format!("multipart/form-data; boundary={boundary}");
    let media = HeaderValue::from_str(&media)
        .map_err(|_| ForgeError::Request("its kind is no text".to_owned()))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, media);
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let url = format!("{}{}", caller.api(), of(path, "/src"));
    let body = form(&boundary, commit).into();
    let made = caller.call(Method::POST, &url, headers, body).await;
    made.map(|_| ())
}

fn form(boundary: &str, commit: NewCommit<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    let mut field = |head: String, content: &[u8]| {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    };
    for (name, value) in [
        ("message", commit.message),
        ("branch", commit.branch),
        ("parents", commit.parent),
    ] {
        field(format!("name=\"{name}\""), value.as_bytes());
    }
    for change in commit.changes {
        let path = quoted(&change.path);
        let head = format!(
            "name=\"/{path}\"; filename=\"{path}\"\r\nContent-Type: application/octet-stream"
        );
        field(head, &change.content);
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}

/// As browsers write names into forms.
fn quoted(path: &str) -> String {
    path.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

pub async fn open_pull(
    caller: &Caller,
    path: &RepositoryPath,
    branch: &str,
) -> Result<Option<u64>, ForgeError> {
    let wanted = segment(&format!("source.branch.name=\"{branch}\""));
    let query = format!("/pullrequests?state=OPEN&pagelen=1&q={wanted}");
    let listed: Values<Numbered> = caller.get(&of(path, &query)).await?;
    Ok(listed.values.first().map(|one| one.id))
}

pub async fn make_pull(
    caller: &Caller,
    path: &RepositoryPath,
    pull: NewPull<'_>,
) -> Result<u64, ForgeError> {
    let branch = |name: &str| json!({ "branch": { "name": name } });
    let body = json!({
        "title": pull.title, "description": pull.body, "source": branch(pull.branch), "destination": branch(pull.base),
        "close_source_branch": true,
    });
    let at = of(path, "/pullrequests");
    let made: Numbered = caller.ask(Method::POST, &at, Some(&body)).await?;
    Ok(made.id)
}

pub async fn make_key(
    caller: &Caller,
    path: &RepositoryPath,
    label: &str,
    key: &str,
) -> Result<String, ForgeError> {
    // Keys of a repository read alone, whatever is asked for.
    let body = json!({ "label": label, "key": key });
    let at = of(path, "/deploy-keys");
    let made: Numbered = caller.ask(Method::POST, &at, Some(&body)).await?;
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
    of(path, &format!("/deploy-keys/{}", segment(id)))
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
