//! The API through its real router, over a real store, with real agents' connections.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test says what went wrong"
)]

mod administration;
mod agents;
mod authorization;
mod billing;
mod cluster_live;
mod clusters;
mod containers;
mod database;
mod deployments;
mod docker_access;
mod files;
mod forge;
mod host;
mod identities;
mod integrations;
mod keys;
mod logs;
mod members;
mod metrics;
mod notifications;
mod password_resets;
mod plans;
mod plugins;
mod previews;
mod problems;
mod process;
mod projects;
mod pull_requests;
mod pushes;
mod rates;
mod receiver;
mod reference;
mod registries;
mod releases;
mod scopes;
mod server;
mod sessions;
mod setup;
mod sign_up;
mod smtp;
mod sources;
mod templates;
mod totp;
mod webhooks;
mod world;
