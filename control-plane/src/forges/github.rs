//! GitHub, and GitHub Enterprise Server: octocrab's requests and models, over our own way out.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use octocrab::models::StatusState;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder, Page};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::Service;
use towline_shared::spec::FileMode;

use super::caller::{Caller, read, scopes};
use super::{
    Account, Branch, ENTRIES, ForgeError, Hook, NewCommit, NewPull, NewStatus, Onto, Part,
    REPOSITORIES, Repository, visibility,
};
use crate::domain::delivery::Change;
use crate::domain::integration::{CommitState, RepositoryPath, segment};

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
}

#[derive(Deserialize)]
struct Installed {
    id: u64,
    #[serde(default)]
    config: HookConfig,
}

#[derive(Default, Deserialize)]
struct HookConfig {
    url: Option<String>,
}

/// Something that git names by what it has.
#[derive(Deserialize)]
struct Object {
    sha: String,
}

#[derive(Deserialize)]
struct Committed {
    tree: Object,
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
}

#[derive(Deserialize)]
struct Key {
    id: u64,
}

/// The guarded way out, as octocrab calls it.
#[derive(Clone)]
struct Outside(Caller);

impl Service<Request<OctoBody>> for Outside {
    type Response = Response<Full<Bytes>>;
    type Error = ForgeError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ForgeError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ForgeError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<OctoBody>) -> Self::Future {
        let caller = self.0.clone();
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let body = body.collect().await.map_err(unfit)?.to_bytes();
            let json = HeaderValue::from_static("application/vnd.github+json");
            head.headers.entry(header::ACCEPT).or_insert(json);
            let url = head.uri.to_string();
            let answer = caller.call(head.method, &url, head.headers, body).await?;
            let mut response = Response::new(Full::from(answer.body));
            *response.headers_mut() = answer.headers;
            if let Ok(status) = answer.status.try_into() {
                *response.status_mut() = status;
            }
            Ok(response)
        })
    }
}

fn octocrab(caller: &Caller) -> Result<Octocrab, ForgeError> {
    let base = caller.api().parse();
    let base = base.map_err(|_| ForgeError::Request("the forge's address".to_owned()))?;
    let built = OctocrabBuilder::new_empty()
        .with_service(Outside(caller.clone()))
        .with_layer(&BaseUriLayer::new(base))
        .with_auth(AuthState::None)
        .build();
    match built {
        Ok(octocrab) => Ok(octocrab),
        Err(never) => match never {},
    }
}

/// What went wrong behind octocrab, in our own words.
fn unfit(error: octocrab::Error) -> ForgeError {
    match error {
        octocrab::Error::Service { source, .. } => match source.downcast::<ForgeError>() {
            Ok(ours) => *ours,
            Err(other) => ForgeError::Request(other.to_string()),
        },
        octocrab::Error::Json { source, .. } => ForgeError::Unreadable(source.to_string()),
        octocrab::Error::Serde { source, .. } => ForgeError::Unreadable(source.to_string()),
        _ => ForgeError::Unreadable("it is none of GitHub's".to_owned()),
    }
}

pub async fn account(caller: &Caller) -> Result<Account, ForgeError> {
    // Its headers are looked at, which octocrab does not give.
    let answer = caller.send(Method::GET, "/user", None).await?;
    let user: User = read(&answer)?;
    Ok(Account {
        id: user.id.to_string(),
        login: user.login,
        scopes: scopes(&answer.headers),
    })
}

pub async fn repositories(caller: &Caller, page: u32) -> Result<Part<Repository>, ForgeError> {
    let octocrab = octocrab(caller)?;
    let listed = octocrab
        .current()
        .list_repos_for_authenticated_user()
        .sort("pushed")
        .per_page(REPOSITORIES)
        .page(u8::try_from(page).unwrap_or(u8::MAX))
        .send();
    part(listed.await.map_err(unfit)?, page, found)
}

pub async fn repository(caller: &Caller, path: &RepositoryPath) -> Result<Repository, ForgeError> {
    let (owner, name) = path.halves();
    let octocrab = octocrab(caller)?;
    found(octocrab.repos(owner, name).get().await.map_err(unfit)?)
}

