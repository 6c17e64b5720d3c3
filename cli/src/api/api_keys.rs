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

#[derive(Serialize)]
struct NewKeyRequest<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_days: Option<u32>,
}

/// Makes a key.
pub async fn create(
    client: &Client,
    name: &str,
    expires_in_days: Option<u32>,
) -> Result<NewKey, Failure> {
    client
        .post(
            &["api-keys"],
            &NewKeyRequest {
                name,
                expires_in_days,
            },
        )
        .await
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
