//! The wire of one session: a WebSocket that is read and written at the same time by one task.
//!
//! Memory is bounded by construction: tungstenite's buffers are small, large messages leave in
//! fragments, nothing more is read while too much waits to be written, and one batch of frames is
//! handed over before the next is read.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink as _, SinkExt as _, Stream as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Sleep, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, error::CapacityError};
use towline_shared::failpoint::Departing;
use towline_shared::protocol::v1::FromAgent;

/// A message leaves in fragments of this size, so that the write buffer stays small for ever.
const FRAGMENT: usize = 16 * 1024;
/// Nothing is read while more than this waits to be written.
const PAUSE_READING: usize = 256 * 1024;
/// One batch ends with this many frames,
const BATCH_FRAMES: usize = 32;
/// or with this many bytes.
const BATCH_BYTES: usize = 512 * 1024;
/// What is read and thrown away after our last word, so that a reset does not overtake it.
const DRAIN: u64 = 4 * 1024 * 1024;

/// The WebSocket's limits and buffers for an agent's connection.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(4 * 1024)
        .max_write_buffer_size(64 * 1024)
        .max_message_size(Some(FromAgent::MAX_FRAME))
        .max_frame_size(Some(FromAgent::MAX_FRAME))
}

/// Why a wire is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// The peer closed it.
    #[error("the agent closed the connection")]
    Closed,
    /// It broke.
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    /// A frame is over the limit of all kinds.
    #[error("a frame of {bytes} bytes, at most {limit} are allowed", limit = FromAgent::MAX_FRAME)]
    TooLarge { bytes: usize },
    /// The peer has taken nothing of what waits for it for too long.
    #[error("the agent takes nothing")]
    Stalled,
    /// The peer does not speak binary WebSocket messages.
    #[error("no WebSocket messages of bytes: {0}")]
    Foreign(String),
}

impl From<tungstenite::Error> for Fault {
    fn from(error: tungstenite::Error) -> Self {
        use tungstenite::Error as E;
        use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
        match error {
            E::ConnectionClosed | E::AlreadyClosed | E::Protocol(ResetWithoutClosingHandshake) => {
                Self::Closed
            }
            E::Io(error) => Self::Broken(error),
            E::Capacity(CapacityError::MessageTooLong { size, .. }) => {
                Self::TooLarge { bytes: size }
            }
            other => Self::Foreign(other.to_string()),
        }
    }
}

/// A session's wire.
pub(super) struct Socket<S> {
    stream: Box<WebSocketStream<S>>,
    outbox: Outbox,
    /// What ended the reading, while frames before it are still being handed over.
    fault: Option<Fault>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// A peer that takes nothing for `stall` is given up.
    pub(super) fn new(stream: WebSocketStream<S>, stall: Duration) -> Self {
        Self {
            stream: Box::new(stream),
            outbox: Outbox::new(stall),
            fault: None,
        }
    }

    /// Puts a message in the line of those that [`Self::exchange`] writes.
    pub(super) fn queue(&mut self, message: Vec<u8>, name: Option<&'static str>) {
        self.outbox.push(message.into(), name);
    }

    /// Writes what is queued and waits for frames: a batch of those that are there already. An
    /// empty batch is a sign of life only. Dropping the future loses nothing.
    pub(super) async fn exchange(&mut self) -> Result<Vec<Bytes>, Fault> {
        std::future::poll_fn(|context| {
            if let Poll::Ready(Err(fault)) = self.poll_write(context) {
                return Poll::Ready(Err(fault));
            }
            if self.outbox.bytes > PAUSE_READING {
                return Poll::Pending;
            }
            self.poll_batch(context)
        })
        .await
    }

    /// Writes what is queued and says farewell, then lets the peer close; all within `patience`.
    pub(super) async fn part(mut self, code: CloseCode, reason: &'static str, patience: Duration) {
        // The peer may be gone already, and then there is nobody to hear it.
        let _ = timeout(
            patience,
            self.last_words(CloseFrame {
                code,
                reason: reason.into(),
            }),
        )
        .await;
    }

