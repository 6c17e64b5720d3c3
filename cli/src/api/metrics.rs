//! What the agents measure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Client, More};
use crate::exit::Failure;

/// The latest sample of an agent.
#[derive(Debug, Deserialize, Serialize)]
pub struct Latest {
    /// The agent's name.
    pub name: String,
    /// The agent's `online`, `offline` or `revoked`.
    pub status: String,
    /// When it was taken.
    #[serde(default)]
    pub at: Option<DateTime<Utc>>,
    /// The host.
    #[serde(default)]
    pub host: Option<Host>,
    /// Its containers.
    #[serde(default)]
    pub containers: Vec<Container>,
    #[serde(flatten)]
    more: More,
}

/// The state of a host.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Host {
    /// Share of all cores in use, 0 to 100.
    pub cpu_percent: f64,
    /// Number of cores.
    pub cores: u32,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: Vec<f64>,
    /// Bytes of memory in use.
    pub memory_used: u64,
    /// Bytes of memory there are.
    pub memory_total: u64,
    /// Bytes of disk in use.
    pub disk_used: u64,
    /// Bytes of disk there are.
    pub disk_total: u64,
    #[serde(flatten)]
    more: More,
}

/// The state of a container.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The compose project it belongs to, or empty.
    pub project: String,
    /// Share of one core in use, in percent.
    pub cpu_percent: f64,
    /// Bytes of memory in use.
    pub memory_used: u64,
    /// The limit on its memory in bytes.
    pub memory_limit: u64,
    /// Bytes received.
    pub net_received: u64,
    /// Bytes sent.
    pub net_sent: u64,
    /// How often the engine restarted it.
    pub restarts: u32,
    /// Its health.
    pub health: String,
    #[serde(flatten)]
    more: More,
}

/// The latest samples of all agents.
pub async fn latest(client: &Client) -> Result<Vec<Latest>, Failure> {
    #[derive(Deserialize)]
    struct Items {
        items: Vec<Latest>,
    }
    let items: Items = client.get(&["metrics", "latest"], &[]).await?;
    Ok(items.items)
}
