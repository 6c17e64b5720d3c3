//! Deployments and removals.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, More, Named, previews::Preview, projects::Project, reference};
use crate::exit::{Exit, Failure};

/// How often a request with an idempotency key is repeated when no answer came.
const ATTEMPTS: u32 = 4;

/// One attempt to bring a project to a state on a target.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Deployment {
    /// Its id.
    pub id: Uuid,
    /// The project.
    pub project: Named,
    /// The target.
    pub target: Named,
    /// For which environment.
    #[serde(default)]
    pub environment: Option<String>,
    /// `deploy`, `remove`, `build` or `preview`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Where it is.
    pub status: Status,
    /// What its agent does just now.
    #[serde(default)]
    pub step: Option<String>,
    /// The kind of failure.
    #[serde(default)]
    pub reason: Option<String>,
    /// How it ended, for a person.
    #[serde(default)]
    pub message: Option<String>,
    /// When its cancelling was asked for.
    #[serde(default)]
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Since when its agent is out of reach.
    #[serde(default)]
    pub agent_offline_since: Option<DateTime<Utc>>,
    /// How often it was offered to its agent.
    #[serde(default)]
    pub attempts: Option<u32>,
    /// What it applies.
    #[serde(default)]
    pub release_id: Option<Uuid>,
    /// The deployment whose release it brings back.
    #[serde(default)]
    pub rollback_of: Option<Uuid>,
    /// The deployment that builds its images on another target.
    #[serde(default)]
    pub build_id: Option<Uuid>,
    /// What a rollback does not bring back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The images that run, resolved.
    #[serde(default)]
    pub images: Option<Vec<Image>>,
    /// What those are made of that it has built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub built: Vec<BuiltImage>,
    /// What a deploy would have changed, where it was a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// When it was asked for.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// When its agent began.
    #[serde(default)]
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[serde(default)]
    pub finished_at: Option<DateTime<Utc>>,
    /// Who asked for it.
    #[serde(default)]
    pub triggered_by: Option<serde_json::Value>,
    /// Its log.
    #[serde(default)]
    pub log: Option<Log>,
    #[serde(flatten)]
    more: More,
}

/// A log's size and place.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Log {
    /// How many lines it has by now.
    #[serde(default)]
    pub lines: u64,
    #[serde(flatten)]
    more: More,
}

/// The image of one service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Image {
    /// The service.
    pub service: String,
    /// The image as the compose file names it.
    #[serde(default)]
    pub reference: String,
    /// The engine's id of it.
    #[serde(default)]
    pub id: String,
    #[serde(flatten)]
    more: More,
}

/// What an image that was built is made of.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct BuiltImage {
    /// The service.
    pub service: String,
    /// What it takes on the disk, in bytes.
    #[serde(default)]
    pub size: u64,
    /// Its layers, the lowest first.
    #[serde(default)]
    pub layers: Vec<Layer>,
    #[serde(flatten)]
    more: More,
}

/// A layer of an image.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Layer {
    /// The digest of its plain bytes.
    pub digest: String,
    /// Its plain bytes, where the engine tells.
    #[serde(default)]
    pub size: Option<u64>,
    /// The instruction that made it, where the engine tells.
    #[serde(default)]
    pub made_by: String,
    #[serde(flatten)]
    more: More,
}

/// Where a deployment is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for its turn or its agent.
    Queued,
    /// It was sent to its agent.
    Offered,
    /// Its agent has it and prepares.
    Accepted,
    /// Its agent works on it.
    Running,
    /// Its agent is out of reach; the host may still be working.
    Unknown,
    /// It is done.
    Succeeded,
    /// It is not done.
    Failed,
    /// It was stopped on request.
    Cancelled,
    /// A word of a newer control plane.
    #[serde(untagged)]
    Other(String),
}

impl Status {
    /// The word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Queued => "queued",
            Self::Offered => "offered",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Other(word) => word,
        }
    }

    /// The exit code of who waited for this deployment.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Succeeded => Exit::Success,
            Self::Failed => Exit::Failed,
            Self::Cancelled => Exit::Cancelled,
            _ => Exit::Undecided,
        }
    }
}

/// What stands in the way in a cluster, and is done all the same.
#[derive(Debug, Default, Serialize)]
pub struct Forces {
    /// What happens to fields of another manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<&'static str>,
    /// What happens to objects whose change is not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable: Option<&'static str>,
}

/// What to deploy where.
#[derive(Debug, Serialize)]
pub struct NewDeployment {
    /// The target's id.
    pub target: Uuid,
    /// For which environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// How long a service without a health check must stay up, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle_ms: Option<u64>,
    /// How long it may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u64>,
    /// What happens when the agent dies in the middle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interruption: Option<String>,
    /// The branch of the project's repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit of the project's repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What happens when it does not come up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<&'static str>,
    /// The id of the target whose host builds its images, or `label:` and a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_on: Option<String>,
    /// What stands in the way in a cluster, and is done all the same.
    #[serde(flatten)]
    pub forces: Forces,
}

/// What to remove where.
#[derive(Debug, Serialize)]
pub struct NewRemoval {
    /// The target's id.
    pub target: Uuid,
    /// `keep` or `delete`.
    pub volumes: &'static str,
}

