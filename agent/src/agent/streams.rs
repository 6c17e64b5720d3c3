//! Questions and streams, each in a task of its own, within bounds.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;
use towline_shared::protocol::v1::{
    Ask, Credit, FromAgent, OpenStream, QueryReply, StreamData, StreamEnd,
};
use towline_shared::query::{MAX_STREAM_PIECE, Reply, STREAM_CREDIT};

use super::{Agent, Event, LinkPhase};
use crate::executor::BoxStream;

/// The most streams at once.
const MAX_STREAMS: usize = 32;
/// The most questions at once.
const MAX_QUESTIONS: usize = 16;
/// The most credit that a stream may gather, whatever it is given.
const MAX_CREDIT: usize = 16 * STREAM_CREDIT as usize;

/// What is open on the present link.
#[derive(Default)]
pub(super) struct Streams {
    open: HashMap<u32, OpenedStream>,
    questions: JoinSet<()>,
}

struct OpenedStream {
    credit: Arc<Semaphore>,
    _task: AbortOnDropHandle<()>,
}

impl Streams {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn credit(&self, credit: Credit) {
        if let Some(stream) = self.open.get(&credit.stream) {
            let room = MAX_CREDIT.saturating_sub(stream.credit.available_permits());
            let bytes = usize::try_from(credit.bytes).unwrap_or(usize::MAX);
            stream.credit.add_permits(bytes.min(room));
        }
    }

    pub(super) fn close(&mut self, stream: u32) {
        self.open.remove(&stream);
    }

    pub(super) fn ended(&mut self, stream: u32) {
        self.open.remove(&stream);
    }

    pub(super) fn abort_all(&mut self) {
        self.open.clear();
        self.questions.abort_all();
    }
}

impl Agent {
    pub(super) fn on_ask(&mut self, ask: Ask) {
        let LinkPhase::Welcomed(link) = &self.link else {
            return;
        };
        while self.streams.questions.try_join_next().is_some() {}
        let Ask { id, query } = ask;
        if self.streams.questions.len() >= MAX_QUESTIONS {
            let reply = Reply::Failed("the agent is busy with other questions; ask again".into());
            return self.say(&FromAgent::Reply(QueryReply { id, reply }));
        }
        let answer = self.executor.ask(query);
        let bulk = link.bulk().clone();
        self.streams.questions.spawn(async move {
            let reply = answer.await;
            // It fails only when the link is gone, and nobody asks any more.
            let _ = bulk.send(reply_frame(id, reply)).await;
        });
    }

    pub(super) fn on_open_stream(&mut self, open: OpenStream) {
        let LinkPhase::Welcomed(link) = &self.link else {
            return;
        };
        let stream = open.stream;
        if self.streams.open.len() >= MAX_STREAMS || self.streams.open.contains_key(&stream) {
            let error = Some("the agent has too many streams open; close one".into());
            return self.say(&FromAgent::StreamEnd(StreamEnd { stream, error }));
        }
        let pieces = self.executor.open_stream(open.request);
        let credit = Arc::new(Semaphore::new(STREAM_CREDIT as usize));
        let bulk = link.bulk().clone();
        let (paid, sender) = (Arc::clone(&credit), self.sender.clone());
        let task = tokio::spawn(async move {
            pump(stream, pieces, &paid, &bulk).await;
            let _ = sender.send(Event::StreamEnded(stream)).await;
        });
        let opened = OpenedStream {
            credit,
            _task: AbortOnDropHandle::new(task),
        };
        self.streams.open.insert(stream, opened);
    }
}

/// Sends a stream's pieces, each when it is paid for. A piece is asked for only when the largest
/// one could be.
async fn pump(
    stream: u32,
    mut pieces: BoxStream<Result<Vec<u8>, String>>,
    credit: &Semaphore,
    bulk: &mpsc::Sender<Bytes>,
) {
    let largest = u32::try_from(MAX_STREAM_PIECE).unwrap_or(u32::MAX);
    let error = loop {
        let Ok(permit) = credit.acquire_many(largest).await else {
            return;
        };
        match pieces.next().await {
            None => break None,
            Some(Err(error)) => break Some(error),
            Some(Ok(bytes)) if bytes.len() > MAX_STREAM_PIECE => {
                break Some("a piece of the stream is too large".into());
            }
            Some(Ok(bytes)) => {
                let unused = MAX_STREAM_PIECE - bytes.len();
                permit.forget();
                credit.add_permits(unused);
                if !send(bulk, &FromAgent::StreamData(StreamData { stream, bytes })).await {
                    return;
                }
            }
        }
    };
    send(bulk, &FromAgent::StreamEnd(StreamEnd { stream, error })).await;
}

async fn send(bulk: &mpsc::Sender<Bytes>, message: &FromAgent) -> bool {
    match message.encode() {
        Ok(frame) => bulk.send(frame.into()).await.is_ok(),
        Err(error) => {
            tracing::error!(message = message.name(), %error, "a message could not be encoded");
            false
        }
    }
}

/// A reply that is too large for a frame becomes one that says so.
fn reply_frame(id: u32, reply: Reply) -> Bytes {
    let too_large = |error: &dyn std::fmt::Display| {
        let reply = Reply::Failed(format!("the answer is too large: {error}"));
        FromAgent::Reply(QueryReply { id, reply })
            .encode()
            .unwrap_or_default()
    };
    let encoded = FromAgent::Reply(QueryReply { id, reply }).encode();
    encoded.unwrap_or_else(|error| too_large(&error)).into()
}
