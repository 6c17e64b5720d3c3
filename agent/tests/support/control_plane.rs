//! The agent listener of a control plane.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use towline_agent::identity::{Identity, Parts};
use towline_pki::{
    AGENT_LEAF_LIFETIME, AgentCsr, AgentKey, Authority, SERVER_LEAF_LIFETIME, TrustRoots, tls,
};
use towline_shared::ids::AgentId;
use towline_shared::protocol::v1::{Attempt, FromServer, Hello, Verdict, Welcome};

use super::PATIENCE;
use super::peer::Peer;

/// The names of the listeners.
pub const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

pub struct ControlPlane {
    pub authority: Authority,
    pub agent: AgentId,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl ControlPlane {
    pub async fn start() -> Self {
        let now = Utc::now();
        let authority = Authority::generate("Test", now).unwrap();
        let certificate = authority
            .issue_server(&NAMES, now, SERVER_LEAF_LIFETIME)
            .unwrap();
        let roots = TrustRoots::single(authority.root().clone());
        let config = tls::agent_listener_config(&certificate, &roots).unwrap();
        Self {
            authority,
            agent: AgentId::new(),
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: TlsAcceptor::from(config),
        }
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    /// An identity of an agent, issued at some time for some time.
    pub fn identity_issued(
        &self,
        at: DateTime<Utc>,
        lifetime: TimeDelta,
        public: &str,
    ) -> Identity {
        let key = AgentKey::generate().unwrap();
        Identity::new(Parts {
            agent: self.agent,
            public_address: public.to_owned(),
            agent_address: self.address(),
            certificate: self.certify(key.csr_pem().unwrap().as_bytes(), at, lifetime),
            roots: self.authority.cert_pem(),
            operator_authority: None,
            key: key.key_pem(),
        })
        .unwrap()
    }

    pub fn identity(&self) -> Identity {
        self.identity_issued(Utc::now(), AGENT_LEAF_LIFETIME, "https://127.0.0.1:1")
    }

    pub fn certify(&self, csr: &[u8], at: DateTime<Utc>, lifetime: TimeDelta) -> String {
        let csr = AgentCsr::parse(csr).unwrap();
        self.authority
            .issue_agent(&csr, self.agent.uuid(), at, lifetime)
            .unwrap()
            .pem
    }

    /// The next TCP connection, with nothing said.
    pub async fn accept_tcp(&self) -> TcpStream {
        self.accept_tcp_within(PATIENCE).await
    }

    pub async fn accept_tcp_within(&self, patience: Duration) -> TcpStream {
        timeout(patience, self.listener.accept())
            .await
            .expect("no agent came")
            .unwrap()
            .0
    }

    /// The next agent, after the handshake, with its hello. Connections that fail are skipped.
    pub async fn accept(&self) -> (Peer, Hello) {
        loop {
            let tcp = self.accept_tcp().await;
            if let Some(mut peer) = Peer::accept(&self.acceptor, tcp).await {
                let hello = peer.hello().await;
                return (peer, hello);
            }
        }
    }

    /// The next agent, after the handshake, before its hello.
    pub async fn accept_silent(&self) -> Peer {
        let tcp = self.accept_tcp().await;
        Peer::accept(&self.acceptor, tcp)
            .await
            .expect("the handshake failed")
    }

    /// The next agent, welcomed with these verdicts.
    pub async fn welcome(&self, verdict: impl Fn(Attempt) -> Verdict) -> (Peer, Hello) {
        let (mut peer, hello) = self.accept().await;
        let verdicts = hello
            .held
            .iter()
            .map(|held| (held.attempt, verdict(held.attempt)))
            .collect();
        let at_ms = Utc::now().timestamp_millis();
        peer.send(&FromServer::Welcome(Welcome { at_ms, verdicts }))
            .await;
        (peer, hello)
    }

    /// The next agent, which holds nothing.
    pub async fn welcome_idle(&self) -> Peer {
        let (peer, hello) = self.welcome(|attempt| panic!("{attempt:?} is held")).await;
        assert_eq!(hello.held, []);
        peer
    }

    /// TLS as the agent listener speaks it.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// TLS as the public listener speaks it, with a certificate of some age.
    pub fn public_acceptor(&self, issued: DateTime<Utc>) -> TlsAcceptor {
        let certificate = self
            .authority
            .issue_server(&NAMES, issued, SERVER_LEAF_LIFETIME)
            .unwrap();
        let mut config = Arc::unwrap_or_clone(tls::public_server_config(&certificate).unwrap());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
