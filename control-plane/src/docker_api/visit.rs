//! One connection of a client of Docker: as long as its certificate counts.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use chrono::Utc;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use towline_pki::DockerClient;

use super::Shared;
use super::answer::Refusal;
use super::forward::asked_for;
use crate::store::{DockerRequest, DockerStanding, DockerVisitor};
use crate::wake::Topic;

/// From the first byte of a request's head to its last; also how long an idle connection stays.
const HEAD: Duration = Duration::from_mins(2);
/// The most headers of a request, and how many bytes of its head are awaited: logins of many registries travel in one.
const MAX_HEADERS: usize = 128;
const MAX_HEAD: usize = 64 * 1024;
/// How often it is looked whether the certificate counts, should a wake-up be lost.
const LOOK: Duration = Duration::from_secs(30);
/// The longest path and name that are written down.
const MAX_PATH: usize = 512;

/// A client of Docker.
pub(super) struct Visitor {
    pub(super) shared: Arc<Shared>,
    client: DockerClient,
    address: IpAddr,
    /// What has become a stream of bytes.
    pub(super) streams: TaskTracker,
    /// Tripped when all of it must end.
    pub(super) over: CancellationToken,
}

impl Visitor {
    pub(super) fn new(shared: Arc<Shared>, client: DockerClient, address: IpAddr) -> Self {
        let over = shared.reception.stopping().child_token();
        Self {
            shared,
            client,
            address,
            streams: TaskTracker::new(),
            over,
        }
    }

    /// Serves the connection, and the streams that come of it, to their end.
    pub(super) async fn serve(self, stream: TlsStream<TcpStream>) {
        let this = Arc::new(self);
        let service = service_fn(|request: Request<Incoming>| {
            let this = Arc::clone(&this);
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let served = async {
            if let Err(error) = connection.await {
                tracing::debug!(address = %this.address, %error, "a connection to the Docker API broke off");
            }
            this.streams.close();
            this.streams.wait().await;
        };
        tokio::select! {
            () = served => {}
            () = this.over.cancelled() => {}
            () = this.ends() => tracing::info!(certificate = %this.client.certificate, "a certificate for the Docker API has ended; what was open by it is cut"),
        }
        this.over.cancel();
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let answered = self.judge_and_forward(request).await;
        answered.unwrap_or_else(Refusal::into_response)
    }

    async fn judge_and_forward(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let asked = asked_for(&request)?;
        let visitor = self.judge(&request).await?;
        self.forward(&visitor, asked, request).await
    }

    /// Whether it may be asked; written down, unless it asks only whether the engine is there.
    async fn judge(&self, request: &Request<Incoming>) -> Result<DockerVisitor, Refusal> {
        let path = request.uri().path();
        let store = &self.shared.store;
        let standing = if is_ping(path) {
            store.docker_standing(&self.client).await?
        } else {
            let asked = DockerRequest {
                method: request.method().to_string(),
                path: clipped(path),
                container: container(path).map(clipped),
                address: self.address,
            };
            store.docker_request(&self.client, &asked).await?
        };
        match standing {
            DockerStanding::Granted(visitor) => Ok(visitor),
            DockerStanding::Revoked => Err(Refusal::Revoked),
            DockerStanding::NotGranted(host) => Err(Refusal::NotGranted(host)),
        }
    }

    /// Who this is, if the certificate counts; asked for until the database answers.
    async fn granted(&self) -> Option<DockerVisitor> {
        loop {
            match self.shared.store.docker_standing(&self.client).await {
                Ok(DockerStanding::Granted(visitor)) => return Some(visitor),
                Ok(DockerStanding::Revoked | DockerStanding::NotGranted(_)) => return None,
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// Returns when the certificate counts no more, if it ever did.
    async fn ends(&self) {
        let Some(visitor) = self.granted().await else {
            // Each request is told why; none lasts.
            return std::future::pending().await;
        };
        let mut waiter = self
            .shared
            .store
            .wake()
            .subscribe(Topic::Docker(visitor.target));
        let left = self.client.not_after - Utc::now();
        let mut expiry = std::pin::pin!(sleep(left.to_std().unwrap_or_default()));
        loop {
            let standing = self.shared.store.docker_standing(&self.client).await;
            // A database that does not answer now has revoked nothing.
            if standing.is_ok_and(|standing| !matches!(standing, DockerStanding::Granted(_))) {
                return;
            }
            tokio::select! {
                () = &mut expiry => return,
                _ = timeout(LOOK, waiter.woken()) => {}
            }
        }
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(MAX_PATH).collect()
}

/// A path without the version that it may begin with.
fn unversioned(path: &str) -> &str {
    let is_version = |word: &str| {
        word.strip_prefix('v')
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    let rest = path.trim_start_matches('/');
    match rest.split_once('/') {
        Some((first, rest)) if is_version(first) => rest,
        _ => rest,
    }
}

fn is_ping(path: &str) -> bool {
    unversioned(path) == "_ping"
}

/// The container that a path is about.
fn container(path: &str) -> Option<&str> {
    let name = unversioned(path)
        .strip_prefix("containers/")?
        .split('/')
        .next()?;
    (!matches!(name, "" | "json" | "create" | "prune")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        for (path, ping, about) in [
            ("/_ping", true, None),
            ("/v1.45/_ping", true, None),
            ("/v1.45/containers/web/json", false, Some("web")),
            ("/containers/web/logs", false, Some("web")),
            ("/v1.45/containers/json", false, None),
            ("/v1.45/containers/create", false, None),
            ("/v1.45/images/_ping", false, None),
            ("/containers/", false, None),
            ("/vault/_ping", false, None),
            ("/", false, None),
        ] {
            assert_eq!((is_ping(path), container(path)), (ping, about), "{path}");
        }
    }
}
