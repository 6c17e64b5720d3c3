//! The pieces of an engine's answer, joined.
//!
//! An engine sends each line of a log as a chunk of its own, and the parser hands on one chunk at a time. Passed on alone, each would cost a chunk,
//! a TLS record and calls of the kernel here and at the client. So the first piece goes at once, and what comes right behind it together.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::stream::poll_fn;
use futures_util::{Stream, StreamExt as _};
use http_body_util::BodyDataStream;
use hyper::body::{Body as _, Incoming};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use super::forward::PIECE;

/// From one piece to the next, unless that is full: what nobody sees.
const PAUSE: Duration = Duration::from_millis(1);

/// The same bytes in fewer pieces.
pub(super) fn joined(streams: &TaskTracker, body: Incoming) -> Body {
    // Who says how much there is sends it in large pieces.
    if body.size_hint().exact().is_some() {
        return Body::new(body);
    }
    let (sender, mut receiver) = mpsc::channel(1);
    streams.spawn(join(BodyDataStream::new(body), sender));
    Body::from_stream(poll_fn(move |context| receiver.poll_recv(context)))
}

/// Hands on what comes until it ends, or nobody wants it any more.
async fn join<S, E>(mut pieces: S, to: Sender<Result<Bytes, E>>)
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut gathered = BytesMut::new();
    let mut pause = std::pin::pin!(sleep_until(Instant::now()));
    let end = loop {
        tokio::select! {
            biased;
            piece = pieces.next(), if gathered.len() < PIECE => match piece {
                Some(Ok(piece)) => gathered.extend_from_slice(&piece),
                Some(Err(error)) => break Some(error),
                None => break None,
            },
            permit = async { due(gathered.len(), pause.as_mut()).await; to.reserve().await }, if !gathered.is_empty() => {
                let Ok(permit) = permit else { return };
                permit.send(Ok(gathered.split().freeze()));
                pause.as_mut().reset(Instant::now() + PAUSE);
            }
            () = to.closed() => return,
        }
    };
    let left = (!gathered.is_empty()).then(|| Ok(gathered.freeze()));
    for last in left.into_iter().chain(end.map(Err)) {
        // Who has gone needs no end.
        let _ = to.send(last).await;
    }
}

/// Until so many bytes are to go.
async fn due(bytes: usize, pause: std::pin::Pin<&mut tokio::time::Sleep>) {
    if bytes < PIECE {
        pause.await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::stream;
    use tokio::sync::mpsc::Receiver;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn joining<S>(pieces: S) -> (Receiver<Result<Bytes, &'static str>>, JoinHandle<()>)
    where
        S: Stream<Item = Result<Bytes, &'static str>> + Send + Unpin + 'static,
    {
        let (sender, receiver) = mpsc::channel(1);
        (receiver, tokio::spawn(join(pieces, sender)))
    }

    fn line(number: usize) -> Bytes {
        Bytes::from(format!("line {number}\n"))
    }

    #[tokio::test]
    async fn many_small_pieces_become_few_large_ones() {
        const LINES: usize = 100_000;
        let (mut joined, joining) = joining(stream::iter((0..LINES).map(line).map(Ok)));
        let (mut bytes, mut count) = (Vec::new(), 0);
        while let Some(piece) = joined.recv().await {
            bytes.extend_from_slice(&piece.unwrap());
            count += 1;
        }
        joining.await.unwrap();
        let expected: Vec<_> = (0..LINES).map(line).collect();
        assert!(bytes == expected.concat());
        assert!(count <= bytes.len() / PIECE + 2, "{count} pieces");
    }

    #[tokio::test]
    async fn a_piece_alone_waits_for_no_other() {
        let (mut joined, joining) = joining(stream::iter([Ok(line(1))]).chain(stream::pending()));
        let piece = timeout(SOON, joined.recv()).await.unwrap().unwrap();
        assert_eq!(piece, Ok(line(1)));
        drop(joined);
        timeout(SOON, joining).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_does_so_behind_what_came_before() {
        let (mut joined, _joining) =
            joining(stream::iter([Ok(line(1)), Ok(line(2)), Err("broken")]));
        let mut told = Vec::new();
        let end = loop {
            match joined.recv().await {
                Some(Ok(piece)) => told.extend_from_slice(&piece),
                end => break end,
            }
        };
        assert_eq!(
            (&*told, end),
            (&b"line 1\nline 2\n"[..], Some(Err("broken")))
        );
    }
}
