//! Targets: where a deploy goes.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    Client, More,
    reference::{Nameable, Standing},
};
use crate::exit::Failure;

/// Where a deploy goes.
#[derive(Debug, Deserialize, Serialize)]
pub struct Target {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What kind of engine is there.
    #[serde(default)]
    pub r#type: Option<String>,
    /// The agent that serves it.
    #[serde(default)]
    pub agent_id: Option<Uuid>,
    /// Its agent's `online`, `offline` or `revoked`.
    pub status: String,
    /// The engine's version.
    #[serde(default)]
    pub engine: Option<String>,
    /// The compose plugin's version.
    #[serde(default)]
    pub compose: Option<String>,
    /// `ready`, or `not_ready`.
    #[serde(default)]
    pub ready: Option<String>,
    /// Why it is not ready.
    #[serde(default)]
    pub reason: Option<String>,
    /// What its host is for.
    #[serde(default)]
    pub labels: Vec<String>,
    #[serde(flatten)]
    more: More,
}

/// Gives a target these labels in place of those that it has.
pub async fn label(client: &Client, target: Uuid, labels: &[String]) -> Result<Target, Failure> {
    let path = ["targets", &target.to_string(), "labels"];
    client.put(&path, &json!({ "labels": labels })).await
}

impl Nameable for Target {
    const PATH: &'static str = "targets";
    const WORD: &'static str = "target";
    const LIST: &'static str = "towline targets ls";
    const MAKE: &'static str = "towline agents token NAME";

    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn standing(&self) -> Standing {
        Standing::of(&self.status)
    }
}
