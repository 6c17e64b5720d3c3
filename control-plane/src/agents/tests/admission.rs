//! Who gets in, who does not, and what each is told.

use chrono::TimeDelta;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite;
use towline_pki::tls::agent_listener_config;
use towline_shared::protocol::v1::{FromAgent, FromServer, GoodbyeReason, Renew};
use towline_shared::protocol::{ClientHandshake, HandshakeError, PATH};

use super::peer::{Peer, hello};
use super::site::{Recorded, Site, expiry};
use super::{Duration, Pace, until};
use crate::store::AgentStatus;

#[tokio::test]
async fn an_enrolled_agent_is_online_while_it_is_connected() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    assert!(!site.registry.is_connected(host.agent));
    let peer = Peer::welcome(&site, &host).await;
    assert!(site.registry.is_connected(host.agent));
    assert_eq!(site.status(&host).await, AgentStatus::Online);
    drop(peer);
    until("offline", || async {
        site.status(&host).await == AgentStatus::Offline
    })
    .await;
    // The store says it first, the registry a moment later.
    until("gone", || async { !site.registry.is_connected(host.agent) }).await;
    assert_eq!(site.registry.counts().sessions, 1);
}

#[tokio::test]
async fn a_newer_connection_supersedes_the_older_at_once() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut older = Peer::welcome(&site, &host).await;
    let newer = Peer::welcome(&site, &host).await;
    assert_eq!(older.goodbye().await, Some(GoodbyeReason::Superseded));
    drop(older);
    assert_eq!(site.status(&host).await, AgentStatus::Online);
    assert_eq!(site.registry.counts().superseded, 1);
    // And a half-open one, whose end reads and writes nothing any more.
    let began = tokio::time::Instant::now();
    let _newest = Peer::welcome(&site, &host).await;
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    drop(newer);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        site.status(&host).await,
        AgentStatus::Online,
        "the older session's end is not the newer one's"
    );
}

#[tokio::test]
async fn a_revoked_agent_is_cut_off_and_stays_out() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    site.revoke(&host).await;
    assert_eq!(
        peer.goodbye().await,
        Some(GoodbyeReason::Revoked),
        "the store's wake-up is enough"
    );
    until("gone", || async { !site.registry.is_connected(host.agent) }).await;
    let (mut peer, version) = Peer::shake(&site, &host, &ClientHandshake::ours("test")).await;
    assert_eq!(version, Ok(1));
    assert_eq!(peer.goodbye().await, Some(GoodbyeReason::Revoked));
}

#[tokio::test]
async fn an_agent_that_is_revoked_before_its_hello_is_not_let_in() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let (mut peer, version) = Peer::shake(&site, &host, &ClientHandshake::ours("test")).await;
    assert_eq!(version, Ok(1));
    site.revoke(&host).await;
    peer.say(FromAgent::Hello(hello(vec![]))).await;
    assert_eq!(peer.goodbye().await, Some(GoodbyeReason::Revoked));
    until("gone", || async { !site.registry.is_connected(host.agent) }).await;
}

#[tokio::test]
async fn a_revocation_whose_wake_up_was_lost_is_found() {
    let site = Site::open_at(Pace {
        seen: Duration::from_millis(50),
        ..Pace::default()
    })
    .await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    site.revoke_in_silence(&host).await;
    assert_eq!(peer.goodbye().await, Some(GoodbyeReason::Revoked));
}

#[tokio::test]
async fn a_session_can_be_revoked_by_the_registry() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    site.registry.revoke(host.agent);
    assert_eq!(peer.goodbye().await, Some(GoodbyeReason::Revoked));
}

#[tokio::test]
async fn a_certificate_that_the_database_does_not_know_is_told_to_enrol_again() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let stranger = site.certify(&host, TimeDelta::days(1), Recorded::No).await;
    let (_, version) = Peer::shake(&site, &stranger, &ClientHandshake::ours("test")).await;
    assert!(
        matches!(&version, Err(HandshakeError::Refused(why)) if why.contains("enrol")),
        "{version:?}"
    );
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_get_through_tls() {
    let (site, other) = (Site::open().await, Site::open().await);
    let host = other.enrol("one").await;
    let mut foreign = host.clone();
    foreign.roots = site.enrol("two").await.roots;
    assert!(Peer::upgrade(&site, &foreign, PATH).await.is_err());
    until("counted", || async {
        site.registry.counts().failed_handshakes == 1
    })
    .await;
}

