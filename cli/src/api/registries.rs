//! Registries that the team logs in to, and where projects' built images go.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::reference::Nameable;
use super::{Client, More};
use crate::exit::Failure;

/// A registry that the team logs in to.
#[derive(Debug, Deserialize, Serialize)]
pub struct Registry {
    /// Its id.
    pub id: Uuid,
    /// Its host.
    #[serde(rename = "registry")]
    pub name: String,
    /// Who logs in.
    #[serde(default)]
    pub user: String,
    /// What the team notes about it.
    #[serde(default)]
    pub note: String,
    /// How many projects push to it.
    #[serde(default)]
    pub projects: u64,
    #[serde(flatten)]
    more: More,
}

/// A login to keep.
#[derive(Serialize)]
pub struct NewRegistry<'a> {
    /// The registry.
    pub registry: &'a str,
    /// Who logs in.
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
    /// What the team notes about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'a str>,
    /// Whether it is tried.
    #[serde(skip_serializing_if = "Check::is_now")]
    pub check: Check,
}

/// Another password.
#[derive(Serialize)]
pub struct Password<'a> {
    /// The password.
    pub password: &'a str,
    /// Whether it is tried.
    #[serde(skip_serializing_if = "Check::is_now")]
    pub check: Check,
}

/// Whether the control plane asks the registry whether it takes a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// At once.
    Now,
    /// Not at all.
    Skip,
}

/// Where a project's built images go.
#[derive(Debug, Deserialize, Serialize)]
pub struct ProjectRegistry {
    /// What their names begin with.
    pub repository: String,
    #[serde(flatten)]
    more: More,
}

impl Check {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    const fn is_now(&self) -> bool {
        matches!(self, Self::Now)
    }
}

impl From<bool> for Check {
    fn from(skip: bool) -> Self {
        if skip { Self::Skip } else { Self::Now }
    }
}

impl Nameable for Registry {
    const PATH: &'static str = "registries";
    const WORD: &'static str = "registry";
    const LIST: &'static str = "towline registries ls";
    const MAKE: &'static str = "towline registries add REGISTRY --user USER";

    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Adds a registry.
pub async fn add(client: &Client, new: &NewRegistry<'_>) -> Result<Registry, Failure> {
    client.post(&["registries"], new).await
}

/// Gives its login another password.
pub async fn set_password(
    client: &Client,
    id: Uuid,
    new: &Password<'_>,
) -> Result<Registry, Failure> {
    client
        .put(&["registries", &id.to_string(), "password"], new)
        .await
}

/// Forgets it.
pub async fn remove(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["registries", &id.to_string()]).await
}

/// Where a project's built images go.
pub async fn of_project(client: &Client, project: Uuid) -> Result<ProjectRegistry, Failure> {
    client
        .get(&["projects", &project.to_string(), "registry"], &[])
        .await
}

/// Has them go there.
pub async fn set_of_project(
    client: &Client,
    project: Uuid,
    repository: &str,
) -> Result<ProjectRegistry, Failure> {
    let body = json!({ "repository": repository });
    client
        .put(&["projects", &project.to_string(), "registry"], &body)
        .await
}

/// Has them go nowhere.
pub async fn forget_of_project(client: &Client, project: Uuid) -> Result<(), Failure> {
    client
        .delete(&["projects", &project.to_string(), "registry"])
        .await
}
