//! The agents' listener: from a TCP connection to a session.
//!
//! At most [`MOST_HANDSHAKES`] connections are between their first byte and their session, so that
//! a storm of agents cannot starve the rest of the process; the others wait in the kernel's backlog.
//! While nobody else gets in, those who are slow lose their place, so that silent connections
//! cannot hold the door.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::accept_hdr_async_with_config;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_util::sync::CancellationToken;
use towline_pki::tls::{AgentPurpose, LiveServerConfig};
use towline_shared::ids::AgentId;
use towline_shared::protocol::PATH;
use towline_shared::tunnel::TunnelId;

use super::admission::{Admission, AdmissionError, Peer, admit};
use super::pulse::Pace;
use super::registry::Registry;
use super::session::{House, Session, Wire};
use super::socket::{Socket, config};
use crate::relay::{self, Visitor};
use crate::store::Store;

/// The most connections that are not sessions yet.
const MOST_HANDSHAKES: usize = 64;
/// How long a connection may take to become a session,
const HANDSHAKE: Duration = Duration::from_secs(10);
/// and how long while others wait at the door.
const HANDSHAKE_IN_A_RUSH: Duration = Duration::from_secs(1);
/// How many connections the kernel keeps for us; it caps this at `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// The pause after a failed accept: the process is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the listener with a deep backlog.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Takes agents in until `stop` is cancelled. Their sessions go on until [`Registry::stop`].
pub async fn serve(
    listener: TcpListener,
    tls: Arc<LiveServerConfig>,
    store: Store,
    registry: Registry,
    relay: relay::Door,
    stop: CancellationToken,
) {
    serve_at(
        listener,
        tls,
        House {
            store,
            registry,
            relay,
            pace: Pace::default(),
        },
        stop,
    )
    .await;
}

pub(super) async fn serve_at(
    listener: TcpListener,
    tls: Arc<LiveServerConfig>,
    house: House,
    stop: CancellationToken,
) {
    let door = Arc::new(Door {
        tls,
        house: Arc::new(house),
        places: Arc::new(Semaphore::new(MOST_HANDSHAKES)),
        rush: Notify::new(),
    });
    tokio::select! {
        () = stop.cancelled() => {}
        () = door.open(&listener) => {}
        () = door.house.tell_who_is_here() => {}
    }
}

struct Door {
    tls: Arc<LiveServerConfig>,
    house: Arc<House>,
    places: Arc<Semaphore>,
    /// Rung while somebody waits for a place.
    rush: Notify,
}

/// Why a connection did not become a session.
#[derive(Debug, thiserror::Error)]
enum Unreceived {
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("no WebSocket upgrade: {0}")]
    Upgrade(tungstenite::Error),
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    #[error("too slow")]
    Slow,
    #[error("it is no agent (any more)")]
    NoAgent,
    #[error("it names no tunnel: {0}")]
    Nameless(io::Error),
}

/// What a connection is for, once it is known whose it is.
enum Received {
    Control(Box<Socket<Wire>>, Peer),
    Relay(Box<TlsStream<TcpStream>>, Visitor),
    Tunnel(Box<TlsStream<TcpStream>>, AgentId, TunnelId),
}

