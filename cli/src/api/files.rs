//! Single files of a project.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, More, projects::Upload};
use crate::exit::Failure;

/// A file with its content.
#[derive(Debug, Deserialize, Serialize)]
pub struct FileContent {
    /// Its path in the project.
    pub path: String,
    /// `regular` or `executable`.
    pub mode: String,
    /// What tells this content from others.
    pub etag: String,
    /// Its text; nothing when it is no UTF-8.
    #[serde(default)]
    pub content: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// A file to write.
#[derive(Debug, Serialize)]
pub struct WriteFile<'a> {
    /// Its text.
    pub content: &'a str,
    /// `regular` or `executable`.
    pub mode: &'a str,
    /// The `etag` of what it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<&'a str>,
}

/// All files of a project.
pub async fn list(client: &Client, project: Uuid) -> Result<Upload, Failure> {
    let path = ["projects", &project.to_string(), "files"];
    client.get(&path, &[]).await
}

/// One file.
pub async fn read(client: &Client, project: Uuid, path: &str) -> Result<FileContent, Failure> {
    let at = ["projects", &project.to_string(), "file"];
    client.get(&at, &[("path", path.to_owned())]).await
}

/// Writes one file; the others stay.
pub async fn write(
    client: &Client,
    project: Uuid,
    path: &str,
    file: &WriteFile<'_>,
) -> Result<Upload, Failure> {
    let at = ["projects", &project.to_string(), "file"];
    client
        .put_one_of(&at, &[("path", path.to_owned())], file)
        .await
}

/// Deletes one file; the others stay.
pub async fn delete(client: &Client, project: Uuid, path: &str) -> Result<(), Failure> {
    let at = ["projects", &project.to_string(), "file"];
    client
        .delete_one_of(&at, &[("path", path.to_owned())])
        .await
}
