//! What containers use.

use bollard::models::{ContainerBlkioStats, ContainerMemoryStats, ContainerStatsResponse};
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt as _;

use super::{Engine, EngineError};

/// What one container uses, as totals since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::executor::docker) struct Usage {
    /// Processor time, nanoseconds.
    pub cpu_ns: u64,
    /// Bytes, without the page cache.
    pub memory_used: u64,
    /// Bytes; 0 if the engine does not say.
    pub memory_limit: u64,
    pub net_received: u64,
    pub net_sent: u64,
    pub block_read: u64,
    pub block_written: u64,
}

impl Engine {
    /// What a running container uses now.
    pub async fn usage(&self, id: &str) -> Result<Usage, EngineError> {
        let options = StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let client = self.client().await?;
        let mut answers = Box::pin(client.stats(id, Some(options)));
        let first = self
            .limited(super::CALL_TIMEOUT, async {
                answers.next().await.transpose()
            })
            .await?;
        Ok(usage(&first.unwrap_or_default()))
    }
}

fn usage(stats: &ContainerStatsResponse) -> Usage {
    let cpu = stats
        .cpu_stats
        .as_ref()
        .and_then(|cpu| cpu.cpu_usage.as_ref());
    let networks = stats.networks.iter().flat_map(|networks| networks.values());
    let (net_received, net_sent) = networks.fold((0, 0), |(received, sent), network| {
        (
            received + network.rx_bytes.unwrap_or_default(),
            sent + network.tx_bytes.unwrap_or_default(),
        )
    });
    let memory = stats.memory_stats.as_ref();
    let blocks = stats.blkio_stats.as_ref();
    Usage {
        cpu_ns: cpu.and_then(|cpu| cpu.total_usage).unwrap_or_default(),
        memory_used: memory.map(memory_used).unwrap_or_default(),
        memory_limit: memory.and_then(|memory| memory.limit).unwrap_or_default(),
        net_received,
        net_sent,
        block_read: blocks
            .map(|blocks| block_bytes(blocks, "read"))
            .unwrap_or_default(),
        block_written: blocks
            .map(|blocks| block_bytes(blocks, "write"))
            .unwrap_or_default(),
    }
}

/// As `docker stats` shows it: without the inactive page cache, which cgroup v1 and v2 name differently.
fn memory_used(memory: &ContainerMemoryStats) -> u64 {
    let used = memory.usage.unwrap_or_default();
    let stats = memory.stats.as_ref();
    let cache = ["total_inactive_file", "inactive_file"]
        .iter()
        .find_map(|name| stats?.get(*name));
    used.saturating_sub(cache.copied().unwrap_or_default())
}

/// cgroup v1 writes `Read`, v2 `read`.
fn block_bytes(blocks: &ContainerBlkioStats, operation: &str) -> u64 {
    let entries = blocks.io_service_bytes_recursive.iter().flatten();
    let matching = entries.filter(|entry| {
        entry
            .op
            .as_deref()
            .is_some_and(|op| op.eq_ignore_ascii_case(operation))
    });
    matching.filter_map(|entry| entry.value).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_versions_of_cgroups_are_read() {
        let v1 = r#"{"memory_stats":{"usage":1000,"limit":5000,"stats":{"total_inactive_file":300,"inactive_file":7}},
            "blkio_stats":{"io_service_bytes_recursive":[{"op":"Read","value":5},{"op":"Write","value":6},{"op":"Total","value":11}]},
            "cpu_stats":{"cpu_usage":{"total_usage":42}},"networks":{"a":{"rx_bytes":1,"tx_bytes":2},"b":{"rx_bytes":10,"tx_bytes":20}}}"#;
        let read = usage(&serde_json::from_str(v1).unwrap());
        assert_eq!(
            (read.memory_used, read.memory_limit, read.cpu_ns),
            (700, 5000, 42)
        );
        assert_eq!(
            (
                read.block_read,
                read.block_written,
                read.net_received,
                read.net_sent
            ),
            (5, 6, 11, 22)
        );
        let v2 = r#"{"memory_stats":{"usage":1000,"stats":{"inactive_file":400}},
            "blkio_stats":{"io_service_bytes_recursive":[{"op":"read","value":5}]}}"#;
        let read = usage(&serde_json::from_str(v2).unwrap());
        assert_eq!((read.memory_used, read.block_read), (600, 5));
        assert_eq!(usage(&ContainerStatsResponse::default()).cpu_ns, 0);
    }
}
