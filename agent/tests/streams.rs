//! Questions and streams.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::agent::TestHost;
use support::control_plane::ControlPlane;
use support::peer::Peer;
use towline_shared::protocol::v1::{
    Ask, CloseStream, Credit, FromAgent, FromServer, OpenStream, QueryReply, StreamEnd,
};
use towline_shared::query::{Follow, MAX_STREAM_PIECE, Query, Reply, STREAM_CREDIT, StreamRequest};

fn request(tail: Option<u32>) -> StreamRequest {
    StreamRequest::ContainerLog {
        container: "web".into(),
        tail,
        follow: Follow::No,
    }
}

async fn open(peer: &mut Peer, stream: u32, tail: Option<u32>) {
    let request = request(tail);
    peer.send(&FromServer::OpenStream(OpenStream { stream, request }))
        .await;
}

#[tokio::test]
async fn questions_are_answered_by_their_names() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    for id in [7, 3] {
        peer.send(&FromServer::Ask(Ask {
            id,
            query: Query::Containers,
        }))
        .await;
        let reply = Reply::Containers(Vec::new());
        assert_eq!(
            peer.next().await,
            FromAgent::Reply(QueryReply { id, reply })
        );
    }
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_goes_as_far_as_its_credit() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    let in_credit = STREAM_CREDIT as usize / MAX_STREAM_PIECE;
    open(&mut peer, 1, Some(10)).await;
    for number in 0..10 {
        if number >= in_credit {
            peer.assert_quiet(50).await;
            let bytes = u32::try_from(MAX_STREAM_PIECE).unwrap();
            peer.send(&FromServer::Credit(Credit { stream: 1, bytes }))
                .await;
        }
        let FromAgent::StreamData(data) = peer.next().await else {
            panic!()
        };
        assert_eq!(
            data.bytes,
            vec![u8::try_from(number).unwrap(); MAX_STREAM_PIECE]
        );
    }
    peer.send(&FromServer::Credit(Credit {
        stream: 1,
        bytes: STREAM_CREDIT,
    }))
    .await;
    assert_eq!(
        peer.next().await,
        FromAgent::StreamEnd(StreamEnd {
            stream: 1,
            error: None
        })
    );
    open(&mut peer, 2, None).await;
    let error = Some("no such container".into());
    assert_eq!(
        peer.next().await,
        FromAgent::StreamEnd(StreamEnd { stream: 2, error })
    );
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_stalled_stream_delays_nobody_and_streams_are_bounded() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut peer = control.welcome_idle().await;
    for stream in 0..32 {
        open(&mut peer, stream, Some(1000)).await;
        for _ in 0..STREAM_CREDIT as usize / MAX_STREAM_PIECE {
            let FromAgent::StreamData(data) = peer.next().await else {
                panic!()
            };
            assert_eq!(data.stream, stream);
        }
    }
    open(&mut peer, 99, Some(1)).await;
    let FromAgent::StreamEnd(end) = peer.next().await else {
        panic!()
    };
    assert!(end.error.unwrap().contains("too many streams"));
    // One that is closed makes room, and a question is answered meanwhile.
    peer.send(&FromServer::CloseStream(CloseStream { stream: 5 }))
        .await;
    peer.send(&FromServer::Ask(Ask {
        id: 1,
        query: Query::Containers,
    }))
    .await;
    assert!(matches!(peer.next().await, FromAgent::Reply(_)));
    open(&mut peer, 100, Some(1)).await;
    assert!(matches!(peer.next().await, FromAgent::StreamData(_)));
    assert!(matches!(
        peer.next().await,
        FromAgent::StreamEnd(StreamEnd {
            stream: 100,
            error: None
        })
    ));
    agent.stop().await.unwrap();
}
