//! Agents.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Client, More,
    reference::{Nameable, Standing},
};
use crate::exit::Failure;

/// A process on a host that dials out and does jobs.
#[derive(Debug, Deserialize, Serialize)]
pub struct Agent {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Where it runs: `host`, `kubernetes` for one in a cluster, or `docker_tls` for one beside the control plane.
    #[serde(default)]
    pub kind: String,
    /// `online`, `offline` or `revoked`.
    pub status: String,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
    /// Its host's name.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Its host's system.
    #[serde(default)]
    pub os: Option<String>,
    /// Its host's architecture.
    #[serde(default)]
    pub arch: Option<String>,
    /// Its host's cores.
    #[serde(default)]
    pub cores: Option<u32>,
    /// Its host's memory in bytes.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Its engine's version.
    #[serde(default)]
    pub engine: Option<String>,
    /// Its compose plugin's version.
    #[serde(default)]
    pub compose: Option<String>,
    /// Since when it is connected.
    #[serde(default)]
    pub connected_at: Option<DateTime<Utc>>,
    /// When it was last heard.
    #[serde(default)]
    pub last_seen_at: Option<DateTime<Utc>>,
    /// When its certificate ends.
    #[serde(default)]
    pub certificate_expires_at: Option<DateTime<Utc>>,
    /// The target that it serves.
    #[serde(default)]
    pub target_id: Option<Uuid>,
    #[serde(flatten)]
    more: More,
}

impl Nameable for Agent {
    const PATH: &'static str = "agents";
    const WORD: &'static str = "agent";
    const LIST: &'static str = "towline agents ls";
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

/// How far an agent is with its last upgrade.
#[derive(Debug, Deserialize, Serialize)]
pub struct Upgrade {
    /// The version that it runs.
    #[serde(default)]
    pub running: Option<String>,
    /// The version that was asked for.
    #[serde(default)]
    pub version: Option<String>,
    /// `idle`, `preparing`, `waiting`, `proving`, `done`, `refused` or `rolled_back`.
    pub state: String,
    /// Why it was refused or taken back.
    #[serde(default)]
    pub why: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// Tells an agent to become the one that the control plane has.
pub async fn upgrade(client: &Client, id: Uuid) -> Result<Upgrade, Failure> {
    let path = ["agents", &id.to_string(), "upgrade"];
    client.post(&path, &serde_json::json!({})).await
}

/// How far its last upgrade is.
pub async fn upgrade_state(client: &Client, id: Uuid) -> Result<Upgrade, Failure> {
    let path = ["agents", &id.to_string(), "upgrade"];
    client.get(&path, &[]).await
}

/// Ends an agent's right to connect, at once and for ever.
pub async fn revoke(client: &Client, id: Uuid) -> Result<serde_json::Value, Failure> {
    client
        .post(
            &["agents", &id.to_string(), "revoke"],
            &serde_json::json!({}),
        )
        .await
}
