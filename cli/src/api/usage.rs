//! What the team uses of its plan.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{Client, More};
use crate::exit::Failure;

/// What the team uses, beside what its plan allows.
#[derive(Debug, Deserialize, Serialize)]
pub struct Usage {
    /// The plan of the team's owner.
    pub plan: Plan,
    /// How many projects there are.
    pub projects: u64,
    /// Today.
    pub current: Day,
    /// The days before on which something was used, newest first.
    pub items: Vec<Day>,
    /// From where the list goes on, when there is more.
    #[serde(default)]
    pub next_cursor: Option<NaiveDate>,
    #[serde(flatten)]
    more: More,
}

/// What a plan allows.
#[derive(Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// The most projects of a team, if there is a limit.
    #[serde(default)]
    pub max_projects: Option<u64>,
    /// The most deployments of a team on a UTC day, if there is a limit.
    #[serde(default)]
    pub max_deployments_per_day: Option<u64>,
    #[serde(flatten)]
    more: More,
}

/// What was used on a UTC day.
#[derive(Debug, Deserialize, Serialize)]
pub struct Day {
    /// Its first moment.
    pub period_start: DateTime<Utc>,
    /// The first moment after it.
    pub period_end: DateTime<Utc>,
    /// Deployments that were queued.
    pub deployments: u64,
    /// How often images were built.
    #[serde(default)]
    pub builds: u64,
    /// How long that took, in seconds.
    #[serde(default)]
    pub build_seconds: u64,
    /// Bytes of logs, compressed.
    #[serde(default)]
    pub log_bytes: u64,
    #[serde(flatten)]
    more: More,
}

/// Asks what is used today, and on as many days before.
pub async fn get(client: &Client, days: u32) -> Result<Usage, Failure> {
    client.get(&["usage"], &[("limit", days.to_string())]).await
}
