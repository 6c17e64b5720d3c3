//! A private socket on this machine that leads to an engine elsewhere: bytes go to it over TLS, by the client's certificate.
//!
//! Whatever speaks to an engine's socket (our own calls, compose, tunnels) works through it unchanged. What cannot be
//! connected is answered in the engine's place, so that people read why.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use towline_pki::ServerName;
use towline_pki::tls::find_rustls;

/// How long TCP and TLS together may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(8);
/// How long a client may take to say what it wants of an engine that is not there.
const REQUEST_PATIENCE: Duration = Duration::from_secs(2);
/// After so long without a sign of life of the host's kernel a connection is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// The engine.
#[derive(Clone)]
pub(super) struct Remote {
    /// As people call it.
    pub url: String,
    pub address: SocketAddr,
    pub name: ServerName<'static>,
    pub config: Arc<ClientConfig>,
}

/// Serves the socket for ever.
pub(super) async fn serve(listener: UnixListener, remote: Remote) {
    let remote = Arc::new(remote);
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(lead(client, Arc::clone(&remote)));
            }
            Err(error) => {
                tracing::warn!(%error, "the engine's socket takes no connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn lead(mut client: UnixStream, remote: Arc<Remote>) {
    let connected = timeout(CONNECT_PATIENCE, connect(&remote)).await;
    let failure = match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        // With TLS 1.3 a refusal of the client's certificate comes behind the handshake.
        Ok(mut engine) => match copy_bidirectional(&mut client, &mut engine).await {
            Err(error) if is_refusal(&error) => error,
            _ => return,
        },
        Err(error) => error,
    };
    let why = words(&failure);
    tracing::debug!(engine = remote.url, why, "no connection to the engine");
    // Who is gone needs no answer.
    let _ = answer(client, &format!("{} does not answer: {why}", remote.url)).await;
}

async fn connect(remote: &Remote) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(remote.address).await?;
    stream.set_nodelay(true)?;
    watch_over(&stream)?;
    TlsConnector::from(Arc::clone(&remote.config))
        .connect(remote.name.clone(), stream)
        .await
}

/// A host that is cut off says nothing: without this, whoever waits for its answer would wait for ever.
fn watch_over(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SILENCE / 3)?;
    sockopt::set_tcp_keepintvl(stream, SILENCE / 6)?;
    let milliseconds = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(stream, milliseconds)?)
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(find_rustls(error), Some(rustls::Error::AlertReceived(_)))
}

fn words(error: &io::Error) -> String {
    match find_rustls(error) {
        Some(rustls::Error::AlertReceived(alert)) => {
            format!("it refuses the client's certificate ({alert:?})")
        }
        Some(error) => format!("its certificate is not accepted: {error}"),
        None if error.kind() == io::ErrorKind::TimedOut => {
            format!("no connection within {} s", CONNECT_PATIENCE.as_secs())
        }
        None => error.to_string(),
    }
}

/// What an engine would say that stood before another.
async fn answer(mut client: UnixStream, message: &str) -> io::Result<()> {
    let mut request = vec![0; 16 * 1024];
    let asked = timeout(REQUEST_PATIENCE, client.read(&mut request)).await;
    if !matches!(asked, Ok(Ok(1..))) {
        return Ok(());
    }
    let body = serde_json::json!({ "message": message }).to_string();
    let answer = format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await
}
