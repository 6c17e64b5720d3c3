//! A control plane of another version: the frozen version 1, against the agent of today.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../../tests/src/frozen_v1.rs"]
#[allow(dead_code, reason = "each side uses its part")]
mod frozen_v1;
mod support;

use frozen_v1::{
    Attempt, Position, Reader, Writer, heartbeat, read_chunk, read_client_handshake,
    server_handshake, unknown,
};
use futures_util::{SinkExt as _, StreamExt as _};
use sha2::{Digest as _, Sha256};
use support::agent::TestHost;
use support::control_plane::ControlPlane;
use support::{PATIENCE, eventually};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// The last kind of an agent's frames that version 1 began with.
const LAST_KIND: u8 = 14;

/// The lines of the job's log.
const LINES: u64 = 50_000;

struct Frozen(WebSocketStream<TlsStream<TcpStream>>);

impl Frozen {
    async fn accept(control: &ControlPlane) -> Self {
        let tcp = control.accept_tcp().await;
        let stream = control.acceptor().accept(tcp).await.unwrap();
        let wire = tokio_tungstenite::accept_async(stream).await.unwrap();
        let mut server = Self(wire);
        let (lowest, highest) = read_client_handshake(&server.frame().await);
        assert!(lowest <= 1 && highest >= 1, "it still speaks version 1");
        server.say(server_handshake(1)).await;
        server.hello().await;
        // A clock, and no verdicts.
        server
            .say(Writer::frame(1).signed(1_700_000_000_000).number(0).0)
            .await;
        server
    }

    async fn frame(&mut self) -> Vec<u8> {
        match timeout(PATIENCE, self.0.next()).await.expect("it speaks") {
            Some(Ok(Message::Binary(bytes))) => bytes.into(),
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, frame: Vec<u8>) {
        self.0.send(Message::binary(frame)).await.unwrap();
    }

    /// The next frame about jobs: heartbeats, samples and descriptions come at any time, and what this version does not know
    /// is skipped.
    async fn next(&mut self) -> Vec<u8> {
        loop {
            let frame = self.frame().await;
            if ![2, 9, 10].contains(&frame[0]) && frame[0] <= LAST_KIND {
                return frame;
            }
        }
    }

    /// The body of the next one, which is of this kind.
    async fn body(&mut self, kind: u8) -> Vec<u8> {
        let frame = self.next().await;
        assert_eq!(frame[0], kind, "{frame:?}");
        frame[1..].to_vec()
    }

    async fn hello(&mut self) {
        let hello = self.body(1).await;
        let mut reader = Reader(&hello);
        assert!(!reader.text().is_empty(), "its version");
        assert!(reader.signed() > 1_700_000_000_000, "its clock");
        assert_eq!(reader.text(), "fake");
        let (_os, _arch) = (reader.text(), reader.text());
        let (_cores, _memory) = (reader.number(), reader.number());
        match reader.number() {
            0 => assert!(!(reader.text() + &reader.text()).is_empty()),
            _ => assert!(!reader.text().is_empty()),
        }
        reader.number();
        reader.text();
        policy(&mut reader);
        for _ in 0..reader.number() {
            assert_eq!(reader.bytes(), [2; 16], "a target it has worked on");
            assert_eq!((reader.number(), reader.number()), (1, 1), "its fence");
        }
        assert_eq!(reader.number(), 0, "it holds nothing");
        reader.end();
    }

    async fn sprinkle(&mut self) {
        self.say(unknown(200)).await;
        self.say(heartbeat()).await;
        self.say(unknown(77)).await;
    }

    /// Takes the log to its end, and gives the texts and the result's frame.
    async fn log(&mut self, attempt: Attempt) -> (Vec<String>, Position, Vec<u8>) {
        let (mut texts, mut position) = (Vec::new(), Position::default());
        loop {
            let frame = self.next().await;
            let mut reader = Reader(&frame[1..]);
            assert_eq!(reader.attempt(), attempt);
            match frame[0] {
                6 => assert!(reader.number() <= 3, "a step"),
                7 => {
                    let (more, after) = read_chunk(&mut reader, position);
                    reader.end();
                    texts.extend(more);
                    position = after;
                    self.say(Writer::frame(6).attempt(attempt).number(after.next_line).0)
                        .await;
                    self.sprinkle().await;
                }
                8 => return (texts, position, reader.0.to_vec()),
                kind => panic!("kind {kind}"),
            }
        }
    }
}

fn policy(reader: &mut Reader<'_>) {
    let list = |reader: &mut Reader<'_>| {
        for _ in 0..reader.number() {
            reader.text();
        }
    };
    let _privileged_and_namespaces = (reader.number(), reader.number());
    list(reader);
    list(reader);
    let _devices_and_confinement = (reader.number(), reader.number());
    list(reader);
    reader.number();
}

/// A deploy of a fake job, as version 1 writes it.
fn spec() -> Vec<u8> {
    let script = format!("{{\"lines\": {LINES}}}");
    Writer::default()
        .bytes(&[1; 16])
        .bytes(&[2; 16])
        .number(0)
        .bytes(&[3; 16])
        .text("fake")
        .text("script.json")
        .number(1)
        .text("script.json")
        .text(&script)
        .number(0)
        .number(0)
        .number(0)
        .number(600)
        .0
}

#[tokio::test]
async fn a_control_plane_of_version_one_works() {
    let control = ControlPlane::start().await;
    let host = TestHost::with(&control.identity());
    let agent = host.start();
    let mut server = Frozen::accept(&control).await;
    server.sprinkle().await;
    let (spec, attempt) = (
        spec(),
        Attempt {
            job: [9; 16],
            fence: (1, 1),
        },
    );
    let digest: [u8; 32] = Sha256::digest(&spec).into();
    let offer = Writer::frame(3).attempt(attempt).bytes(&spec).raw(&digest);
    server
        .say(offer.number(0).position(Position::default()).0)
        .await;
    let accepted = server.body(3).await;
    assert_eq!(Reader(&accepted).attempt(), attempt);
    server.sprinkle().await;
    server.say(Writer::frame(4).attempt(attempt).0).await;
    let started = server.body(5).await;
    assert_eq!(Reader(&started).attempt(), attempt);
    let (texts, end, result) = server.log(attempt).await;
    assert_eq!(texts.len() as u64, LINES);
    for (number, text) in texts.iter().enumerate() {
        assert_eq!(*text, format!("line {number:08}"));
    }
    let mut reader = Reader(&result);
    assert_eq!(reader.number(), 0, "it has succeeded");
    assert_eq!(reader.number(), 0, "and runs no image");
    assert_eq!(reader.position(), end);
    reader.end();
    server.say(Writer::frame(7).attempt(attempt).0).await;
    eventually("forgetting", || host.job_folders() == 0).await;
    // Stopping, and it stays away for a while.
    server.say(Writer::frame(14).number(0).0).await;
    let mut again = Frozen::accept(&control).await;
    again.sprinkle().await;
    agent.stop().await.unwrap();
}