pub async fn branches(
    caller: &Caller,
    path: &RepositoryPath,
    page: u32,
) -> Result<Part<Branch>, ForgeError> {
    let (owner, name) = path.halves();
    let octocrab = octocrab(caller)?;
    let repository = octocrab.repos(owner, name);
    let listed = repository
        .list_branches()
        .per_page(ENTRIES)
        .page(page)
        .send();
    part(listed.await.map_err(unfit)?, page, |branch| {
        Ok(Branch {
            name: branch.name,
            commit_sha: branch.commit.sha,
        })
    })
}

pub async fn set_status(
    caller: &Caller,
    path: &RepositoryPath,
    status: NewStatus<'_>,
) -> Result<(), ForgeError> {
    let state = match status.state {
        CommitState::Pending => StatusState::Pending,
        CommitState::Success => StatusState::Success,
        CommitState::Failure => StatusState::Failure,
        CommitState::Cancelled => StatusState::Error,
    };
    let (owner, name) = path.halves();
    let octocrab = octocrab(caller)?;
    let set = octocrab
        .repos(owner, name)
        .create_status(status.commit.to_owned(), state)
        .context(status.context.to_owned())
        .description(status.description.to_owned())
        .target(status.url.to_owned())
        .send()
        .await;
    set.map(|_| ()).map_err(unfit)
}

pub async fn hooks(
    caller: &Caller,
    path: &RepositoryPath,
) -> Result<Vec<(String, String)>, ForgeError> {
    let octocrab = octocrab(caller)?;
    let route = format!("{}?per_page={ENTRIES}", hooks_of(path));
    let listed: Vec<Installed> = octocrab.get(route, None::<&()>).await.map_err(unfit)?;
    let pair = |one: Installed| Some((one.id.to_string(), one.config.url?));
    Ok(listed.into_iter().filter_map(pair).collect())
}

pub async fn make_hook(
    caller: &Caller,
    path: &RepositoryPath,
    hook: Hook<'_>,
) -> Result<String, ForgeError> {
    let octocrab = octocrab(caller)?;
    let body = body(hook);
    let made = octocrab.post(hooks_of(path), Some(&body));
    let made: Installed = made.await.map_err(unfit)?;
    Ok(made.id.to_string())
}

pub async fn change_hook(
    caller: &Caller,
    path: &RepositoryPath,
    id: &str,
    hook: Hook<'_>,
) -> Result<(), ForgeError> {
    let octocrab = octocrab(caller)?;
    let body = body(hook);
    let changed = octocrab.patch(hook_of(path, id), Some(&body));
    let _: Installed = changed.await.map_err(unfit)?;
    Ok(())
}

pub async fn remove_hook(
    caller: &Caller,
    path: &RepositoryPath,
    id: &str,
) -> Result<(), ForgeError> {
    let octocrab = octocrab(caller)?;
    let removed = octocrab._delete(hook_of(path, id), None::<&()>).await;
    removed.map(|_| ()).map_err(unfit)
}

/// By git's own parts: the files, the tree with them, the commit of that, and at last the branch, so that nothing is to be seen before
/// all of it is there.
pub async fn commit(
    caller: &Caller,
    path: &RepositoryPath,
    commit: NewCommit<'_>,
) -> Result<(), ForgeError> {
    let octocrab = octocrab(caller)?;
    let git = |rest: &str| format!("/repos/{}/git/{rest}", path.as_str());
    let parent = git(&format!("commits/{}", segment(commit.parent)));
    let parent: Committed = octocrab.get(parent, None::<&()>).await.map_err(unfit)?;
    let mut entries = Vec::new();
    for change in commit.changes {
        let body = json!({ "content": STANDARD.encode(&change.content), "encoding": "base64" });
        let blob: Object = octocrab
            .post(git("blobs"), Some(&body))
            .await
            .map_err(unfit)?;
        entries.push(entry(change, &blob));
    }
    let body = json!({ "base_tree": parent.tree.sha, "tree": entries });
    let tree: Object = octocrab
        .post(git("trees"), Some(&body))
        .await
        .map_err(unfit)?;
    let body = json!({ "message": commit.message, "tree": tree.sha, "parents": [commit.parent] });
    let made: Object = octocrab
        .post(git("commits"), Some(&body))
        .await
        .map_err(unfit)?;
    let done: Result<Value, _> = match commit.onto {
        Onto::NewBranch => {
            let body = json!({ "ref": format!("refs/heads/{}", commit.branch), "sha": made.sha });
            octocrab.post(git("refs"), Some(&body)).await
        }
        Onto::Branch => {
            let body = json!({ "sha": made.sha, "force": false });
            let branch = git(&format!("refs/heads/{}", commit.branch));
            octocrab.patch(branch, Some(&body)).await
        }
    };
    done.map(|_| ()).map_err(unfit)
}

