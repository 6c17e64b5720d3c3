//! The public listener's HTTP: the API, the set-up page, health and metrics.
//!
//! Every route stands once, in [`router`]; each resource's requests and answers stand beside its
//! handlers. Whatever is not in the short list of public routes needs an API key or a session, and gets it
//! checked before anything of the request is read.

mod activity;
mod agents;
mod api_keys;
mod audit;
mod auth;
mod billing;
mod containers;
mod cookie;
mod deploy_keys;
mod deployment_log;
mod deployments;
mod enrolment;
mod enrolment_tokens;
mod examples;
mod exposition;
mod file;
mod files;
mod findings;
mod generation;
mod health;
mod identities;
mod input;
mod install;
mod installation;
mod integrations;
mod invitations;
mod linger;
mod log_line;
mod me;
mod measures;
mod members;
mod metrics;
mod notification_channels;
mod notification_rules;
mod notifications;
mod openapi;
mod page;
mod password_resets;
mod plans;
mod plugins;
mod previews;
mod problem;
mod project_members;
mod projects;
mod pushes;
mod rates;
mod reference;
mod releases;
mod request;
mod router;
mod rule;
mod secrets;
mod server;
mod sessions;
mod setup;
mod sign_in_providers;
mod sign_up;
mod source;
mod sse;
mod state;
mod subscriptions;
mod targets;
mod teams;
mod templates;
mod throttle;
mod totp;
mod usage;
mod users;
mod webhooks;

pub use router::router;
pub use server::{Limits, serve};
pub use state::{Api, ApiParts};
