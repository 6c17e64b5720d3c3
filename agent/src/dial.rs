//! Connections outwards: TCP, directly or through a proxy, and TLS over it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use towline_pki::PinMismatch;
use towline_pki::tls::find_rustls;

use crate::address::{Address, AddressError};
use crate::proxy::{Proxies, ProxyError};

/// How long a TCP connection, a proxy's answer and a TLS handshake may each take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes connections.
#[derive(Clone, Debug)]
pub struct Dialer {
    proxies: Proxies,
}

/// Why there is no connection: what failed, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address cannot be dialled.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// TCP failed.
    #[error(
        "cannot reach {address}: {cause}; check the address, and that this host may connect to it"
    )]
    Tcp {
        /// Who was dialled.
        address: Address,
        /// Why.
        cause: io::Error,
    },
    /// TCP to the proxy failed.
    #[error("cannot reach the proxy {proxy}: {cause}; check HTTPS_PROXY and NO_PROXY")]
    ProxyTcp {
        /// Which.
        proxy: Address,
        /// Why.
        cause: io::Error,
    },
    /// The proxy failed.
    #[error("{error} (proxy {proxy})")]
    Proxy {
        /// Which.
        proxy: Address,
        /// Why.
        error: ProxyError,
    },
    /// TLS failed.
    #[error("no trusted connection to {address}: {trouble}")]
    Tls {
        /// Who was dialled.
        address: Address,
        /// Why.
        trouble: TlsTrouble,
    },
}

/// Why TLS failed, as far as there is something to do about it.
#[derive(Debug, thiserror::Error)]
pub enum TlsTrouble {
    /// Another installation answers.
    #[error(transparent)]
    Pin(#[from] PinMismatch),
    /// The server's certificate starts in this host's future.
    #[error("its certificate is not valid yet by this host's clock ({now}); the clock is probably slow: set it (timedatectl set-ntp true) and try again", now = chrono::Utc::now().format("%F %T UTC"))]
    NotYetValid,
    /// The server's certificate ended in this host's past.
    #[error("its certificate has expired by this host's clock ({now}); if the clock is right, renew the control plane's certificate", now = chrono::Utc::now().format("%F %T UTC"))]
    ServerExpired,
    /// The certificate is for other names.
    #[error(
        "its certificate is for another name; use the name that the control plane was set up with, or add this one to its configuration"
    )]
    Name,
    /// The certificate is of another authority.
    #[error(
        "its certificate is of another authority than the one this agent trusts; check the address, or enrol again"
    )]
    Issuer,
    /// The server says that this agent's certificate has expired.
    #[error("it says that this agent's certificate has expired")]
    AgentExpired,
    /// The server does not accept this agent's certificate.
    #[error("it refuses this agent's certificate ({0:?}); enrol again if it was set up anew")]
    AgentRefused(AlertDescription),
    /// There is no TLS on that port.
    #[error("it does not speak TLS; check the port")]
    NoTls,
    /// It took too long.
    #[error("it did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// Anything else.
    #[error("{0}")]
    Other(io::Error),
}

impl Dialer {
    /// One that uses these proxies.
    pub const fn new(proxies: Proxies) -> Self {
        Self { proxies }
    }

    /// A TLS connection that trusts, and proves itself, by `config`.
    pub async fn tls(
        &self,
        address: &Address,
        config: Arc<ClientConfig>,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let name = address.server_name()?;
        let stream = self.tcp(address).await?;
        let handshake = TlsConnector::from(config).connect(name, stream);
        let trouble = match timeout(PATIENCE, handshake).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => TlsTrouble::from(error),
            Err(_) => TlsTrouble::Silent,
        };
        Err(DialError::Tls {
            address: address.clone(),
            trouble,
        })
    }

    async fn tcp(&self, address: &Address) -> Result<TcpStream, DialError> {
        let Some(proxy) = self.proxies.to(address) else {
            return connect(address).await.map_err(|cause| DialError::Tcp {
                address: address.clone(),
                cause,
            });
        };
        let mut stream = connect(&proxy.address)
            .await
            .map_err(|cause| DialError::ProxyTcp {
                proxy: proxy.address.clone(),
                cause,
            })?;
        let tunnel = timeout(PATIENCE, proxy.tunnel(&mut stream, address)).await;
        let failed = |error| DialError::Proxy {
            proxy: proxy.address.clone(),
            error,
        };
        tunnel
            .unwrap_or_else(|_| Err(ProxyError::Io(io::ErrorKind::TimedOut.into())))
            .map_err(failed)?;
        Ok(stream)
    }
}

async fn connect(address: &Address) -> io::Result<TcpStream> {
    let dialled = timeout(
        PATIENCE,
        TcpStream::connect((address.host.as_str(), address.port)),
    )
    .await;
    dialled
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(stream)
        })
}

impl From<io::Error> for TlsTrouble {
    fn from(error: io::Error) -> Self {
        if let Some(mismatch) = PinMismatch::find_in(&error) {
            return Self::Pin(mismatch.clone());
        }
        match find_rustls(&error) {
            Some(found) => Self::of(found).unwrap_or(Self::Other(error)),
            None => Self::Other(error),
        }
    }
}

impl TlsTrouble {
    fn of(error: &rustls::Error) -> Option<Self> {
        Some(match error {
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
            ) => Self::NotYetValid,
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => Self::ServerExpired,
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Self::Name,
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => Self::Issuer,
            rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
                Self::AgentExpired
            }
            rustls::Error::AlertReceived(
                alert @ (AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRevoked
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError),
            ) => Self::AgentRefused(*alert),
            rustls::Error::InvalidMessage(_) => Self::NoTls,
            _ => return None,
        })
    }
}
