//! One simulated agent: it connects, introduces itself, beats, and comes back when it is dropped.

use std::hash::{DefaultHasher, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::{Message, protocol::WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use towline_pki::ServerName;
use towline_shared::metrics::Sample;
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{Capabilities, FromAgent, FromServer, Heartbeat, Hello};
use towline_shared::protocol::{ClientHandshake, HEARTBEAT_S, PATH, encode_handshake, read_server};

use crate::fleet::Tally;

const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// A short cap, so that what is measured is the control plane and not the clients' patience.
const BACKOFF_CAP_MS: u64 = 200;

/// Who a simulated agent is and where it connects.
#[derive(Clone)]
pub struct Identity {
    /// Its TLS configuration, with its certificate.
    pub tls: Arc<ClientConfig>,
    /// Where it connects.
    pub address: SocketAddr,
}

/// What an agent does besides its heartbeat.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Nothing.
    Quiet,
    /// It sends a sample every ten seconds.
    Sampling,
}

type Wire = WebSocketStream<TlsStream<TcpStream>>;

/// Lives until its task is aborted.
pub async fn live(number: usize, identity: Identity, habit: Habit, tally: Arc<Tally>) {
    let mut failures = 0_u32;
    loop {
        match timeout(CONNECT_LIMIT, connect(number, &identity, &tally)).await {
            Ok(Ok(wire)) => {
                failures = 0;
                tally.came();
                let ended = serve(number, wire, habit).await;
                tally.went(&ended);
            }
            Ok(Err(error)) => tally.failed(&error),
            Err(_) => tally.failed(&anyhow::anyhow!("no welcome within {CONNECT_LIMIT:?}")),
        }
        let cap = (20_u64 << failures.min(10)).min(BACKOFF_CAP_MS);
        failures += 1;
        sleep(Duration::from_millis(
            chance(&(number, failures, Instant::now())) % cap,
        ))
        .await;
    }
}

async fn connect(number: usize, identity: &Identity, tally: &Tally) -> Result<Wire> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source(number), 0))?;
    let stream = socket.connect(identity.address).await?;
    tally.reached();
    stream.set_nodelay(true)?;
    let name = ServerName::from(identity.address.ip());
    let tls = TlsConnector::from(Arc::clone(&identity.tls))
        .connect(name, stream)
        .await
        .context("TLS")?;
    let limits = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(4096);
    let (mut wire, _) = client_async_with_config(
        format!("wss://{}{PATH}", identity.address),
        tls,
        Some(limits),
    )
    .await
    .context("upgrade")?;
    let handshake = encode_handshake(&ClientHandshake::ours("load"))?;
    wire.send(Message::binary(handshake)).await?;
    read_server(&next(&mut wire).await?)?;
    say(&mut wire, &FromAgent::Hello(hello(number))).await?;
    match FromServer::decode(&next(&mut wire).await?)? {
        Received::Message(FromServer::Welcome(_)) => Ok(wire),
        other => bail!("instead of a welcome: {other:?}"),
    }
}

/// Beats until the connection ends, and says why it did.
async fn serve(number: usize, mut wire: Wire, habit: Habit) -> anyhow::Error {
    // Spread over the whole interval, and a little jitter on each beat, as real agents have.
    let spread = Duration::from_millis(chance(&number) % (HEARTBEAT_S * 1000));
    let mut beat = Instant::now() + spread;
    loop {
        let done = tokio::select! {
            frame = next(&mut wire) => frame.map(drop),
            () = sleep_until(beat) => {
                beat += Duration::from_millis(HEARTBEAT_S * 950 + chance(&(number, beat)) % (HEARTBEAT_S * 100));
                speak(&mut wire, habit).await
            }
        };
        if let Err(error) = done {
            return error;
        }
    }
}

async fn speak(wire: &mut Wire, habit: Habit) -> Result<()> {
    say(wire, &FromAgent::Heartbeat(Heartbeat { at_ms: 0 })).await?;
    if habit == Habit::Sampling {
        say(wire, &FromAgent::Metrics(Sample::default())).await?;
    }
    Ok(())
}

async fn say(wire: &mut Wire, message: &FromAgent) -> Result<()> {
    Ok(wire.send(Message::binary(message.encode()?)).await?)
}

async fn next(wire: &mut Wire) -> Result<Vec<u8>> {
    loop {
        match wire.next().await.context("the connection ended")?? {
            Message::Binary(bytes) => return Ok(bytes.into()),
            Message::Close(frame) => bail!("closed: {frame:?}"),
            _ => {}
        }
    }
}

fn hello(number: usize) -> Hello {
    Hello {
        version: env!("CARGO_PKG_VERSION").into(),
        at_ms: 0,
        capabilities: Capabilities {
            hostname: format!("load-{number}"),
            os: "simulated".into(),
            ..Capabilities::default()
        },
        fences: vec![],
        held: vec![],
    }
}

/// One source address has too few ports for a fleet, and the search for a free one is slow.
fn source(number: usize) -> IpAddr {
    let low = u8::try_from(number % 200 + 1).unwrap_or(1);
    let high = u8::try_from(number / 200 % 250 + 1).unwrap_or(1);
    Ipv4Addr::new(127, 0, high, low).into()
}

fn chance(of: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