fn entry(change: &Change, blob: &Object) -> Value {
    let mode = match change.mode {
        FileMode::Regular => "100644",
        FileMode::Executable => "100755",
    };
    json!({ "path": change.path, "mode": mode, "type": "blob", "sha": blob.sha })
}

pub async fn open_pull(
    caller: &Caller,
    path: &RepositoryPath,
    branch: &str,
) -> Result<Option<u64>, ForgeError> {
    let head = segment(&format!("{}:{branch}", path.halves().0));
    let route = format!("{}?state=open&per_page=1&head={head}", pulls_of(path));
    let octocrab = octocrab(caller)?;
    let listed: Vec<Pull> = octocrab.get(route, None::<&()>).await.map_err(unfit)?;
    Ok(listed.first().map(|pull| pull.number))
}

pub async fn make_pull(
    caller: &Caller,
    path: &RepositoryPath,
    pull: NewPull<'_>,
) -> Result<u64, ForgeError> {
    let body = json!({
        "title": pull.title, "head": pull.branch, "base": pull.base, "body": pull.body,
    });
    let octocrab = octocrab(caller)?;
    let made: Pull = octocrab
        .post(pulls_of(path), Some(&body))
        .await
        .map_err(unfit)?;
    Ok(made.number)
}

pub async fn make_key(
    caller: &Caller,
    path: &RepositoryPath,
    title: &str,
    key: &str,
) -> Result<String, ForgeError> {
    let body = json!({ "title": title, "key": key, "read_only": true });
    let octocrab = octocrab(caller)?;
    let made: Key = octocrab
        .post(keys_of(path), Some(&body))
        .await
        .map_err(unfit)?;
    Ok(made.id.to_string())
}

pub async fn has_key(caller: &Caller, path: &RepositoryPath, id: &str) -> Result<(), ForgeError> {
    let octocrab = octocrab(caller)?;
    let found = octocrab.get::<Key, _, _>(key_of(path, id), None::<&()>);
    found.await.map(|_| ()).map_err(unfit)
}

pub async fn remove_key(
    caller: &Caller,
    path: &RepositoryPath,
    id: &str,
) -> Result<(), ForgeError> {
    let octocrab = octocrab(caller)?;
    let removed = octocrab._delete(key_of(path, id), None::<&()>).await;
    removed.map(|_| ()).map_err(unfit)
}

fn pulls_of(path: &RepositoryPath) -> String {
    format!("/repos/{}/pulls", path.as_str())
}

fn keys_of(path: &RepositoryPath) -> String {
    format!("/repos/{}/keys", path.as_str())
}

fn key_of(path: &RepositoryPath, id: &str) -> String {
    format!("{}/{}", keys_of(path), segment(id))
}

fn hooks_of(path: &RepositoryPath) -> String {
    format!("/repos/{}/hooks", path.as_str())
}

fn hook_of(path: &RepositoryPath, id: &str) -> String {
    format!("{}/{}", hooks_of(path), segment(id))
}

fn body(hook: Hook<'_>) -> Value {
    json!({
        "name": "web", "active": true, "events": ["push"],
        "config": {"url": hook.url, "content_type": "json", "secret": hook.secret, "insecure_ssl": "0"},
    })
}

fn found(repository: octocrab::models::Repository) -> Result<Repository, ForgeError> {
    let name = repository.full_name;
    let name =
        name.ok_or_else(|| ForgeError::Unreadable("a repository without name".to_owned()))?;
    Ok(Repository {
        name,
        visibility: visibility(repository.private.unwrap_or(true)),
        default_branch: repository.default_branch,
    })
}

fn part<T, U>(
    listed: Page<T>,
    page: u32,
    read: impl Fn(T) -> Result<U, ForgeError>,
) -> Result<Part<U>, ForgeError> {
    // Where the next page is stands in an address of the answer; its number is known without it.
    let next_page = listed.next.is_some().then_some(page + 1);
    let items = listed.items.into_iter().map(read);
    Ok(Part {
        items: items.collect::<Result<_, _>>()?,
        next_page,
    })
}
