//! The server's end of a link.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use towline_shared::Fence;
use towline_shared::ids::{JobId, TargetId};
use towline_shared::log::{Fit, LogLine, LogPosition};
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{
    Attempt, Finished, FromAgent, FromServer, Hello, Log, LogAck, Offer, StepLine,
};
use towline_shared::protocol::{choose, encode_handshake, read_client};
use towline_shared::spec::{JobSpec, SealedSpec, Secret};

use super::PATIENCE;

pub struct Peer {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    /// What was said of where steps begin.
    pub step_lines: Vec<StepLine>,
}

/// What the control plane has of a job's log.
#[derive(Default, Clone, Debug)]
pub struct StoredLog {
    pub position: LogPosition,
    pub lines: Vec<LogLine>,
}

impl StoredLog {
    pub fn store(&mut self, log: &Log) {
        match log.chunk.fit(self.position).unwrap() {
            Fit::Known => {}
            Fit::Next(after) => {
                self.position = after;
                self.lines.extend(log.chunk.decode().unwrap());
            }
        }
    }

    /// The lines of a fake job are all there, once, in order.
    pub fn assert_numbered(&self, count: u64) {
        assert_eq!(self.lines.len() as u64, count);
        for (number, line) in self.lines.iter().enumerate() {
            assert_eq!(line.text, format!("line {number:08}"));
        }
    }
}

impl Peer {
    /// TLS, WebSocket and handshake; nothing when the agent gives up.
    pub async fn accept(acceptor: &TlsAcceptor, tcp: TcpStream) -> Option<Self> {
        let stream = acceptor.accept(tcp).await.ok()?;
        let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
        let Some(Ok(Message::Binary(first))) = socket.next().await else {
            return None;
        };
        let answer = encode_handshake(&choose(&read_client(&first).unwrap())).unwrap();
        socket.send(Message::Binary(answer.into())).await.ok()?;
        Some(Self {
            socket,
            step_lines: Vec::new(),
        })
    }

    pub async fn send(&mut self, message: &FromServer) {
        self.send_raw(Message::Binary(message.encode().unwrap().into()))
            .await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next message of any kind; nothing when the link has ended.
    pub async fn next_any(&mut self) -> Option<FromAgent> {
        let next = timeout(PATIENCE, self.socket.next()).await;
        let Ok(Message::Binary(frame)) = next.expect("the agent is silent")? else {
            return None;
        };
        match FromAgent::decode(&frame).unwrap() {
            Received::Message(message) => Some(message),
            Received::Unknown(kind) => panic!("kind {kind}"),
        }
    }

    /// The next message that is about jobs or streams; where in a log a step begins is kept beside.
    pub async fn next(&mut self) -> FromAgent {
        loop {
            match self.next_any().await.expect("the link has ended") {
                FromAgent::Heartbeat(_) | FromAgent::Metrics(_) | FromAgent::Capabilities(_) => {}
                FromAgent::StepLine(at) => self.step_lines.push(at),
                message => return message,
            }
        }
    }

    /// The next message by this name, and what came before it is dropped.
    pub async fn until(&mut self, name: &str) -> FromAgent {
        loop {
            let message = self.next().await;
            if message.name() == name {
                return message;
            }
        }
    }

    /// Nothing about jobs comes for a while.
    pub async fn assert_quiet(&mut self, milliseconds: u64) {
        let quiet = timeout(std::time::Duration::from_millis(milliseconds), self.next()).await;
        assert!(quiet.is_err(), "{:?}", quiet.unwrap());
    }

    /// Waits for the agent to end the link.
    pub async fn assert_ends(&mut self) {
        while self.next_any().await.is_some() {}
    }

    pub async fn hello(&mut self) -> Hello {
        match self.next_any().await {
            Some(FromAgent::Hello(hello)) => hello,
            other => panic!("{other:?} is no hello"),
        }
    }

    pub async fn offer(&mut self, attempt: Attempt, spec: &JobSpec, secrets: &[&str]) {
        let secret = |value: &&str| Secret {
            name: "SECRET".into(),
            value: (*value).into(),
        };
        self.send(&FromServer::Offer(Offer {
            attempt,
            spec: SealedSpec::seal(spec).unwrap(),
            secrets: secrets.iter().map(secret).collect(),
            log: LogPosition::default(),
        }))
        .await;
    }

    /// Offers a job, and permits it.
    pub async fn begin(&mut self, attempt: Attempt, spec: &JobSpec) {
        self.offer(attempt, spec, &[]).await;
        assert_eq!(self.next().await, FromAgent::Accepted(attempt));
        self.send(&FromServer::Go(attempt)).await;
        assert_eq!(self.next().await, FromAgent::Started(attempt));
    }

    /// Stores and acknowledges the log until the result comes.
    pub async fn finish(&mut self, stored: &mut StoredLog) -> Finished {
        loop {
            match self.next().await {
                FromAgent::Log(log) => {
                    stored.store(&log);
                    self.acknowledge(log.attempt, stored).await;
                }
                FromAgent::Finished(finished) => {
                    assert_eq!(finished.log, stored.position);
                    return finished;
                }
                FromAgent::Started(_) | FromAgent::Progress(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub async fn acknowledge(&mut self, attempt: Attempt, stored: &StoredLog) {
        let next_line = stored.position.next_line;
        self.send(&FromServer::LogAck(LogAck { attempt, next_line }))
            .await;
    }
}

/// A new job under this fence.
pub fn attempt(epoch: u64) -> Attempt {
    Attempt {
        job: JobId::new(),
        fence: Fence::new(1, epoch),
    }
}

/// A target.
pub fn target() -> TargetId {
    TargetId::new()
}
