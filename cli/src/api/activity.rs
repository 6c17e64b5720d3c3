//! What was done in the team, and its audit log.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Client, More, Named};
use crate::exit::Failure;

/// Something that was done.
#[derive(Debug, Deserialize, Serialize)]
pub struct Activity {
    /// What was done (`deployment.create`).
    pub action: String,
    /// Who did it.
    #[serde(default)]
    pub user: Option<Named>,
    /// The project that it concerns.
    #[serde(default)]
    pub project: Option<Named>,
    /// What it was done to.
    pub subject: Subject,
    /// What else is worth knowing.
    #[serde(default)]
    pub metadata: Value,
    /// When.
    pub created_at: DateTime<Utc>,
    #[serde(flatten)]
    more: More,
}

/// An entry of the audit log.
#[derive(Debug, Deserialize, Serialize)]
pub struct AuditEntry {
    /// What was done (`agent.revoke`).
    pub action: String,
    /// Who did it.
    pub actor: Actor,
    /// What it was done to.
    pub subject: Subject,
    /// What else was written down.
    #[serde(default)]
    pub detail: Value,
    /// When.
    pub created_at: DateTime<Utc>,
    #[serde(flatten)]
    more: More,
}

/// Who did something.
#[derive(Debug, Deserialize, Serialize)]
pub struct Actor {
    /// `user`, `agent`, `system` or `anonymous`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Their id.
    #[serde(default)]
    pub id: Option<Uuid>,
    /// From where.
    #[serde(default)]
    pub address: Option<String>,
    #[serde(flatten)]
    more: More,
}

/// What something was done to.
#[derive(Debug, Deserialize, Serialize)]
pub struct Subject {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    #[serde(default)]
    pub id: Option<Uuid>,
    #[serde(flatten)]
    more: More,
}

/// Which of it.
#[derive(Debug, Default)]
pub struct Filter {
    /// Of this person.
    pub user: Option<Uuid>,
    /// That concerns this project.
    pub project: Option<Uuid>,
    /// Of this kind.
    pub action: Option<String>,
    /// From then on.
    pub since: Option<DateTime<Utc>>,
    /// Before then.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    fn query(&self, project: &'static str) -> Vec<(&'static str, String)> {
        let time = |moment: DateTime<Utc>| moment.to_rfc3339();
        [
            (project, self.project.map(|id| id.to_string())),
            ("user", self.user.map(|id| id.to_string())),
            ("action", self.action.clone()),
            ("since", self.since.map(time)),
            ("until", self.until.map(time)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}

/// The newest of what was done.
pub async fn list(
    client: &Client,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Activity>, Failure> {
    client
        .list(&["activity"], &filter.query("project"), Some(limit))
        .await
}

/// The newest entries of the audit log.
pub async fn audit(
    client: &Client,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<AuditEntry>, Failure> {
    client
        .list(&["audit"], &filter.query("subject"), Some(limit))
        .await
}

/// The whole audit log of the team, as JSON lines, piece by piece.
pub async fn export(
    client: &Client,
    filter: &Filter,
    write: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(), Failure> {
    client
        .download(&["audit", "export"], &filter.query("subject"), write)
        .await
}
