//! The teams of a person.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Client, More, setup::NewKey};
use crate::exit::Failure;

/// A team of the person.
#[derive(Debug, Deserialize, Serialize)]
pub struct Team {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What the person may do there; nothing for single projects.
    #[serde(default)]
    pub role: Option<String>,
    /// Whether the team is this person's.
    #[serde(default, rename = "holds_the_team")]
    pub is_own: bool,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// A team that was just made, with a key for it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Made {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The key, told only now.
    pub api_key: NewKey,
    #[serde(flatten)]
    more: More,
}

/// The person's teams.
pub async fn list(client: &Client) -> Result<Vec<Team>, Failure> {
    client.list(&["teams"], &[], None).await
}

/// Makes a further team.
pub async fn create(client: &Client, name: &str) -> Result<Made, Failure> {
    client.post(&["teams"], &json!({ "name": name })).await
}

/// Gives the client's team another name.
pub async fn rename(client: &Client, name: &str) -> Result<super::Named, Failure> {
    client.patch(&["team"], &json!({ "name": name })).await
}

/// Deletes the client's team.
pub async fn delete(client: &Client) -> Result<(), Failure> {
    client.delete(&["team"]).await
}
