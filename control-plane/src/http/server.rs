//! The accept loop of the public listener.
//!
//! Its own loop, because it limits what a library's would not: see [`crate::connections`], and the size of heads.

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
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use towline_pki::tls::LiveServerConfig;

use crate::connections::{Limits, Reception};

/// From the first byte of a request's head to its last; also how long an idle connection stays.
const HEAD: Duration = Duration::from_secs(30);
/// The most headers of a request, and the most bytes of its head.
const MAX_HEADERS: usize = 64;
const MAX_HEAD: u32 = 16 * 1024;
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;
/// An HTTP/2 peer that is gone without a word is noticed so often.
const PING: Duration = Duration::from_secs(20);

/// How much the public listener takes on.
pub const LIMITS: Limits = Limits {
    connections: 4096,
    handshakes: 64,
};

/// What all connections share.
#[derive(Debug)]
struct Shared {
    router: Router,
    http: Builder<TokioExecutor>,
    reception: Reception,
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
    let connections = TaskTracker::new();
    let shared = Arc::new(Shared {
        router,
        http: builder(),
        reception: Reception::new(tls, limits, stopping),
    });
    while let Some(taken) = shared.reception.next(&listener).await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            shared.connection(taken.stream, taken.peer).await;
            drop(taken.place);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
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
        let Some(stream) = self.reception.shake(stream, peer).await else {
            return;
        };
        let service = service_fn(move |request| answer(self.router.clone(), request, peer));
        let connection = self
            .http
            .serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.reception.stopping().cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection broke off");
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
