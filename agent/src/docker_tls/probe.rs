//! The engine, looked at from outside: by its socket, by TLS with the client's certificate, and without.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use towline_pki::{PkiError, ServerName, TrustRoots, tls};

use towline_pki::tls::find_rustls;

/// How long one look may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// How long an engine that runs may take to say so.
pub const RUNNING_PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait between two looks.
const BETWEEN: Duration = Duration::from_millis(250);
/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 64 * 1024;

/// What is wrong with the engine as it is seen from outside.
#[derive(Debug, thiserror::Error)]
pub enum ProbeTrouble {
    /// It does not answer by TLS.
    #[error(
        "https://{name}:{port}/version gave no answer within {seconds} s: {cause}; see the engine's own log"
    )]
    Silent {
        /// The host's name.
        name: String,
        /// The port.
        port: u16,
        /// How long it was tried, in seconds.
        seconds: u64,
        /// The last error.
        cause: String,
    },
    /// It answers whoever asks.
    #[error(
        "https://{name}:{port} does not refuse a client without a certificate ({seen}); it must"
    )]
    Open {
        /// The host's name.
        name: String,
        /// The port.
        port: u16,
        /// What was seen.
        seen: String,
    },
    /// It does not answer on its socket.
    #[error(
        "the engine gave no answer at {docker_host} within {seconds} s: {cause}; see the engine's own log"
    )]
    Down {
        /// The socket.
        docker_host: String,
        /// How long it was tried, in seconds.
        seconds: u64,
        /// The last error.
        cause: String,
    },
    /// It still listens where it did not before.
    #[error("something still listens on {0}; restart the engine")]
    StillListening(SocketAddr),
    /// The socket is none.
    #[error(
        "{0:?} is no socket of an engine on this host; give one as unix:///var/run/docker.sock"
    )]
    NoSocket(String),
}

/// Who looks at an engine's port.
#[derive(Debug)]
pub struct Probe {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The name that its certificate must bear.
    pub name: String,
    /// How long the engine may take to come up.
    pub patience: Duration,
    known: Arc<ClientConfig>,
    stranger: Arc<ClientConfig>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "Version")]
    version: String,
}

impl Probe {
    /// One that trusts this authority, and has this client's pair.
    pub fn new(
        (address, name): (SocketAddr, String),
        authority: &str,
        (certificate, key): (&str, &str),
        patience: Duration,
    ) -> Result<Self, PkiError> {
        let roots = TrustRoots::from_pem(authority)?;
        Ok(Self {
            address,
            name,
            patience,
            known: tls::docker_client_config(&roots, certificate, key)?,
            stranger: tls::ca_client_config(&roots)?,
        })
    }

    /// Waits until `/version` is answered to the client's certificate, and is refused without one. Returns the engine's
    /// version.
    pub async fn judge(&self) -> Result<String, ProbeTrouble> {
        let answered = until(self.patience, || self.version()).await;
        let version = answered.map_err(|cause| ProbeTrouble::Silent {
            name: self.name.clone(),
            port: self.address.port(),
            seconds: self.patience.as_secs(),
            cause: cause.to_string(),
        })?;
        self.refuses_strangers().await?;
        Ok(version)
    }

    async fn version(&self) -> io::Result<String> {
        let stream = self.connect(&self.known).await?;
        let body = get(stream, &self.name, "/version").await?;
        let version: Version = serde_json::from_slice(&body)?;
        Ok(version.version)
    }

    /// Only a refusal by TLS is one: a connection that breaks may have other reasons.
    async fn refuses_strangers(&self) -> Result<(), ProbeTrouble> {
        let seen = match timeout(LOOK_PATIENCE, self.as_stranger()).await {
            Err(_) => "it waits for a request".to_owned(),
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => match find_rustls(&error) {
                Some(rustls::Error::AlertReceived(_)) => return Ok(()),
                _ => error.to_string(),
            },
        };
        Err(ProbeTrouble::Open {
            name: self.name.clone(),
            port: self.address.port(),
            seen,
        })
    }

    /// In TLS 1.3 the server's refusal comes behind the handshake.
    async fn as_stranger(&self) -> io::Result<String> {
        let mut stream = self.connect(&self.stranger).await?;
        let read = stream.read(&mut [0; 1]).await?;
        Ok(format!("it sent {read} bytes"))
    }

    async fn connect(&self, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(self.name.clone()).map_err(io::Error::other)?;
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
    }
}

/// Waits until the engine answers on its own socket.
pub async fn answers(docker_host: &str, patience: Duration) -> Result<(), ProbeTrouble> {
    let Some(path) = docker_host.strip_prefix("unix://") else {
        return Err(ProbeTrouble::NoSocket(docker_host.to_owned()));
    };
    let ping = || async {
        let stream = UnixStream::connect(path).await?;
        get(stream, "docker", "/_ping").await
    };
    let answered = until(patience, ping).await;
    answered.map(|_| ()).map_err(|cause| ProbeTrouble::Down {
        docker_host: docker_host.to_owned(),
        seconds: patience.as_secs(),
        cause: cause.to_string(),
    })
}

/// Waits until nobody listens there.
pub async fn is_closed(address: SocketAddr, patience: Duration) -> Result<(), ProbeTrouble> {
    let refused = || async {
        match TcpStream::connect(address).await {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => Ok(()),
        }
    };
    let closed = until(patience, refused).await;
    closed.map_err(|_| ProbeTrouble::StillListening(address))
}

async fn until<T, F>(patience: Duration, look: impl Fn() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let end = Instant::now() + patience;
    loop {
        let seen = timeout(LOOK_PATIENCE, look()).await;
        match seen.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Err(_) if Instant::now() < end => sleep(BETWEEN).await,
            seen => return seen,
        }
    }
}

/// The body of an answer of 200.
async fn get<S>(stream: S, host: &str, path: &str) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let request = Request::get(path)
        .header(header::HOST, host)
        .body(String::new())
        .map_err(io::Error::other)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LONGEST_ANSWER)
        .collect()
        .await;
    connection.abort();
    if status != StatusCode::OK {
        return Err(io::Error::other(format!("it answered {status}")));
    }
    Ok(body.map_err(io::Error::other)?.to_bytes().to_vec())
}
