//! What is said of tunnels.

use towline_shared::protocol::v1::{FromAgent, FromServer};
use towline_shared::terminal::{Exec, TerminalSize};
use towline_shared::tunnel::{OpenTunnel, TunnelEnd, TunnelId, TunnelRefusal, TunnelRefused};

use super::samples::{Sample, agent, server};

pub(super) fn tunnels() -> Vec<Sample> {
    let size = TerminalSize {
        rows: 33,
        columns: 300,
    };
    vec![
        agent(
            "agent/tunnel-refused-policy",
            refused(TunnelRefusal::Policy),
        ),
        agent(
            "agent/tunnel-refused-unavailable",
            refused(TunnelRefusal::Unavailable),
        ),
        server("server/open-tunnel-docker-api", open(TunnelEnd::DockerApi)),
        server("server/open-tunnel-exec-terminal", open(exec(Some(size)))),
        server("server/open-tunnel-exec-plain", open(exec(None))),
    ]
}

fn refused(by: TunnelRefusal) -> FromAgent {
    FromAgent::TunnelRefused(TunnelRefused {
        tunnel: tunnel(),
        by,
        why: "why".into(),
    })
}

fn open(end: TunnelEnd) -> FromServer {
    FromServer::OpenTunnel(OpenTunnel {
        tunnel: tunnel(),
        end,
    })
}

fn exec(terminal: Option<TerminalSize>) -> TunnelEnd {
    TunnelEnd::Exec(Exec {
        container: "shop-web-1".into(),
        command: vec!["ls".into(), "-l".into()],
        terminal,
    })
}

fn tunnel() -> TunnelId {
    TunnelId::from_bytes([0xef; TunnelId::BYTES])
}
