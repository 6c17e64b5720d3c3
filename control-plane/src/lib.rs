//! Towline's control plane: API, agent endpoint, scheduler and certificate authority.

pub mod admin;
pub mod agents;
pub mod backup;
pub mod config;
pub mod detect;
pub mod domain;
pub mod egress;
pub mod error;
pub mod http;
pub mod job;
pub mod logs;
pub mod mail;
pub mod notifications;
pub mod ops;
pub mod outbox;
pub mod passwords;
pub mod plugins;
pub mod repository;
pub mod serve;
pub mod sso;
pub mod store;
pub mod stripe;
pub mod telemetry;
pub mod vault;
pub mod wake;
pub mod webhooks;
