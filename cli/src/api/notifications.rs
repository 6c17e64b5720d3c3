//! What a person was told, over which channels, and by which rules.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Client, More, Named, Whole, webhooks::Delivery};
use crate::exit::Failure;

/// Something that the person was told.
#[derive(Debug, Deserialize, Serialize)]
pub struct Notification {
    /// Its id.
    pub id: Uuid,
    /// What happened, for programs.
    #[serde(default)]
    pub r#type: String,
    /// What happened, in one line.
    #[serde(default)]
    pub message: String,
    /// In which team.
    #[serde(default)]
    pub team: Option<Named>,
    /// Whether it was read.
    #[serde(default)]
    pub is_read: bool,
    /// When it happened.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// A way by which the person is told.
#[derive(Debug, Deserialize, Serialize)]
pub struct Channel {
    /// Its id.
    pub id: Uuid,
    /// What the person calls it.
    #[serde(default)]
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub kind: String,
    /// The host that is called.
    #[serde(default)]
    pub host: Option<String>,
    /// Whether it is used.
    #[serde(default)]
    pub state: String,
    /// Why the last attempt failed.
    #[serde(default)]
    pub last_error: Option<String>,
    /// When something was last sent.
    #[serde(default)]
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// What its messages are signed with, when it was just made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// Where the person is told of an event.
#[derive(Debug, Deserialize, Serialize)]
pub struct Rule {
    /// What happens.
    pub event: String,
    /// In the product.
    #[serde(default)]
    pub in_product: String,
    /// Over channels.
    #[serde(default)]
    pub channels: Vec<ChannelRule>,
    /// Whether nothing else was chosen.
    #[serde(default)]
    pub is_default: bool,
    #[serde(flatten)]
    more: More,
}

/// What a channel tells of an event.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ChannelRule {
    /// The channel.
    pub channel_id: Uuid,
    /// Which occurrences.
    pub tell: String,
}

/// How many have become read.
#[derive(Debug, Deserialize, Serialize)]
pub struct MarkedRead {
    /// The count.
    #[serde(default)]
    pub read: u64,
}

/// What the person was told.
pub async fn list(
    client: &Client,
    unread: bool,
    limit: usize,
) -> Result<Vec<Notification>, Failure> {
    let query = unread.then(|| ("unread", "true".to_owned()));
    let query: Vec<_> = query.into_iter().collect();
    client.list(&["notifications"], &query, Some(limit)).await
}

/// One was read.
pub async fn read(client: &Client, id: Uuid) -> Result<Notification, Failure> {
    let path = ["notifications", &id.to_string(), "read"];
    client.post(&path, &json!({})).await
}

/// All were read.
pub async fn read_all(client: &Client) -> Result<MarkedRead, Failure> {
    client.post(&["notifications", "read"], &json!({})).await
}

/// The person's channels.
pub async fn channels(client: &Client) -> Result<Vec<Channel>, Failure> {
    let listed: Whole<Channel> = client.get(&["notification-channels"], &[]).await?;
    Ok(listed.items)
}

/// Makes a channel.
pub async fn add(
    client: &Client,
    kind: &str,
    name: &str,
    settings: &Value,
) -> Result<Channel, Failure> {
    let body = json!({ "kind": kind, "name": name, "settings": settings });
    client.post(&["notification-channels"], &body).await
}

/// Switches a channel on or off.
pub async fn switch(client: &Client, id: Uuid, enabled: bool) -> Result<Channel, Failure> {
    let path = ["notification-channels", &id.to_string()];
    client.patch(&path, &json!({ "enabled": enabled })).await
}

/// Deletes a channel.
pub async fn delete(client: &Client, id: Uuid) -> Result<(), Failure> {
    let path = ["notification-channels", &id.to_string()];
    client.delete(&path).await
}

/// Sends a test now.
pub async fn test(client: &Client, id: Uuid) -> Result<Delivery, Failure> {
    let path = ["notification-channels", &id.to_string(), "test"];
    client.post(&path, &json!({})).await
}

/// What was and is to be sent over a channel.
pub async fn deliveries(client: &Client, id: Uuid, limit: usize) -> Result<Vec<Delivery>, Failure> {
    let path = ["notification-channels", &id.to_string(), "deliveries"];
    client.list(&path, &[], Some(limit)).await
}

/// What the person is told of, and where.
pub async fn rules(client: &Client) -> Result<Vec<Rule>, Failure> {
    let listed: Whole<Rule> = client.get(&["notification-rules"], &[]).await?;
    Ok(listed.items)
}

/// Chooses for one event.
pub async fn choose(client: &Client, rule: &Value) -> Result<Vec<Rule>, Failure> {
    let body = json!({ "rules": [rule] });
    let listed: Whole<Rule> = client.put(&["notification-rules"], &body).await?;
    Ok(listed.items)
}
