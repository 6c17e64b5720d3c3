//! Single-use rights to become an agent.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Client, More};
use crate::exit::Failure;

/// A token to make.
#[derive(Serialize)]
pub struct NewToken<'a> {
    /// The name the agent will have.
    pub name: &'a str,
    /// How long it is valid, in minutes.
    pub ttl_minutes: u32,
    /// For an agent in a cluster: how it is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<InCluster>,
}

/// An agent in a cluster.
#[derive(Debug, Serialize)]
pub struct InCluster {
    /// The namespace that jobs work in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The agent's image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// What makes an agent in a cluster.
#[derive(Debug, Deserialize, Serialize)]
pub struct ClusterInstall {
    /// All its objects.
    pub manifest: String,
    /// The command that makes them by their chart.
    pub helm: String,
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
    /// What makes an agent in a cluster, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<ClusterInstall>,
    #[serde(flatten)]
    more: More,
}

/// Makes a token.
pub async fn create(client: &Client, new: &NewToken<'_>) -> Result<Enrolment, Failure> {
    client.post(&["enrolment-tokens"], new).await
}
