//! Streams of bytes from an agent to a consumer of this process, bounded by credit.
//!
//! The agent may have sent at most [`STREAM_CREDIT`] bytes beyond what the consumer took; taking
//! bytes gives credit back. So a consumer that stops stops its stream, and nothing else.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use towline_shared::protocol::v1::{
    CloseStream, Credit, FromServer, OpenStream, StreamData, StreamEnd,
};
use towline_shared::query::{MAX_STREAM_PIECE, STREAM_CREDIT, StreamRequest};

use super::registry::Handle;

/// The most streams of one agent.
const MOST: usize = 16;
/// Credit goes back in parts of this size, so that it costs few messages.
const CREDIT_PART: u32 = STREAM_CREDIT / 4;

/// A stream from an agent. Dropping it closes the stream.
#[derive(Debug)]
pub struct AgentStream {
    pipe: Arc<Pipe>,
    session: Arc<Handle>,
}

/// Why a stream ended before it was complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamBroken {
    /// The agent said so; its words.
    #[error("{0}")]
    Agent(String),
    /// The agent's connection ended.
    #[error("the agent's connection ended; try again when it is back")]
    Disconnected,
    /// The agent has as many streams open as it may have.
    #[error("the agent has {MOST} streams open already; close one")]
    TooMany,
}

impl AgentStream {
    /// The next piece, in the agent's own cut; nothing when the stream is complete.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, StreamBroken>> {
        loop {
            match self.pipe.take() {
                Taken::Piece { bytes, credit } => {
                    if credit == CreditDue::Yes {
                        self.session.attend();
                    }
                    return Some(Ok(bytes));
                }
                Taken::End(end) => return end.map(Err),
                Taken::Nothing => self.pipe.filled.notified().await,
            }
        }
    }
}

impl Drop for AgentStream {
    fn drop(&mut self) {
        self.pipe.lock().demand = Demand::Gone;
        self.session.attend();
    }
}

/// What the consumer's end and the session's end share.
#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes taken for which no credit was given back yet.
    taken: u32,
    flow: Flow,
    demand: Demand,
}

#[derive(Debug, Default)]
enum Flow {
    #[default]
    Open,
    Ended(Option<StreamBroken>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Demand {
    #[default]
    Reading,
    Gone,
}

enum Taken {
    Piece { bytes: Vec<u8>, credit: CreditDue },
    End(Option<StreamBroken>),
    Nothing,
}

#[derive(PartialEq, Eq)]
enum CreditDue {
    Yes,
    No,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Taken {
        let mut state = self.lock();
        if let Some(bytes) = state.pieces.pop_front() {
            state.taken += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let credit = if state.taken >= CREDIT_PART {
                CreditDue::Yes
            } else {
                CreditDue::No
            };
            return Taken::Piece { bytes, credit };
        }
        match &mut state.flow {
            Flow::Open => Taken::Nothing,
            Flow::Ended(broken) => Taken::End(broken.take()),
        }
    }

    fn put(&self, bytes: Vec<u8>) {
        self.lock().pieces.push_back(bytes);
        self.filled.notify_one();
    }

    fn end(&self, broken: Option<StreamBroken>) {
        let mut state = self.lock();
        if matches!(state.flow, Flow::Open) {
            state.flow = Flow::Ended(broken);
        }
        drop(state);
        self.filled.notify_one();
    }
}

/// The session's end of a pipe. However it is lost, the consumer learns of it.
#[derive(Debug)]
pub(super) struct Supply(Arc<Pipe>);

impl Supply {
    fn end(self, broken: Option<StreamBroken>) {
        self.0.end(broken);
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.0.end(Some(StreamBroken::Disconnected));
    }
}

/// Both ends of a new stream from a session's agent.
pub(super) fn pipe(session: Arc<Handle>) -> (Supply, AgentStream) {
    let pipe = Arc::new(Pipe::default());
    let stream = AgentStream {
        pipe: Arc::clone(&pipe),
        session,
    };
    (Supply(pipe), stream)
}

/// The streams of one session.
#[derive(Debug, Default)]
pub(super) struct Streams {
    next: u32,
    open: HashMap<u32, Open>,
}

#[derive(Debug)]
struct Open {
    supply: Supply,
    /// How many more bytes the agent may send.
    credit: u32,
}

/// What an agent did with a stream that it may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamViolation {
    /// A piece is too large.
    #[error("stream {stream}: a piece of {bytes} bytes, at most {MAX_STREAM_PIECE} are allowed")]
    Piece {
        /// The stream.
        stream: u32,
        /// The piece's size.
        bytes: usize,
    },
    /// It was not allowed so many bytes.
    #[error("stream {stream}: {bytes} bytes beyond a credit of {credit}")]
    Credit {
        /// The stream.
        stream: u32,
        /// The bytes that came.
        bytes: usize,
        /// Those that were allowed.
        credit: u32,
    },
}

impl Streams {
    /// Opens a stream, or tells its consumer that there are too many.
    pub(super) fn open(&mut self, request: StreamRequest, supply: Supply) -> Option<FromServer> {
        if self.open.len() >= MOST {
            supply.end(Some(StreamBroken::TooMany));
            return None;
        }
        while self.open.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let stream = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(
            stream,
            Open {
                supply,
                credit: STREAM_CREDIT,
            },
        );
        Some(FromServer::OpenStream(OpenStream { stream, request }))
    }

