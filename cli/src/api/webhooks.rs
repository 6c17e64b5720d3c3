//! Webhooks of a project, and what was sent to them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Client, More};
use crate::exit::Failure;

/// Somebody who is told what happens.
#[derive(Debug, Deserialize, Serialize)]
pub struct Webhook {
    /// Its id.
    pub id: Uuid,
    /// Where messages go.
    pub url: String,
    /// What it is told of.
    #[serde(default)]
    pub event_types: Vec<String>,
    /// Whether it is told.
    #[serde(default)]
    pub state: String,
    /// When it was made.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// What its messages are signed with, when it was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// A message to a webhook.
#[derive(Debug, Deserialize, Serialize)]
pub struct Delivery {
    /// Its id.
    pub id: Uuid,
    /// What happened.
    #[serde(default)]
    pub event_type: String,
    /// What became of it.
    #[serde(default)]
    pub state: String,
    /// How many attempts were begun.
    #[serde(default)]
    pub attempts: u64,
    /// When the next one is due.
    #[serde(default)]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last answer.
    #[serde(default)]
    pub response_status: Option<u16>,
    /// Why the last attempt failed.
    #[serde(default)]
    pub error: Option<String>,
    /// When it happened.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// The webhooks of a project.
pub async fn list(client: &Client, project: Uuid) -> Result<Vec<Webhook>, Failure> {
    let path = ["projects", &project.to_string(), "webhooks"];
    client.list(&path, &[], None).await
}

/// Makes a webhook; its secret is shown this once.
pub async fn add(
    client: &Client,
    project: Uuid,
    url: &str,
    events: &[String],
) -> Result<Webhook, Failure> {
    let path = ["projects", &project.to_string(), "webhooks"];
    let body = json!({ "url": url, "event_types": events });
    client.post(&path, &body).await
}

/// Deletes a webhook.
pub async fn delete(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["webhooks", &id.to_string()]).await
}

/// Sends a message that says nothing but that it works.
pub async fn test(client: &Client, id: Uuid) -> Result<Delivery, Failure> {
    let path = ["webhooks", &id.to_string(), "test"];
    client.post(&path, &json!({})).await
}

/// What was and is to be sent to a webhook.
pub async fn deliveries(client: &Client, id: Uuid, limit: usize) -> Result<Vec<Delivery>, Failure> {
    let path = ["webhooks", &id.to_string(), "deliveries"];
    client.list(&path, &[], Some(limit)).await
}

/// Sends a message once more.
pub async fn replay(client: &Client, id: Uuid) -> Result<Delivery, Failure> {
    let path = ["webhook-deliveries", &id.to_string(), "replay"];
    client.post(&path, &json!({})).await
}
