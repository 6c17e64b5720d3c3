//! What people pay for, or were granted.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Client, More, plans::Plan};
use crate::exit::Failure;

/// A plan for a while.
#[derive(Debug, Deserialize, Serialize)]
pub struct Subscription {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    #[serde(default)]
    pub email: Option<String>,
    /// `manual` or `stripe`.
    pub provider: String,
    /// How it stands.
    pub status: String,
    /// The plan's name.
    #[serde(default)]
    pub plan: Option<String>,
    /// When it is renewed, or ends.
    #[serde(default)]
    pub renew_at: Option<DateTime<Utc>>,
    /// Until when it gives the plan.
    #[serde(default)]
    pub gives_until: Option<DateTime<Utc>>,
    /// When a payment last failed.
    #[serde(default)]
    pub payment_failed_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// What a person has, and by what.
#[derive(Debug, Deserialize, Serialize)]
pub struct Billing {
    /// The plan that the person's teams have.
    pub plan: Plan,
    /// Until when a subscription gives it.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
    /// The person's subscriptions.
    pub subscriptions: Vec<Subscription>,
    #[serde(flatten)]
    more: More,
}

/// Where to go on.
#[derive(Debug, Deserialize, Serialize)]
pub struct Elsewhere {
    /// A page of the provider.
    pub url: String,
    #[serde(flatten)]
    more: More,
}

/// What the person has.
pub async fn show(client: &Client) -> Result<Billing, Failure> {
    client.get(&["billing"], &[]).await
}

/// A page to buy a plan on.
pub async fn buy(client: &Client, plan: Uuid) -> Result<Elsewhere, Failure> {
    let wish = json!({ "plan": plan });
    client.post(&["billing", "checkout"], &wish).await
}

/// A page to change and cancel on.
pub async fn portal(client: &Client) -> Result<Elsewhere, Failure> {
    client.post(&["billing", "portal"], &json!({})).await
}

/// All subscriptions, or a person's.
pub async fn list(client: &Client, user: Option<Uuid>) -> Result<Vec<Subscription>, Failure> {
    let query = user.map(|user| ("user", user.to_string()));
    let query: Vec<_> = query.into_iter().collect();
    client.list(&["subscriptions"], &query, None).await
}

/// Gives somebody a plan for a while.
pub async fn grant(
    client: &Client,
    user: Uuid,
    plan: Uuid,
    until: DateTime<Utc>,
) -> Result<Subscription, Failure> {
    let wish = json!({ "user": user, "plan": plan, "until": until });
    client.post(&["subscriptions"], &wish).await
}

/// Ends a grant.
pub async fn end(client: &Client, id: Uuid) -> Result<(), Failure> {
    client.delete(&["subscriptions", &id.to_string()]).await
}
