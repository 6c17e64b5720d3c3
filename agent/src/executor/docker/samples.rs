//! What the host's containers use, for the metrics.

use std::collections::HashMap;
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use tokio::sync::Mutex;
use towline_shared::metrics::{ContainerSample, MAX_CONTAINERS};

use super::engine::{Container, Engine};

/// How many containers are asked about at a time: the engine answers several at once, and other
/// callers of it must not wait behind a crowd.
const AT_ONCE: usize = 4;

/// Measures containers; keeps what a later measurement is compared with.
#[derive(Default)]
pub(super) struct Samples {
    seen: Mutex<HashMap<String, Seen>>,
}

/// A container at the measurement before.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    cpu_ns: u64,
    restarts: u32,
}

impl Samples {
    /// All running containers. What cannot be measured is left out.
    pub async fn take(&self, engine: &Engine) -> Vec<ContainerSample> {
        let Ok(containers) = engine.containers(None).await else {
            return Vec::new();
        };
        let running = containers.into_iter().filter(|container| {
            matches!(container.summary.state.as_str(), "running" | "restarting")
        });
        let mut seen = self.seen.lock().await;
        let before = std::mem::take(&mut *seen);
        let measured: Vec<(ContainerSample, Seen)> = stream::iter(running.take(MAX_CONTAINERS))
            .map(|container| measure(engine, container, &before))
            .buffer_unordered(AT_ONCE)
            .filter_map(|measured| async { measured })
            .collect()
            .await;
        let samples = measured.into_iter().map(|(sample, now)| {
            seen.insert(sample.id.clone(), now);
            sample
        });
        samples.collect()
    }
}

async fn measure(
    engine: &Engine,
    container: Container,
    before: &HashMap<String, Seen>,
) -> Option<(ContainerSample, Seen)> {
    let summary = container.summary;
    let id: String = summary.id.chars().take(12).collect();
    let usage = engine.usage(&summary.id).await.ok()?;
    let at = Instant::now();
    let last = before.get(&id);
    let restarts = match last {
        Some(last) if !is_fresh(&summary.status) => last.restarts,
        _ => u32::try_from(engine.inspect(&summary.id).await.ok()?.restarts).unwrap_or_default(),
    };
    let cpu_percent = last.map_or(0.0, |last| {
        percent(
            usage.cpu_ns.saturating_sub(last.cpu_ns),
            (at - last.at).as_nanos(),
        )
    });
    let sample = ContainerSample {
        id,
        name: summary.name,
        project: summary.project,
        service: summary.service,
        cpu_percent,
        memory_used: usage.memory_used,
        memory_limit: usage.memory_limit,
        net_received: usage.net_received,
        net_sent: usage.net_sent,
        block_read: usage.block_read,
        block_written: usage.block_written,
        restarts,
        health: summary.health,
    };
    let now = Seen {
        at,
        cpu_ns: usage.cpu_ns,
        restarts,
    };
    Some((sample, now))
}

/// Only a container that was started within the last minute can have been restarted since the last
/// measurement; the others need not be inspected each time.
fn is_fresh(status: &str) -> bool {
    status.contains("second") || status.starts_with("Restarting")
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a share in percent needs no more digits"
)]
fn percent(cpu_ns: u64, elapsed_ns: u128) -> f32 {
    if elapsed_ns == 0 {
        return 0.0;
    }
    (cpu_ns as f64 / elapsed_ns as f64 * 100.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_one_core() {
        assert!((percent(2_000_000_000, 1_000_000_000) - 200.0).abs() < 0.01);
        assert!(percent(5, 0).abs() < f32::EPSILON);
    }

    #[test]
    fn only_young_containers_are_inspected_again() {
        for status in [
            "Up Less than a second",
            "Up 5 seconds (healthy)",
            "Restarting (1) 2 minutes ago",
        ] {
            assert!(is_fresh(status), "{status}");
        }
        for status in ["Up About a minute", "Up 2 hours (healthy)", "Up 3 days"] {
            assert!(!is_fresh(status), "{status}");
        }
    }
}
