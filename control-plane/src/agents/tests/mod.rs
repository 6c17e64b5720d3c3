//! The listener and its sessions, spoken to by real TLS clients with enrolled certificates, over a
//! real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admission;
mod jobs;
mod limits;
mod peer;
mod reach;
mod relay;
mod site;

use std::time::Duration;

use towline_shared::fence::Fence;
use towline_shared::log::{LogChunk, LogLine, LogPosition, LogStream};

use super::pulse::Pace;

/// So many bytes the kernel holds on either side of a connection, and twice that at most.
const KERNEL_BUFFER: u32 = 64 * 1024;
/// So long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// The next chunk of a log.
fn chunk(position: LogPosition, texts: &[&str]) -> (LogChunk, LogPosition) {
    let line = |text: &&str| LogLine {
        at_us: 1_700_000_000_000_000,
        stream: LogStream::Stdout,
        source: "web-1".into(),
        text: (*text).to_owned(),
    };
    let lines: Vec<_> = texts.iter().map(line).collect();
    LogChunk::encode(position, &lines).unwrap()
}

/// A fence below another.
fn below(fence: Fence) -> Fence {
    Fence::new(fence.incarnation, fence.epoch - 1)
}

/// Looks until it is so.
async fn until<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let patience = tokio::time::Instant::now() + PATIENCE;
    while !look().await {
        assert!(
            tokio::time::Instant::now() < patience,
            "not within {PATIENCE:?}: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
