//! Repositories that projects come from, and the ways of their commits.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Client, More};
use crate::exit::Failure;

/// Where a project comes from.
#[derive(Debug, Deserialize, Serialize)]
pub struct Source {
    /// The repository's address.
    pub url: String,
    /// The branch, or the repository's own.
    #[serde(default)]
    pub branch: Option<String>,
    /// Where in it the project is.
    #[serde(default)]
    pub folder: String,
    /// What becomes of its submodules.
    #[serde(default)]
    pub submodules: String,
    /// Who reads it.
    #[serde(default)]
    pub login: Option<String>,
    /// The integration by whose token it is read.
    #[serde(default)]
    pub integration: Option<String>,
    /// The commit that was read last.
    #[serde(default)]
    pub commit_sha: String,
    /// The first line of its message.
    #[serde(default)]
    pub title: String,
    #[serde(flatten)]
    more: More,
}

impl Source {
    /// Whether a deploy key reads it.
    pub fn is_over_ssh(&self) -> bool {
        self.url.starts_with("ssh://")
    }
}

/// The key by which a repository is read over ssh.
#[derive(Debug, Deserialize, Serialize)]
pub struct DeployKey {
    /// The repository's address.
    pub url: String,
    /// What the forge is to be given.
    pub public_key: String,
    /// What forges show of it.
    #[serde(default)]
    pub fingerprint: String,
    /// The page at which it is added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_page: Option<String>,
    /// The keys by which the server is known.
    #[serde(default)]
    pub host_keys: Vec<HostKey>,
    /// Whether those are published, or were shown by the server.
    #[serde(default)]
    pub host_keys_from: String,
    /// The repository in which Towline has installed it.
    #[serde(default)]
    pub installed_in: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// A key of a server.
#[derive(Debug, Deserialize, Serialize)]
pub struct HostKey {
    /// Its kind.
    pub kind: String,
    /// What its operator can compare.
    pub fingerprint: String,
    #[serde(flatten)]
    more: More,
}

/// A source to set.
#[derive(Debug, Serialize)]
pub struct NewSource<'a> {
    /// The repository's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<&'a str>,
    /// The integration by whose token it is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration: Option<Uuid>,
    /// What the integration's forge calls the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<&'a str>,
    /// The branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<&'a str>,
    /// The folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<&'a str>,
    /// What becomes of its submodules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submodules: Option<&'static str>,
    /// By what it is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Login<'a>>,
}

/// By what a repository is read.
#[derive(Serialize)]
pub struct Login<'a> {
    /// The user.
    pub user: &'a str,
    /// The password or token.
    pub password: &'a str,
}

impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({}, redacted)", self.user)
    }
}

/// The way of a commit to a target.
#[derive(Debug, Deserialize, Serialize)]
pub struct Pipeline {
    /// Its id.
    pub id: Uuid,
    /// Where it is.
    pub status: String,
    /// The commit.
    #[serde(default)]
    pub commit_sha: String,
    /// Its branch.
    #[serde(default)]
    pub branch: Option<String>,
    /// The first line of its message.
    #[serde(default)]
    pub title: String,
    /// The deployment that it is the way of.
    #[serde(default)]
    pub deployment_id: Option<Uuid>,
    /// Its parts.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// When it was asked for.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// A part of it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub status: String,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<DateTime<Utc>>,
    /// Its lines.
    #[serde(default)]
    pub log: Option<StepLog>,
    #[serde(flatten)]
    more: More,
}

/// The lines of a part.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct StepLog {
    /// In whose log they are.
    pub deployment_id: Uuid,
    /// The first one.
    pub from: u64,
    /// The one behind the last; none, when they go to the end.
    pub to: Option<u64>,
}

/// Where a project comes from.
pub async fn show(client: &Client, project: Uuid) -> Result<Source, Failure> {
    client
        .get(&["projects", &project.to_string(), "source"], &[])
        .await
}

/// Has a project come from a repository.
pub async fn set(client: &Client, project: Uuid, new: &NewSource<'_>) -> Result<Source, Failure> {
    client
        .put(&["projects", &project.to_string(), "source"], new)
        .await
}

/// Has a project consist of its own files again.
pub async fn forget(client: &Client, project: Uuid) -> Result<(), Failure> {
    client
        .delete(&["projects", &project.to_string(), "source"])
        .await
}

/// The key by which a project's repository is read over ssh.
pub async fn key(client: &Client, project: Uuid) -> Result<DeployKey, Failure> {
    client
        .get(&["projects", &project.to_string(), "source", "key"], &[])
        .await
}

/// Makes a new key; the former one counts no longer.
pub async fn renew_key(
    client: &Client,
    project: Uuid,
    url: Option<&str>,
) -> Result<DeployKey, Failure> {
    let path = ["projects", &project.to_string(), "source", "key"];
    client.post(&path, &json!({ "url": url })).await
}

/// Has the forge let the key read the repository, by an integration.
pub async fn install_key(
    client: &Client,
    project: Uuid,
    url: Option<&str>,
    integration: Option<Uuid>,
) -> Result<DeployKey, Failure> {
    let project = project.to_string();
    let path = ["projects", &project, "source", "key", "installation"];
    let body = json!({ "url": url, "integration": integration });
    client.put(&path, &body).await
}

/// Takes the project's keys away from the forges.
pub async fn uninstall_key(client: &Client, project: Uuid) -> Result<(), Failure> {
    let project = project.to_string();
    let path = ["projects", &project, "source", "key", "installation"];
    client.delete(&path).await
}

/// Has the server be known by the keys that it shows now.
pub async fn accept_host_keys(
    client: &Client,
    project: Uuid,
    url: Option<&str>,
    fingerprint: Option<&str>,
) -> Result<DeployKey, Failure> {
    let path = ["projects", &project.to_string(), "source", "host-keys"];
    let body = json!({ "url": url, "fingerprint": fingerprint });
    client.post(&path, &body).await
}

/// The ways of a project's commits, newest first.
pub async fn pipelines(
    client: &Client,
    project: Uuid,
    limit: usize,
) -> Result<Vec<Pipeline>, Failure> {
    let path = ["projects", &project.to_string(), "pipelines"];
    client.list(&path, &[], Some(limit)).await
}

/// One of them.
pub async fn pipeline(client: &Client, project: Uuid, id: Uuid) -> Result<Pipeline, Failure> {
    let path = [
        "projects",
        &project.to_string(),
        "pipelines",
        &id.to_string(),
    ];
    client.get(&path, &[]).await
}
