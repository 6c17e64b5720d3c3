//! Looking at an engine over TLS: by the client's certificate, which it must answer to, and without one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use towline_pki::ServerName;
use towline_pki::docker::{ClientFiles, facts};
use towline_pki::tls::find_rustls;

use crate::domain::docker_tls::{EngineAddress, Guard};
use crate::egress::{Egress, EgressError};
use crate::store::docker_tls::SeenEngine;

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long an engine may take to refuse who has no certificate: one that says nothing waits for a request.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(2);
/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 64 * 1024;

/// An engine's address that may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located(pub SocketAddr);

/// Why an engine cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The control plane may not call there, or finds nobody of that name.
    #[error(
        "{host}: {cause}; an operator of the control plane allows private networks by --egress-allow"
    )]
    Address {
        /// The host.
        host: String,
        /// Why.
        cause: EgressError,
    },
    /// There is no connection.
    #[error(
        "{url} does not answer: {why}; see whether the host is up, and whether its firewall lets this one through"
    )]
    Silent {
        /// The engine.
        url: String,
        /// Why.
        why: String,
    },
    /// Its certificate cannot be trusted.
    #[error("the certificate of {url} is not accepted: {why}")]
    Untrusted {
        /// The engine.
        url: String,
        /// Why.
        why: String,
    },
    /// It refuses the client.
    #[error(
        "{url} refuses cert.pem ({why}); the engine's tlscacert has to be the authority that has issued it"
    )]
    RefusesClient {
        /// The engine.
        url: String,
        /// What it says.
        why: String,
    },
    /// What answers is no engine.
    #[error("{url} answers, and not as Docker's engine does: {why}")]
    NoEngine {
        /// The engine.
        url: String,
        /// What it does.
        why: String,
    },
}

impl CheckError {
    /// Whether it is about where the engine is, and not about the files.
    pub const fn is_about_host(&self) -> bool {
        !matches!(self, Self::RefusesClient { .. })
    }
}

/// Where an engine is, if the control plane may call there.
pub async fn locate(egress: &Egress, address: &EngineAddress) -> Result<Located, CheckError> {
    let found = egress.locate_host(address.host()).await;
    let ip = found.map_err(|cause| CheckError::Address {
        host: address.host().to_owned(),
        cause,
    })?;
    Ok(Located(SocketAddr::new(ip, address.port())))
}

/// Asks an engine for its version, by the client's certificate and without one.
pub async fn check(
    address: &EngineAddress,
    at: Located,
    files: &ClientFiles,
) -> Result<SeenEngine, CheckError> {
    let url = address.to_string();
    let asked = timeout(PATIENCE, ask(address, at, files.config()));
    let asked = asked
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let (server, status, body) = asked.map_err(|error| explain(&url, &error))?;
    let is_version = serde_json::from_slice::<serde_json::Value>(&body)
        .is_ok_and(|answer| answer["ApiVersion"].is_string());
    if status != StatusCode::OK || !is_version {
        let why = format!("it answers {status} to /version");
        return Err(CheckError::NoEngine { url, why });
    }
    let server = facts(&server).map_err(|error| CheckError::Untrusted {
        url,
        why: error.to_string(),
    })?;
    Ok(SeenEngine {
        server,
        guard: guard(address, at, files.stranger_config()).await,
    })
}

type Answer = (
    towline_pki::CertificateDer<'static>,
    StatusCode,
    bytes::Bytes,
);

async fn ask(
    address: &EngineAddress,
    at: Located,
    config: Arc<ClientConfig>,
) -> io::Result<Answer> {
    let stream = connect(address, at, config).await?;
    let shown = stream.get_ref().1.peer_certificates();
    let server = shown
        .and_then(|chain| chain.first())
        .cloned()
        .ok_or_else(|| io::Error::other("it shows no certificate"))?
        .into_owned();
    let request = Request::get("/version")
        .header(header::HOST, "docker")
        .body(String::new())
        .map_err(io::Error::other)?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        // With TLS 1.3 a refusal comes behind the handshake: the connection knows why it ended.
        Err(error) => {
            let ended = connection.await;
            return Err(match ended {
                Ok(Err(cause)) => io::Error::other(cause),
                _ => io::Error::other(error),
            });
        }
    };
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_ANSWER)
        .collect()
        .await;
    connection.abort();
    Ok((server, status, body.map_err(io::Error::other)?.to_bytes()))
}

async fn connect(
    address: &EngineAddress,
    Located(at): Located,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(address.host().to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(at).await?;
    TlsConnector::from(config).connect(name, stream).await
}

/// Only a refusal by TLS is one; whatever else it does without a certificate, it would do for anybody.
async fn guard(address: &EngineAddress, at: Located, config: Arc<ClientConfig>) -> Guard {
    let as_stranger = async {
        let mut stream = connect(address, at, config).await?;
        stream.read(&mut [0; 1]).await
    };
    match timeout(REFUSAL_PATIENCE, as_stranger).await {
        Ok(Err(error)) if find_rustls(&error).is_some() => Guard::Closed,
        _ => Guard::Open,
    }
}

fn explain(url: &str, error: &io::Error) -> CheckError {
    let url = url.to_owned();
    match find_rustls(error) {
        Some(rustls::Error::AlertReceived(alert)) => CheckError::RefusesClient {
            url,
            why: alert_words(*alert),
        },
        Some(rustls::Error::InvalidCertificate(cause)) => CheckError::Untrusted {
            url,
            why: certificate_words(cause),
        },
        Some(cause) => CheckError::NoEngine {
            url,
            why: format!("it does not speak TLS as it should ({cause})"),
        },
        None if error.kind() == io::ErrorKind::TimedOut => CheckError::Silent {
            url,
            why: format!("no answer within {} s", PATIENCE.as_secs()),
        },
        None => CheckError::Silent {
            url,
            why: error.to_string(),
        },
    }
}

fn alert_words(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA | AlertDescription::BadCertificate => {
            "it was issued by an authority that the engine does not know".to_owned()
        }
        AlertDescription::CertificateExpired => "the engine's clock says it has expired".to_owned(),
        other => format!("{other:?}"),
    }
}

fn certificate_words(cause: &CertificateError) -> String {
    match cause {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it was not issued by the authority in ca.pem".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired; renew it on its host".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it bears another name; give the host by a name or address that stands in it".to_owned()
        }
        other => other.to_string(),
    }
}