    async fn last_words(&mut self, close: CloseFrame) -> Result<(), Fault> {
        std::future::poll_fn(|context| self.poll_write(context)).await?;
        self.stream.send(Message::Close(Some(close))).await?;
        let raw = self.stream.get_mut();
        raw.shutdown().await.map_err(Fault::Broken)?;
        tokio::io::copy(&mut raw.take(DRAIN), &mut tokio::io::sink())
            .await
            .map_err(Fault::Broken)?;
        Ok(())
    }

    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<Bytes>, Fault>> {
        if let Some(fault) = self.fault.take() {
            return Poll::Ready(Err(fault));
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        loop {
            let fault = match Pin::new(&mut *self.stream).poll_next(context) {
                Poll::Pending if batch.is_empty() => return Poll::Pending,
                // A ping is a sign of life; tungstenite answers it by itself.
                Poll::Pending | Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {
                    return Poll::Ready(Ok(batch));
                }
                Poll::Ready(Some(Ok(Message::Binary(frame)))) => {
                    bytes += frame.len();
                    batch.push(frame);
                    if batch.len() >= BATCH_FRAMES || bytes >= BATCH_BYTES {
                        return Poll::Ready(Ok(batch));
                    }
                    continue;
                }
                Poll::Ready(Some(Ok(Message::Close(_))) | None) => Fault::Closed,
                Poll::Ready(Some(Ok(Message::Text(_) | Message::Frame(_)))) => {
                    Fault::Foreign("a text message".into())
                }
                Poll::Ready(Some(Err(error))) => error.into(),
            };
            if batch.is_empty() {
                return Poll::Ready(Err(fault));
            }
            self.fault = Some(fault);
            return Poll::Ready(Ok(batch));
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let mut stream = Pin::new(&mut *self.stream);
        while self.outbox.has_fragments() {
            match stream.as_mut().poll_ready(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return self.outbox.poll_stall(context),
            }
            if let Some(fragment) = self.outbox.next_fragment() {
                stream.as_mut().start_send(fragment)?;
            }
        }
        if self.outbox.flushed == Flushed::No {
            match stream.as_mut().poll_flush(context) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return self.outbox.poll_stall(context),
            }
            self.outbox.flushed = Flushed::Yes;
            self.outbox.departing.flushed();
            self.outbox.stalled = None;
        }
        Poll::Ready(Ok(()))
    }
}

/// What waits to be written.
#[derive(Debug)]
struct Outbox {
    messages: VecDeque<Waiting>,
    bytes: usize,
    flushed: Flushed,
    departing: Departing,
    stall: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
struct Waiting {
    rest: Bytes,
    opcode: Data,
    name: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushed {
    Yes,
    No,
}

impl Outbox {
    fn new(stall: Duration) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            flushed: Flushed::Yes,
            departing: Departing::default(),
            stall,
            stalled: None,
        }
    }

    fn push(&mut self, message: Bytes, name: Option<&'static str>) {
        self.bytes += message.len();
        self.messages.push_back(Waiting {
            rest: message,
            opcode: Data::Binary,
            name,
        });
    }

    fn has_fragments(&self) -> bool {
        !self.messages.is_empty()
    }

    fn next_fragment(&mut self) -> Option<Message> {
        let front = self.messages.front_mut()?;
        let part = front.rest.split_to(front.rest.len().min(FRAGMENT));
        let opcode = OpCode::Data(std::mem::replace(&mut front.opcode, Data::Continue));
        let last = front.rest.is_empty();
        if last {
            self.departing.add(front.name);
            self.messages.pop_front();
            // An empty queue holds no memory.
            if self.messages.is_empty() {
                self.messages = VecDeque::new();
            }
        }
        self.bytes -= part.len();
        self.flushed = Flushed::No;
        self.stalled = None;
        Some(Message::Frame(Frame::message(part, opcode, last)))
    }

