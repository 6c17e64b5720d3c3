//! The Docker API of hosts, for unmodified clients of Docker, through the control plane and the agents' own connections.
//!
//! What it is for: a person with a certificate for a host ([`crate::ops::issue_docker_certificate`]) points `docker`, compose,
//! buildx or an SDK at this listener, and reaches the engine of that host, wherever it is.
//!
//! What it promises:
//! - who comes, and to which host, is the certificate's alone; whether that counts is asked of the store at each request, and
//!   again whenever it may have changed while a request lasts;
//! - nothing is done before it is written down: method, path, container, who; never a query or a body, as secrets stand there;
//! - HTTP is read by one strict parser and written anew for the engine, so that the two can never read a request differently;
//! - what is open to one host holds up no heartbeat and no job, and bounded bytes of it are here.
//!
//! What it is not: a filter. Whoever reaches an engine is root on its host; so it is granted, and the host's owner must allow
//! it, too.
//!
//! Why this way: requests ([`forward`]) go over tunnels ([`crate::agents::Tunnel`]), pooled for as long as the engine keeps them,
//! so that a second command costs no new connection of the agent's. What becomes a stream of bytes (`exec`, `attach`, sessions of BuildKit) is
//! copied, each direction to its own end.

mod answer;
mod forward;
mod joined;
mod visit;
mod way;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use towline_pki::DockerClient;
use towline_pki::tls::LiveServerConfig;
use towline_shared::ids::CertificateId;

use crate::agents::Registry;
use crate::connections::{Limits, Reception, Taken, Visits};
use crate::store::Store;
use visit::Visitor;
use way::Ways;

/// Connections, most of which say little.
const LIMITS: Limits = Limits {
    connections: 512,
    handshakes: 32,
};
/// The most connections by one certificate; a build takes a few.
const MOST_OF_CERTIFICATE: usize = 64;

/// What all connections share.
#[derive(Debug)]
struct Shared {
    store: Store,
    engines: Client<Ways, Incoming>,
    visits: Visits<CertificateId>,
    reception: Reception,
}

/// Takes clients of Docker in until `stopping` is cancelled, which cuts what is open.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<LiveServerConfig>,
    store: Store,
    registry: Registry,
    stopping: CancellationToken,
) {
    let connections = TaskTracker::new();
    let shared = Arc::new(Shared {
        store,
        engines: way::engines(registry),
        visits: Visits::new(MOST_OF_CERTIFICATE),
        reception: Reception::new(tls, LIMITS, stopping),
    });
    while let Some(taken) = shared.reception.next(&listener).await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move { shared.receive(taken).await });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

impl Shared {
    async fn receive(self: Arc<Self>, taken: Taken) {
        let Taken {
            stream,
            peer,
            place,
        } = taken;
        // Keystrokes are small and must not wait for more.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(stream) = self.reception.shake(stream, peer).await else {
            return;
        };
        let leaf = stream.get_ref().1.peer_certificates();
        let client = leaf
            .and_then(|chain| chain.first())
            .map(DockerClient::from_leaf);
        match client {
            Some(Ok(client)) => {
                let Some(visit) = self.visits.enter(client.certificate.into()) else {
                    tracing::warn!(%peer, "more connections by one certificate for the Docker API than are let in");
                    return;
                };
                let visitor = Visitor::new(self, client, peer.ip());
                visitor.serve(stream).await;
                drop(visit);
            }
            Some(Err(error)) => tracing::debug!(%peer, %error, "no client of the Docker API"),
            None => {}
        }
        drop(place);
    }
}
