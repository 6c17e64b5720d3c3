//! The store's behaviour, each on both databases.
//!
//! A test is a story on a [`World`](world::World): an installation with its first person. When it
//! has ended, the world checks that the audit log is whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    reason = "a test may panic, and reads as one story"
)]

pub(crate) mod world;

mod activity;
mod administration;
mod agents;
mod audit;
mod authorities;
mod backup;
mod billing;
mod builds_elsewhere;
mod claims;
mod deploy_keys;
mod deployments;
pub(crate) mod docker_tls;
mod enrolment;
pub(crate) mod explain;
mod hello;
mod identities;
mod integrations;
mod lifecycle;
mod listing;
mod membership;
mod notifications;
mod opening;
mod password_resets;
mod people;
mod plans;
mod plugins;
mod projects;
mod pull_requests;
mod pushes;
mod quotas;
mod registries;
mod rotation;
mod schema;
mod second_factors;
mod secrets;
mod sessions;
mod teams;
mod tenancy;
mod usage;
mod waking;
mod webhooks;
mod writer;
