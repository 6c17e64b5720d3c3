//! What an agent measures of its host and containers, every ten seconds.

use serde::{Deserialize, Serialize};

/// How often an agent measures, in seconds.
pub const SAMPLE_EVERY_S: u64 = 10;
/// The most containers one sample may describe; further ones are left out, most idle first.
pub const MAX_CONTAINERS: usize = 500;

/// One sample of a host and its containers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it was taken on the host's clock, Unix milliseconds.
    pub at_ms: i64,
    /// The host.
    pub host: HostSample,
    /// Its containers.
    pub containers: Vec<ContainerSample>,
}

/// The state of a host. Byte counts of devices and networks are totals since its boot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostSample {
    /// Share of all cores in use since the sample before, 0 to 100.
    pub cpu_percent: f32,
    /// Number of cores.
    pub cores: u16,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f32; 3],
    /// Bytes of memory in use.
    pub memory_used: u64,
    /// Bytes of memory there are.
    pub memory_total: u64,
    /// Bytes in use on the file system of the engine's data.
    pub disk_used: u64,
    /// Bytes there are on the file system of the engine's data.
    pub disk_total: u64,
    /// Bytes read from block devices.
    pub disk_read: u64,
    /// Bytes written to block devices.
    pub disk_written: u64,
    /// Bytes received on all interfaces but loopback.
    pub net_received: u64,
    /// Bytes sent on all interfaces but loopback.
    pub net_sent: u64,
}

/// The state of a container. Byte counts are totals since its start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerSample {
    /// The engine's short id (12 hex digits).
    pub id: String,
    /// Its name.
    pub name: String,
    /// The compose project it belongs to, or empty.
    pub project: String,
    /// The compose service it belongs to, or empty.
    pub service: String,
    /// Share of one core in use since the sample before, in percent; two busy cores are 200.
    pub cpu_percent: f32,
    /// Bytes of memory in use, without the page cache.
    pub memory_used: u64,
    /// The limit on its memory in bytes, or the host's memory.
    pub memory_limit: u64,
    /// Bytes received.
    pub net_received: u64,
    /// Bytes sent.
    pub net_sent: u64,
    /// Bytes read from block devices.
    pub block_read: u64,
    /// Bytes written to block devices.
    pub block_written: u64,
    /// How often the engine restarted it.
    pub restarts: u32,
    /// Its health.
    pub health: Health,
}

/// A container's health as its engine reports it. Variants are only ever appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It declares no health check.
    #[default]
    None,
    /// The check has not yet given a verdict.
    Starting,
    /// The check succeeds.
    Healthy,
    /// The check fails.
    Unhealthy,
}
