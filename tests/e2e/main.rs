//! End to end: real binaries, real engines, both databases. One module per promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test says what went wrong"
)]

mod agent_signatures;
mod agent_upgrades;
mod backups;
mod bad_input;
mod canaries;
mod cancels;
mod chaos;
mod command_line;
mod control_plane_image;
mod crashes;
mod deploys;
mod description;
mod disks;
mod docker_api;
mod docker_tls;
mod evil;
mod failures;
mod hosts;
mod identity;
mod installs;
mod kubernetes;
mod languages;
mod links;
mod logs;
mod master_key;
mod observation;
mod registries;
mod relays;
mod releases;
mod secrets;
mod sign_in_providers;
mod sources;
mod ssh_sources;
mod submodules;
mod teams;
mod templates;
mod terminals;
mod upgrades;

use std::time::Duration;

use towline_tests::engine::EngineKind;
use towline_tests::server::DatabaseKind;
use towline_tests::story::Installation;

/// A deploy of a few small services on a busy machine.
const DEPLOY_LIMIT: Duration = Duration::from_mins(1);

/// The embedded database with the new engine.
fn embedded() -> Installation {
    Installation::start(DatabaseKind::Sqlite, EngineKind::New)
}

/// PostgreSQL with the old engine.
fn scaled_out() -> Installation {
    Installation::start(DatabaseKind::Postgres, EngineKind::Old)
}

/// Makes two tests of one story: on the embedded database with the new engine, and on PostgreSQL with the old one.
macro_rules! on_both {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            #[test]
            fn embedded() {
                super::$story(&mut crate::embedded());
            }

            #[test]
            fn scaled_out() {
                super::$story(&mut crate::scaled_out());
            }
        }
    )+};
}
use on_both;
