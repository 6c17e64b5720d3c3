//! What agents measure, as the API gives it.

use serde::Serialize;
use towline_shared::metrics::{ContainerSample, Health, HostSample};
use utoipa::ToSchema;

/// The state of a host. Byte counts of devices and networks are totals since its boot.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostMeasures {
    /// Share of all cores in use, 0 to 100.
    cpu_percent: f32,
    /// Number of cores.
    cores: u16,
    /// Load averages over 1, 5 and 15 minutes.
    load: [f32; 3],
    /// Bytes of memory in use.
    memory_used: u64,
    /// Bytes of memory there are.
    memory_total: u64,
    /// Bytes in use on the file system of the engine's data.
    disk_used: u64,
    /// Bytes there are on the file system of the engine's data.
    disk_total: u64,
    /// Bytes read from block devices.
    disk_read: u64,
    /// Bytes written to block devices.
    disk_written: u64,
    /// Bytes received on all interfaces but loopback.
    net_received: u64,
    /// Bytes sent on all interfaces but loopback.
    net_sent: u64,
}

impl From<HostSample> for HostMeasures {
    fn from(sample: HostSample) -> Self {
        Self {
            cpu_percent: sample.cpu_percent,
            cores: sample.cores,
            load: sample.load,
            memory_used: sample.memory_used,
            memory_total: sample.memory_total,
            disk_used: sample.disk_used,
            disk_total: sample.disk_total,
            disk_read: sample.disk_read,
            disk_written: sample.disk_written,
            net_received: sample.net_received,
            net_sent: sample.net_sent,
        }
    }
}

/// The state of a container. Byte counts are totals since its start.
#[derive(Debug, Serialize, ToSchema)]
pub struct ContainerMeasures {
    /// The engine's short id.
    id: String,
    /// Its name.
    name: String,
    /// The compose project it belongs to, or empty.
    project: String,
    /// The compose service it belongs to, or empty.
    service: String,
    /// Share of one core in use, in percent; two busy cores are 200.
    cpu_percent: f32,
    /// Bytes of memory in use, without the page cache.
    memory_used: u64,
    /// The limit on its memory in bytes, or the host's memory.
    memory_limit: u64,
    /// Bytes received.
    net_received: u64,
    /// Bytes sent.
    net_sent: u64,
    /// Bytes read from block devices.
    block_read: u64,
    /// Bytes written to block devices.
    block_written: u64,
    /// How often the engine restarted it.
    restarts: u32,
    /// `none`, `starting`, `healthy` or `unhealthy`.
    #[schema(value_type = String)]
    health: Health,
}

impl From<ContainerSample> for ContainerMeasures {
    fn from(sample: ContainerSample) -> Self {
        Self {
            id: sample.id,
            name: sample.name,
            project: sample.project,
            service: sample.service,
            cpu_percent: sample.cpu_percent,
            memory_used: sample.memory_used,
            memory_limit: sample.memory_limit,
            net_received: sample.net_received,
            net_sent: sample.net_sent,
            block_read: sample.block_read,
            block_written: sample.block_written,
            restarts: sample.restarts,
            health: sample.health,
        }
    }
}
