//! From nothing to a link on which a protocol version is settled.

use std::io;
use std::time::Duration;

use chrono::Utc;
use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use rustls::AlertDescription;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use towline_pki::PkiError;
use towline_pki::tls::{AgentPurpose, find_rustls};
use towline_shared::protocol::v1::{FromAgent, FromServer};
use towline_shared::protocol::{
    ClientHandshake, HandshakeError, MAX_HANDSHAKE, PATH, encode_handshake, read_server,
};

use super::watched::{Pulse, Watched};
use crate::address::{Address, AddressError};
use crate::dial::{DialError, Dialer, TlsTrouble};
use crate::enroll::{EnrolError, renew_expired};
use crate::identity::{Identity, IdentityError};
use crate::state_dir::StateDir;

/// How long each of the two handshakes on top of TLS may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// tungstenite allocates its read buffer at once; 128 KiB, its own choice, would be most of an
/// idle agent's memory.
const BUFFER: usize = 4 * 1024;

pub(super) type Socket = WebSocketStream<Watched<TlsStream<TcpStream>>>;

/// A link on which nothing but the handshake was said.
pub(super) struct Connected {
    pub(super) socket: Socket,
    pub(super) pulse: Pulse,
    pub(super) identity: Identity,
}

/// Why there is no link: what failed and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate has expired, and was not renewed.
    #[error("the certificate has expired and could not be renewed: {0}")]
    Renewal(#[from] EnrolError),
    /// There was no TLS connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The identity's address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The identity's keys cannot be used.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The control plane does not take this agent.
    #[error("{address} refused this agent ({status}): {words}")]
    Refused {
        /// Who was dialled.
        address: Address,
        /// The HTTP status.
        status: StatusCode,
        /// Its words.
        words: String,
    },
    /// No WebSocket was made.
    #[error("{address} is no agent listener: {cause}")]
    WebSocket {
        /// Who was dialled.
        address: Address,
        /// Why.
        cause: Box<WsError>,
    },
    /// No version was settled.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// It took too long.
    #[error("{0} took the connection but did not answer; is it overloaded?")]
    Silent(Address),
}

impl ConnectError {
    /// Whether the control plane says that this agent's certificate has expired.
    pub(super) fn says_expired(&self) -> bool {
        let trouble = match self {
            Self::Dial(DialError::Tls { trouble, .. }) => {
                return matches!(trouble, TlsTrouble::AgentExpired);
            }
            Self::WebSocket { cause, .. } => find_rustls(cause.as_ref()),
            _ => None,
        };
        matches!(
            trouble,
            Some(rustls::Error::AlertReceived(
                AlertDescription::CertificateExpired
            ))
        )
    }

    /// Whether the control plane does not know this agent, or does not want it any more.
    pub(super) const fn says_revoked(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if matches!(*status, StatusCode::FORBIDDEN | StatusCode::GONE))
    }
}

/// What is believed about the certificate. The control plane's clock is the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belief {
    ByOurClock,
    Expired,
}

pub(super) async fn connect(
    dir: &StateDir,
    dialer: &Dialer,
    belief: Belief,
) -> Result<Connected, ConnectError> {
    let mut identity = Identity::load(dir)?;
    if belief == Belief::Expired || identity.not_after() <= Utc::now() {
        identity = renewed(dir, dialer, identity).await?;
    }
    let address = identity.agent_address()?;
    let stream = dialer
        .tls(&address, identity.agent_tls(AgentPurpose::Control)?)
        .await?;
    let (stream, pulse) = Watched::new(stream);
    let mut socket = timeout(PATIENCE, upgrade(stream, &address))
        .await
        .unwrap_or_else(|_| Err(ConnectError::Silent(address.clone())))?;
    timeout(PATIENCE, settle_version(&mut socket, &address))
        .await
        .unwrap_or(Err(ConnectError::Silent(address)))?;
    Ok(Connected {
        socket,
        pulse,
        identity,
    })
}

/// A refusal leaves the old certificate to be tried: this host's clock may be the one that is wrong.
async fn renewed(
    dir: &StateDir,
    dialer: &Dialer,
    identity: Identity,
) -> Result<Identity, ConnectError> {
    match renew_expired(dir, dialer, &identity).await {
        Ok(identity) => {
            tracing::info!(until = %identity.not_after(), "the expired certificate was renewed");
            Ok(identity)
        }
        Err(error @ EnrolError::Refused(_)) => {
            tracing::warn!(%error, "the expired certificate was not renewed; trying it as it is");
            Ok(identity)
        }
        Err(error) => Err(error.into()),
    }
}

async fn upgrade(
    stream: Watched<TlsStream<TcpStream>>,
    address: &Address,
) -> Result<Socket, ConnectError> {
    let failed = |cause| ConnectError::WebSocket {
        address: address.clone(),
        cause: Box::new(cause),
    };
    let request = format!("wss://{address}{PATH}")
        .into_client_request()
        .map_err(failed)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * FromAgent::MAX_FRAME)
        .max_message_size(Some(FromServer::MAX_FRAME))
        .max_frame_size(Some(FromServer::MAX_FRAME));
    match client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(ConnectError::Refused {
            address: address.clone(),
            status: response.status(),
            words: words(response.body().as_deref().unwrap_or_default()),
        }),
        Err(error) => Err(failed(error)),
    }
}

/// The start of a refusal's body, made fit for a log.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(300)]);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

async fn settle_version(socket: &mut Socket, address: &Address) -> Result<u16, ConnectError> {
    let failed = |cause| ConnectError::WebSocket {
        address: address.clone(),
        cause: Box::new(cause),
    };
    let ours = encode_handshake(&ClientHandshake::ours(env!("CARGO_PKG_VERSION")))?;
    socket
        .send(Message::Binary(ours.into()))
        .await
        .map_err(failed)?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(answer))) if answer.len() <= MAX_HANDSHAKE => {
                return Ok(read_server(&answer)?);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_)) => return Err(HandshakeError::Foreign.into()),
            Some(Err(error)) => return Err(failed(error)),
            None => return Err(failed(WsError::Io(io::ErrorKind::UnexpectedEof.into()))),
        }
    }
}
