//! What a deploy would change.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Client, More,
    deployments::{Deployment, Forces, persist},
};
use crate::exit::Failure;

/// What a deploy would have changed when the target's agent looked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Preview {
    /// The services, by name.
    pub services: Vec<Service>,
    /// Networks and volumes that come, or that nothing would use any more.
    pub resources: Vec<Resource>,
    /// How much is left out because a preview is limited in size.
    #[serde(default)]
    pub left_out: u32,
    #[serde(flatten)]
    more: More,
}

/// What would become of a service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Service {
    /// Its name.
    #[serde(rename = "service")]
    pub name: String,
    /// What would become of it.
    pub change: Change,
    /// What differs.
    pub keys: Vec<Key>,
    #[serde(flatten)]
    more: More,
}

/// What would become of a service, network or volume.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It comes.
    Added,
    /// It is replaced.
    Changed,
    /// It is built, and replaced if that gives another image.
    Rebuilt,
    /// It stays.
    Unchanged,
    /// It goes.
    Removed,
    /// It stays, and nothing uses it.
    Unused,
    /// A word of a newer control plane.
    #[serde(untagged)]
    Other(String),
}

/// A part of a service that differs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Key {
    /// Where in the service.
    #[serde(rename = "key")]
    pub place: String,
    /// What runs.
    #[serde(default)]
    pub before: Option<String>,
    /// What would run.
    #[serde(default)]
    pub after: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// A network or volume.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Resource {
    /// `network` or `volume`.
    pub kind: String,
    /// Its name on the engine.
    pub name: String,
    /// What would become of it.
    pub change: Change,
    #[serde(flatten)]
    more: More,
}

/// What to look at, and where.
#[derive(Debug, Serialize)]
pub struct NewPreview {
    /// The target's id.
    pub target: Uuid,
    /// For which environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The branch of the project's repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit of the project's repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// How long it may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_s: Option<u64>,
    /// What the deploy would do in a cluster all the same.
    #[serde(flatten)]
    pub forces: Forces,
}

/// Asks for a preview. It is asked for again under the same key when no answer came.
pub async fn create(
    client: &Client,
    project: Uuid,
    preview: &NewPreview,
    idempotency_key: &str,
) -> Result<Deployment, Failure> {
    let path = ["projects", &project.to_string(), "previews"];
    persist(|| client.post_once(&path, preview, idempotency_key)).await
}
