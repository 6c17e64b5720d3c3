//! Single-use rights to become an agent.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, More};
use crate::exit::Failure;

#[derive(Serialize)]
struct NewToken<'a> {
    name: &'a str,
    ttl_minutes: u32,
}

/// A token that was just made.
#[derive(Debug, Deserialize, Serialize)]
pub struct Enrolment {
    /// Its id.
    pub id: Uuid,
    /// The name the agent will have.
    pub name: String,
    /// The token, told only now.
    pub token: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// What to run on a host that has the agent.
    #[serde(default)]
    pub command: Option<String>,
    /// What to run on one that has not.
    #[serde(default)]
    pub install: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// Makes a token.
pub async fn create(client: &Client, name: &str, ttl_minutes: u32) -> Result<Enrolment, Failure> {
    client
        .post(&["enrolment-tokens"], &NewToken { name, ttl_minutes })
        .await
}
