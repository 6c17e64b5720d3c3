//! The secrets of a project: written, never read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, More, Named};
use crate::exit::Failure;

/// A secret without its value.
#[derive(Debug, Deserialize, Serialize)]
pub struct Secret {
    /// Its name, under which a compose file finds it.
    pub key: String,
    /// What it is given to.
    #[serde(default)]
    pub scope: String,
    /// For which environment; none for all.
    #[serde(default)]
    pub environment: Option<String>,
    /// Its present version.
    #[serde(default)]
    pub version: u64,
    /// When it was last set.
    #[serde(default)]
    pub updated_at: Option<DateTime<Utc>>,
    /// Who last set it.
    #[serde(default)]
    pub set_by: Option<Named>,
    /// What runs with a former value.
    #[serde(default)]
    pub outdated: Vec<OutdatedUse>,
    #[serde(flatten)]
    more: More,
}

/// A deployment that runs with a former value.
#[derive(Debug, Deserialize, Serialize)]
pub struct OutdatedUse {
    /// The deployment.
    pub deployment_id: Uuid,
    /// Where it runs.
    pub target: Named,
    /// The version it was given.
    pub version: u64,
    #[serde(flatten)]
    more: More,
}

/// A version whose value is kept.
#[derive(Debug, Deserialize, Serialize)]
pub struct KeptVersion {
    /// Its number.
    pub version: u64,
    /// When it was set.
    #[serde(default)]
    pub set_at: Option<DateTime<Utc>>,
    /// Who set it.
    #[serde(default)]
    pub set_by: Option<Named>,
    #[serde(flatten)]
    more: More,
}

/// Which secret of a project.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// The project.
    pub project: Uuid,
    /// Its name.
    pub key: &'a str,
    /// Its scope, if it is not the usual one.
    pub scope: Option<&'a str>,
    /// Its environment, if it has one.
    pub environment: Option<&'a str>,
}

impl Name<'_> {
    fn query(&self) -> Vec<(&'static str, String)> {
        let parts = [("scope", self.scope), ("environment", self.environment)];
        let given = parts.into_iter();
        given
            .filter_map(|(name, part)| Some((name, part?.to_owned())))
            .collect()
    }

    /// What a body says beside the name in the path.
    fn body(&self, field: &str, value: &Value) -> Value {
        let mut body = json!({ field: value });
        for (name, part) in self.query() {
            body[name] = part.into();
        }
        body
    }
}

/// The names of a project's secrets.
pub async fn list(client: &Client, project: Uuid) -> Result<Vec<Secret>, Failure> {
    client
        .list(&["projects", &project.to_string(), "secrets"], &[], None)
        .await
}

/// Sets a secret.
pub async fn set(client: &Client, name: Name<'_>, value: &str) -> Result<(), Failure> {
    let path = ["projects", &name.project.to_string(), "secrets", name.key];
    let _: serde::de::IgnoredAny = client
        .put(&path, &name.body("value", &value.into()))
        .await?;
    Ok(())
}

/// Takes a secret away.
pub async fn delete(client: &Client, name: Name<'_>) -> Result<(), Failure> {
    let path = ["projects", &name.project.to_string(), "secrets", name.key];
    client.delete_one_of(&path, &name.query()).await
}

/// The versions of a secret whose values are kept.
pub async fn versions(client: &Client, name: Name<'_>) -> Result<Vec<KeptVersion>, Failure> {
    let project = name.project.to_string();
    let path = ["projects", &project, "secrets", name.key, "versions"];
    let listed: super::Whole<KeptVersion> = client.get(&path, &name.query()).await?;
    Ok(listed.items)
}

/// Sets a secret to a former value.
pub async fn restore(client: &Client, name: Name<'_>, version: u64) -> Result<Secret, Failure> {
    let project = name.project.to_string();
    let path = ["projects", &project, "secrets", name.key, "restore"];
    client
        .post(&path, &name.body("version", &version.into()))
        .await
}
