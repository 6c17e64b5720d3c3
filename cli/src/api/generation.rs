//! What a project is, and the files that it lacks.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, More};
use crate::exit::Failure;

/// What is to be generated.
#[derive(Debug, Serialize)]
pub struct Wish<'a> {
    /// Where it is to run.
    pub target: &'a str,
    /// What tests it and builds its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci: Option<&'a str>,
    /// The image in a registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<&'a str>,
    /// The name under which the world reaches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// What becomes of the files.
    pub mode: &'a str,
    /// What becomes of those with conflicts.
    pub conflicts: &'a str,
}

/// What was detected and generated.
#[derive(Debug, Deserialize, Serialize)]
pub struct Generated {
    /// What the project is.
    pub detected: Detected,
    /// The files.
    pub files: Vec<File>,
    #[serde(flatten)]
    more: More,
}

/// What the project is.
#[derive(Debug, Deserialize, Serialize)]
pub struct Detected {
    /// Why we think so.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What is to be said about it.
    #[serde(default)]
    pub findings: Vec<Finding>,
    #[serde(flatten)]
    more: More,
}

/// Why something was detected.
#[derive(Debug, Deserialize, Serialize)]
pub struct Evidence {
    /// The file.
    pub file: String,
    /// What it says.
    pub says: String,
    /// What follows from that.
    pub therefore: String,
    #[serde(flatten)]
    more: More,
}

/// Something to be said about what was detected.
#[derive(Debug, Deserialize, Serialize)]
pub struct Finding {
    /// The file, unless it is about all of them.
    #[serde(default)]
    pub file: Option<String>,
    /// What there is to know.
    pub message: String,
    #[serde(flatten)]
    more: More,
}

/// A generated file.
#[derive(Debug, Deserialize, Serialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// `new`, `same`, `updated`, `merged`, `conflict` or `kept`.
    pub state: String,
    /// Its text.
    pub content: String,
    /// How that differs from what the project has.
    #[serde(default)]
    pub diff: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// Says what a project is and generates what it lacks.
pub async fn generate(
    client: &Client,
    project: Uuid,
    wish: &Wish<'_>,
) -> Result<Generated, Failure> {
    client
        .post(&["projects", &project.to_string(), "generate"], wish)
        .await
}

/// What was delivered to a repository.
#[derive(Debug, Deserialize, Serialize)]
pub struct Delivery {
    /// `opened`, `updated`, `unchanged` or `nothing`.
    pub outcome: String,
    /// Where the pull request is seen.
    #[serde(default)]
    pub url: Option<String>,
    /// Its branch.
    #[serde(default)]
    pub branch: Option<String>,
    /// The files that were changed.
    #[serde(default)]
    pub files: Vec<String>,
    #[serde(flatten)]
    more: More,
}

/// Delivers the project's generated files as a pull request.
pub async fn deliver(client: &Client, project: Uuid) -> Result<Delivery, Failure> {
    let path = ["projects", &project.to_string(), "pull-request"];
    client.post(&path, &serde_json::json!({})).await
}
