//! A host that was enrolled by the API and speaks the protocol; the test is its agent.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use towline_pki::tls::{AgentPurpose, agent_client_config};
use towline_pki::{AgentIdentity, AgentKey, EnrollToken, ServerName, TrustRoots};
use towline_shared::ids::{AgentId, TargetId};
use towline_shared::log::{LogChunk, LogLine, LogPosition, LogStream};
use towline_shared::outcome::Outcome;
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{
    Attempt, Capabilities, Engine, Finished, FromAgent, FromServer, Hello, Log, Offer, Plugin,
};
use towline_shared::protocol::{ClientHandshake, PATH, encode_handshake, read_server};

use crate::world::{Somebody, World};

const PATIENCE: Duration = Duration::from_secs(10);

type Wire = WebSocketStream<TlsStream<TcpStream>>;

pub struct Host {
    pub agent: AgentId,
    pub target: TargetId,
    identity: AgentIdentity,
    roots: TrustRoots,
    wire: Wire,
    log: LogPosition,
}

/// Enrols a host by the API: token, key, certificate.
pub async fn enrol(
    somebody: &Somebody<'_>,
    world: &World,
    name: &str,
) -> (AgentId, AgentIdentity, TrustRoots) {
    let made = somebody
        .post("/api/v1/enrolment-tokens", &json!({ "name": name }))
        .await
        .expect(201);
    let token: EnrollToken = made["token"].as_str().unwrap().parse().unwrap();
    let key = AgentKey::generate().unwrap();
    let answer = world
        .nobody()
        .post("/api/v1/agent/enroll", &enrol_request(&token, &key))
        .await;
    let enrolled = answer.expect(200);
    let text = |field: &str| enrolled[field].as_str().unwrap();
    assert_eq!(text("agent_address"), world.agent_address.to_string());
    let identity = AgentIdentity::new(text("certificate"), &key).unwrap();
    let roots = TrustRoots::from_pem(text("roots")).unwrap();
    (text("agent").parse().unwrap(), identity, roots)
}

pub fn enrol_request(token: &EnrollToken, key: &AgentKey) -> Value {
    json!({
        "secret": *token.secret.reveal(),
        "csr": key.csr_pem().unwrap(),
        "hostname": "host \"1\"",
        "version": "0.1.0",
    })
}

async fn dial(world: &World, identity: &AgentIdentity, roots: &TrustRoots) -> Wire {
    let stream = TcpStream::connect(world.agent_address).await.unwrap();
    let config = agent_client_config(roots, identity, AgentPurpose::Control).unwrap();
    let server = ServerName::from(world.agent_address.ip());
    let tls = TlsConnector::from(Arc::clone(&config))
        .connect(server, stream)
        .await
        .unwrap();
    let url = format!("wss://{}{PATH}", world.agent_address);
    let (wire, _) = client_async(url, tls).await.unwrap();
    wire
}

impl Host {
    /// Enrols and connects.
    pub async fn connect(somebody: &Somebody<'_>, world: &World, name: &str) -> Self {
        Self::connect_with(somebody, world, name, capabilities(docker())).await
    }

    /// The same of a host that has other capabilities.
    pub async fn connect_with(
        somebody: &Somebody<'_>,
        world: &World,
        name: &str,
        capabilities: Capabilities,
    ) -> Self {
        let (agent, identity, roots) = enrol(somebody, world, name).await;
        let wire = dial(world, &identity, &roots).await;
        let shown = somebody
            .get(&format!("/api/v1/agents/{agent}"))
            .await
            .expect(200);
        let mut host = Self {
            agent,
            target: shown["target_id"].as_str().unwrap().parse().unwrap(),
            identity,
            roots,
            wire,
            log: LogPosition::default(),
        };
        host.say_hello(capabilities).await;
        host
    }

    /// Connects once more, without any job, and tells what it can do now.
    pub async fn come_back_with(&mut self, world: &World, capabilities: Capabilities) {
        self.wire = dial(world, &self.identity, &self.roots).await;
        self.say_hello(capabilities).await;
    }

    async fn say_hello(&mut self, capabilities: Capabilities) {
        self.bytes(encode_handshake(&ClientHandshake::ours("test")).unwrap())
            .await;
        assert_eq!(read_server(&self.frame().await), Ok(1));
        self.say(FromAgent::Hello(Hello {
            version: "0.1.0".into(),
            at_ms: 0,
            capabilities,
            fences: vec![],
            held: vec![],
        }))
        .await;
        assert!(matches!(self.hear().await, FromServer::Welcome(_)));
    }

    pub async fn say(&mut self, message: FromAgent) {
        self.bytes(message.encode().unwrap()).await;
    }

    async fn bytes(&mut self, bytes: Vec<u8>) {
        self.wire.send(Message::binary(bytes)).await.unwrap();
    }

    async fn frame(&mut self) -> Vec<u8> {
        loop {
            let frame = timeout(PATIENCE, self.wire.next()).await.expect("in time");
            if let Message::Binary(bytes) = frame.expect("open").unwrap() {
                return bytes.into();
            }
        }
    }

    /// The next message that is no heartbeat and no acknowledgement.
    pub async fn hear(&mut self) -> FromServer {
        loop {
            match FromServer::decode(&self.frame().await).unwrap() {
                Received::Message(FromServer::Heartbeat(_) | FromServer::LogAck(_)) => {}
                Received::Message(message) => return message,
                Received::Unknown(kind) => panic!("kind {kind}"),
            }
        }
    }

    pub async fn offer(&mut self) -> Offer {
        match self.hear().await {
            FromServer::Offer(offer) => offer,
            other => panic!("{other:?}"),
        }
    }

    /// Takes an offer up to its beginning.
    pub async fn begin(&mut self) -> Attempt {
        let offer = self.offer().await;
        self.take(&offer).await
    }

    /// Takes an offer that has come.
    pub async fn take(&mut self, offer: &Offer) -> Attempt {
        self.log = offer.log;
        self.say(FromAgent::Accepted(offer.attempt)).await;
        assert!(matches!(self.hear().await, FromServer::Go(attempt) if attempt == offer.attempt));
        self.say(FromAgent::Started(offer.attempt)).await;
        offer.attempt
    }

    pub async fn write(&mut self, attempt: Attempt, texts: &[&str]) {
        let lines: Vec<_> = texts.iter().copied().map(line).collect();
        let (chunk, position) = LogChunk::encode(self.log, &lines).unwrap();
        self.log = position;
        self.say(FromAgent::Log(Log { attempt, chunk })).await;
    }

    pub async fn finish(&mut self, attempt: Attempt, outcome: Outcome) {
        let log = self.log;
        self.say(FromAgent::Finished(Finished {
            attempt,
            outcome,
            log,
        }))
        .await;
        assert!(matches!(self.hear().await, FromServer::Forget(_)));
    }
}

/// Of a host with this engine.
pub fn capabilities(engine: Engine) -> Capabilities {
    Capabilities {
        hostname: "host \"1\"".into(),
        engine,
        compose: Plugin::Version("2.40.0".into()),
        ..Capabilities::default()
    }
}

pub fn docker() -> Engine {
    Engine::Docker {
        version: "29.1.0".into(),
        api: "1.52".into(),
    }
}

pub fn line(text: &str) -> LogLine {
    LogLine {
        at_us: 1_700_000_000_000_001,
        stream: LogStream::Stdout,
        source: "web-1".into(),
        text: text.into(),
    }
}
