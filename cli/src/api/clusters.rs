//! What a project has in a cluster.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Client, More, Named, Whole,
    deployments::{Deployment, persist},
};
use crate::exit::Failure;

/// Something that happened to an object.
#[derive(Debug, Deserialize, Serialize)]
pub struct Event {
    /// When it happened last.
    #[serde(default)]
    pub at: Option<DateTime<Utc>>,
    /// The object, by its kind and name.
    pub object: String,
    /// Its namespace.
    #[serde(default)]
    pub namespace: String,
    /// `normal` or `warning`.
    #[serde(default)]
    pub weight: String,
    /// The cluster's word for it.
    #[serde(default)]
    pub reason: String,
    /// Its sentence.
    #[serde(default)]
    pub message: String,
    /// How often it happened.
    #[serde(default)]
    pub count: u32,
    #[serde(flatten)]
    more: More,
}

/// How what is there differs from what was applied.
#[derive(Debug, Deserialize, Serialize)]
pub struct Drift {
    /// The cluster.
    pub target: Named,
    /// The release that came up last.
    #[serde(default)]
    pub release: Option<String>,
    /// How many objects were compared.
    #[serde(default)]
    pub compared: u32,
    /// Those that differ.
    #[serde(default)]
    pub drifted: Vec<Drifted>,
    #[serde(flatten)]
    more: More,
}

/// An object that is not as it was applied.
#[derive(Debug, Deserialize, Serialize)]
pub struct Drifted {
    /// The object, by its kind and name.
    pub object: String,
    /// Its namespace; empty for one of the whole cluster.
    #[serde(default)]
    pub namespace: String,
    /// `changed` or `gone`.
    pub drift: String,
    /// The fields that differ.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Who has changed anything of it.
    #[serde(default)]
    pub managers: Vec<String>,
    #[serde(flatten)]
    more: More,
}

/// Something to be done at once.
#[derive(Debug, Serialize)]
pub struct NewAction<'a> {
    /// The target's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Uuid>,
    /// The namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<&'a str>,
    /// `restart`, `scale` or `delete_pod`.
    pub action: &'static str,
    /// The kind of the workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The name of the workload or of the pod.
    pub name: &'a str,
    /// How many pods there are to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
}

/// Something that was done.
#[derive(Debug, Deserialize, Serialize)]
pub struct Acted {
    /// The cluster.
    pub target: Named,
    /// What was done.
    pub message: String,
    #[serde(flatten)]
    more: More,
}

/// What happened to what a project has, the latest first.
pub async fn events(
    client: &Client,
    project: Uuid,
    target: Option<Uuid>,
) -> Result<Vec<Event>, Failure> {
    let project = project.to_string();
    let path = ["projects", &project, "cluster", "events"];
    let events: Whole<Event> = client.get(&path, &query(target)).await?;
    Ok(events.items)
}

/// Whether what a project has is as it was applied.
pub async fn drift(client: &Client, project: Uuid, target: Option<Uuid>) -> Result<Drift, Failure> {
    let project = project.to_string();
    let path = ["projects", &project, "cluster", "drift"];
    client.get(&path, &query(target)).await
}

/// Has something done at once.
pub async fn act(client: &Client, project: Uuid, action: &NewAction<'_>) -> Result<Acted, Failure> {
    let project = project.to_string();
    client
        .post(&["projects", &project, "cluster", "actions"], action)
        .await
}

/// Asks for what came up last to be deployed again. It is asked for again under the same key when no answer came.
pub async fn correct(
    client: &Client,
    project: Uuid,
    target: Option<Uuid>,
    idempotency_key: &str,
) -> Result<Deployment, Failure> {
    #[derive(Serialize)]
    struct Correction {
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<Uuid>,
    }
    let project = project.to_string();
    let path = ["projects", &project, "cluster", "correct"];
    let correction = Correction { target };
    persist(|| client.post_once(&path, &correction, idempotency_key)).await
}

fn query(target: Option<Uuid>) -> Vec<(&'static str, String)> {
    target
        .map(|target| ("target", target.to_string()))
        .into_iter()
        .collect()
}
