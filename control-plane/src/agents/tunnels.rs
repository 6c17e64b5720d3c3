//! Tunnels to what is on an agent's host: each a connection of its own, asked for on the agent's session.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use towline_shared::ids::AgentId;
use towline_shared::tunnel::{
    MAX_TUNNELS, OpenTunnel, TunnelEnd, TunnelId, TunnelRefusal, TunnelRefused,
};

use super::registry::{Handle, Order, Registry, Unreachable};

/// How long an agent has to reach a tunnel's end and to dial.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection of an agent.
type Connection = Box<TlsStream<TcpStream>>;
/// What comes of an agent that was asked for a tunnel.
type Answer = Result<Connection, TunnelRefused>;

/// Those who wait for a tunnel.
#[derive(Debug, Default)]
pub(super) struct Awaited(Mutex<HashMap<(AgentId, TunnelId), oneshot::Sender<Answer>>>);

/// A tunnel. It is cut when the agent's session ends.
#[derive(Debug)]
pub struct Tunnel {
    connection: Connection,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Place,
}

/// Why there is no tunnel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTunnel {
    /// The agent cannot be asked.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The host's owner does not allow it; the agent's words.
    #[error("{0}")]
    Forbidden(String),
    /// What it leads to is not there; the agent's words.
    #[error("{0}")]
    Unavailable(String),
    /// The agent has as many as it may have.
    #[error("{MAX_TUNNELS} connections to this host are open already; close some")]
    TooMany,
    /// It did not dial in time.
    #[error(
        "the agent opened no connection within {} s; see its log on the host, it may be older than this control plane",
        PATIENCE.as_secs()
    )]
    Silent,
}

impl Registry {
    /// Opens a tunnel to an agent's host.
    pub async fn open_tunnel(&self, agent: AgentId, end: TunnelEnd) -> Result<Tunnel, NoTunnel> {
        let session = self.find(agent).ok_or(Unreachable::Offline)?;
        let place = Place::take(&session)?;
        let tunnel = new_id()?;
        let answer = self.awaited().wait(agent, tunnel);
        session.order(Order::Tunnel(OpenTunnel { tunnel, end }))?;
        let answer = tokio::select! {
            () = session.over().cancelled() => return Err(Unreachable::Offline.into()),
            answer = timeout(PATIENCE, answer.received()) => answer.map_err(|_| NoTunnel::Silent)?,
        };
        match answer {
            Some(Ok(connection)) => Ok(Tunnel {
                connection,
                over: Box::pin(session.over().clone().cancelled_owned()),
                _place: place,
            }),
            Some(Err(refused)) => Err(refused.into()),
            None => Err(Unreachable::Offline.into()),
        }
    }

    /// Hands a connection to who waits for it; one that nobody waits for (any more) is dropped.
    pub(super) fn tunnel_came(&self, agent: AgentId, tunnel: TunnelId, connection: Connection) {
        self.awaited().answer(agent, tunnel, Ok(connection));
    }

    /// Tells who waits that there will be no tunnel.
    pub(super) fn tunnel_refused(&self, agent: AgentId, refused: TunnelRefused) {
        self.awaited().answer(agent, refused.tunnel, Err(refused));
    }
}

fn new_id() -> Result<TunnelId, Unreachable> {
    let mut bytes = [0; TunnelId::BYTES];
    // Without random numbers nothing else of the process works either.
    getrandom::fill(&mut bytes).map_err(|_| Unreachable::Busy)?;
    Ok(TunnelId::from_bytes(bytes))
}

impl From<TunnelRefused> for NoTunnel {
    fn from(refused: TunnelRefused) -> Self {
        let why = refused.why.chars().filter(|c| !c.is_control()).collect();
        match refused.by {
            TunnelRefusal::Policy => Self::Forbidden(why),
            TunnelRefusal::Unavailable => Self::Unavailable(why),
        }
    }
}

impl Awaited {
    fn wait(&self, agent: AgentId, tunnel: TunnelId) -> Wait<'_> {
        let (sender, answer) = oneshot::channel();
        self.lock().insert((agent, tunnel), sender);
        Wait {
            awaited: self,
            of: (agent, tunnel),
            answer,
        }
    }

    fn answer(&self, agent: AgentId, tunnel: TunnelId, answer: Answer) {
        let waiting = self.lock().remove(&(agent, tunnel));
        if let Some(waiting) = waiting {
            // Who waited may have given up just now.
            drop(waiting.send(answer));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(AgentId, TunnelId), oneshot::Sender<Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait, given up when it is dropped.
struct Wait<'a> {
    awaited: &'a Awaited,
    of: (AgentId, TunnelId),
    answer: oneshot::Receiver<Answer>,
}

impl Wait<'_> {
    async fn received(mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.awaited.lock().remove(&self.of);
    }
}

/// How many tunnels a session has.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicUsize);

/// One of a session's tunnels, as long as it lives.
#[derive(Debug)]
struct Place(Arc<Handle>);

impl Place {
    fn take(session: &Arc<Handle>) -> Result<Self, NoTunnel> {
        let Count(count) = session.tunnels();
        let place = Self(Arc::clone(session));
        count.fetch_add(1, Ordering::Relaxed);
        if count.load(Ordering::Relaxed) > MAX_TUNNELS {
            return Err(NoTunnel::TooMany);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.tunnels().0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tunnel {
    /// Nothing goes on when the agent's session has ended, which may have been for a reason (it was revoked).
    fn poll_over(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.over.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(
                io::ErrorKind::ConnectionReset,
                "the agent's connection ended",
            )),
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_over(context)?;
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_over(context)?;
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_over(context)?;
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_over(context)?;
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_refusal_finds_who_waits_and_nobody_stays_behind() {
        let awaited = Awaited::default();
        let agent = AgentId::new();
        let (one, other) = (new_id().unwrap(), new_id().unwrap());
        let refused = |tunnel, by| TunnelRefused {
            tunnel,
            by,
            why: "its policy\u{1b}[2J".into(),
        };
        let wait = awaited.wait(agent, one);
        // Another agent's, and another tunnel's.
        awaited.answer(
            AgentId::new(),
            one,
            Err(refused(one, TunnelRefusal::Policy)),
        );
        awaited.answer(agent, other, Err(refused(other, TunnelRefusal::Policy)));
        awaited.answer(agent, one, Err(refused(one, TunnelRefusal::Policy)));
        let answer = wait.received().await.unwrap().unwrap_err();
        assert_eq!(
            NoTunnel::from(answer),
            NoTunnel::Forbidden("its policy[2J".into())
        );
        drop(awaited.wait(agent, other));
        assert!(awaited.lock().is_empty());
    }

    #[tokio::test]
    async fn there_is_a_most_and_what_was_closed_makes_room() {
        let session = Arc::new(Handle::for_tests());
        let mut places: Vec<_> = (0..MAX_TUNNELS)
            .map(|_| Place::take(&session).unwrap())
            .collect();
        assert_eq!(Place::take(&session).unwrap_err(), NoTunnel::TooMany);
        places.pop();
        assert!(Place::take(&session).is_ok());
    }
}
