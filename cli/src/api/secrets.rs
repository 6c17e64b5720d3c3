//! The secrets of a project: written, never read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, More};
use crate::exit::Failure;

/// A secret without its value.
#[derive(Debug, Deserialize, Serialize)]
pub struct Secret {
    /// Its name, under which a compose file finds it.
    pub key: String,
    /// When it was last set.
    #[serde(default)]
    pub updated_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// The names of a project's secrets.
pub async fn list(client: &Client, project: Uuid) -> Result<Vec<Secret>, Failure> {
    client
        .list(&["projects", &project.to_string(), "secrets"], &[], None)
        .await
}

/// Sets a secret.
pub async fn set(client: &Client, project: Uuid, key: &str, value: &str) -> Result<(), Failure> {
    let body = serde_json::json!({ "value": value });
    let path = ["projects", &project.to_string(), "secrets", key];
    let _: serde::de::IgnoredAny = client.put(&path, &body).await?;
    Ok(())
}

/// Takes a secret away.
pub async fn delete(client: &Client, project: Uuid, key: &str) -> Result<(), Failure> {
    client
        .delete(&["projects", &project.to_string(), "secrets", key])
        .await
}
