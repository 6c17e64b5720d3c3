//! A typed client of the public API: one file per resource, mirroring its JSON.
//!
//! What a newer control plane says beyond these types is kept (`more`), so that `--json` shows the
//! answer whole.

pub mod account;
pub mod activity;
pub mod agents;
pub mod api_keys;
pub mod billing;
mod client;
pub mod clusters;
pub mod containers;
pub mod deployments;
pub mod docker;
pub mod enrolment_tokens;
pub mod exec;
pub mod files;
pub mod generation;
pub mod installation;
pub mod integrations;
pub mod logs;
pub mod me;
pub mod members;
pub mod metrics;
pub mod notifications;
pub mod plans;
pub mod plugins;
pub mod previews;
mod problem;
pub mod project_members;
pub mod projects;
pub mod pushes;
pub mod reference;
pub mod registries;
pub mod releases;
pub mod secrets;
pub mod setup;
pub mod sources;
pub mod sse;
pub mod targets;
pub mod teams;
pub mod templates;
mod unreachable;
pub mod usage;
pub mod users;
pub mod webhooks;

pub use client::{Client, EventStream};
pub use reference::{find, list};
pub use unreachable::address;

/// What an answer says beyond the type that reads it.
pub type More = serde_json::Map<String, serde_json::Value>;

/// A thing by its id and name.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Named {
    /// Its id.
    pub id: uuid::Uuid,
    /// Its name, when the control plane says it.
    #[serde(default)]
    pub name: String,
    #[serde(flatten)]
    more: More,
}

/// A list that is never longer than one page.
#[derive(Debug, serde::Deserialize)]
struct Whole<T> {
    items: Vec<T>,
}
