//! A control plane in a few lines, over real TLS and WebSockets, and an agent that can be killed.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod agent;
pub mod control_plane;
pub mod https;
pub mod peer;
#[path = "../../src/small_disk.rs"]
pub mod small_disk;

use std::time::Duration;

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something is true.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come true");
}
