//! The people of the installation, for its administrators.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Client, More, reference::Nameable};
use crate::exit::Failure;

/// Somebody of the installation.
#[derive(Debug, Deserialize, Serialize)]
pub struct Person {
    /// The person's id.
    pub id: Uuid,
    /// The person's address.
    pub email: String,
    /// The person's name.
    #[serde(default)]
    pub name: String,
    /// `user` or `admin`.
    #[serde(default)]
    pub role: String,
    /// `active` or `suspended`.
    #[serde(default)]
    pub state: Option<String>,
    /// The name of the person's plan.
    #[serde(default)]
    pub plan: Option<String>,
    /// `off`, `pending` or `on`.
    #[serde(default)]
    pub second_factor: Option<String>,
    /// When the person came.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// A link to a new password.
#[derive(Debug, Deserialize, Serialize)]
pub struct ResetLink {
    /// Whose password it is for.
    pub email: String,
    /// The link, told only now.
    pub link: String,
    #[serde(flatten)]
    more: More,
}

impl Nameable for Person {
    const PATH: &'static str = "users";
    const WORD: &'static str = "person";
    const LIST: &'static str = "towline users ls";
    const MAKE: &'static str = "towline members invite EMAIL";

    fn id(&self) -> Uuid {
        self.id
    }

    #[expect(
        clippy::misnamed_getters,
        reason = "a person is meant by the address, which is unique"
    )]
    fn name(&self) -> &str {
        &self.email
    }
}

/// Makes a link to a new password.
pub async fn reset_link(client: &Client, id: Uuid) -> Result<ResetLink, Failure> {
    let path = ["users", &id.to_string(), "reset-link"];
    client.post(&path, &json!({})).await
}

/// Changes a field of somebody.
pub async fn change(
    client: &Client,
    id: Uuid,
    field: &str,
    value: &str,
) -> Result<Person, Failure> {
    let change = json!({ field: value });
    client.patch(&["users", &id.to_string()], &change).await
}

/// Turns somebody's second factor off.
pub async fn remove_second_factor(client: &Client, id: Uuid) -> Result<(), Failure> {
    client
        .delete(&["users", &id.to_string(), "second-factor"])
        .await
}
