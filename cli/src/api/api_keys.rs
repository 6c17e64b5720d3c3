//! Keys of the API.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Client, More,
    reference::{self, Nameable},
    setup::NewKey,
};
use crate::exit::Failure;

/// A key, without its secret.
#[derive(Debug, Deserialize, Serialize)]
pub struct Key {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it may be used for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The one project that it is for.
    #[serde(default)]
    pub project_name: Option<String>,
    /// When it was made.
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

impl Nameable for Key {
    const PATH: &'static str = "api-keys";
    const WORD: &'static str = "API key";
    const LIST: &'static str = "towline keys ls";
    const MAKE: &'static str = "towline keys create NAME";

    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// A key to make.
#[derive(Debug, Serialize)]
pub struct NewKeyRequest {
    /// What it is for.
    pub name: String,
    /// What it may be used for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// The one project that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The most requests in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u32>,
}

/// Makes a key.
pub async fn create(client: &Client, new: &NewKeyRequest) -> Result<NewKey, Failure> {
    client.post(&["api-keys"], new).await
}

/// The key that is meant. The API shows no single one.
pub async fn find(client: &Client, key: &str) -> Result<Key, Failure> {
    let keys = reference::list(client).await?;
    match reference::id_of(key) {
        Some(id) => reference::by_id(id, keys),
        None => reference::pick(key, keys),
    }
}

/// Ends a key at once.
pub async fn revoke(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["api-keys", &id.to_string()]).await
}