impl Door {
    async fn open(self: &Arc<Self>, listener: &TcpListener) {
        let counters = self.house.registry.counters();
        loop {
            let place = self.place().await;
            match listener.accept().await {
                Ok((connection, address)) => {
                    counters.connections.one();
                    let visit = Arc::clone(self).receive(connection, address, place);
                    self.house.registry.tasks().spawn(visit);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "the agent listener cannot accept; raise the limit on open files if it is that");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits for a place, and hurries those who have one.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let place = Arc::clone(&self.places).acquire_owned();
            if let Ok(place) = timeout(HANDSHAKE_IN_A_RUSH, place).await {
                return place.ok();
            }
            self.rush.notify_waiters();
        }
    }

    async fn receive(
        self: Arc<Self>,
        connection: TcpStream,
        address: SocketAddr,
        place: Option<OwnedSemaphorePermit>,
    ) {
        // Boxed, so that the memory of the handshake is not the session's.
        let received = Box::pin(async {
            tokio::select! {
                received = self.handshake(connection) => received,
                () = self.patience() => Err(Unreceived::Slow),
            }
        })
        .await;
        drop(place);
        match received {
            Ok(Received::Control(socket, peer)) => {
                let session = Box::new(Session::new(Arc::clone(&self.house), *socket, peer));
                drop(self);
                session.run().await;
            }
            Ok(Received::Relay(stream, visitor)) => {
                let (store, relay) = (self.house.store.clone(), self.house.relay.clone());
                drop(self);
                Box::pin(relay.serve(store, visitor, stream)).await;
            }
            Ok(Received::Tunnel(stream, agent, tunnel)) => {
                self.house.registry.tunnel_came(agent, tunnel, stream);
            }
            Err(error) => {
                self.house.registry.counters().failed_handshakes.one();
                if let Unreceived::Admission(AdmissionError::Store(error)) = &error {
                    tracing::error!(%address, %error, "an agent was not received: the store failed");
                } else {
                    tracing::debug!(%address, %error, "an agent was not received");
                }
            }
        }
    }

    async fn handshake(&self, connection: TcpStream) -> Result<Received, Unreceived> {
        connection.set_nodelay(true).map_err(Unreceived::Tls)?;
        let tls = TlsAcceptor::from(self.tls.current())
            .accept(connection)
            .await
            .map_err(Unreceived::Tls)?;
        let leaf = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        let peer = admit(&self.house.store, leaf).await?;
        match AgentPurpose::of(tls.get_ref().1.alpn_protocol()) {
            AgentPurpose::Control => self.control(tls, peer).await,
            AgentPurpose::Relay => {
                let agent = admitted(&peer)?;
                Ok(Received::Relay(Box::new(tls), Visitor { agent }))
            }
            AgentPurpose::Tunnel => tunnel(Box::new(tls), admitted(&peer)?).await,
        }
    }

    async fn control(&self, tls: Wire, peer: Peer) -> Result<Received, Unreceived> {
        let upgraded = accept_hdr_async_with_config(tls, only_our_path, Some(config())).await;
        let socket = Socket::new(
            upgraded.map_err(Unreceived::Upgrade)?,
            self.house.pace.stall,
        );
        Ok(Received::Control(Box::new(socket), peer))
    }

    async fn patience(&self) {
        let rushed = async {
            sleep(HANDSHAKE_IN_A_RUSH).await;
            self.rush.notified().await;
        };
        tokio::select! {
            () = sleep(HANDSHAKE) => {}
            () = rushed => {}
        }
    }
}

/// The others are told why on their one WebSocket.
fn admitted(peer: &Peer) -> Result<AgentId, Unreceived> {
    match peer.admission {
        Admission::Admitted { agent, .. } => Ok(agent),
        Admission::Revoked | Admission::Unknown => Err(Unreceived::NoAgent),
    }
}

async fn tunnel(mut stream: Box<Wire>, agent: AgentId) -> Result<Received, Unreceived> {
    let mut name = [0; TunnelId::BYTES];
    stream
        .read_exact(&mut name)
        .await
        .map_err(Unreceived::Nameless)?;
    Ok(Received::Tunnel(stream, agent, TunnelId::from_bytes(name)))
}

impl House {
    /// Idle agents cost no query of their own: all of them are noted at once.
    async fn tell_who_is_here(&self) {
        let mut minute = interval(self.pace.seen);
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minute.tick().await;
            match self.store.sessions_seen(&self.registry.here()).await {
                // They look again, and see that they were superseded or revoked.
                Ok(outdated) => outdated
                    .into_iter()
                    .for_each(|agent| self.store.wake().agent(agent)),
                Err(error) => tracing::warn!(%error, "the agents that are here were not noted"),
            }
        }
    }
}

/// Errors that belong to a connection which is gone again.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[expect(clippy::result_large_err, reason = "the type is the library's")]
fn only_our_path(request: &Request, response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path() == PATH {
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some(format!("agents connect to {PATH}\n")));
    *refusal.status_mut() = http::StatusCode::NOT_FOUND;
    Err(refusal)
}
