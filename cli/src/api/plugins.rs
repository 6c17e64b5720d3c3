//! Plugins of the team, and what they were asked and told.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::reference::Nameable;
use super::{Client, More};
use crate::exit::Failure;

/// What is asked before something is done, and told afterwards.
#[derive(Debug, Deserialize, Serialize)]
pub struct Plugin {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Where it is called.
    #[serde(default)]
    pub url: String,
    /// When it is called.
    #[serde(default)]
    pub hooks: Vec<String>,
    /// How long it may take, in seconds.
    #[serde(default)]
    pub timeout_s: u64,
    /// What becomes of what it is asked about when it gives no answer.
    #[serde(default)]
    pub failure_policy: String,
    /// Whether it is called.
    #[serde(default)]
    pub state: String,
    /// What its requests are signed with, when it was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// A call of a plugin.
#[derive(Debug, Deserialize, Serialize)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// The hook.
    #[serde(default)]
    pub hook: String,
    /// What became of the call.
    #[serde(default)]
    pub state: String,
    /// What came of it.
    #[serde(default)]
    pub effect: String,
    /// The HTTP status of the last answer.
    #[serde(default)]
    pub response_status: Option<u16>,
    /// How long the last attempt took, in milliseconds.
    #[serde(default)]
    pub duration_ms: Option<u64>,
    /// Why the last attempt failed.
    #[serde(default)]
    pub error: Option<String>,
    /// What the plugin says.
    #[serde(default)]
    pub message: Option<String>,
    /// When it was.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

impl Nameable for Plugin {
    const PATH: &'static str = "plugins";
    const WORD: &'static str = "plugin";
    const LIST: &'static str = "towline plugins ls";
    const MAKE: &'static str = "towline plugins add NAME URL";

    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Makes a plugin; its secret is shown this once.
pub async fn add(client: &Client, wish: &Map<String, Value>) -> Result<Plugin, Failure> {
    client.post(&["plugins"], wish).await
}

/// Changes a plugin; what is left out stays.
pub async fn change(
    client: &Client,
    id: Uuid,
    change: &Map<String, Value>,
) -> Result<Plugin, Failure> {
    client.patch(&["plugins", &id.to_string()], change).await
}

/// Deletes a plugin.
pub async fn delete(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["plugins", &id.to_string()]).await
}

/// Gives a plugin another secret, which is shown this once.
pub async fn rotate_secret(client: &Client, id: Uuid) -> Result<Plugin, Failure> {
    let path = ["plugins", &id.to_string(), "rotate-secret"];
    client.post(&path, &json!({})).await
}

/// Calls a plugin, to see whether it works.
pub async fn test(client: &Client, id: Uuid) -> Result<Run, Failure> {
    let path = ["plugins", &id.to_string(), "test"];
    client.post(&path, &json!({})).await
}

/// What a plugin was asked and told.
pub async fn runs(client: &Client, id: Uuid, limit: usize) -> Result<Vec<Run>, Failure> {
    let path = ["plugins", &id.to_string(), "runs"];
    client.list(&path, &[], Some(limit)).await
}
