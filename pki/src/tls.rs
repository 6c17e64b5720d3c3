//! The TLS configurations of every connection that Towline makes or takes, so that no other crate
//! decides about trust.

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::{
    ClientConfig, ConfigBuilder, ServerConfig, WantsVerifier, WantsVersions,
    client::{Resumption, WantsClientCert},
    crypto::{CryptoProvider, ring},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};

use crate::{
    agent_identity::AgentIdentity, error::PkiError, fingerprint::Fingerprint, pair,
    pinned::PinnedVerifier, roots::TrustRoots, server_certificate::ServerCertificate,
};

/// The agents' WebSockets are upgraded from HTTP/1.1, on both ends.
const AGENT_PROTOCOL: &[u8] = b"http/1.1";
/// Connections of agents that images travel on.
const RELAY_PROTOCOL: &[u8] = b"towline-relay/1";
/// Connections of agents that are tunnels.
const TUNNEL_PROTOCOL: &[u8] = b"towline-tunnel/1";
/// All that clients of the Docker API speak over TCP; they upgrade to HTTP/2 on a connection where they want it.
const DOCKER_PROTOCOL: &[u8] = b"http/1.1";
const PUBLIC_PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Makes ring the process's provider, for libraries that ask for one. Calling it again does
/// nothing.
pub fn install_provider() {
    // The error only says that one is installed already.
    let _ = ring::default_provider().install_default();
}

/// For the public listener: API, console, enrolment. TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, no
/// client certificates.
pub fn public_server_config(
    certificate: &ServerCertificate,
) -> Result<Arc<ServerConfig>, PkiError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())?;
    config.alpn_protocols = protocols(&PUBLIC_PROTOCOLS);
    Ok(Arc::new(config))
}

/// For the agent listener: TLS 1.3 only, and a client certificate of one of the roots.
///
/// Sessions are never resumed: each connection proves its key anew, so that a revoked agent has no
/// ticket to ride on.
pub fn agent_listener_config(
    certificate: &ServerCertificate,
    roots: &TrustRoots,
) -> Result<Arc<ServerConfig>, PkiError> {
    let mut config = tls13(ServerConfig::builder_with_provider(provider()))?
        .with_client_cert_verifier(client_verifier(roots)?)
        .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())?;
    config.alpn_protocols = protocols(&[AGENT_PROTOCOL, RELAY_PROTOCOL, TUNNEL_PROTOCOL]);
    Ok(without_resumption(config))
}

/// For the Docker API's listener: a client certificate of one of the roots, TLS 1.2 and 1.3, as SDKs speak either. Nothing
/// is resumed, as on the agents' listener.
pub fn docker_listener_config(
    certificate: &ServerCertificate,
    roots: &TrustRoots,
) -> Result<Arc<ServerConfig>, PkiError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(client_verifier(roots)?)
        .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())?;
    config.alpn_protocols = protocols(&[DOCKER_PROTOCOL]);
    Ok(without_resumption(config))
}

fn without_resumption(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// What an agent's connection to the agent listener is for; TLS settles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentPurpose {
    /// Its one WebSocket.
    Control,
    /// Images.
    Relay,
    /// A tunnel.
    Tunnel,
}

impl AgentPurpose {
    const fn protocol(self) -> &'static [u8] {
        match self {
            Self::Control => AGENT_PROTOCOL,
            Self::Relay => RELAY_PROTOCOL,
            Self::Tunnel => TUNNEL_PROTOCOL,
        }
    }

    /// The purpose of a connection on which this protocol was settled, or none.
    pub fn of(protocol: Option<&[u8]>) -> Self {
        match protocol {
            Some(RELAY_PROTOCOL) => Self::Relay,
            Some(TUNNEL_PROTOCOL) => Self::Tunnel,
            _ => Self::Control,
        }
    }
}

/// For an agent's connection to the agent listener.
pub fn agent_client_config(
    roots: &TrustRoots,
    identity: &AgentIdentity,
    purpose: AgentPurpose,
) -> Result<Arc<ClientConfig>, PkiError> {
    let mut config = tls13(ClientConfig::builder_with_provider(provider()))?
        .with_root_certificates(roots.store()?)
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?;
    config.alpn_protocols = protocols(&[purpose.protocol()]);
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// For a client that knows the installation's authority but is no agent (yet, or any more): renewal
/// after expiry, the CLI.
pub fn ca_client_config(roots: &TrustRoots) -> Result<Arc<ClientConfig>, PkiError> {
    Ok(anonymous(
        client_builder()?.with_root_certificates(roots.store()?),
    ))
}

/// For a client of a Docker engine's API over TLS: it trusts the host's own authority, and proves itself by a pair that
/// was issued by it.
pub fn docker_client_config(
    roots: &TrustRoots,
    certificate: &str,
    key: &str,
) -> Result<Arc<ClientConfig>, PkiError> {
    let (chain, key) = pair::from_pem(certificate, key)?;
    let mut config = client_builder()?
        .with_root_certificates(roots.store()?)
        .with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// For a client that knows only the fingerprint of the installation's authority: enrolment.
///
/// The server must present that certificate in its chain; it becomes the only root, by which the
/// leaf, its dates and its name are then verified as ever. Another server fails with
/// [`PinMismatch`](crate::PinMismatch).
pub fn pinned_client_config(authority: Fingerprint) -> Result<Arc<ClientConfig>, PkiError> {
    let verifier = Arc::new(PinnedVerifier::new(authority, provider()));
    Ok(anonymous(
        client_builder()?
            .dangerous()
            .with_custom_certificate_verifier(verifier),
    ))
}

/// A server configuration that is exchanged while connections are taken: each handshake asks for
/// the current one.
#[derive(Debug)]
pub struct LiveServerConfig(RwLock<Arc<ServerConfig>>);

impl LiveServerConfig {
    /// Starts with a configuration.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(RwLock::new(config))
    }

    /// The one to use for the next handshake.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces it; connections that are up keep theirs.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

pub(crate) fn client_verifier(roots: &TrustRoots) -> Result<Arc<dyn ClientCertVerifier>, PkiError> {
    WebPkiClientVerifier::builder_with_provider(roots.store()?, provider())
        .build()
        .map_err(|error| PkiError::Tls(error.to_string()))
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn tls13<Side: rustls::ConfigSide>(
    builder: ConfigBuilder<Side, WantsVersions>,
) -> Result<ConfigBuilder<Side, WantsVerifier>, PkiError> {
    Ok(builder.with_protocol_versions(&[&TLS13])?)
}

fn client_builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, PkiError> {
    Ok(ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?)
}

fn anonymous(builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> Arc<ClientConfig> {
    Arc::new(builder.with_no_client_auth())
}

fn protocols(names: &[&[u8]]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.to_vec()).collect()
}

/// The cause in TLS of an error, wherever libraries have wrapped it.
pub fn find_rustls<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let payload = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    let cause = payload
        .map(|inner| inner as &(dyn StdError + 'static))
        .or_else(|| error.source());
    cause.and_then(find_rustls)
}
