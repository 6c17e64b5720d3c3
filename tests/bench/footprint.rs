//! What the processes weigh.

use towline_tests::parts::binary;
use towline_tests::story::Installation;

use crate::report::Row;

/// Komodo's agent, stripped, in MB (the figures of the performance bars).
const PEER_BINARY_MB: f64 = 26.0;
/// Komodo's agent at rest, in MB.
const PEER_MEMORY_MB: f64 = 15.3;

/// Measures binaries and resident memory at rest.
pub fn measure(story: &mut Installation) -> Vec<Row> {
    std::thread::sleep(std::time::Duration::from_secs(12));
    let size = std::fs::metadata(binary("towline-agent")).unwrap().len();
    let agent = resident(story.agent.running().id());
    let server = resident(story.server.running().id());
    vec![
        Row {
            against: Some(("Komodo periphery (noted)".into(), PEER_BINARY_MB)),
            at_most: Some(0.4),
            ..Row::figure("agent binary", "MB", megabytes(size))
        },
        Row {
            against: Some(("Komodo periphery (noted)".into(), PEER_MEMORY_MB)),
            at_most: Some(0.8),
            ..Row::figure("agent memory", "MB", megabytes(agent))
        },
        Row::figure("control plane memory", "MB", megabytes(server)),
    ]
}

pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Resident bytes of a process, by its `/proc/PID/status`.
pub(crate) fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}
