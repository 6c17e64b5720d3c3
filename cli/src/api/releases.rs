//! Releases.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, More, deployments::Image};
use crate::exit::Failure;

/// Files that were frozen, and what came of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Release {
    /// Its id.
    pub id: Uuid,
    /// The SHA-256 of its files.
    #[serde(default)]
    pub digest: String,
    /// Which of them is the compose file.
    #[serde(default)]
    pub compose_file: String,
    /// When it was first frozen.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// How many deployments were asked for with it.
    #[serde(default)]
    pub deployments: u64,
    /// When it first came up somewhere.
    #[serde(default)]
    pub first_deployed_at: Option<DateTime<Utc>>,
    /// When it last came up somewhere.
    #[serde(default)]
    pub last_deployed_at: Option<DateTime<Utc>>,
    /// The images that ran then.
    #[serde(default)]
    pub images: Vec<Image>,
    #[serde(flatten)]
    more: More,
}

/// What differs between two releases.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Diff {
    /// The files that differ.
    #[serde(default)]
    pub files: Vec<FileChange>,
    /// The services whose images differ.
    #[serde(default)]
    pub images: Vec<ImageChange>,
    /// The secrets of which the two were given different versions.
    #[serde(default)]
    pub secrets: Vec<SecretChange>,
    #[serde(flatten)]
    more: More,
}

/// A file that differs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// `added`, `changed` or `removed`.
    pub change: String,
    /// How its text differs.
    #[serde(default)]
    pub text: Option<String>,
    /// Why there is no text, or what else differs.
    #[serde(default)]
    pub note: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// A service whose images differ.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ImageChange {
    /// The service.
    pub service: String,
    /// What it ran.
    #[serde(default)]
    pub from: Option<RanImage>,
    /// What it runs.
    #[serde(default)]
    pub to: Option<RanImage>,
    #[serde(flatten)]
    more: More,
}

/// An image that a service ran.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RanImage {
    /// As the compose file names it.
    pub reference: String,
    /// The engine's id of it.
    pub id: String,
    #[serde(flatten)]
    more: More,
}

/// A secret of which two releases were given different versions.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SecretChange {
    /// Its name.
    pub key: String,
    /// What the one was given.
    #[serde(default)]
    pub from: Option<i64>,
    /// What the other was given.
    #[serde(default)]
    pub to: Option<i64>,
    #[serde(flatten)]
    more: More,
}

/// The newest releases of a project.
pub async fn list(client: &Client, project: Uuid, limit: usize) -> Result<Vec<Release>, Failure> {
    let path = ["projects", &project.to_string(), "releases"];
    client.list(&path, &[], Some(limit)).await
}

/// A release by its id.
pub async fn get(client: &Client, project: Uuid, id: Uuid) -> Result<Release, Failure> {
    let path = [
        "projects",
        &project.to_string(),
        "releases",
        &id.to_string(),
    ];
    client.get(&path, &[]).await
}

/// What differs between two releases, or deployments of them.
pub async fn diff(
    client: &Client,
    project: Uuid,
    (from, to): (Uuid, Uuid),
) -> Result<Diff, Failure> {
    let (project, from, to) = (project.to_string(), from.to_string(), to.to_string());
    let path = ["projects", &project, "releases", &from, "diff", &to];
    client.get(&path, &[]).await
}
