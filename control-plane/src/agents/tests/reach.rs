//! How the rest of the process reaches an agent: questions, streams, and the end.

use towline_shared::protocol::v1::{
    FromAgent, FromServer, GoodbyeReason, QueryReply, StreamData, StreamEnd,
};
use towline_shared::query::{Follow, MAX_STREAM_PIECE, Query, Reply, STREAM_CREDIT, StreamRequest};

use super::super::{StreamBroken, Unreachable};
use super::peer::Peer;
use super::site::{Host, Site};
use super::{Duration, until};
use crate::store::AgentStatus;

fn request() -> StreamRequest {
    StreamRequest::ContainerLog {
        container: "web-1".into(),
        tail: Some(10),
        follow: Follow::Yes,
    }
}

async fn open(site: &Site, host: &Host, peer: &mut Peer) -> (u32, super::super::AgentStream) {
    let stream = site.registry.open_stream(host.agent, request()).unwrap();
    let FromServer::OpenStream(open) = peer.hear().await else {
        panic!("no stream")
    };
    assert_eq!(open.request, request());
    (open.stream, stream)
}

#[tokio::test]
async fn questions_are_answered_by_the_agent() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    assert_eq!(
        site.registry.ask(host.agent, Query::Containers).await,
        Err(Unreachable::Offline)
    );
    let mut peer = Peer::welcome(&site, &host).await;
    let (registry, agent) = (site.registry.clone(), host.agent);
    let asking = tokio::spawn(async move { registry.ask(agent, Query::Containers).await });
    let FromServer::Ask(ask) = peer.hear().await else {
        panic!("no question")
    };
    let late = QueryReply {
        id: ask.id.wrapping_add(77),
        reply: Reply::Failed("nobody asked".into()),
    };
    peer.say(FromAgent::Reply(late)).await;
    peer.say(FromAgent::Reply(QueryReply {
        id: ask.id,
        reply: Reply::Containers(vec![]),
    }))
    .await;
    assert_eq!(asking.await.unwrap(), Ok(Reply::Containers(vec![])));
}

#[tokio::test]
async fn a_question_learns_at_once_that_the_agent_is_gone() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let (registry, agent) = (site.registry.clone(), host.agent);
    let asking = tokio::spawn(async move { registry.ask(agent, Query::Containers).await });
    peer.hear().await;
    drop(peer);
    let answer = tokio::time::timeout(Duration::from_secs(2), asking)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer, Err(Unreachable::Offline));
}

#[tokio::test]
async fn a_stream_is_paced_by_its_consumer() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let (stream, mut consumer) = open(&site, &host, &mut peer).await;
    let piece = |byte: u8| {
        FromAgent::StreamData(StreamData {
            stream,
            bytes: vec![byte; MAX_STREAM_PIECE],
        })
    };
    let pieces = u8::try_from(STREAM_CREDIT as usize / MAX_STREAM_PIECE).unwrap();
    for byte in 0..pieces {
        peer.say(piece(byte)).await;
    }
    for byte in 0..pieces {
        assert_eq!(
            consumer.next().await,
            Some(Ok(vec![byte; MAX_STREAM_PIECE]))
        );
        let FromServer::Credit(credit) = peer.hear().await else {
            panic!("no credit")
        };
        assert_eq!(
            (credit.stream, credit.bytes as usize),
            (stream, MAX_STREAM_PIECE)
        );
    }
    peer.say(FromAgent::StreamEnd(StreamEnd {
        stream,
        error: None,
    }))
    .await;
    assert_eq!(consumer.next().await, None);
}

#[tokio::test]
async fn a_consumer_that_goes_away_closes_the_stream() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let (stream, consumer) = open(&site, &host, &mut peer).await;
    drop(consumer);
    assert!(matches!(peer.hear().await, FromServer::CloseStream(close) if close.stream == stream));
}

#[tokio::test]
async fn an_agent_that_sends_beyond_its_credit_is_cut_off() {
    let site = Site::open().await;
    let host = site.enrol("one").await;
    let mut peer = Peer::welcome(&site, &host).await;
    let (stream, mut consumer) = open(&site, &host, &mut peer).await;
    for _ in 0..=STREAM_CREDIT as usize / MAX_STREAM_PIECE {
        peer.say(FromAgent::StreamData(StreamData {
            stream,
            bytes: vec![0; MAX_STREAM_PIECE],
        }))
        .await;
    }
    assert_eq!(peer.goodbye().await, Some(GoodbyeReason::Protocol));
    let mut last = None;
    while let Some(piece) = consumer.next().await {
        last = Some(piece);
    }
    assert_eq!(last, Some(Err(StreamBroken::Disconnected)));
}

#[tokio::test]
async fn a_stop_says_goodbye_to_all_and_waits_for_them() {
    let site = Site::open().await;
    let mut peers = Vec::new();
    let mut hosts = Vec::new();
    for name in ["one", "two", "three"] {
        let host = site.enrol(name).await;
        peers.push(Peer::welcome(&site, &host).await);
        hosts.push(host);
    }
    site.stop.cancel();
    let registry = site.registry.clone();
    let stopping = tokio::spawn(async move { registry.stop(Duration::from_secs(5)).await });
    for peer in &mut peers {
        assert_eq!(peer.goodbye().await, Some(GoodbyeReason::Stopping));
    }
    drop(peers);
    tokio::time::timeout(Duration::from_secs(2), stopping)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(site.registry.counts().connected, 0);
    for host in &hosts {
        assert_eq!(site.status(host).await, AgentStatus::Offline);
    }
    until("closed", || async {
        tokio::net::TcpStream::connect(site.address).await.is_err()
    })
    .await;
}