#[tokio::test]
async fn an_expired_certificate_does_not_get_in_and_ends_a_session() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let expired = site
        .certify(&host, TimeDelta::seconds(-10), Recorded::Yes)
        .await;
    assert!(Peer::upgrade(&site, &expired, PATH).await.is_err());

    let short = site
        .certify(&host, TimeDelta::seconds(2), Recorded::Yes)
        .await;
    let mut peer = Peer::welcome(&site, &short).await;
    assert_eq!(
        peer.goodbye().await,
        None,
        "it is no goodbye that forbids to come back"
    );
    let late = chrono::Utc::now() - expiry(&short);
    assert!(
        late >= TimeDelta::zero() && late < TimeDelta::seconds(2),
        "{late}"
    );
}

#[tokio::test]
async fn a_renewed_certificate_lets_the_session_live_and_the_agent_come_back() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let short = site
        .certify(&host, TimeDelta::seconds(2), Recorded::Yes)
        .await;
    let mut peer = Peer::welcome(&site, &short).await;
    let key = towline_pki::AgentKey::generate().unwrap();
    peer.say(FromAgent::Renew(Renew {
        csr: key.csr_der().unwrap(),
    }))
    .await;
    let FromServer::Certificate(renewed) = peer.hear().await else {
        panic!("no certificate")
    };
    peer.say(FromAgent::Renew(Renew { csr: vec![1, 2, 3] }))
        .await;
    assert!(
        matches!(peer.hear().await, FromServer::RenewRefused(_)),
        "too soon"
    );
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(site.registry.is_connected(host.agent));
    let mut next = host.clone();
    next.identity = towline_pki::AgentIdentity::new(&renewed.certificate, &key).unwrap();
    Peer::welcome(&site, &next).await;
}

#[tokio::test]
async fn a_bad_certificate_request_is_refused_with_its_reason() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    peer.say(FromAgent::Renew(Renew { csr: vec![1, 2, 3] }))
        .await;
    let FromServer::RenewRefused(refused) = peer.hear().await else {
        panic!("not refused")
    };
    assert!(
        refused.message.contains("signing request"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn a_future_version_is_refused_in_words() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut future = ClientHandshake::ours("9.0.0");
    (future.min, future.max) = (8, 9);
    let (mut peer, version) = Peer::shake(&site, &host, &future).await;
    let words =
        "the agent speaks protocol 8 to 9, the control plane 1 to 1; upgrade the control plane";
    assert_eq!(version, Err(HandshakeError::Refused(words.into())));
    assert_eq!(peer.frame().await, None);
}

#[tokio::test]
async fn another_path_is_not_found() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    match Peer::upgrade(&site, &host, "/api/v1/agents")
        .await
        .map(drop)
    {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 404),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_listener_s_certificate_can_be_replaced_while_it_serves() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut before = Peer::welcome(&site, &host).await;
    let authority = site.store.server_authority().await.unwrap();
    let certificate = authority
        .issue_server(&["127.0.0.1"], chrono::Utc::now(), TimeDelta::days(1))
        .unwrap();
    let expected = certificate.chain[0].clone();
    site.tls
        .replace(agent_listener_config(&certificate, &host.roots).unwrap());
    let tls = Peer::tls(&site, &host).await.unwrap();
    assert_eq!(tls.get_ref().1.peer_certificates().unwrap()[0], expected);
    let request = towline_shared::query::Query::Containers;
    let registry = site.registry.clone();
    let asking = tokio::spawn(async move { registry.ask(host.agent, request).await });
    assert!(
        matches!(before.hear().await, FromServer::Ask(_)),
        "the session that was there goes on"
    );
    asking.abort();
}

/// Each silent connection holds a place; there are 64. Whoever waits behind them gets in all the
/// same, because they lose their places while somebody waits.
#[tokio::test]
async fn silent_connections_cannot_hold_the_door() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut silent = Vec::new();
    for _ in 0..80 {
        silent.push(TcpStream::connect(site.address).await.unwrap());
    }
    let began = tokio::time::Instant::now();
    Peer::welcome(&site, &host).await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn who_speaks_no_tls_is_let_go() {
    let site = Site::open_at(Pace::default()).await;
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    stream
        .write_all(b"GET /agent HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    until("counted", || async {
        site.registry.counts().failed_handshakes == 1
    })
    .await;
}

/// Another replica is another registry and listener on the same store.
#[tokio::test]
async fn a_connection_to_another_replica_supersedes_too() {
    let site = Site::open().await;
    let replica = site.replica().await;
    let host = site.enrol("one").await;
    let mut older = Peer::welcome(&site, &host).await;
    let _newer = Peer::welcome(&replica, &host).await;
    assert_eq!(older.goodbye().await, Some(GoodbyeReason::Superseded));
    until("gone", || async { !site.registry.is_connected(host.agent) }).await;
    assert!(replica.registry.is_connected(host.agent));
    assert_eq!(site.status(&host).await, AgentStatus::Online);
}
