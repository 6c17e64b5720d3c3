//! The Docker engines of hosts: who may use them, and certificates for that.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Client, More};
use crate::exit::Failure;

/// Somebody who may use a host's engine.
#[derive(Debug, Deserialize, Serialize)]
pub struct Grant {
    /// The person's id.
    pub user_id: Uuid,
    /// The person's name.
    pub name: String,
    /// The person's address.
    pub email: String,
    /// Who has granted it.
    #[serde(default)]
    pub granted_by: Option<String>,
    /// Since when.
    #[serde(default)]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    more: More,
}

/// A certificate for a host's engine that counts.
#[derive(Debug, Deserialize, Serialize)]
pub struct Certificate {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub name: String,
    /// When it ends.
    pub not_after: DateTime<Utc>,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    #[serde(flatten)]
    more: More,
}

/// A certificate that was issued.
#[derive(Debug, Deserialize)]
pub struct Issued {
    /// Its id.
    pub id: Uuid,
    /// The host's name.
    pub target: String,
    /// Where clients of Docker connect.
    pub docker_host: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The roots to trust, PEM.
    pub ca: String,
    /// When it ends.
    pub not_after: DateTime<Utc>,
}

/// Who may use a host's engine.
pub async fn grants(client: &Client, target: Uuid) -> Result<Vec<Grant>, Failure> {
    let path = ["targets", &target.to_string(), "docker", "grants"];
    client.list(&path, &[], None).await
}

/// Lets somebody use a host's engine.
pub async fn grant(client: &Client, target: Uuid, user: Uuid) -> Result<Grant, Failure> {
    let (target, user) = (target.to_string(), user.to_string());
    let path = ["targets", &target, "docker", "grants", &user];
    client.put(&path, &json!({})).await
}

/// Lets somebody use a host's engine no longer.
pub async fn end_grant(client: &Client, target: Uuid, user: Uuid) -> Result<(), Failure> {
    let (target, user) = (target.to_string(), user.to_string());
    let path = ["targets", &target, "docker", "grants", &user];
    client.delete(&path).await
}

/// The certificates for a host's engine that count.
pub async fn certificates(client: &Client, target: Uuid) -> Result<Vec<Certificate>, Failure> {
    let path = ["targets", &target.to_string(), "docker", "certificates"];
    client.list(&path, &[], None).await
}

/// Has a certificate issued by a signing request.
pub async fn issue(
    client: &Client,
    target: Uuid,
    csr: &str,
    valid_s: Option<u64>,
) -> Result<Issued, Failure> {
    let path = ["targets", &target.to_string(), "docker", "certificates"];
    let mut wish = json!({ "csr": csr });
    if let Some(valid_s) = valid_s {
        wish["valid_s"] = valid_s.into();
    }
    client.post(&path, &wish).await
}

/// Ends a certificate.
pub async fn revoke(client: &Client, target: Uuid, certificate: Uuid) -> Result<(), Failure> {
    let (target, certificate) = (target.to_string(), certificate.to_string());
    let path = ["targets", &target, "docker", "certificates", &certificate];
    client.delete(&path).await
}