/// Asks for a deployment. It is asked for again under the same key when no answer came.
pub async fn create(
    client: &Client,
    project: Uuid,
    deployment: &NewDeployment,
    idempotency_key: &str,
) -> Result<Deployment, Failure> {
    let path = ["projects", &project.to_string(), "deployments"];
    persist(|| client.post_once(&path, deployment, idempotency_key)).await
}

/// Asks for a project's removal from a target. It is asked for again under the same key when no
/// answer came.
pub async fn remove(
    client: &Client,
    project: Uuid,
    removal: &NewRemoval,
    idempotency_key: &str,
) -> Result<Deployment, Failure> {
    let path = ["projects", &project.to_string(), "removals"];
    persist(|| client.post_once(&path, removal, idempotency_key)).await
}

/// To which release to go back, and where.
#[derive(Debug, Serialize)]
pub struct NewRollback {
    /// The target's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Uuid>,
    /// The deployment's or the release's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Uuid>,
    /// What is done in a cluster all the same.
    #[serde(flatten)]
    pub forces: Forces,
}

/// Asks for an earlier release. It is asked for again under the same key when no answer came.
pub async fn roll_back(
    client: &Client,
    project: Uuid,
    rollback: &NewRollback,
    idempotency_key: &str,
) -> Result<Deployment, Failure> {
    let path = ["projects", &project.to_string(), "rollback"];
    persist(|| client.post_once(&path, rollback, idempotency_key)).await
}

pub(super) async fn persist<Asking: Future<Output = Result<Deployment, Failure>>>(
    ask: impl Fn() -> Asking,
) -> Result<Deployment, Failure> {
    let mut wait = Duration::from_millis(300);
    for _ in 1..ATTEMPTS {
        match ask().await {
            Err(failure) if failure.exit() == Exit::Unreachable => {}
            answered => return answered,
        }
        tokio::time::sleep(wait).await;
        wait *= 3;
    }
    ask().await
}

/// Which deployments to list.
#[derive(Debug, Default)]
pub struct Filter {
    /// Of this project only.
    pub project: Option<Uuid>,
    /// On this target only.
    pub target: Option<Uuid>,
    /// With this status only.
    pub status: Option<String>,
}

/// The newest deployments.
pub async fn list(
    client: &Client,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Deployment>, Failure> {
    let mut query = Vec::new();
    query.extend(filter.project.map(|id| ("project", id.to_string())));
    query.extend(filter.target.map(|id| ("target", id.to_string())));
    query.extend(filter.status.clone().map(|status| ("status", status)));
    client.list(&["deployments"], &query, Some(limit)).await
}

/// A deployment by its id.
pub async fn get(client: &Client, id: Uuid) -> Result<Deployment, Failure> {
    client.get(&["deployments", &id.to_string()], &[]).await
}

/// The deployment that is meant: by id, or the newest of the project with that name.
pub async fn find(client: &Client, deployment: &str) -> Result<Deployment, Failure> {
    if let Some(id) = reference::id_of(deployment) {
        return get(client, id).await;
    }
    let project = reference::find::<Project>(client, deployment).await?;
    let filter = Filter {
        project: Some(project.id),
        ..Filter::default()
    };
    list(client, &filter, 1).await?.pop().ok_or_else(|| {
        Failure::new(
            Exit::Failed,
            format!("The project {deployment:?} was never deployed"),
        )
        .remedy(format!(
            "`towline deploy FOLDER --project {deployment} --target TARGET` deploys it"
        ))
    })
}

/// Asks for a deployment to be cancelled.
pub async fn cancel(client: &Client, id: Uuid) -> Result<Deployment, Failure> {
    client
        .post(
            &["deployments", &id.to_string(), "cancel"],
            &serde_json::json!({}),
        )
        .await
}

/// Asks for the same once more.
pub async fn retry(client: &Client, id: Uuid) -> Result<Deployment, Failure> {
    client
        .post(
            &["deployments", &id.to_string(), "retry"],
            &serde_json::json!({}),
        )
        .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_status_is_read_written_and_has_its_exit() {
        let table = [
            ("queued", Exit::Undecided),
            ("offered", Exit::Undecided),
            ("accepted", Exit::Undecided),
            ("running", Exit::Undecided),
            ("unknown", Exit::Undecided),
            ("succeeded", Exit::Success),
            ("failed", Exit::Failed),
            ("cancelled", Exit::Cancelled),
            ("of_a_later_version", Exit::Undecided),
        ];
        for (word, exit) in table {
            let status: Status = serde_json::from_value(word.into()).unwrap();
            assert_eq!((status.as_str(), status.exit()), (word, exit));
            assert_eq!(serde_json::to_value(&status).unwrap(), word);
        }
    }

    #[test]
    fn what_a_newer_control_plane_says_is_kept() {
        let said = serde_json::json!({
            "id": Uuid::nil(), "status": "running", "later": [1],
            "project": {"id": Uuid::nil(), "name": "shop"},
            "target": {"id": Uuid::nil(), "name": "web-1"},
            "log": {"lines": 4, "url": "/x"},
        });
        let read: Deployment = serde_json::from_value(said.clone()).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        for (name, value) in said.as_object().unwrap() {
            assert_eq!(&written[name], value, "{name}");
        }
    }
}
