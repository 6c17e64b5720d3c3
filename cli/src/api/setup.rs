//! The one-time set-up of an installation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, More, Named};
use crate::{config::ApiKey, exit::Failure};

/// What makes the first user.
#[derive(Debug, Serialize)]
pub struct NewSetup<'a> {
    /// The secret of the set-up link.
    pub token: &'a str,
    /// The first user's address.
    pub email: &'a str,
    /// The first user's name.
    pub name: &'a str,
    /// The first user's password, if they choose one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<&'a str>,
}

/// The first user, team and key.
#[derive(Debug, Deserialize, Serialize)]
pub struct Installed {
    /// The user.
    pub user: User,
    /// The user's team.
    pub team: Named,
    /// The key, told only now.
    pub api_key: NewKey,
    #[serde(flatten)]
    more: More,
}

/// A person.
#[derive(Debug, Deserialize, Serialize)]
pub struct User {
    /// Its id.
    pub id: Uuid,
    /// Its address.
    #[serde(default)]
    pub email: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    #[serde(flatten)]
    more: More,
}

/// A key that was just made.
#[derive(Debug, Deserialize, Serialize)]
pub struct NewKey {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The key in clear.
    pub key: ApiKey,
    #[serde(flatten)]
    more: More,
}

/// Completes the set-up.
pub async fn complete(client: &Client, setup: &NewSetup<'_>) -> Result<Installed, Failure> {
    client.post(&["setup"], setup).await
}
