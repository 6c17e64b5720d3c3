//! Whoever is refused while still sending gets to read why: what is left of the request is taken and thrown away, up to
//! a limit. Without that the connection is reset under the sender, and the answer is lost on the way (RFC 9112 §9.6).
//! Who asks first whether to send (`Expect: 100-continue`) and was not told to go on sends nothing, and is not asked to.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use http::header::EXPECT;
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
    let begun = if request.headers().contains_key(EXPECT) {
        Begun::WhenRead
    } else {
        Begun::AtOnce
    };
    let rest = Rest::default();
    let request = request.map(|body| Body::new(Watched::new(body, begun, &rest)));
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

/// When the body is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    /// With the head, or already.
    AtOnce,
    /// When somebody wants to read it.
    WhenRead,
}

/// A body that leaves its rest behind when it is dropped.
struct Watched {
    body: Body,
    begun: Begun,
    rest: Rest,
}

impl Watched {
    fn new(body: Body, begun: Begun, rest: &Rest) -> Self {
        Self {
            body,
            begun,
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
        self.begun = Begun::AtOnce;
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
        if self.begun == Begun::AtOnce && !self.body.is_end_stream() {
            self.rest.put(std::mem::take(&mut self.body));
        }
    }
}
