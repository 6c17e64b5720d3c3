//! Calls over real sockets.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test says what went wrong"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(2),
    body: 4096,
};

/// What a receiver does with each connection, once it has read the request's head.
#[derive(Clone, Copy)]
enum Behaviour {
    Says(&'static str),
    /// The head, and then a byte now and then.
    Drips,
    /// The head, and then bytes without end.
    Floods,
    Silent,
    HangsUp,
}

struct Receiver {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    async fn that(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(behave(stream, behaviour));
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn behave(mut stream: TcpStream, behaviour: Behaviour) -> std::io::Result<()> {
    let mut head = [0; 2048];
    let _ = stream.read(&mut head).await?;
    let endless = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
    match behaviour {
        Behaviour::Says(text) => stream.write_all(text.as_bytes()).await?,
        Behaviour::HangsUp => {}
        Behaviour::Silent => tokio::time::sleep(Duration::from_mins(1)).await,
        Behaviour::Drips => {
            stream.write_all(endless.as_bytes()).await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Behaviour::Floods => {
            stream.write_all(endless.as_bytes()).await?;
            loop {
                stream.write_all(&[b'x'; 8192]).await?;
            }
        }
    }
    stream.shutdown().await
}

fn egress(allow: &[&str], plain_http: PlainHttp) -> Egress {
    let allow = allow.iter().map(|one| one.parse().unwrap()).collect();
    Egress::new(Policy { allow, plain_http }, LIMITS)
}

fn open() -> Egress {
    egress(&["127.0.0.0/8", "::1"], PlainHttp::Allowed)
}

async fn post(egress: &Egress, url: &str) -> Result<Answer, EgressError> {
    egress.post(url, HeaderMap::new(), Bytes::from("{}")).await
}

const OK: Behaviour = Behaviour::Says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");

#[tokio::test]
async fn loopback_is_refused_by_default_and_reached_when_allowed() {
    let receiver = Receiver::that(OK).await;
    let port = receiver.address.port();
    let closed = egress(&[], PlainHttp::Allowed);
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "127.1",
        "[::1]",
    ] {
        let refused = post(&closed, &format!("http://{host}:{port}/hook")).await;
        let why = match refused.unwrap_err() {
            EgressError::Url(UrlError::Refused(refused)) | EgressError::Refused(refused) => {
                refused.why
            }
            other => panic!("{host}: {other}"),
        };
        assert_eq!(why, Why::Loopback, "{host}");
    }
    assert_eq!(receiver.connections(), 0, "nothing was connected to");
    for host in ["127.0.0.1", "localhost"] {
        let answer = post(&open(), &format!("http://{host}:{port}/hook")).await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.end), (200, BodyEnd::Whole));
        assert_eq!(answer.body, b"hi");
    }
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let secret = Receiver::that(OK).await;
    let head = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        secret.url()
    );
    let receiver = Receiver::that(Behaviour::Says(head.leak())).await;
    assert_eq!(post(&open(), &receiver.url()).await.unwrap().status, 307);
    assert_eq!(secret.connections(), 0);
}

#[tokio::test]
async fn slow_and_endless_answers_are_cut() {
    let began = Instant::now();
    let flood = Receiver::that(Behaviour::Floods).await;
    let answer = post(&open(), &flood.url()).await.unwrap();
    assert_eq!((answer.body.len(), answer.end), (4096, BodyEnd::Limit));
    assert!(began.elapsed() < LIMITS.total, "{:?}", began.elapsed());

    let began = Instant::now();
    let drip = Receiver::that(Behaviour::Drips).await;
    let answer = post(&open(), &drip.url()).await.unwrap();
    assert_eq!((answer.status, answer.end), (200, BodyEnd::BrokenOff));
    assert!(!answer.body.is_empty() && answer.body.len() < 100);
    assert!(began.elapsed() < 3 * LIMITS.total, "{:?}", began.elapsed());

    let began = Instant::now();
    let silent = Receiver::that(Behaviour::Silent).await;
    let error = post(&open(), &silent.url()).await.unwrap_err();
    assert!(matches!(error, EgressError::TimedOut(_)), "{error}");
    assert!(began.elapsed() < 3 * LIMITS.total, "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_is_not_there_or_hangs_up_is_told_without_the_address() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", gone.local_addr().unwrap());
    drop(gone);
    let error = post(&open(), &url).await.unwrap_err();
    assert!(matches!(error, EgressError::Connect(_)), "{error}");
    assert!(!error.to_string().contains("token"), "{error}");
    let rude = Receiver::that(Behaviour::HangsUp).await;
    let error = post(&open(), &rude.url()).await.unwrap_err();
    assert!(matches!(error, EgressError::Broken(_)), "{error}");
    assert!(!error.to_string().contains("hook"), "{error}");
}

#[test]
fn addresses_are_checked_before_they_are_called() {
    let long = format!("https://example.org/{}", "x".repeat(MAX_URL));
    let table = [
        ("https://example.org/hook?x=1", None),
        ("https://1.1.1.1:8443/", None),
        ("http://example.org/", Some(UrlError::Scheme)),
        ("ftp://example.org/", Some(UrlError::Scheme)),
        ("file:///etc/passwd", Some(UrlError::Scheme)),
        ("example.org", Some(UrlError::Malformed)),
        ("https://", Some(UrlError::Malformed)),
        ("https://a b/", Some(UrlError::Malformed)),
        ("https://u@example.org/", Some(UrlError::Credentials)),
        ("https://:p@example.org/", Some(UrlError::Credentials)),
        ("https://example.org/#x", Some(UrlError::Fragment)),
        (long.as_str(), Some(UrlError::TooLong)),
    ];
    let closed = egress(&[], PlainHttp::Refused);
    for (url, expected) in table {
        assert_eq!(closed.check(url).err(), expected, "{url}");
    }
    let refused = closed.check("https://169.254.169.254/latest").unwrap_err();
    assert!(refused.to_string().contains("metadata"), "{refused}");
    assert!(open().check("http://example.org/").is_ok());
}
