//! One's own account: the password, and where one is signed in.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Client, More};
use crate::exit::Failure;

/// A browser in which one is signed in.
#[derive(Debug, Deserialize, Serialize)]
pub struct SignIn {
    /// Its id.
    pub id: Uuid,
    /// What the browser calls itself.
    #[serde(default)]
    pub user_agent: String,
    /// From where one signed in.
    #[serde(default)]
    pub address: String,
    /// When one signed in.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last used.
    #[serde(default)]
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it ends.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// Where one is signed in.
pub async fn sessions(client: &Client) -> Result<Vec<SignIn>, Failure> {
    client.list(&["sessions"], &[], None).await
}

/// Signs one out somewhere.
pub async fn revoke(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["sessions", &id.to_string()]).await
}

/// Changes the password.
pub async fn change_password(client: &Client, present: &str, new: &str) -> Result<(), Failure> {
    let body = json!({ "password": present, "new_password": new });
    let _: serde::de::IgnoredAny = client.post(&["me", "password"], &body).await?;
    Ok(())
}

/// What one is at a provider of identities.
#[derive(Debug, Deserialize, Serialize)]
pub struct Identity {
    /// Its id.
    pub id: Uuid,
    /// The provider's id.
    #[serde(default)]
    pub provider: String,
    /// The address there, if the provider has verified it.
    #[serde(default)]
    pub email: Option<String>,
    /// When it was linked.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    /// When one last signed in by it.
    #[serde(default)]
    pub last_used_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// What one is at providers.
pub async fn identities(client: &Client) -> Result<Vec<Identity>, Failure> {
    client.list(&["me", "identities"], &[], None).await
}

/// Lets an identity sign one in no more.
pub async fn unlink(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["me", "identities", &id.to_string()]).await
}
