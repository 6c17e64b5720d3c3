//! The bare acceptor: mutual TLS, a WebSocket with small buffers, the protocol's first words, and nothing behind.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::{TimeDelta, Utc};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::{Message, protocol::WebSocketConfig};
use towline_pki::{AgentCsr, AgentIdentity, AgentKey, ServerCertificate, TrustRoots, tls};
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{FromAgent, FromServer, Heartbeat, Welcome};
use towline_shared::protocol::{ServerHandshake, encode_handshake};
use towline_tests::ports::free_address;
use towline_tests::scratch::Scratch;
use uuid::Uuid;

use crate::agent::Identity;

const LIFETIME: TimeDelta = TimeDelta::hours(2);

/// An authority of its own, for the acceptor and its agents.
pub struct Authority {
    issuer: towline_pki::Authority,
    roots: TrustRoots,
    folder: Scratch,
}

/// The running acceptor.
pub struct Acceptor {
    command: Command,
    child: Child,
    address: SocketAddr,
}

impl Authority {
    pub fn make() -> Result<Self> {
        let issuer = towline_pki::Authority::generate("bare", Utc::now())?;
        let roots = TrustRoots::single(issuer.root().clone());
        let folder = Scratch::new("bare");
        let certificate = issuer.issue_server(&["127.0.0.1"], Utc::now(), LIFETIME)?;
        fs::write(folder.join("certificate.pem"), certificate.chain_pem())?;
        fs::write(folder.join("key.pem"), certificate.key_pem().as_bytes())?;
        fs::write(folder.join("roots.pem"), roots.to_pem())?;
        Ok(Self {
            issuer,
            roots,
            folder,
        })
    }

    pub fn start(&self) -> Result<Acceptor> {
        let address = free_address(Ipv4Addr::LOCALHOST.into());
        let mut command = towline_tests::process::guarded(std::env::current_exe()?);
        command
            .arg("bare-acceptor")
            .arg(address.to_string())
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().context("the bare acceptor")?;
        Ok(Acceptor {
            command,
            child,
            address,
        })
    }

    pub fn agents(&self, address: SocketAddr, agents: usize) -> Result<Vec<Identity>> {
        (0..agents).map(|_| self.agent(address)).collect()
    }

    fn agent(&self, address: SocketAddr) -> Result<Identity> {
        let key = AgentKey::generate()?;
        let csr = AgentCsr::parse(&key.csr_der()?)?;
        let leaf = self
            .issuer
            .issue_agent(&csr, Uuid::now_v7(), Utc::now(), LIFETIME)?;
        let tls = tls::agent_client_config(
            &self.roots,
            &AgentIdentity::new(&leaf.pem, &key)?,
            tls::AgentPurpose::Control,
        )?;
        Ok(Identity { tls, address })
    }
}

impl Acceptor {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub fn start_again(&mut self) -> Result<()> {
        self.child = self.command.spawn().context("the bare acceptor")?;
        Ok(())
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.kill();
    }
}

/// The acceptor's own process.
pub fn accept(listen: SocketAddr, folder: &Path) -> Result<()> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| name.to_owned());
    let certificate = ServerCertificate::from_pem(&read("certificate.pem")?, &read("key.pem")?)?;
    let config =
        tls::agent_listener_config(&certificate, &TrustRoots::from_pem(&read("roots.pem")?)?)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(listen)?;
            let listener = socket.listen(4096)?;
            loop {
                let (stream, _) = listener.accept().await?;
                let acceptor = TlsAcceptor::from(Arc::clone(&config));
                tokio::spawn(async move {
                    // A client that goes away is no news.
                    let _ = converse(acceptor, stream).await;
                });
            }
        })
}

async fn converse(acceptor: TlsAcceptor, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let tls = acceptor.accept(stream).await?;
    let limits = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(4096);
    let mut wire = accept_async_with_config(tls, Some(limits)).await?;
    wire.next().await.context("no handshake")??;
    wire.send(Message::binary(encode_handshake(&ServerHandshake::Speak(
        1,
    ))?))
    .await?;
    let hello = wire.next().await.context("no hello")??.into_data();
    ensure!(
        matches!(
            FromAgent::decode(&hello)?,
            Received::Message(FromAgent::Hello(_))
        ),
        "no hello"
    );
    let welcome = FromServer::Welcome(Welcome {
        at_ms: 0,
        verdicts: vec![],
    });
    wire.send(Message::binary(welcome.encode()?)).await?;
    let beat = FromServer::Heartbeat(Heartbeat::default()).encode()?;
    while let Some(Ok(_)) = tokio::time::timeout(Duration::from_mins(1), wire.next()).await? {
        wire.send(Message::binary(beat.clone())).await?;
    }
    Ok(())
}
