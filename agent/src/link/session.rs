//! A link while it lives: frames out, frames in, heartbeats both ways.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::CancellationToken;
use towline_shared::failpoint::{Side, sent};
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{FromAgent, FromServer, GoodbyeReason, Heartbeat};
use towline_shared::protocol::{HEARTBEAT_S, SILENCE_S};

use super::connect::Socket;
use super::watched::Pulse;
use super::{Link, LinkEvent};

/// Frames that wait to be sent and are small: the loop never waits for them.
const CONTROL_QUEUE: usize = 256;
/// Frames of logs, streams and answers; their producers wait.
const BULK_QUEUE: usize = 8;
/// A frame that is not taken by the network for this long means a dead link.
const SEND_PATIENCE: Duration = Duration::from_secs(SILENCE_S);
const SILENCE: Duration = Duration::from_secs(SILENCE_S);
const HEARTBEAT: Duration = Duration::from_secs(HEARTBEAT_S);
/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The agent ended it.
    #[error("the agent closed the link")]
    Asked,
    /// The control plane said why it ends it.
    #[error("the control plane ended the link: {}", words(*.0))]
    Goodbye(GoodbyeReason),
    /// It closed without a word.
    #[error("the control plane closed the link")]
    Closed,
    /// Nothing came for long.
    #[error("nothing came from the control plane for {SILENCE_S} s")]
    Silent,
    /// Nothing could be sent for long.
    #[error("the network took nothing for {SILENCE_S} s")]
    Stuck,
    /// What came is not the protocol.
    #[error("the control plane broke the protocol: {0}")]
    Protocol(String),
    /// The connection broke.
    #[error("the link broke: {0}")]
    Broken(String),
}

const fn words(reason: GoodbyeReason) -> &'static str {
    match reason {
        GoodbyeReason::Stopping => "it stops",
        GoodbyeReason::Superseded => {
            "the same agent has connected again; does a copy of the state folder run elsewhere?"
        }
        GoodbyeReason::Revoked => "this agent was revoked; enrol it again with --force, or stop it",
        GoodbyeReason::Protocol => "this agent broke the protocol; upgrade the older side",
    }
}

/// The ends of a link's queues.
struct Queues {
    control: mpsc::Receiver<Bytes>,
    bulk: mpsc::Receiver<Bytes>,
    close: CancellationToken,
}

/// A link's handle and what serves it.
pub(super) struct Session {
    socket: Socket,
    pulse: Pulse,
    queues: Queues,
}

impl Session {
    pub(super) fn new(socket: Socket, pulse: Pulse) -> (Self, Link) {
        let (control, control_queue) = mpsc::channel(CONTROL_QUEUE);
        let (bulk, bulk_queue) = mpsc::channel(BULK_QUEUE);
        let close = CancellationToken::new();
        let queues = Queues {
            control: control_queue,
            bulk: bulk_queue,
            close: close.clone(),
        };
        let session = Self {
            socket,
            pulse,
            queues,
        };
        (session, Link::new(control, bulk, close))
    }

    /// Serves the link until it ends.
    pub(super) async fn serve(self, events: &mpsc::Sender<LinkEvent>) -> End {
        let (sink, stream) = self.socket.split();
        tokio::select! {
            end = write(sink, self.queues) => end,
            end = read(stream, self.pulse, events) => end,
        }
    }
}

async fn write(mut sink: SplitSink<Socket, Message>, mut queues: Queues) -> End {
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut greeting = Greeting::Due;
    loop {
        let frame = tokio::select! {
            biased;
            () = queues.close.cancelled() => {
                let _ = timeout(FAREWELL, sink.close()).await;
                return End::Asked;
            }
            frame = queues.control.recv() => frame,
            _ = heartbeat.tick(), if greeting == Greeting::Said => heartbeat_frame(),
            frame = queues.bulk.recv() => frame,
        };
        let Some(frame) = frame else {
            return End::Asked;
        };
        greeting = Greeting::Said;
        let name = FromAgent::name_of(&frame);
        match timeout(SEND_PATIENCE, sink.send(Message::Binary(frame))).await {
            Ok(Ok(())) => sent(Side::Agent, name),
            Ok(Err(error)) => return broken(&error),
            Err(_) => return End::Stuck,
        }
    }
}

/// A peer that died leaves no farewell; rustls has many words for that.
fn broken(error: &WsError) -> End {
    match error {
        WsError::Io(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => End::Closed,
        WsError::ConnectionClosed | WsError::AlreadyClosed => End::Closed,
        other => End::Broken(other.to_string()),
    }
}

/// The hello comes before everything, heartbeats too; it waits until the host has been looked at.
#[derive(PartialEq, Eq)]
enum Greeting {
    Due,
    Said,
}

fn heartbeat_frame() -> Option<Bytes> {
    let at_ms = Utc::now().timestamp_millis();
    FromAgent::Heartbeat(Heartbeat { at_ms })
        .encode()
        .ok()
        .map(Bytes::from)
}

async fn read(
    mut stream: SplitStream<Socket>,
    pulse: Pulse,
    events: &mpsc::Sender<LinkEvent>,
) -> End {
    loop {
        let message = match timeout_at(pulse.last() + SILENCE, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return broken(&error),
            Ok(None) => return End::Closed,
            // A message that is still coming in is no silence.
            Err(_) if pulse.last().elapsed() < SILENCE => continue,
            Err(_) => return End::Silent,
        };
        match understand(&message) {
            Heard::Nothing => {}
            Heard::End(end) => return end,
            Heard::Message(message) => {
                if events.send(LinkEvent::Message(message)).await.is_err() {
                    return End::Asked;
                }
            }
        }
    }
}

enum Heard {
    Nothing,
    Message(FromServer),
    End(End),
}

fn understand(message: &Message) -> Heard {
    let frame = match message {
        Message::Binary(frame) => frame,
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => return Heard::Nothing,
        Message::Close(_) => return Heard::End(End::Closed),
        Message::Text(_) => return Heard::End(End::Protocol("a text message".into())),
    };
    match FromServer::decode(frame) {
        Ok(Received::Message(FromServer::Heartbeat(_))) => Heard::Nothing,
        Ok(Received::Message(FromServer::Goodbye(goodbye))) => {
            Heard::End(End::Goodbye(goodbye.reason))
        }
        Ok(Received::Message(message)) => Heard::Message(message),
        Ok(Received::Unknown(kind)) => {
            tracing::debug!(kind, "skipped a frame of an unknown kind");
            Heard::Nothing
        }
        Err(error) => Heard::End(End::Protocol(error.to_string())),
    }
}
