//! The accept loop of the public listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chrono::{TimeDelta, Utc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use towline_pki::tls::{self, LiveServerConfig};
use towline_pki::{Authority, Fingerprint, ServerName};
use towline_server::connections::Limits;
use towline_server::http::{LIMITS, serve};

struct Site {
    address: SocketAddr,
    authority: Authority,
    tls: Arc<LiveServerConfig>,
    stopping: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Site {
    async fn open(limits: Limits) -> Self {
        let authority = Authority::generate("test", Utc::now()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = Arc::new(LiveServerConfig::new(config(&authority)));
        let router = Router::new().route("/", get(async || "hello")).route(
            "/slow",
            get(async || {
                tokio::time::sleep(Duration::from_millis(500)).await;
                "done"
            }),
        );
        let stopping = CancellationToken::new();
        let served = tokio::spawn(serve(
            listener,
            Arc::clone(&tls),
            router,
            limits,
            stopping.clone(),
        ));
        Self {
            address,
            authority,
            tls,
            stopping,
            served,
        }
    }

    async fn connect(&self, pin: Fingerprint) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let config = tls::pinned_client_config(pin).unwrap();
        let name = ServerName::from(self.address.ip());
        TlsConnector::from(config).connect(name, stream).await
    }
}

fn config(authority: &Authority) -> Arc<rustls::ServerConfig> {
    let certificate = authority.issue_server(&["127.0.0.1"], Utc::now(), TimeDelta::days(1));
    tls::public_server_config(&certificate.unwrap()).unwrap()
}

async fn ask(stream: &mut TlsStream<TcpStream>, head: &str) -> String {
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(Duration::from_secs(5), stream.read(&mut answer))
        .await
        .unwrap();
    String::from_utf8_lossy(&answer[..read.unwrap_or(0)]).into_owned()
}

#[tokio::test]
async fn further_connections_wait_until_there_is_room() {
    let limits = Limits {
        connections: 2,
        handshakes: 2,
    };
    let site = Site::open(limits).await;
    let pin = site.authority.fingerprint();
    let first = site.connect(pin).await.unwrap();
    let _second = site.connect(pin).await.unwrap();
    let mut third = std::pin::pin!(site.connect(pin));
    assert!(
        timeout(Duration::from_millis(300), third.as_mut())
            .await
            .is_err()
    );
    drop(first);
    let mut third = timeout(Duration::from_secs(5), third)
        .await
        .unwrap()
        .unwrap();
    assert!(
        ask(&mut third, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn a_silent_peer_takes_no_turn_from_others_for_longer_than_its_limit() {
    let limits = Limits {
        connections: 8,
        handshakes: 1,
    };
    let site = Site::open(limits).await;
    let _silent = TcpStream::connect(site.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = std::time::Instant::now();
    let pin = site.authority.fingerprint();
    // Its own limit runs while it waits for its turn; whoever comes just then may have to come again.
    while site.connect(pin).await.is_err() {}
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn heads_are_limited() {
    let site = Site::open(LIMITS).await;
    let pin = site.authority.fingerprint();
    let large = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "x: y\r\n".repeat(100)
    );
    for head in [large, many] {
        let mut stream = site.connect(pin).await.unwrap();
        assert!(ask(&mut stream, &head).await.starts_with("HTTP/1.1 431"));
    }
}

#[tokio::test]
async fn a_certificate_is_exchanged_while_the_listener_runs() {
    let site = Site::open(LIMITS).await;
    let mut before = site.connect(site.authority.fingerprint()).await.unwrap();
    let next = Authority::generate("next", Utc::now()).unwrap();
    site.tls.replace(config(&next));
    assert!(site.connect(site.authority.fingerprint()).await.is_err());
    assert!(site.connect(next.fingerprint()).await.is_ok());
    let answer = ask(&mut before, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "connections that are up stay: {answer}"
    );
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_takes_no_further_ones() {
    let site = Site::open(LIMITS).await;
    let pin = site.authority.fingerprint();
    let _idle = site.connect(pin).await.unwrap();
    let mut busy = site.connect(pin).await.unwrap();
    let asked =
        tokio::spawn(async move { ask(&mut busy, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    site.stopping.cancel();
    let answer = asked.await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
        "{answer}"
    );
    timeout(Duration::from_secs(2), site.served)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(site.address).await.is_err());
}
