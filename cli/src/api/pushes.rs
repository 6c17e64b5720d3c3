//! What forges tell of pushes, and what is deployed of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Client, More};
use crate::exit::Failure;

/// What is deployed of pushes to a project's repository.
#[derive(Debug, Deserialize, Serialize)]
pub struct PushHook {
    /// Its id.
    pub id: Uuid,
    /// Who tells.
    pub forge: String,
    /// Whether anything is deployed.
    #[serde(default)]
    pub state: String,
    /// Where.
    #[serde(default)]
    pub targets: Vec<Named>,
    /// To which branches.
    #[serde(default)]
    pub branches: Vec<String>,
    /// What must have changed.
    #[serde(default)]
    pub include_paths: Vec<String>,
    /// What does not matter.
    #[serde(default)]
    pub exclude_paths: Vec<String>,
    /// For which environment.
    #[serde(default)]
    pub environment: Option<String>,
    /// What happens when it does not come up.
    #[serde(default)]
    pub on_failure: String,
    /// The repository in which Towline has installed it.
    #[serde(default)]
    pub installed_in: Option<String>,
    /// Why the forge has not been told of a new secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_error: Option<String>,
    /// By whose right.
    #[serde(default)]
    pub set_by: Option<Named>,
    /// Where the forge is to send its messages.
    pub url: String,
    /// What it is to sign them with, when that is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// Something by its id and name.
#[derive(Debug, Deserialize, Serialize)]
pub struct Named {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// A hook to set.
#[derive(Debug, Serialize)]
pub struct NewPushHook<'a> {
    /// Who tells.
    pub forge: &'a str,
    /// Where is deployed.
    pub targets: &'a [String],
    /// To which branches.
    pub branches: &'a [String],
    /// What must have changed.
    pub include_paths: &'a [String],
    /// What does not matter.
    pub exclude_paths: &'a [String],
    /// For which environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<&'a str>,
    /// What happens when it does not come up.
    pub on_failure: &'a str,
    /// Whether anything is deployed.
    pub enabled: bool,
}

/// What a forge told, and what became of it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Push {
    /// Its id.
    pub id: Uuid,
    /// What the forge calls it.
    #[serde(default)]
    pub event: String,
    /// Whom the forge let push.
    #[serde(default)]
    pub sender: Option<String>,
    /// What was pushed to.
    #[serde(default)]
    pub reference: Option<String>,
    /// The commit.
    #[serde(default)]
    pub commit_sha: Option<String>,
    /// The first line of its message.
    #[serde(default)]
    pub title: Option<String>,
    /// Whether it counts.
    #[serde(default)]
    pub outcome: String,
    /// Why it does not.
    #[serde(default)]
    pub reason: Option<String>,
    /// What became of it on each target.
    #[serde(default)]
    pub deploys: Vec<PushDeploy>,
    /// When it came.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// What became of a push on a target.
#[derive(Debug, Deserialize, Serialize)]
pub struct PushDeploy {
    /// The target.
    pub target: Named,
    /// Where it is.
    pub state: String,
    /// Its deployment.
    #[serde(default)]
    pub deployment_id: Option<Uuid>,
    /// Why there is none.
    #[serde(default)]
    pub message: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// What is deployed of pushes.
pub async fn show(client: &Client, project: Uuid) -> Result<PushHook, Failure> {
    client.get(&hook(&project.to_string()), &[]).await
}

/// Sets it.
pub async fn set(
    client: &Client,
    project: Uuid,
    new: &NewPushHook<'_>,
) -> Result<PushHook, Failure> {
    client.put(&hook(&project.to_string()), new).await
}

/// Deploys nothing of them any more.
pub async fn delete(client: &Client, project: Uuid) -> Result<(), Failure> {
    client.delete(&hook(&project.to_string())).await
}

/// Makes another secret.
pub async fn rotate_secret(client: &Client, project: Uuid) -> Result<PushHook, Failure> {
    let project = project.to_string();
    let path = ["projects", &project, "push-hook", "rotate-secret"];
    client.post(&path, &json!({})).await
}

/// Has the forge tell it of pushes.
pub async fn install(client: &Client, project: Uuid) -> Result<PushHook, Failure> {
    let project = project.to_string();
    let path = ["projects", &project, "push-hook", "installation"];
    client.put(&path, &json!({})).await
}

/// Takes it away from the forge.
pub async fn uninstall(client: &Client, project: Uuid) -> Result<(), Failure> {
    let project = project.to_string();
    let path = ["projects", &project, "push-hook", "installation"];
    client.delete(&path).await
}

/// The last pushes, newest first.
pub async fn list(client: &Client, project: Uuid, limit: usize) -> Result<Vec<Push>, Failure> {
    let path = ["projects", &project.to_string(), "pushes"];
    client.list(&path, &[], Some(limit)).await
}

fn hook(project: &str) -> [&str; 3] {
    ["projects", project, "push-hook"]
}
