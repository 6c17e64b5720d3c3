//! Being told to stop.

use std::io;
use std::process;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How a process ends that was told twice.
const TOLD_TWICE: i32 = 1;

/// Cancelled by the first SIGTERM or SIGINT. The second one ends the process at once; nothing is lost
/// by that which a crash would not lose, and a crash loses nothing that was acknowledged.
pub fn on_signal() -> io::Result<CancellationToken> {
    let stopping = CancellationToken::new();
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let told = stopping.clone();
    tokio::spawn(async move {
        signals.next().await;
        tracing::info!("stopping; once more ends the process at once");
        told.cancel();
        signals.next().await;
        tracing::warn!("told twice to stop: ending at once");
        process::exit(TOLD_TWICE);
    });
    Ok(stopping)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
