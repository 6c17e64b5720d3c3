//! The accept loop of the public listener.
//!
//! Its own loop, because it limits what a library's would not: the time and number of handshakes, the
//! number of connections, and the size of heads; and because the certificate is exchanged while it
//! runs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use towline_pki::tls::LiveServerConfig;

/// From the connection to the end of its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// From the first byte of a request's head to its last; also how long an idle connection stays.
const HEAD: Duration = Duration::from_secs(30);
/// The most headers of a request, and the most bytes of its head.
const MAX_HEADERS: usize = 64;
const MAX_HEAD: u32 = 16 * 1024;
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// An HTTP/2 peer that is gone without a word is noticed so often.
const PING: Duration = Duration::from_secs(20);
/// The wait after a failed accept: the process is out of descriptors.
const RECOVER: Duration = Duration::from_millis(100);

/// How much the listener takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// The most handshakes at once, so that a storm of them cannot starve those who are in.
    pub handshakes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshakes: 64,
        }
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    router: Router,
    tls: Arc<LiveServerConfig>,
    http: Builder<TokioExecutor>,
    handshakes: Semaphore,
    stopping: CancellationToken,
}

/// Takes connections until `stopping` is cancelled, then lets those that are up finish. The caller
/// bounds the time that may take.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<LiveServerConfig>,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let shared = Arc::new(Shared {
        router,
        tls,
        http: builder(),
        handshakes: Semaphore::new(limits.handshakes),
        stopping: stopping.clone(),
    });
    while let Some((stream, peer, place)) = accept(&listener, &room, &stopping).await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            shared.connection(stream, peer).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection, as soon as there is room for it; nothing when it is time to stop.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    stopping: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let next = async {
        let place = Arc::clone(room).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, peer, place)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(RECOVER).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stopping.cancelled() => None,
        next = next => next,
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_header_list_size(MAX_HEAD)
        .max_concurrent_streams(MAX_STREAMS);
    builder
}

impl Shared {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        // Log lines are small and must not wait for more.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(stream) = self.handshake(stream, peer).await else {
            return;
        };
        let service = service_fn(move |request| answer(self.router.clone(), request, peer));
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection broke off");
        }
    }

    async fn handshake(&self, stream: TcpStream, peer: SocketAddr) -> Option<TlsStream<TcpStream>> {
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

async fn answer(
    router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request).await
}
