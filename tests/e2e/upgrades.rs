//! An agent of another version: the frozen version 1, against the control plane of today.

use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::frozen_v1::{
    Attempt, Position, Reader, Writer, chunk, client_handshake, heartbeat, read_server_handshake,
    unknown,
};
use towline_tests::peer::{Heard, PATIENCE, Peer, enrol};
use towline_tests::story::{Deployment, Installation, Project, unique};

use crate::on_both;

on_both!(
    an_agent_of_version_one_works,
    a_later_agent_settles_on_version_one,
);

/// The lines of its log: as many as a busy deploy has, a few at a time.
const LINES: usize = 100_000;
const CHUNK: usize = 500;
/// Chunks that may be under way.
const AHEAD: usize = 8;

/// What the frozen agent says of itself: no engine's answer changes its bytes.
fn hello() -> Vec<u8> {
    Writer::frame(1)
        .text("0.1.0")
        .signed(1_700_000_000_000)
        .text("old-host")
        .text("Debian GNU/Linux 12")
        .text("amd64")
        .number(2)
        .number(4 << 30)
        // Docker, its version and its API's; compose, its version.
        .number(0)
        .text("26.1.5")
        .text("1.45")
        .number(0)
        .text("2.26.1")
        // The policy: five permissions denied and three empty lists, in their order.
        .raw(&[0, 0, 0, 0, 0, 0, 0, 0])
        // No fences, and nothing held.
        .raw(&[0, 0])
        .0
}

/// The frozen agent, connected.
struct Frozen(Peer);

impl Frozen {
    fn connect(story: &Installation, name: &str, versions: (u64, u64)) -> Self {
        let identity = enrol(&story.api, &story.server.public_api(), name);
        let mut peer = Peer::connect(&identity);
        peer.bytes(client_handshake(versions.0, versions.1));
        let Heard::Frame(answer) = peer.hear(PATIENCE) else {
            panic!("no answer")
        };
        assert_eq!(read_server_handshake(&answer), 1);
        peer.bytes(hello());
        let mut agent = Self(peer);
        let welcome = agent.next(1);
        let mut reader = Reader(&welcome);
        assert!(reader.signed() > 1_700_000_000_000, "its clock");
        assert_eq!(reader.number(), 0, "no verdicts");
        reader.end();
        agent
    }

    /// The body of the next frame that is no heartbeat; it is of this kind.
    fn next(&mut self, kind: u8) -> Vec<u8> {
        loop {
            match self.0.hear(PATIENCE) {
                Heard::Frame(frame) if frame[0] == 2 && kind != 2 => {}
                Heard::Frame(frame) => {
                    assert_eq!(frame[0], kind, "{frame:?}");
                    return frame[1..].to_vec();
                }
                other => panic!("{other:?} instead of kind {kind}"),
            }
        }
    }

    fn say(&mut self, frame: Writer) {
        self.0.bytes(frame.0);
    }

    /// Kinds of a later version, which nobody here knows.
    fn sprinkle(&mut self) {
        self.0.bytes(unknown(77));
        self.0.bytes(heartbeat());
        self.0.bytes(unknown(255));
    }

    fn accept_and_begin(&mut self) -> Attempt {
        let offer = self.next(3);
        let mut reader = Reader(&offer);
        let attempt = reader.attempt();
        let spec = reader.bytes().to_vec();
        let digest: [u8; 32] = reader.raw(32).try_into().unwrap();
        assert_eq!(digest, digest_of(&spec));
        assert_eq!(reader.number(), 0, "no secrets");
        assert_eq!(reader.position(), Position::default());
        reader.end();
        names_its_files(&spec);
        self.say(Writer::frame(3).attempt(attempt));
        assert_eq!(Reader(&self.next(4)).attempt(), attempt, "go");
        self.say(Writer::frame(5).attempt(attempt));
        self.say(Writer::frame(6).attempt(attempt).number(1));
        attempt
    }

    fn log(&mut self, attempt: Attempt) -> Position {
        let mut position = Position::default();
        let mut acknowledged = 0;
        for first in (0..LINES).step_by(CHUNK) {
            let texts: Vec<String> = (first..first + CHUNK)
                .map(|number| format!("line {number} of an old agent"))
                .collect();
            let (bytes, after) = chunk(position, &texts);
            self.say(Writer::frame(7).attempt(attempt).raw(&bytes));
            position = after;
            if first % (CHUNK * 40) == 0 {
                self.sprinkle();
            }
            while position.next_line > acknowledged + (AHEAD * CHUNK) as u64 {
                acknowledged = self.acknowledgement(attempt);
            }
        }
        while acknowledged < LINES as u64 {
            acknowledged = self.acknowledgement(attempt);
        }
        position
    }

    fn acknowledgement(&mut self, attempt: Attempt) -> u64 {
        let ack = self.next(6);
        let mut reader = Reader(&ack);
        assert_eq!(reader.attempt(), attempt);
        let next = reader.number();
        reader.end();
        next
    }

    fn finish(&mut self, attempt: Attempt, log: Position) {
        let succeeded = Writer::frame(8)
            .attempt(attempt)
            .number(0)
            .number(1)
            .text("web")
            .text("shop:1")
            .text("sha256:00")
            .position(log);
        self.say(succeeded);
        assert_eq!(Reader(&self.next(7)).attempt(), attempt, "forget");
    }
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).into()
}

/// A deploy's specification, as version 1 has it.
fn names_its_files(spec: &[u8]) {
    let mut reader = Reader(spec);
    assert_eq!(reader.bytes().len(), 16, "the project");
    assert_eq!(reader.bytes().len(), 16, "the target");
    assert_eq!(reader.number(), 0, "a deploy");
    assert_eq!(reader.bytes().len(), 16, "the release");
    let (_project, file) = (reader.text(), reader.text());
    assert_eq!(file, "docker-compose.yml");
    assert_eq!(reader.number(), 1, "one file");
    assert_eq!(reader.text(), file);
    assert!(reader.text().starts_with("services:"));
    assert_eq!(reader.number(), 0, "not to be run");
    let (_settle, interruption, deadline) = (reader.number(), reader.number(), reader.number());
    assert!(interruption <= 2 && deadline > 0);
    reader.end();
}

fn deploy<'p>(project: &'p Project<'p>, target: &str) -> Deployment<'p> {
    let asked = project.request_deployment(&serde_json::json!({ "target": target }));
    project.deployment(&asked.ok())
}

fn works(story: &Installation, versions: (u64, u64)) {
    let name = unique("frozen");
    let mut agent = Frozen::connect(story, &name, versions);
    let project = story.project("old", &ComposeFolder::of(&[Service::idle("web")]));
    agent.sprinkle();
    let deployment = deploy(&project, &name);
    let attempt = agent.accept_and_begin();
    let log = agent.log(attempt);
    assert_eq!(deployment.status(), "running");
    assert_eq!(deployment.show()["step"], "applying");
    agent.finish(attempt, log);
    assert_eq!(deployment.status(), "succeeded");
    let lines = deployment.log();
    assert_eq!(lines.len(), LINES);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {number} of an old agent"));
    }
}

fn an_agent_of_version_one_works(story: &mut Installation) {
    works(story, (1, 1));
}

fn a_later_agent_settles_on_version_one(story: &mut Installation) {
    works(story, (1, 2));
}
