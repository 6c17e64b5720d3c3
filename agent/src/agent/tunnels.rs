//! Tunnels of the present link, each in a task of its own with a connection of its own.
//!
//! A task reaches the tunnel's end, dials, and copies bytes until both directions have ended. When the link is lost, all
//! of them end with it: whom they were for, the control plane cannot tell any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use towline_pki::tls::AgentPurpose;
use towline_shared::protocol::v1::FromAgent;
use towline_shared::tunnel::{MAX_TUNNELS, OpenTunnel, TunnelId, TunnelRefusal, TunnelRefused};

use super::{Agent, LinkPhase};
use crate::dial::Dialer;
use crate::executor::{Duplex, Executor};
use crate::identity::Identity;
use crate::state_dir::StateDir;

/// How much of each direction is read at once, in bytes.
const PIECE: usize = 64 * 1024;
/// How long the way to a tunnel's end may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is open on the present link.
#[derive(Default)]
pub(super) struct Tunnels {
    open: JoinSet<()>,
}

impl Tunnels {
    pub(super) fn abort_all(&mut self) {
        self.open.abort_all();
    }
}

impl Agent {
    pub(super) fn on_open_tunnel(&mut self, open: OpenTunnel) {
        let LinkPhase::Welcomed(link) = &self.link else {
            return;
        };
        while self.tunnels.open.try_join_next().is_some() {}
        if self.tunnels.open.len() >= MAX_TUNNELS {
            let why = format!("the agent has {MAX_TUNNELS} connections open already; close some");
            let refused = refusal(open.tunnel, TunnelRefusal::Unavailable, &why);
            return self.say(&refused);
        }
        let way = Way {
            dir: self.options.dir.clone(),
            dialer: self.options.dialer.clone(),
            executor: Arc::clone(&self.executor),
        };
        let bulk = link.bulk().clone();
        self.tunnels.open.spawn(async move {
            let tunnel = open.tunnel;
            if let Err((by, why)) = way.carry(open).await {
                tracing::warn!(%why, "a tunnel was not opened");
                say(&bulk, &refusal(tunnel, by, &why)).await;
            }
        });
    }
}

struct Way {
    dir: StateDir,
    dialer: Dialer,
    executor: Arc<dyn Executor>,
}

impl Way {
    /// To the tunnel's end and back, or why not.
    async fn carry(self, open: OpenTunnel) -> Result<(), (TunnelRefusal, String)> {
        let reached = timeout(PATIENCE, self.executor.reach_end(open.end)).await;
        let mut end = reached.map_err(|_| {
            let why = format!(
                "what it leads to did not answer within {} s",
                PATIENCE.as_secs()
            );
            (TunnelRefusal::Unavailable, why)
        })??;
        let mut stream = self
            .dial(open.tunnel)
            .await
            .map_err(|why| (TunnelRefusal::Unavailable, why))?;
        copy(&mut stream, &mut end).await;
        Ok(())
    }

    async fn dial(&self, tunnel: TunnelId) -> Result<TlsStream<TcpStream>, String> {
        let identity = Identity::load(&self.dir).map_err(|error| error.to_string())?;
        let address = identity
            .agent_address()
            .map_err(|error| error.to_string())?;
        let tls = identity.agent_tls(AgentPurpose::Tunnel);
        let tls = tls.map_err(|error| error.to_string())?;
        let dialled = self.dialer.tls(&address, tls).await;
        let mut stream = dialled.map_err(|error| error.to_string())?;
        let named = async {
            stream.write_all(tunnel.bytes()).await?;
            stream.flush().await
        };
        named.await.map_err(|error| error.to_string())?;
        Ok(stream)
    }
}

async fn copy(stream: &mut TlsStream<TcpStream>, end: &mut Box<dyn Duplex>) {
    // How it ends is for those at its ends to judge.
    if let Err(error) = copy_bidirectional_with_sizes(stream, end, PIECE, PIECE).await {
        tracing::debug!(%error, "a tunnel was cut");
    }
}

fn refusal(tunnel: TunnelId, by: TunnelRefusal, why: &str) -> FromAgent {
    /// Well within the frame.
    const MAX_WHY: usize = 1000;
    FromAgent::TunnelRefused(TunnelRefused {
        tunnel,
        by,
        why: why.chars().take(MAX_WHY).collect(),
    })
}

async fn say(bulk: &mpsc::Sender<Bytes>, message: &FromAgent) {
    match message.encode() {
        // It fails only when the link is gone, and nobody waits any more.
        Ok(frame) => drop(bulk.send(frame.into()).await),
        Err(error) => {
            tracing::error!(message = message.name(), %error, "a message could not be encoded");
        }
    }
}
