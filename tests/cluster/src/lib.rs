//! A Kubernetes API server in memory, for tests.

#![allow(
    warnings,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::expect_used
)]

mod access;
mod admission;
mod api;
mod apply;
mod bootstrap;
mod bulk;
mod cluster;
mod containers;
mod controllers;
mod controls;
mod document;
mod kinds;
mod patch;
mod refusal;
mod selectors;
mod serve;
mod settings;
mod state;
mod store;
mod tls;

pub use cluster::Cluster;
pub use controls::{Failure, RequestKind};
pub use settings::{LoadBalancers, MetricsServer, Settings};

/// The one node of each cluster.
pub const NODE: &str = "node-1";
