//! The test machinery: real binaries, real Docker engines, real databases, and what cuts the links between them.
//!
//! A test is a plain `#[test]` that reads as a story (see [`story`]); nothing here needs an async runtime around it.
//! Every part cleans up after itself when it is dropped, and dies with the test process also when that is killed.
//! `./dev test` starts the slow parts once and shares them by the environment (see [`shared`]); a test that runs
//! without it starts its own. A part that is missing is a failure that names the remedy, never a skip.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test says what went wrong"
)]

pub mod agent;
pub mod api;
pub mod base_images;
pub mod browser;
pub mod canary;
pub mod checkers;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod compose;
pub mod disk;
pub mod docker_client;
pub mod engine;
pub mod engine_restart;
pub mod events;
pub mod frozen_v1;
pub mod git_server;
pub mod guest;
pub mod link;
pub mod parts;
pub mod patience;
pub mod peer;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod proxy;
pub mod registry;
pub mod scratch;
pub mod server;
pub mod shared;
#[path = "../../agent/src/small_disk.rs"]
pub mod small_disk;
mod sqlite;
pub mod ssh_server;
pub mod story;