    /// Takes a piece from the agent. One of a stream that we closed may still be under way and is
    /// dropped.
    pub(super) fn data(&mut self, data: StreamData) -> Result<(), StreamViolation> {
        let StreamData { stream, bytes } = data;
        let Some(open) = self.open.get_mut(&stream) else {
            return Ok(());
        };
        if bytes.len() > MAX_STREAM_PIECE {
            return Err(StreamViolation::Piece {
                stream,
                bytes: bytes.len(),
            });
        }
        let left = u32::try_from(bytes.len())
            .ok()
            .and_then(|bytes| open.credit.checked_sub(bytes));
        let Some(left) = left else {
            return Err(StreamViolation::Credit {
                stream,
                bytes: bytes.len(),
                credit: open.credit,
            });
        };
        open.credit = left;
        if !bytes.is_empty() {
            open.supply.0.put(bytes);
        }
        Ok(())
    }

    /// The agent has ended a stream.
    pub(super) fn end(&mut self, end: StreamEnd) {
        if let Some(open) = self.open.remove(&end.stream) {
            open.supply.end(end.error.map(StreamBroken::Agent));
        }
    }

    /// What the consumers' doings mean for the agent: credit for what they took, the close of what
    /// they dropped.
    pub(super) fn attend(&mut self) -> Vec<FromServer> {
        let mut messages = Vec::new();
        self.open.retain(|&stream, open| {
            let mut state = open.supply.0.lock();
            if state.demand == Demand::Gone {
                messages.push(FromServer::CloseStream(CloseStream { stream }));
                return false;
            }
            if state.taken >= CREDIT_PART {
                let bytes = std::mem::take(&mut state.taken);
                open.credit += bytes;
                messages.push(FromServer::Credit(Credit { stream, bytes }));
            }
            true
        });
        messages
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use towline_shared::query::Follow;

    use super::*;

    fn request() -> StreamRequest {
        StreamRequest::ContainerLog {
            container: "web".into(),
            tail: None,
            follow: Follow::Yes,
        }
    }

    fn opened(streams: &mut Streams) -> (u32, AgentStream, Arc<Handle>) {
        let handle = Arc::new(Handle::for_tests());
        let (supply, consumer) = pipe(Arc::clone(&handle));
        let Some(FromServer::OpenStream(open)) = streams.open(request(), supply) else {
            panic!("not opened");
        };
        (open.stream, consumer, handle)
    }

    fn piece(stream: u32, bytes: usize) -> StreamData {
        StreamData {
            stream,
            bytes: vec![7; bytes],
        }
    }

    #[tokio::test]
    async fn the_agent_never_gets_further_ahead_than_its_credit() {
        let mut streams = Streams::default();
        let (stream, mut consumer, _) = opened(&mut streams);
        for _ in 0..STREAM_CREDIT as usize / MAX_STREAM_PIECE {
            streams.data(piece(stream, MAX_STREAM_PIECE)).unwrap();
        }
        let beyond = StreamViolation::Credit {
            stream,
            bytes: 1,
            credit: 0,
        };
        assert_eq!(streams.data(piece(stream, 1)), Err(beyond));
        assert_eq!(streams.attend(), vec![], "nothing was taken");

        consumer.next().await.unwrap().unwrap();
        let credit = Credit {
            stream,
            bytes: CREDIT_PART,
        };
        assert_eq!(streams.attend(), vec![FromServer::Credit(credit)]);
        assert_eq!(streams.data(piece(stream, MAX_STREAM_PIECE)), Ok(()));
        let too_large = StreamViolation::Piece {
            stream,
            bytes: MAX_STREAM_PIECE + 1,
        };
        assert_eq!(
            streams.data(piece(stream, MAX_STREAM_PIECE + 1)),
            Err(too_large)
        );
    }

    #[tokio::test]
    async fn a_dropped_consumer_closes_its_stream_and_late_pieces_are_dropped() {
        let mut streams = Streams::default();
        let (stream, consumer, handle) = opened(&mut streams);
        drop(consumer);
        assert!(handle.wants_attention());
        assert_eq!(
            streams.attend(),
            vec![FromServer::CloseStream(CloseStream { stream })]
        );
        assert_eq!(streams.data(piece(stream, 5)), Ok(()));
        assert_eq!(streams.attend(), vec![]);
    }

    #[tokio::test]
    async fn what_came_before_the_end_is_read_before_it() {
        for (error, expected) in [
            (None, None),
            (
                Some("no such container".to_owned()),
                Some(Err(StreamBroken::Agent("no such container".into()))),
            ),
        ] {
            let mut streams = Streams::default();
            let (stream, mut consumer, _) = opened(&mut streams);
            streams.data(piece(stream, 3)).unwrap();
            streams.end(StreamEnd { stream, error });
            assert_eq!(consumer.next().await, Some(Ok(vec![7; 3])));
            assert_eq!(consumer.next().await, expected);
            assert_eq!(consumer.next().await, None);
        }
    }

    #[tokio::test]
    async fn the_end_of_the_session_breaks_its_streams() {
        let mut streams = Streams::default();
        let (_, mut consumer, _) = opened(&mut streams);
        drop(streams);
        assert_eq!(consumer.next().await, Some(Err(StreamBroken::Disconnected)));
    }

    #[tokio::test]
    async fn there_is_a_most() {
        let mut streams = Streams::default();
        let kept: Vec<_> = (0..MOST).map(|_| opened(&mut streams)).collect();
        let (supply, mut refused) = pipe(Arc::new(Handle::for_tests()));
        assert_eq!(streams.open(request(), supply), None);
        assert_eq!(refused.next().await, Some(Err(StreamBroken::TooMany)));
        drop(kept);
        assert_eq!(streams.attend().len(), MOST);
    }
}
