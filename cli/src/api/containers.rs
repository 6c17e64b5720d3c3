//! The containers of a target, asked of its agent.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, EventStream, More, logs::Line};
use crate::exit::Failure;

/// One container.
#[derive(Debug, Deserialize, Serialize)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image as named.
    pub image: String,
    /// The compose project it belongs to, or empty.
    #[serde(default)]
    pub project: String,
    /// The compose service it belongs to, or empty.
    #[serde(default)]
    pub service: String,
    /// The engine's word for its state.
    pub state: String,
    /// The engine's sentence about its state.
    #[serde(default)]
    pub status: String,
    /// Its health.
    #[serde(default)]
    pub health: Option<String>,
    /// Its published ports.
    #[serde(default)]
    pub ports: Vec<String>,
    /// When it was created.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// All containers of a target, stopped ones too.
pub async fn list(client: &Client, target: Uuid) -> Result<Vec<Container>, Failure> {
    client
        .list(&["targets", &target.to_string(), "containers"], &[], None)
        .await
}

/// The last lines of a container's log.
pub async fn log(
    client: &Client,
    target: Uuid,
    name: &str,
    tail: Option<u32>,
) -> Result<Vec<Line>, Failure> {
    #[derive(Deserialize)]
    struct Lines {
        items: Vec<Line>,
    }
    let query: Vec<_> = tail
        .map(|tail| ("tail", tail.to_string()))
        .into_iter()
        .collect();
    let lines: Lines = client
        .get(
            &["targets", &target.to_string(), "containers", name, "logs"],
            &query,
        )
        .await?;
    Ok(lines.items)
}

/// The log of a container as it grows.
pub async fn follow_log(
    client: &Client,
    target: Uuid,
    name: &str,
    tail: Option<u32>,
) -> Result<EventStream, Failure> {
    let mut query = vec![("follow", "true".to_owned())];
    query.extend(tail.map(|tail| ("tail", tail.to_string())));
    client
        .events(
            &["targets", &target.to_string(), "containers", name, "logs"],
            &query,
            None,
        )
        .await
}
