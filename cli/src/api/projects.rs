//! Projects and their files.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    Client, More,
    reference::{self, Nameable},
};
use crate::exit::Failure;

/// What a team deploys.
#[derive(Debug, Deserialize, Serialize)]
pub struct Project {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// For how many of its last releases its hosts keep images.
    #[serde(default)]
    pub keep_releases: Option<u16>,
    /// In which namespace of clusters its objects are that name none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

impl Nameable for Project {
    const PATH: &'static str = "projects";
    const WORD: &'static str = "project";
    const LIST: &'static str = "towline projects ls";
    const MAKE: &'static str = "towline projects create NAME";

    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// What was found in uploaded files.
#[derive(Debug, Deserialize, Serialize)]
pub struct Upload {
    /// The files.
    pub files: Vec<File>,
    /// Which of them is the compose file.
    #[serde(default)]
    pub compose_file: Option<String>,
    /// Where its Kubernetes manifests are.
    #[serde(default)]
    pub manifests: Option<String>,
    /// What is to be said about them.
    #[serde(default)]
    pub findings: Vec<Finding>,
    #[serde(flatten)]
    more: More,
}

/// One file.
#[derive(Debug, Deserialize, Serialize)]
pub struct File {
    /// Its path in the project.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    #[serde(flatten)]
    more: More,
}

/// Something to be said about a file.
#[derive(Debug, Deserialize, Serialize)]
pub struct Finding {
    /// `error`, `warning`, …
    pub severity: String,
    /// The file.
    #[serde(default)]
    pub file: String,
    /// The line, from 1.
    #[serde(default)]
    pub line: Option<u32>,
    /// The rule it breaks.
    #[serde(default)]
    pub rule: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
    #[serde(flatten)]
    more: More,
}

impl Finding {
    /// `compose.yaml:3: message (rule)`.
    pub fn sentence(&self) -> String {
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let rule = self
            .rule
            .as_ref()
            .map(|rule| format!(" ({rule})"))
            .unwrap_or_default();
        format!("{}{line}: {}{rule}", self.file, self.message)
    }
}

/// The project that is meant, made when no project has that name.
pub async fn find_or_create(client: &Client, project: &str) -> Result<(Project, Origin), Failure> {
    if reference::id_of(project).is_none() {
        let known = reference::list::<Project>(client)
            .await?
            .into_iter()
            .find(|known| known.name == project);
        return match known {
            Some(known) => Ok((known, Origin::Known)),
            None => match create(client, project).await {
                Ok(made) => Ok((made, Origin::Made)),
                // Somebody else has made it in between.
                Err(failure) if failure.http_status() == Some(409) => {
                    Ok((reference::find(client, project).await?, Origin::Known))
                }
                Err(failure) => Err(failure),
            },
        };
    }
    Ok((reference::find(client, project).await?, Origin::Known))
}

/// Where a project comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Known,
    /// It was made just now.
    Made,
}

/// Makes a project.
pub async fn create(client: &Client, name: &str) -> Result<Project, Failure> {
    client.post(&["projects"], &json!({ "name": name })).await
}

/// Makes a project, of a template if one is named.
pub async fn create_from(
    client: &Client,
    name: &str,
    template: Option<&str>,
    parameters: &BTreeMap<String, String>,
) -> Result<Project, Failure> {
    let Some(template) = template else {
        return create(client, name).await;
    };
    let body = json!({ "name": name, "template": template, "parameters": parameters });
    client.post(&["projects"], &body).await
}

/// What is to change of a project; what is absent stays.
#[derive(Debug, Serialize)]
pub struct Change {
    /// For how many of its last releases hosts keep images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_releases: Option<u16>,
    /// Where its objects are in clusters; empty: where the agent chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Changes what is decided of a project beside its files.
pub async fn change(client: &Client, id: Uuid, change: &Change) -> Result<Project, Failure> {
    client.patch(&["projects", &id.to_string()], change).await
}

/// Takes a project away.
pub async fn delete(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["projects", &id.to_string()]).await
}

/// Replaces all files of a project.
pub async fn put_files(client: &Client, id: Uuid, archive: Vec<u8>) -> Result<Upload, Failure> {
    client
        .put_bytes(
            &["projects", &id.to_string(), "files"],
            "application/x-tar",
            archive,
        )
        .await
}

/// The files of a project.
pub async fn files(client: &Client, id: Uuid) -> Result<Upload, Failure> {
    client
        .get(&["projects", &id.to_string(), "files"], &[])
        .await
}
