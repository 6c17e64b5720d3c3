//! Links: proxies, half-open sockets, rude servers.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::agent::TestHost;
use support::control_plane::ControlPlane;
use support::peer::{StoredLog, attempt, target};
use support::{PATIENCE, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use towline_agent::agent::{LastConnection, LinkState};
use towline_agent::executor::fake::Script;
use towline_agent::proxy::Proxies;
use towline_shared::protocol::v1::{FromAgent, FromServer, Goodbye, GoodbyeReason};
use towline_shared::spec::Interruption;

/// A CONNECT proxy that wants `me:secret`.
async fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tunnels);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    head.push(char::from(client.read_u8().await.unwrap()));
                }
                // From `printf 'me:secret' | base64`.
                if !head.contains("\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n") {
                    let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
                    return client.write_all(refusal).await.unwrap();
                }
                let target = head.split(' ').nth(1).unwrap();
                let mut server = TcpStream::connect(target).await.unwrap();
                client
                    .write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
                    .await
                    .unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (address, tunnels)
}

fn by_proxy(url: &str) -> Proxies {
    Proxies::read(|name| (name == "HTTPS_PROXY").then(|| url.to_owned())).unwrap()
}

#[tokio::test]
async fn an_agent_works_through_a_proxy() {
    let (address, tunnels) = proxy().await;
    let control = ControlPlane::start().await;
    let mut host = TestHost::with(&control.identity());
    host.proxies = by_proxy(&format!("http://me:secret@{address}"));
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let job = attempt(1);
    peer.begin(
        job,
        &Script {
            lines: 5000,
            ..Script::default()
        }
        .job(target(), Interruption::Resume),
    )
    .await;
    let mut stored = StoredLog::default();
    peer.finish(&mut stored).await;
    stored.assert_numbered(5000);
    assert_eq!(tunnels.load(Ordering::Relaxed), 1);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_with_what_to_do() {
    let (address, _) = proxy().await;
    let control = ControlPlane::start().await;
    let mut host = TestHost::with(&control.identity());
    host.proxies = by_proxy(&format!("http://me:wrong@{address}"));
    let agent = host.start();
    eventually("an error", || {
        LastConnection::load(&host.dir()).error.is_some()
    })
    .await;
    let error = LastConnection::load(&host.dir()).error.unwrap();
    assert!(
        error.contains("407")
            && error.contains("user and password into HTTPS_PROXY")
            && !error.contains("wrong"),
        "{error}"
    );
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_as_the_one_at_fault() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let control = ControlPlane::start().await;
    let mut host = TestHost::with(&control.identity());
    host.proxies = by_proxy(&format!("http://{address}"));
    let agent = host.start();
    eventually("an error", || {
        LastConnection::load(&host.dir()).error.is_some()
    })
    .await;
    let error = LastConnection::load(&host.dir()).error.unwrap();
    assert!(
        error.contains(&format!("the proxy {address}")) && error.contains("NO_PROXY"),
        "{error}"
    );
    agent.stop().await.unwrap();
}

/// The server's machine has lost its power: nothing comes, nothing is refused.
#[tokio::test]
async fn a_half_open_link_is_given_up_within_its_silence() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let peer = control.welcome_idle().await;
    let silent_since = Instant::now();
    let tcp = control.accept_tcp_within(Duration::from_secs(40)).await;
    let waited = silent_since.elapsed();
    assert!(
        (Duration::from_secs(24)..Duration::from_secs(30)).contains(&waited),
        "{waited:?}"
    );
    drop((peer, tcp));
    agent.kill().await;
}

#[tokio::test]
async fn an_unknown_kind_is_skipped_and_nonsense_ends_the_link() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    peer.send_raw(Message::Binary(vec![200, 1, 2, 3].into()))
        .await;
    let job = attempt(1);
    peer.begin(job, &Script::default().job(target(), Interruption::Resume))
        .await;
    peer.finish(&mut StoredLog::default()).await;
    peer.send(&FromServer::Forget(job)).await;
    // Malformed; over the limit of its kind; no frame at all; text.
    for nonsense in [
        Message::Binary(vec![3, 255, 255].into()),
        Message::Binary(vec![4; 5000].into()),
        Message::Binary(Vec::new().into()),
        Message::Text("hello".into()),
    ] {
        peer.send_raw(nonsense).await;
        peer.assert_ends().await;
        peer = control.welcome_idle().await;
    }
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_slow_large_offer_is_no_silence_and_logs_what_it_brings() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let mut spec = Script::default().job(target(), Interruption::Resume);
    if let towline_shared::spec::Work::Deploy(deploy) = &mut spec.work {
        deploy.files.push(towline_shared::spec::ProjectFile {
            path: "large".into(),
            content: vec![7; towline_shared::spec::MAX_PROJECT_BYTES],
            mode: towline_shared::spec::FileMode::Regular,
        });
    }
    let job = attempt(1);
    peer.begin(job, &spec).await;
    assert_eq!(peer.finish(&mut StoredLog::default()).await.attempt, job);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_revoked_agent_says_so_and_stays_away() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    peer.send(&FromServer::Goodbye(Goodbye {
        reason: GoodbyeReason::Revoked,
    }))
    .await;
    peer.assert_ends().await;
    eventually("revoked", || {
        LastConnection::load(&host.dir()).state == LinkState::Revoked
    })
    .await;
    let error = LastConnection::load(&host.dir()).error.unwrap();
    assert!(error.contains("revoked; enrol it again"), "{error}");
    let came_back = timeout(Duration::from_secs(3), control.accept_tcp()).await;
    assert!(
        came_back.is_err(),
        "a revoked agent comes back only after minutes"
    );
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_stopping_control_plane_is_awaited() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    for _ in 0..5 {
        let mut peer = control.welcome_idle().await;
        peer.send(&FromServer::Goodbye(Goodbye {
            reason: GoodbyeReason::Stopping,
        }))
        .await;
        peer.assert_ends().await;
    }
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn samples_come_while_connected() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    for _ in 0..3 {
        let sample = timeout(PATIENCE, async {
            loop {
                if let Some(FromAgent::Metrics(sample)) = peer.next_any().await {
                    break sample;
                }
            }
        })
        .await
        .unwrap();
        assert!(sample.host.memory_total > 0 && sample.at_ms > 0);
    }
    agent.stop().await.unwrap();
}
