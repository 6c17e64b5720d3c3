//! Plans: what the teams of a person may use.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Client, More, reference::Nameable};
use crate::exit::Failure;

/// A plan.
#[derive(Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The price of a month, in cents of the currency.
    pub price: u64,
    /// The currency.
    pub currency: String,
    /// The most projects of a team.
    #[serde(default)]
    pub max_projects: Option<u64>,
    /// The most deployments of a team on a UTC day.
    #[serde(default)]
    pub max_deployments_per_day: Option<u64>,
    /// The most requests of a team in a minute.
    #[serde(default)]
    pub max_requests_per_minute: Option<u64>,
    /// The most teams of a person.
    #[serde(default)]
    pub max_teams: Option<u64>,
    #[serde(flatten)]
    more: More,
}

impl Nameable for Plan {
    const PATH: &'static str = "plans";
    const WORD: &'static str = "plan";
    const LIST: &'static str = "towline plans ls";
    const MAKE: &'static str = "towline-server";

    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Changes what is named of a plan.
pub async fn change(
    client: &Client,
    plan: Uuid,
    change: &Map<String, Value>,
) -> Result<Plan, Failure> {
    client.patch(&["plans", &plan.to_string()], change).await
}
