//! Targets: where a deploy goes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    Client, More,
    reference::{Nameable, Standing},
};
use crate::exit::Failure;

/// Where a deploy goes.
#[derive(Debug, Deserialize, Serialize)]
pub struct Target {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What kind of engine is there.
    #[serde(default)]
    pub r#type: Option<String>,
    /// The agent that serves it.
    #[serde(default)]
    pub agent_id: Option<Uuid>,
    /// Its agent's `online`, `offline` or `revoked`.
    pub status: String,
    /// The engine's version.
    #[serde(default)]
    pub engine: Option<String>,
    /// The compose plugin's version.
    #[serde(default)]
    pub compose: Option<String>,
    /// `ready`, or `not_ready`.
    #[serde(default)]
    pub ready: Option<String>,
    /// Why it is not ready.
    #[serde(default)]
    pub reason: Option<String>,
    /// How the engine is reached, if it is over TLS.
    #[serde(default)]
    pub docker_tls: Option<DockerTls>,
    /// What its agent tells of its cluster, if it works on one.
    #[serde(default)]
    pub cluster: Option<TargetCluster>,
    /// What its host is for.
    #[serde(default)]
    pub labels: Vec<String>,
    #[serde(flatten)]
    more: More,
}

/// The cluster of a target, and what its owner allows there.
#[derive(Debug, Deserialize, Serialize)]
pub struct TargetCluster {
    /// Where objects are that name no namespace.
    pub namespace: String,
    /// Other namespaces that jobs may work in.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Kinds of the whole cluster that jobs may change.
    #[serde(default)]
    pub cluster_scoped: Vec<String>,
    /// Service accounts that pods may use beside `default`.
    #[serde(default)]
    pub service_accounts: Vec<String>,
    #[serde(flatten)]
    more: More,
}

/// An engine that is reached over TLS.
#[derive(Debug, Deserialize, Serialize)]
pub struct DockerTls {
    /// Where it is.
    pub host: String,
    /// The certificate that the control plane proves itself by.
    pub client: Certificate,
    /// The authority.
    pub authority: Certificate,
    /// The engine's own.
    pub server: Certificate,
    /// `closed`, or `open` where anybody is let in.
    pub guard: String,
    #[serde(flatten)]
    more: More,
}

/// A certificate.
#[derive(Debug, Deserialize, Serialize)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// SHA-256 of it.
    pub fingerprint: String,
    /// When it ends.
    pub not_after: DateTime<Utc>,
}

/// A client's files, and where its engine is.
#[derive(Serialize)]
pub struct Credentials<'a> {
    /// Where the engine is; as it was, when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// `ca.pem`.
    pub ca: &'a str,
    /// `cert.pem`.
    pub cert: &'a str,
    /// `key.pem`.
    pub key: &'a str,
}

/// Adds an engine that is reached over TLS.
pub async fn add(
    client: &Client,
    name: &str,
    credentials: &Credentials<'_>,
) -> Result<Target, Failure> {
    #[derive(Serialize)]
    struct New<'a> {
        name: &'a str,
        r#type: &'a str,
        #[serde(flatten)]
        credentials: &'a Credentials<'a>,
    }
    let new = New {
        name,
        r#type: "docker_tls",
        credentials,
    };
    client.post(&["targets"], &new).await
}

/// Replaces the files by which an engine is reached.
pub async fn replace(
    client: &Client,
    target: Uuid,
    credentials: &Credentials<'_>,
) -> Result<Target, Failure> {
    let path = ["targets", &target.to_string(), "credentials"];
    client.put(&path, credentials).await
}

/// Takes such an engine away.
pub async fn remove(client: &Client, target: Uuid) -> Result<(), Failure> {
    client.delete(&["targets", &target.to_string()]).await
}

/// Gives a target these labels in place of those that it has.
pub async fn label(client: &Client, target: Uuid, labels: &[String]) -> Result<Target, Failure> {
    let path = ["targets", &target.to_string(), "labels"];
    client.put(&path, &json!({ "labels": labels })).await
}

impl Nameable for Target {
    const PATH: &'static str = "targets";
    const WORD: &'static str = "target";
    const LIST: &'static str = "towline targets ls";
    const MAKE: &'static str = "towline agents token NAME";

    fn id(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn standing(&self) -> Standing {
        Standing::of(&self.status)
    }
}
