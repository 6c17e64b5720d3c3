//! What this host is and can do.

use towline_shared::protocol::v1::{Capabilities, Engine};

use super::EnginePlace;
use super::host::Host;

/// Looks at the host, its engine and its compose plugin.
pub(super) async fn capabilities(host: &Host) -> Capabilities {
    match &host.place {
        EnginePlace::Here => of_this_machine(host).await,
        EnginePlace::Elsewhere { url } => of_another(host, url).await,
    }
}

/// Of a host that only its engine tells of; nothing is known while it does not answer.
async fn of_another(host: &Host, url: &str) -> Capabilities {
    let (engine, compose) = tokio::join!(engine(host), host.plugin_version());
    let info = host.engine.info().await.unwrap_or_default();
    Capabilities {
        hostname: match info.hostname {
            unknown if unknown.is_empty() => url.to_owned(),
            known => known,
        },
        os: info.os,
        arch: architecture(&info.arch).to_owned(),
        cores: u16::try_from(info.cores).unwrap_or(u16::MAX),
        memory: info.memory,
        engine,
        compose,
        policy: host.policy.clone(),
    }
}

async fn of_this_machine(host: &Host) -> Capabilities {
    let (engine, compose) = tokio::join!(engine(host), host.plugin_version());
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Capabilities {
        hostname: hostname(),
        os: os_name(&release),
        arch: architecture(std::env::consts::ARCH).to_owned(),
        cores: std::thread::available_parallelism()
            .map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX)),
        memory: memory(&meminfo),
        engine,
        compose,
        policy: host.policy.clone(),
    }
}

async fn engine(host: &Host) -> Engine {
    match host.engine.version().await {
        Ok(found) => Engine::Docker {
            version: found.version,
            api: found.api,
        },
        Err(error) => Engine::Missing(error.to_string()),
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn os_name(release: &str) -> String {
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(
        || "Linux".to_owned(),
        |name| name.trim_matches('"').to_owned(),
    )
}

/// The engine's word for an architecture.
fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn memory(meminfo: &str) -> u64 {
    let total = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes =
        total.and_then(|total| total.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read() {
        assert_eq!(
            os_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"),
            "Debian GNU/Linux 12"
        );
        assert_eq!(
            memory("MemTotal:       1024 kB\nMemFree: 1 kB\n"),
            1024 * 1024
        );
        assert_eq!(
            (architecture("x86_64"), architecture("riscv64")),
            ("amd64", "riscv64")
        );
    }
}
