//! What a peer may not do, and that it harms nobody else.

use futures_util::SinkExt as _;
use tokio_tungstenite::tungstenite::Message;
use towline_shared::log::LogPosition;
use towline_shared::metrics::Sample;
use towline_shared::protocol::v1::{FromAgent, FromServer, GoodbyeReason, Heartbeat, Log};
use towline_shared::protocol::{ClientHandshake, PATH};
use towline_shared::spec::MAX_PROJECT_BYTES;

use super::peer::{Peer, hello};
use super::site::Site;
use super::{Duration, PATIENCE, Pace, chunk, until};

const QUICK: Duration = Duration::from_millis(300);
/// So long a peer may take nothing; a busy machine must not seem to.
const STALL: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_frame_that_breaks_the_protocol_ends_the_session_with_a_goodbye() {
    let beat = FromAgent::Heartbeat(Heartbeat::default()).encode().unwrap();
    let too_large_for_its_kind = [beat, vec![0; 5000]].concat();
    let giant = vec![9; 2 * 1024 * 1024];
    let site = Site::open().await;
    let host = site.enrol("one").await;
    for (name, frame) in [
        ("empty", vec![]),
        ("truncated", vec![3, 1, 2]),
        ("too large for its kind", too_large_for_its_kind),
        ("giant", giant),
        (
            "a second hello",
            FromAgent::Hello(hello(vec![])).encode().unwrap(),
        ),
    ] {
        let mut peer = Peer::welcome(&site, &host).await;
        peer.bytes(frame).await;
        assert_eq!(
            peer.goodbye().await,
            Some(GoodbyeReason::Protocol),
            "{name}"
        );
    }
    assert_eq!(site.registry.counts().violations, 5);
}

#[tokio::test]
async fn text_is_no_message() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    peer.wire.send(Message::text("hello")).await.unwrap();
    assert_eq!(peer.goodbye().await, Some(GoodbyeReason::Protocol));
}

#[tokio::test]
async fn nothing_comes_before_the_introduction() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let (mut peer, _) = Peer::shake(&site, &host, &ClientHandshake::ours("test")).await;
    peer.say(FromAgent::Metrics(Sample::default())).await;
    assert_eq!(peer.goodbye().await, Some(GoodbyeReason::Protocol));
    let mut peer = Peer::upgrade(&site, &host, PATH).await.unwrap();
    peer.bytes(b"no handshake".to_vec()).await;
    assert_eq!(peer.frame().await, None);
    assert!(!site.registry.is_connected(host.agent));
}

#[tokio::test]
async fn unknown_kinds_are_skipped() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    peer.bytes(vec![99, 1, 2, 3]).await;
    site.deploy(&host).await;
    peer.begin().await;
    assert_eq!(site.registry.counts().frames_unknown, 1);
}

#[tokio::test]
async fn a_broken_log_ends_the_session() {
    let site = Site::open().await;
    for corrupt in ["gap", "chain"] {
        let host = site.enrol(corrupt).await;
        let mut peer = Peer::welcome(&site, &host).await;
        site.deploy(&host).await;
        let attempt = peer.begin().await;
        let (first, after) = chunk(LogPosition::default(), &["one"]);
        let (second, _) = chunk(after, &["two"]);
        let mut changed = first;
        changed.chain[0] ^= 1;
        let bad = if corrupt == "gap" { second } else { changed };
        peer.say(FromAgent::Log(Log {
            attempt,
            chunk: bad,
        }))
        .await;
        assert_eq!(
            peer.goodbye().await,
            Some(GoodbyeReason::Protocol),
            "{corrupt}"
        );
    }
}

#[tokio::test]
async fn who_does_not_introduce_itself_in_time_is_let_go() {
    let site = Site::open_at(Pace {
        introduction: QUICK,
        ..Pace::default()
    })
    .await;
    let host = site.enrol("one").await;
    let mut mute = Peer::upgrade(&site, &host, PATH).await.unwrap();
    assert_eq!(mute.frame().await, None);
    let (mut shy, _) = Peer::shake(&site, &host, &ClientHandshake::ours("test")).await;
    assert_eq!(shy.frame().await, None);
}

#[tokio::test]
async fn a_silent_agent_is_dropped_and_a_beating_one_is_answered() {
    let pace = Pace {
        beat: QUICK,
        silence: QUICK * 4,
        ..Pace::default()
    };
    let site = Site::open_at(pace).await;
    let (alive, silent) = (site.enrol("one").await, site.enrol("two").await);
    let mut beating = Peer::welcome(&site, &alive).await;
    let _silent = Peer::welcome(&site, &silent).await;
    let mut beats = 0;
    for _ in 0..10 {
        tokio::time::sleep(QUICK).await;
        beating
            .say(FromAgent::Heartbeat(Heartbeat::default()))
            .await;
        beats += u32::from(matches!(
            beating.message().await,
            Some(FromServer::Heartbeat(_))
        ));
    }
    assert_eq!(beats, 10);
    assert!(site.registry.is_connected(alive.agent));
    assert!(!site.registry.is_connected(silent.agent));
    assert_eq!(site.registry.counts().dead_links, 1);
}

/// A peer that writes and never reads, with an offer of megabytes on its way: nothing more is read
/// from it, and when it has not taken a byte for a while it is let go. Its neighbour notices nothing.
#[tokio::test]
async fn a_slow_reader_is_bounded_and_holds_up_nobody() {
    let site = Site::open_at(Pace {
        stall: STALL,
        ..Pace::default()
    })
    .await;
    let (host, neighbour) = (site.enrol("one").await, site.enrol("two").await);
    let mut slow = Peer::welcome(&site, &host).await;
    let mut peer = Peer::welcome(&site, &neighbour).await;
    site.deploy(&neighbour).await;
    site.grow_project(MAX_PROJECT_BYTES - 10_000).await;
    site.deploy(&host).await;
    let flood = async {
        // The offer may be a while on its way: until then everything is read, and from then on no
        // more than the kernel's buffers hold.
        let (mut sent, began) = (0, tokio::time::Instant::now());
        while site.registry.is_connected(host.agent) {
            if writes(&mut slow, 100_000).await {
                sent += 100_000;
            } else {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(sent < 1_000_000_000, "it is read from without end");
            assert!(began.elapsed() < PATIENCE * 6, "it is never let go");
        }
        assert_eq!(site.registry.counts().dead_links, 1);
    };
    let neighbourly = async {
        let began = tokio::time::Instant::now();
        let attempt = peer.begin().await;
        let end = peer.log(attempt, LogPosition::default(), &["one"]).await;
        peer.finish(attempt, end).await;
        assert_eq!(peer.hear().await, FromServer::Forget(attempt));
        began.elapsed()
    };
    let ((), took) = tokio::join!(flood, neighbourly);
    assert!(took < STALL, "{took:?}");
}

/// Whether the wire takes a frame of an unknown kind.
async fn writes(peer: &mut Peer, bytes: usize) -> bool {
    let sent = peer.wire.send(Message::binary(vec![99; bytes]));
    matches!(
        tokio::time::timeout(Duration::from_millis(500), sent).await,
        Ok(Ok(()))
    )
}

#[tokio::test]
async fn samples_are_kept_at_most_every_five_seconds() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    for _ in 0..5 {
        peer.say(FromAgent::Metrics(Sample {
            at_ms: 1,
            ..Sample::default()
        }))
        .await;
    }
    until("dropped", || async {
        site.registry.counts().samples_dropped == 4
    })
    .await;
}
