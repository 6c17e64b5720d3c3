//! Whoever is refused while still sending gets to read why: what is left of the request is taken and thrown away, up to
//! a limit. Without that the connection is reset under the sender, and the answer is lost on the way (RFC 9112 §9.6).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};

/// The most bytes that are taken for nothing.
const MOST: usize = 16 * 1024 * 1024;
/// The longest that is waited for them.
const LONGEST: Duration = Duration::from_secs(5);

/// Takes what is left of a request that was refused.
pub async fn linger(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let rest = Rest::default();
    let request = request.map(|body| Body::new(Watched::new(body, &rest)));
    let response = next.run(request).await;
    if !response.status().is_success()
        && let Some(body) = rest.take()
    {
        // However that ends, the answer goes out.
        let _ = tokio::time::timeout(LONGEST, discard(body)).await;
    }
    response
}

async fn discard(body: Body) {
    let mut left = MOST;
    let mut data = body.into_data_stream();
    while let Some(Ok(bytes)) = data.next().await {
        let Some(still) = left.checked_sub(bytes.len()) else {
            return;
        };
        left = still;
    }
}

/// What the handler has not read.
#[derive(Clone, Default)]
struct Rest(Arc<Mutex<Option<Body>>>);

impl Rest {
    fn put(&self, body: Body) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    fn take(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A body that leaves its rest behind when it is dropped.
struct Watched {
    body: Body,
    rest: Rest,
}

impl Watched {
    fn new(body: Body, rest: &Rest) -> Self {
        Self {
            body,
            rest: rest.clone(),
        }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.rest.put(std::mem::take(&mut self.body));
        }
    }
}
