//! An agent without a host: a real enrolment, a real certificate, and whatever the test says by it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use towline_pki::{AgentIdentity, AgentKey, EnrollToken, ServerName, TrustRoots, tls};
use towline_shared::enrolment::{ENROL_PATH, EnrolRequest, Enrolled};
use towline_shared::ids::AgentId;
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{
    Capabilities, Engine, FromAgent, FromServer, GoodbyeReason, Hello, Plugin,
};
use towline_shared::protocol::{ClientHandshake, PATH, encode_handshake};

use crate::api::Api;

/// What must come, comes within this.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Who an agent is, and where it connects.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The agent.
    pub agent: AgentId,
    /// Its TLS configuration, with its certificate.
    pub tls: Arc<ClientConfig>,
    /// Where it connects.
    pub address: SocketAddr,
}

/// Enrols a host of this name, as `towline-agent enroll` does.
pub fn enrol(api: &Api, public: &Api, name: &str) -> Identity {
    let minted = api.post("/enrolment-tokens", &json!({ "name": name })).ok();
    let token: EnrollToken = minted["token"].as_str().expect("a token").parse().unwrap();
    let key = AgentKey::generate().unwrap();
    let request = EnrolRequest {
        secret: token.secret.reveal().to_string(),
        csr: key.csr_pem().unwrap(),
        hostname: name.to_owned(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let body = serde_json::to_value(&request).unwrap();
    let answer = public.post(&format!("/{ENROL_PATH}"), &body).ok();
    let enrolled: Enrolled = serde_json::from_value(answer).unwrap();
    let roots = TrustRoots::from_pem(&enrolled.roots).unwrap();
    let identity = AgentIdentity::new(&enrolled.certificate, &key).unwrap();
    Identity {
        agent: enrolled.agent,
        tls: tls::agent_client_config(&roots, &identity, tls::AgentPurpose::Control).unwrap(),
        address: enrolled
            .agent_address
            .parse()
            .expect("the agents' address is host:port"),
    }
}

/// What a connection gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A frame.
    Frame(Vec<u8>),
    /// Its end.
    Ended,
    /// Nothing, for as long as was waited.
    Nothing,
}

/// One connection of an agent. It blocks, so it belongs in plain tests.
#[derive(Debug)]
pub struct Peer {
    runtime: Runtime,
    wire: WebSocketStream<TlsStream<TcpStream>>,
}

impl Peer {
    /// TLS and the upgrade, nothing more.
    pub fn connect(identity: &Identity) -> Self {
        Self::try_connect(identity).expect("a connection")
    }

    /// The same; nothing when the control plane does not take it.
    pub fn try_connect(identity: &Identity) -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let connecting = async { timeout(PATIENCE, upgrade(identity)).await };
        let wire = runtime.block_on(connecting).ok()?.ok()?;
        Some(Self { runtime, wire })
    }

    /// Up to the control plane's answer to the handshake, which is given.
    pub fn shake(identity: &Identity) -> (Self, Vec<u8>) {
        let mut peer = Self::connect(identity);
        peer.bytes(encode_handshake(&ClientHandshake::ours("peer")).unwrap());
        match peer.hear(PATIENCE) {
            Heard::Frame(answer) => (peer, answer),
            other => panic!("{other:?} is no answer to a handshake"),
        }
    }

    /// Up to the welcome, holding nothing.
    pub fn welcome(identity: &Identity) -> Self {
        let (mut peer, _) = Self::shake(identity);
        peer.say(&FromAgent::Hello(hello()));
        match peer.listen() {
            Some(FromServer::Welcome(_)) => peer,
            other => panic!("{other:?} is no welcome"),
        }
    }

    /// Says a message.
    pub fn say(&mut self, message: &FromAgent) {
        self.bytes(message.encode().expect("it is sendable"));
    }

    /// Says what is perhaps no message. What the control plane thinks of it is heard, not returned.
    pub fn bytes(&mut self, bytes: Vec<u8>) {
        self.message(Message::binary(bytes));
    }

    /// Says what is perhaps not even bytes.
    pub fn message(&mut self, message: Message) {
        let Self { runtime, wire } = self;
        // It may have been cut off already.
        let _ = runtime.block_on(async { timeout(PATIENCE, wire.send(message)).await });
    }

    /// Writes bytes below the WebSocket.
    pub fn raw(&mut self, bytes: &[u8]) {
        let Self { runtime, wire } = self;
        let raw = wire.get_mut();
        let writing = async {
            raw.write_all(bytes).await?;
            raw.flush().await
        };
        let _ = runtime.block_on(async { timeout(PATIENCE, writing).await });
    }

    /// Whether the connection takes a message within `limit`.
    pub fn takes(&mut self, bytes: Vec<u8>, limit: Duration) -> bool {
        let Self { runtime, wire } = self;
        let sent =
            runtime.block_on(async { timeout(limit, wire.send(Message::binary(bytes))).await });
        matches!(sent, Ok(Ok(())))
    }

    /// The next frame.
    pub fn hear(&mut self, limit: Duration) -> Heard {
        let Self { runtime, wire } = self;
        let next = async {
            loop {
                match wire.next().await {
                    Some(Ok(Message::Binary(bytes))) => return Heard::Frame(bytes.into()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Heard::Ended,
                    Some(Ok(_)) => {}
                }
            }
        };
        let heard = runtime.block_on(async { timeout(limit, next).await });
        heard.unwrap_or(Heard::Nothing)
    }

    /// The next message that is no heartbeat; nothing at the connection's end.
    pub fn listen(&mut self) -> Option<FromServer> {
        loop {
            let frame = match self.hear(PATIENCE) {
                Heard::Frame(frame) => frame,
                Heard::Ended => return None,
                Heard::Nothing => panic!("nothing was heard for {PATIENCE:?}"),
            };
            match FromServer::decode(&frame).expect("a message") {
                Received::Message(FromServer::Heartbeat(_)) => {}
                Received::Message(message) => return Some(message),
                Received::Unknown(kind) => panic!("kind {kind}"),
            }
        }
    }

    /// Why the control plane ends the connection; nothing when it ends without a word.
    pub fn goodbye(&mut self) -> Option<GoodbyeReason> {
        while let Some(message) = self.listen() {
            if let FromServer::Goodbye(goodbye) = message {
                return Some(goodbye.reason);
            }
        }
        None
    }
}

async fn upgrade(
    identity: &Identity,
) -> Result<WebSocketStream<TlsStream<TcpStream>>, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(identity.address).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(Arc::clone(&identity.tls))
        .connect(ServerName::from(identity.address.ip()), stream)
        .await?;
    let limits = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(4096);
    let url = format!("wss://{}{PATH}", identity.address);
    let (wire, _) = client_async_with_config(url, stream, Some(limits)).await?;
    Ok(wire)
}

/// An introduction of an agent that holds nothing.
pub fn hello() -> Hello {
    Hello {
        version: env!("CARGO_PKG_VERSION").into(),
        at_ms: 0,
        capabilities: Capabilities {
            hostname: "peer".into(),
            os: "none".into(),
            engine: Engine::Docker {
                version: "26.1.5".into(),
                api: "1.45".into(),
            },
            compose: Plugin::Version("2.26.1".into()),
            ..Capabilities::default()
        },
        fences: vec![],
        held: vec![],
    }
}
