//! What requests carry, and how far a file has come.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

/// How much of a file is read at once.
const PIECE: usize = 64 * 1024;

/// What a request carries.
#[derive(Debug)]
pub(super) struct Body(UnsyncBoxBody<Bytes, io::Error>);

/// How far a file has come.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    began: Instant,
    length: u64,
    bytes: Arc<AtomicU64>,
    /// When its last piece was taken, in milliseconds from the beginning.
    last_ms: Arc<AtomicU64>,
}

/// Whether all of a file was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Some,
    All,
}

impl Body {
    pub(super) fn none() -> Self {
        Self::whole(Full::default())
    }

    pub(super) fn whole(bytes: Full<Bytes>) -> Self {
        Self(bytes.map_err(|never| match never {}).boxed_unsync())
    }

    /// A file from some byte on, how many bytes that are, and how to see how far it has come.
    pub(super) async fn file(path: &Path, from: u64) -> io::Result<(Self, u64, Watch)> {
        let mut file = File::open(path).await?;
        let length = file.metadata().await?.len().saturating_sub(from);
        file.seek(SeekFrom::Start(from)).await?;
        let watch = Watch {
            began: Instant::now(),
            length,
            bytes: Arc::default(),
            last_ms: Arc::default(),
        };
        let seen = watch.clone();
        let pieces = ReaderStream::with_capacity(file.take(length), PIECE);
        let frames = pieces
            .inspect_ok(move |piece| seen.note(piece.len() as u64))
            .map_ok(Frame::data);
        Ok((Self(StreamBody::new(frames).boxed_unsync()), length, watch))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Watch {
    fn note(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let passed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(passed, Ordering::Relaxed);
    }

    /// How many bytes were taken.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether all was taken, and how long ago the last piece was.
    pub(super) fn state(&self) -> (Sent, Duration) {
        let sent = if self.bytes() >= self.length {
            Sent::All
        } else {
            Sent::Some
        };
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        (sent, self.began.elapsed().saturating_sub(last))
    }
}
