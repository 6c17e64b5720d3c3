//! The installation as a whole, for its administrators.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, More, Named, agents::Agent};
use crate::exit::Failure;

/// A team of the installation.
#[derive(Debug, Deserialize, Serialize)]
pub struct TeamOverview {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The address of the person whose team it is.
    pub owner: String,
    /// Their plan.
    pub plan: String,
    /// How many people are in it.
    pub members: u64,
    /// How many projects it has.
    pub projects: u64,
    /// How many agents it has.
    pub agents: u64,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// An agent and whose it is.
#[derive(Debug, Deserialize, Serialize)]
pub struct AgentOfTeam {
    /// Whose it is.
    pub team: Named,
    /// The agent.
    #[serde(flatten)]
    pub agent: Agent,
}

/// How much room everything takes.
#[derive(Debug, Deserialize, Serialize)]
pub struct Storage {
    /// The databases.
    pub databases: Vec<DatabaseSize>,
    /// The room of the server's data directory.
    pub data_dir: DiskSpace,
    #[serde(flatten)]
    more: More,
}

/// What a database takes.
#[derive(Debug, Deserialize, Serialize)]
pub struct DatabaseSize {
    /// Which.
    pub name: String,
    /// `sqlite` or `postgres`.
    pub kind: String,
    /// Bytes on its disk.
    pub bytes: u64,
    /// Bytes of these that are free for new rows.
    #[serde(default)]
    pub reusable_bytes: Option<u64>,
    #[serde(flatten)]
    more: More,
}

/// The room of a folder's disk.
#[derive(Debug, Deserialize, Serialize)]
pub struct DiskSpace {
    /// The folder.
    pub path: String,
    /// Bytes of the disk.
    pub disk_bytes: u64,
    /// Bytes that may still be filled.
    pub available_bytes: u64,
    #[serde(flatten)]
    more: More,
}

/// What a server runs with.
#[derive(Debug, Deserialize, Serialize)]
pub struct Configuration {
    /// Its version.
    pub version: String,
    /// What came of flags, environment, file and defaults.
    #[serde(rename = "configuration")]
    pub settings: More,
    #[serde(flatten)]
    more: More,
}

/// All teams.
pub async fn teams(client: &Client) -> Result<Vec<TeamOverview>, Failure> {
    client.list(&["installation", "teams"], &[], None).await
}

/// The agents of all teams.
pub async fn agents(client: &Client) -> Result<Vec<AgentOfTeam>, Failure> {
    client.list(&["installation", "agents"], &[], None).await
}

/// How much room everything takes.
pub async fn storage(client: &Client) -> Result<Storage, Failure> {
    client.get(&["installation", "storage"], &[]).await
}

/// What the server that answers runs with.
pub async fn configuration(client: &Client) -> Result<Configuration, Failure> {
    client.get(&["installation", "configuration"], &[]).await
}
