//! An agent's end of a connection, without an agent behind: the test is the agent.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use towline_pki::ServerName;
use towline_pki::tls::{AgentPurpose, agent_client_config};
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{
    Attempt, Capabilities, Engine, Finished, FromAgent, FromServer, GoodbyeReason, Held, Hello,
    Log, Offer, Plugin, Verdict,
};
use towline_shared::protocol::{
    ClientHandshake, HandshakeError, PATH, encode_handshake, read_server,
};

use super::site::{Host, Site};
use super::{KERNEL_BUFFER, LogPosition, PATIENCE, chunk};
use towline_shared::outcome::Outcome;

pub struct Peer {
    pub wire: WebSocketStream<TlsStream<TcpStream>>,
}

pub fn capable() -> Capabilities {
    Capabilities {
        hostname: "host".into(),
        engine: Engine::Docker {
            version: "29.1.0".into(),
            api: "1.52".into(),
        },
        compose: Plugin::Version("2.40.0".into()),
        ..Capabilities::default()
    }
}

impl Peer {
    /// TLS and the upgrade, nothing more.
    pub async fn upgrade(site: &Site, host: &Host, path: &str) -> tungstenite::Result<Self> {
        let tls = Self::tls(site, host)
            .await
            .map_err(tungstenite::Error::Io)?;
        let (wire, _) = client_async(format!("wss://{}{path}", site.address), tls).await?;
        Ok(Self { wire })
    }

    pub async fn tls(site: &Site, host: &Host) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(KERNEL_BUFFER)?;
        let stream = socket.connect(site.address).await?;
        let config =
            agent_client_config(&host.roots, &host.identity, AgentPurpose::Control).unwrap();
        TlsConnector::from(Arc::clone(&config))
            .connect(ServerName::from(site.address.ip()), stream)
            .await
    }

    /// Up to the control plane's handshake.
    pub async fn shake(
        site: &Site,
        host: &Host,
        handshake: &ClientHandshake,
    ) -> (Self, Result<u16, HandshakeError>) {
        let mut peer = Self::upgrade(site, host, PATH).await.unwrap();
        peer.bytes(encode_handshake(handshake).unwrap()).await;
        let answer = read_server(&peer.frame().await.expect("an answer"));
        (peer, answer)
    }

    /// Up to the welcome, holding nothing.
    pub async fn welcome(site: &Site, host: &Host) -> Self {
        let (peer, verdicts) = Self::welcome_with(site, host, vec![]).await;
        assert_eq!(verdicts, vec![]);
        peer
    }

    /// Up to the welcome, with what the agent holds.
    pub async fn welcome_with(
        site: &Site,
        host: &Host,
        held: Vec<Held>,
    ) -> (Self, Vec<(Attempt, Verdict)>) {
        let (mut peer, version) = Self::shake(site, host, &ClientHandshake::ours("test")).await;
        assert_eq!(version, Ok(1));
        peer.say(FromAgent::Hello(hello(held))).await;
        match peer.hear().await {
            FromServer::Welcome(welcome) => (peer, welcome.verdicts),
            other => panic!("{other:?}"),
        }
    }

    pub async fn say(&mut self, message: FromAgent) {
        self.bytes(message.encode().unwrap()).await;
    }

    pub async fn bytes(&mut self, bytes: Vec<u8>) {
        // The peer may have closed already; what it said last is what the test looks at.
        let _ = self.wire.send(Message::binary(bytes)).await;
    }

    /// The next message that is no heartbeat.
    pub async fn hear(&mut self) -> FromServer {
        loop {
            match self.message().await.expect("a message") {
                FromServer::Heartbeat(_) => {}
                message => return message,
            }
        }
    }

    /// The next message; nothing at the connection's end.
    pub async fn message(&mut self) -> Option<FromServer> {
        match FromServer::decode(&self.frame().await?).unwrap() {
            Received::Message(message) => Some(message),
            Received::Unknown(kind) => panic!("kind {kind}"),
        }
    }

    pub async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            match timeout(PATIENCE, self.wire.next())
                .await
                .expect("a frame in time")
            {
                Some(Ok(Message::Binary(bytes))) => return Some(bytes.into()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Why the control plane ends the connection.
    pub async fn goodbye(&mut self) -> Option<GoodbyeReason> {
        while let Some(message) = self.message().await {
            if let FromServer::Goodbye(goodbye) = message {
                return Some(goodbye.reason);
            }
        }
        None
    }

    pub async fn offer(&mut self) -> Offer {
        match self.hear().await {
            FromServer::Offer(offer) => offer,
            other => panic!("{other:?}"),
        }
    }

    /// Takes an offer up to its beginning.
    pub async fn begin(&mut self) -> Attempt {
        let attempt = self.offer().await.attempt;
        self.say(FromAgent::Accepted(attempt)).await;
        assert_eq!(self.hear().await, FromServer::Go(attempt));
        self.say(FromAgent::Started(attempt)).await;
        attempt
    }

    /// Sends lines and waits for their acknowledgement.
    pub async fn log(
        &mut self,
        attempt: Attempt,
        position: LogPosition,
        texts: &[&str],
    ) -> LogPosition {
        let (chunk, after) = chunk(position, texts);
        self.say(FromAgent::Log(Log { attempt, chunk })).await;
        match self.hear().await {
            FromServer::LogAck(ack) => {
                assert_eq!((ack.attempt, ack.next_line), (attempt, after.next_line));
            }
            other => panic!("{other:?}"),
        }
        after
    }

    pub async fn finish(&mut self, attempt: Attempt, log: LogPosition) {
        let outcome = Outcome::Succeeded { images: vec![] };
        self.say(FromAgent::Finished(Finished {
            attempt,
            outcome,
            log,
        }))
        .await;
    }
}

pub fn hello(held: Vec<Held>) -> Hello {
    Hello {
        version: "0.1.0".into(),
        at_ms: 0,
        capabilities: capable(),
        fences: vec![],
        held,
    }
}