    /// The peer takes nothing: for so long this is borne.
    fn poll_stall(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let stall = self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        stalled.as_mut().poll(context).map(|()| Err(Fault::Stalled))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use futures_util::StreamExt as _;
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::Instant;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    const STALL: Duration = Duration::from_secs(20);

    async fn pair(buffer: usize) -> (Socket<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (ours, theirs) = duplex(buffer);
        let ours = WebSocketStream::from_raw_socket(ours, Role::Server, Some(config())).await;
        let theirs = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        (Socket::new(ours, STALL), theirs)
    }

    #[tokio::test]
    async fn a_large_message_arrives_whole_and_leaves_no_large_buffer() {
        let (mut socket, mut peer) = pair(1024).await;
        let message: Vec<u8> = (0..5_000_000_u32)
            .map(|byte| byte.to_le_bytes()[0])
            .collect();
        socket.queue(message.clone(), None);
        socket.queue(vec![1], None);
        let read = tokio::select! {
            read = async { (peer.next().await.unwrap().unwrap(), peer.next().await.unwrap().unwrap()) } => read,
            exchanged = socket.exchange() => panic!("{exchanged:?}"),
        };
        assert_eq!(read.0.into_data(), message);
        assert_eq!(read.1.into_data(), vec![1]);
        assert_eq!(socket.outbox.bytes, 0);
        assert!(socket.outbox.stalled.is_none());
    }

    #[tokio::test]
    async fn both_sides_may_write_much_at_once() {
        let (mut socket, mut peer) = pair(1024).await;
        socket.queue(vec![7; 300_000], None);
        let ours = async {
            let mut frames = 0;
            while frames < 50 {
                frames += socket.exchange().await.unwrap().len();
            }
            socket
        };
        let theirs = async {
            let (mut sink, mut stream) = (&mut peer).split();
            let write = async {
                for _ in 0..50 {
                    sink.send(Message::binary(vec![8; 10_000])).await.unwrap();
                }
            };
            tokio::join!(write, stream.next()).1.unwrap().unwrap()
        };
        let (_, read) = timeout(Duration::from_secs(5), async { tokio::join!(ours, theirs) })
            .await
            .unwrap();
        assert_eq!(read.len(), 300_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_noticed_and_not_read_from() {
        let (mut socket, mut peer) = pair(1024).await;
        socket.queue(vec![7; 300_000], None);
        peer.send(Message::binary(vec![1])).await.unwrap();
        let began = Instant::now();
        assert!(matches!(socket.exchange().await, Err(Fault::Stalled)));
        assert_eq!(began.elapsed().as_secs(), STALL.as_secs());
    }

    #[tokio::test]
    async fn frames_before_the_end_are_handed_over_before_it() {
        let (mut socket, mut peer) = pair(1 << 20).await;
        for byte in 0..3 {
            peer.send(Message::binary(vec![byte])).await.unwrap();
        }
        peer.close(None).await.unwrap();
        assert_eq!(socket.exchange().await.unwrap().len(), 3);
        assert!(matches!(socket.exchange().await, Err(Fault::Closed)));
    }

    #[tokio::test]
    async fn what_is_no_frame_of_ours_is_told_apart() {
        let (mut socket, mut peer) = pair(4 << 20).await;
        peer.send(Message::text("hello")).await.unwrap();
        assert!(matches!(socket.exchange().await, Err(Fault::Foreign(_))));

        let (mut socket, mut peer) = pair(4 << 20).await;
        let bytes = FromAgent::MAX_FRAME + 1;
        peer.send(Message::binary(vec![0; bytes])).await.unwrap();
        assert!(
            matches!(socket.exchange().await, Err(Fault::TooLarge { bytes: found }) if found == bytes)
        );
    }

    #[tokio::test]
    async fn the_last_words_are_heard_even_by_a_peer_that_writes() {
        let (mut socket, mut peer) = pair(1024).await;
        socket.queue(vec![14, 3], None);
        let writes = async {
            let (mut sink, mut stream) = (&mut peer).split();
            let write =
                async { while sink.send(Message::binary(vec![8; 10_000])).await.is_ok() {} };
            let read = async {
                let last = stream.next().await.unwrap().unwrap();
                let close = stream.next().await.unwrap().unwrap();
                (last, close)
            };
            tokio::select! { () = write => unreachable!(), read = read => read }
        };
        let ((), (last, close)) = tokio::join!(
            socket.part(CloseCode::Policy, "test", Duration::from_millis(200)),
            writes
        );
        assert_eq!(last.into_data(), vec![14, 3]);
        assert!(close.is_close());
    }
}
