//! A connection in memory, with a real TLS session over it.

use std::{io, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use rustls::{ClientConfig, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use towline_pki::{
    AGENT_LEAF_LIFETIME, AgentCsr, AgentIdentity, AgentKey, Authority, IssuedLeaf, PeerIdentity,
    ServerCertificate, ServerName, TrustRoots,
};
use uuid::Uuid;

pub const HOST: &str = "towline.example";

/// What each side saw: the server who came, the client that a first byte arrived.
pub struct Outcome {
    pub server: Result<Greeted, io::Error>,
    pub client: Result<Arrived, io::Error>,
}

#[derive(Debug)]
pub struct Greeted {
    pub peer: Option<PeerIdentity>,
    pub protocol: Option<String>,
}

#[derive(Debug)]
pub struct Arrived {
    pub version: Option<ProtocolVersion>,
    pub tickets: u32,
}

impl Outcome {
    /// Both sides are content; gives what each saw.
    pub fn agreed(self) -> (Greeted, Arrived) {
        (
            self.server.expect("the server accepts"),
            self.client.expect("the client accepts"),
        )
    }

    /// The server refused, and the client got no byte; gives the server's reason.
    pub fn server_refusal(self) -> String {
        assert!(
            self.client.is_err(),
            "the client got through: {:?}",
            self.client
        );
        self.server.expect_err("the server refuses").to_string()
    }

    /// The client refused, and the server noticed; gives the client's reason.
    pub fn client_refusal(self) -> io::Error {
        assert!(
            self.server.is_err(),
            "the server got through: {:?}",
            self.server
        );
        self.client.expect_err("the client refuses")
    }
}

pub async fn connect(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> Outcome {
    connect_to(HOST, server, client).await
}

pub async fn connect_to(
    name: &'static str,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
) -> Outcome {
    let (near, far) = duplex(64 * 1024);
    let both = async { tokio::join!(greet(server, near), arrive(name, client, far)) };
    let (server, client) = tokio::time::timeout(Duration::from_secs(10), both)
        .await
        .expect("nobody hangs");
    Outcome { server, client }
}

async fn greet(config: Arc<ServerConfig>, wire: DuplexStream) -> io::Result<Greeted> {
    let mut stream: server::TlsStream<_> = TlsAcceptor::from(config).accept(wire).await?;
    let session = stream.get_ref().1;
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let greeted = Greeted {
        peer: leaf.and_then(|leaf| PeerIdentity::from_leaf(leaf).ok()),
        protocol: session
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
    };
    stream.write_all(b"!").await?;
    stream.shutdown().await?;
    Ok(greeted)
}

/// In TLS 1.3 the client is done before the server has judged it, so only a byte of data says that
/// it is in.
async fn arrive(
    name: &'static str,
    config: Arc<ClientConfig>,
    wire: DuplexStream,
) -> io::Result<Arrived> {
    let name = ServerName::try_from(name).expect("a server name");
    let mut stream: client::TlsStream<_> = TlsConnector::from(config).connect(name, wire).await?;
    let byte = stream.read_u8().await?;
    assert_eq!(byte, b'!');
    stream.read_to_end(&mut Vec::new()).await?;
    let session = stream.get_ref().1;
    Ok(Arrived {
        version: session.protocol_version(),
        tickets: session.tls13_tickets_received(),
    })
}

pub fn authority(name: &str) -> Authority {
    Authority::generate(name, Utc::now()).unwrap()
}

pub fn trust(authority: &Authority) -> TrustRoots {
    TrustRoots::single(authority.root().clone())
}

pub fn server_of(authority: &Authority) -> ServerCertificate {
    authority
        .issue_server(&[HOST, "192.0.2.7"], Utc::now(), TimeDelta::days(90))
        .unwrap()
}

pub fn request(key: &AgentKey) -> AgentCsr {
    AgentCsr::parse(key.csr_pem().unwrap().as_bytes()).unwrap()
}

/// An agent's key and the certificate it got at `issued`.
pub fn enrolled(
    authority: &Authority,
    agent: Uuid,
    issued: DateTime<Utc>,
) -> (AgentKey, IssuedLeaf) {
    let key = AgentKey::generate().unwrap();
    let leaf = authority
        .issue_agent(&request(&key), agent, issued, AGENT_LEAF_LIFETIME)
        .unwrap();
    (key, leaf)
}

pub fn identity_of(authority: &Authority, agent: Uuid) -> AgentIdentity {
    let (key, leaf) = enrolled(authority, agent, Utc::now());
    AgentIdentity::new(&leaf.pem, &key).unwrap()
}
