//! Connections that images travel on: how many there may be, and how long they may be idle.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use towline_shared::ids::AgentId;

use super::Layers;
use super::requests::{Asker, router};
use crate::connections::Visits;
use crate::install::Binaries;
use crate::store::Store;

/// The most connections at once; agents whose connection is refused come again.
const MOST: usize = 128;
/// The most of one agent, which needs one for each job that it does.
const MOST_OF_AGENT: usize = 8;
/// From the end of a request to the end of the next one's head.
const IDLE: Duration = Duration::from_secs(30);
const MAX_HEADERS: usize = 32;

/// Lets agents in that bring or fetch images.
#[derive(Clone, Debug)]
pub struct Door {
    layers: Layers,
    binaries: Binaries,
    places: Arc<Semaphore>,
    visits: Visits<AgentId>,
    stopping: CancellationToken,
}

/// An agent that brings or fetches images.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// Who it is, by its certificate.
    pub agent: AgentId,
}

impl Door {
    /// A door to these layers, and to the programs of agents, until `stopping` is cancelled.
    pub fn new(layers: Layers, binaries: Binaries, stopping: CancellationToken) -> Self {
        Self {
            layers,
            binaries,
            places: Arc::new(Semaphore::new(MOST)),
            visits: Visits::new(MOST_OF_AGENT),
            stopping,
        }
    }

    /// Serves a connection to its end.
    pub async fn serve(
        &self,
        store: Store,
        visitor: Visitor,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) {
        let (Ok(_place), Some(_visit)) =
            (self.places.try_acquire(), self.visits.enter(visitor.agent))
        else {
            tracing::warn!(agent = %visitor.agent, "more connections for images than are let in at once");
            return;
        };
        let router = router(Asker {
            store,
            layers: self.layers.clone(),
            binaries: self.binaries.clone(),
            agent: visitor.agent,
        });
        let service = service_fn(move |request: Request<Incoming>| {
            let router = router.clone();
            async move {
                Ok::<_, Infallible>(
                    router
                        .oneshot(request)
                        .await
                        .unwrap_or_else(|never| match never {}),
                )
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(agent = %visitor.agent, %error, "a connection for images was cut");
            },
            () = self.stopping.cancelled() => {}
        }
    }
}
