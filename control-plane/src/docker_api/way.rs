//! The way to an engine: HTTP over tunnels, which are kept for a while when a request is done.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tower::Service;
use towline_shared::ids::AgentId;
use towline_shared::tunnel::TunnelEnd;

use crate::agents::{NoTunnel, Registry, Tunnel, Unreachable};

/// How long a tunnel stays for the next request: a person's next command may use it.
const KEPT: Duration = Duration::from_secs(20);
/// How many of one agent do.
const KEPT_OF_AGENT: usize = 4;

/// Makes connections to engines. An engine's authority is the id of its agent.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    registry: Registry,
}

/// A client of all engines.
pub(super) fn engines(registry: Registry) -> Client<Ways, Incoming> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEPT)
        .pool_max_idle_per_host(KEPT_OF_AGENT)
        .build(Ways { registry })
}

impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Service<Uri> for Ways {
    type Response = TokioIo<Tunnel>;
    type Error = NoTunnel;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoTunnel>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoTunnel>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let registry = self.registry.clone();
        Box::pin(async move {
            let agent: Option<AgentId> = uri.host().and_then(|host| host.parse().ok());
            let agent = agent.ok_or(Unreachable::Offline)?;
            let tunnel = registry.open_tunnel(agent, TunnelEnd::DockerApi).await?;
            Ok(TokioIo::new(tunnel))
        })
    }
}
