//! Taking in connections: how many there may be, how many of whom, and their handshakes.
//!
//! Our own, because it limits what a library's would not: the time and number of handshakes, and the number of
//! connections; and because the certificate is exchanged while a listener runs.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use towline_pki::tls::LiveServerConfig;

/// From the connection to the end of its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The wait after a failed accept: the process is out of descriptors.
const RECOVER: Duration = Duration::from_millis(100);

/// How much a listener takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// The most handshakes at once, so that a storm of them cannot starve those who are in.
    pub handshakes: usize,
}

/// Takes connections in, until it is time to stop.
#[derive(Debug)]
pub struct Reception {
    tls: Arc<LiveServerConfig>,
    room: Arc<Semaphore>,
    handshakes: Semaphore,
    stopping: CancellationToken,
}

/// A connection that was taken, with its place among those there may be.
#[derive(Debug)]
pub struct Taken {
    /// The connection.
    pub stream: TcpStream,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// To be dropped when it has ended.
    pub place: OwnedSemaphorePermit,
}

impl Reception {
    /// One within these limits.
    pub fn new(tls: Arc<LiveServerConfig>, limits: Limits, stopping: CancellationToken) -> Self {
        Self {
            tls,
            room: Arc::new(Semaphore::new(limits.connections)),
            handshakes: Semaphore::new(limits.handshakes),
            stopping,
        }
    }

    /// Tripped when it is time to stop.
    pub const fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// The next connection, as soon as there is room for it; nothing when it is time to stop.
    pub async fn next(&self, listener: &TcpListener) -> Option<Taken> {
        let next = async {
            let place = Arc::clone(&self.room).acquire_owned().await.ok()?;
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        return Some(Taken {
                            stream,
                            peer,
                            place,
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(RECOVER).await;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => None,
            next = next => next,
        }
    }

    /// TLS on a connection; nothing when that fails, takes too long, or it is time to stop.
    pub async fn shake(&self, stream: TcpStream, peer: SocketAddr) -> Option<TlsStream<TcpStream>> {
        let shaken = timeout(HANDSHAKE, async {
            let _turn = self.handshakes.acquire().await.ok()?;
            let acceptor = TlsAcceptor::from(self.tls.current());
            match acceptor.accept(stream).await {
                Ok(stream) => Some(stream),
                Err(error) => {
                    tracing::debug!(%peer, %error, "a handshake failed");
                    None
                }
            }
        });
        tokio::select! {
            shaken = shaken => shaken.ok().flatten(),
            () = self.stopping.cancelled() => None,
        }
    }
}

/// How many connections somebody has.
#[derive(Clone)]
pub struct Visits<K> {
    of: Arc<Mutex<HashMap<K, usize>>>,
    most: usize,
}

impl<K> fmt::Debug for Visits<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Visits(at most {} of each)", self.most)
    }
}

/// A connection that counts until it is dropped.
#[must_use]
pub struct Visit<K: Copy + Eq + Hash> {
    visits: Visits<K>,
    whose: K,
}

impl<K: Copy + Eq + Hash> Visits<K> {
    /// At most so many of each at once.
    pub fn new(most: usize) -> Self {
        Self {
            of: Arc::default(),
            most,
        }
    }

    /// Counts a connection, as long as it is one of few.
    pub fn enter(&self, whose: K) -> Option<Visit<K>> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of.entry(whose).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        let visits = Self {
            of: Arc::clone(&self.of),
            most: self.most,
        };
        Some(Visit { visits, whose })
    }
}

impl<K: Copy + Eq + Hash> Drop for Visit<K> {
    fn drop(&mut self) {
        let of = &self.visits.of;
        let mut of = of.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = of.get_mut(&self.whose) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            of.remove(&self.whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_may_have_so_many_and_what_has_ended_makes_room() {
        let visits = Visits::new(2);
        let (first, second) = (visits.enter('a'), visits.enter('a'));
        assert!(first.is_some() && second.is_some() && visits.enter('a').is_none());
        assert!(visits.enter('b').is_some());
        drop(first);
        assert!(visits.enter('a').is_some());
        drop(second);
        assert!(
            visits
                .of
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_empty()
        );
    }
}
