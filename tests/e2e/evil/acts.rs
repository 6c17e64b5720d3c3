//! Every message, about jobs of others, under wrong fences, at the wrong time, and out of all form.

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use towline_shared::Fence;
use towline_shared::ids::{JobId, TargetId};
use towline_shared::log::{LogChunk, LogLine, LogPosition, LogStream};
use towline_shared::outcome::{Outcome, Step};
use towline_shared::protocol::v1::{
    Attempt, Finished, FromAgent, FromServer, GoodbyeReason, Held, HeldPhase, Hello, Log, Progress,
    Refusal, Refused, SecretsNeed, Verdict,
};
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::peer::{Heard, PATIENCE, Peer, hello};
use towline_tests::story::Installation;

use super::{Evil, at_work, attempt, wait_for_container};
use crate::{DEPLOY_LIMIT, on_both};

on_both!(
    jobs_of_others_are_out_of_reach,
    a_job_moves_only_as_it_may,
    what_breaks_the_protocol_ends_the_session,
);

fn chunk() -> (LogChunk, LogPosition) {
    let line = LogLine {
        at_us: 1_700_000_000_000_000,
        stream: LogStream::Stdout,
        source: "evil".into(),
        text: "planted".into(),
    };
    LogChunk::encode(LogPosition::default(), &[line]).unwrap()
}

/// Everything that can be said about a job.
fn reports(attempt: Attempt) -> Vec<FromAgent> {
    let (chunk, log) = chunk();
    let outcome = Outcome::Succeeded { images: vec![] };
    let (reason, message) = (Refusal::Unreadable, "no".into());
    vec![
        FromAgent::Accepted(attempt),
        FromAgent::Started(attempt),
        FromAgent::Progress(Progress {
            attempt,
            step: Step::Applying,
        }),
        FromAgent::Log(Log { attempt, chunk }),
        FromAgent::Refused(Refused {
            attempt,
            reason,
            message,
        }),
        FromAgent::Finished(Finished {
            attempt,
            outcome,
            log,
        }),
    ]
}

fn below(attempt: Attempt) -> Attempt {
    let fence = Fence::new(attempt.fence.incarnation, attempt.fence.epoch - 1);
    Attempt { fence, ..attempt }
}

fn above(attempt: Attempt) -> Attempt {
    let fence = Fence::new(attempt.fence.incarnation + 1, attempt.fence.epoch);
    Attempt { fence, ..attempt }
}

fn jobs_of_others_are_out_of_reach(story: &mut Installation) {
    let project = at_work(story);
    let victim = project.deploy();
    let container = wait_for_container(story, &project);
    let theirs = attempt(story, &victim);
    let evil = Evil::enrol(story);
    let mut peer = Peer::welcome(&evil.identity);
    let nobodys = Attempt {
        job: JobId::new(),
        ..theirs
    };
    let mut said = Vec::new();
    for attempt in [theirs, below(theirs), above(theirs), nobodys] {
        for report in reports(attempt) {
            peer.say(&report);
            assert_eq!(
                peer.listen(),
                Some(FromServer::Forget(attempt)),
                "{report:?}"
            );
            said.push(report.name());
        }
    }
    said.push("Hello");
    let held = Held {
        attempt: theirs,
        phase: HeldPhase::Finished,
        secrets: SecretsNeed::Lost,
        log_from: LogPosition::default(),
    };
    let verdicts = welcome(
        &evil,
        Hello {
            held: vec![held],
            ..hello()
        },
    );
    assert_eq!(verdicts, [(theirs, Verdict::Forget)]);

    assert_eq!(victim.status(), "running");
    assert_eq!(attempt(story, &victim), theirs);
    assert!(!victim.log().contains(&"planted".to_owned()));
    let entries = evil.entries(story);
    let written: Vec<&str> = entries.iter().map(super::Entry::said).collect();
    assert_eq!(written, said, "one entry each");
    for entry in &entries {
        assert_eq!(entry.action, "agent.report_refused");
        assert_eq!(entry.why(), "the job is not this agent's");
    }
    story
        .engine
        .run_docker(&["exec", &container, "touch", "/done"]);
    victim.wait("succeeded", DEPLOY_LIMIT);
}

/// What it holds, and what becomes of that.
fn welcome(evil: &Evil, hello: Hello) -> Vec<(Attempt, Verdict)> {
    let (mut peer, _) = Peer::shake(&evil.identity);
    peer.say(&FromAgent::Hello(hello));
    match peer.listen() {
        Some(FromServer::Welcome(welcome)) => welcome.verdicts,
        other => panic!("{other:?}"),
    }
}

/// Its own job, which it may ruin, but only by the ways there are.
fn a_job_moves_only_as_it_may(story: &mut Installation) {
    let evil = Evil::enrol(story);
    let mut peer = Peer::welcome(&evil.identity);
    let project = story.project("own", &ComposeFolder::of(&[Service::idle("web")]));
    let deployment = evil.deploy(&project);
    let Some(FromServer::Offer(offer)) = peer.listen() else {
        panic!("no offer")
    };
    let ours = offer.attempt;
    let mut expected = Vec::new();
    let mut refuse = |peer: &mut Peer, report: &FromAgent, attempt, why: &str| {
        peer.say(report);
        assert_eq!(
            peer.listen(),
            Some(FromServer::Forget(attempt)),
            "{report:?}"
        );
        expected.push(format!("{} {why}", report.name()));
    };
    for attempt in [below(ours), above(ours)] {
        for report in reports(attempt) {
            // A stale refusal has no answer.
            if !matches!(report, FromAgent::Refused(_)) {
                refuse(&mut peer, &report, attempt, "the fence is not the job's");
            }
        }
    }
    for report in reports(ours) {
        if !matches!(report, FromAgent::Accepted(_) | FromAgent::Refused(_)) {
            refuse(&mut peer, &report, ours, "the job was not accepted");
        }
    }
    assert_eq!(deployment.status(), "offered");
    assert!(deployment.log().is_empty());
    peer.say(&FromAgent::Accepted(ours));
    assert_eq!(peer.listen(), Some(FromServer::Go(ours)));
    peer.say(&FromAgent::Started(ours));
    let [.., refused, finished] = &reports(ours)[..] else {
        panic!("there are reports")
    };
    peer.say(refused);
    expected.push("Refused the job was accepted".into());
    for report in &reports(ours)[3..4] {
        peer.say(report);
        assert!(matches!(peer.listen(), Some(FromServer::LogAck(_))));
    }
    for _ in 0..2 {
        peer.say(finished);
        assert_eq!(
            peer.listen(),
            Some(FromServer::Forget(ours)),
            "as often as it likes"
        );
    }
    peer.say(&FromAgent::Started(ours));
    assert_eq!(
        peer.listen(),
        Some(FromServer::Forget(ours)),
        "it has ended"
    );
    assert_eq!(deployment.status(), "succeeded");
    let entries = evil.entries(story).into_iter();
    let written: Vec<String> = entries
        .map(|entry| format!("{} {}", entry.said(), entry.why()))
        .collect();
    assert_eq!(written, expected);
}

/// The most bytes of each kind, as the protocol promises them.
const LIMITS: [(u8, usize); 14] = [
    (1, 192 << 10),
    (2, 4 << 10),
    (3, 4 << 10),
    (4, 4 << 10),
    (5, 4 << 10),
    (6, 4 << 10),
    (7, 192 << 10),
    (8, 192 << 10),
    (9, 192 << 10),
    (10, 192 << 10),
    (11, 16 << 10),
    (12, 1 << 20),
    (13, 32 << 10),
    (14, 4 << 10),
];
/// The most bytes of any frame.
const MOST: usize = 1 << 20;

type Act = (&'static str, Box<dyn Fn(&mut Peer)>);

fn bytes(name: &'static str, frame: Vec<u8>) -> Act {
    (name, Box::new(move |peer| peer.bytes(frame.clone())))
}

fn hello_with(change: impl Fn(&mut Hello)) -> FromAgent {
    let mut hello = hello();
    change(&mut hello);
    FromAgent::Hello(hello)
}

/// What ends a session at any time after the welcome.
fn broken_frames() -> Vec<Act> {
    let mut acts = vec![
        bytes("empty", vec![]),
        bytes("over all limits", vec![99; MOST + 1]),
        bytes(
            "a second hello",
            FromAgent::Hello(hello()).encode().unwrap(),
        ),
        (
            "text",
            Box::new(|peer: &mut Peer| peer.message(Message::text("{\"job\": 1}"))),
        ),
        (
            "a frame of all the memory there is",
            Box::new(|peer: &mut Peer| {
                peer.raw(&[
                    0x82, 0xff, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4,
                ]);
            }),
        ),
        (
            "without a mask",
            Box::new(|peer: &mut Peer| peer.raw(&[0x82, 0x02, 0x02, 0x00])),
        ),
        ("fragments without an end", Box::new(fragments)),
    ];
    for (kind, limit) in LIMITS {
        acts.push(bytes("cut off", vec![kind]));
        if limit < MOST {
            acts.push(bytes("over its limit", vec![kind; limit + 1]));
        }
    }
    acts
}

fn fragments(peer: &mut Peer) {
    for part in 0..8 {
        let opcode = if part == 0 {
            Data::Binary
        } else {
            Data::Continue
        };
        let frame = Frame::message(vec![2; 200 << 10], OpCode::Data(opcode), false);
        peer.message(Message::Frame(frame));
    }
}

/// What ends a session instead of a welcome.
fn broken_hellos() -> Vec<FromAgent> {
    let held = Held {
        attempt: Attempt {
            job: JobId::new(),
            fence: Fence::new(1, 1),
        },
        phase: HeldPhase::Running,
        secrets: SecretsNeed::Lost,
        log_from: LogPosition::default(),
    };
    let beyond = Fence::new(u32::MAX, u64::MAX);
    vec![
        FromAgent::Accepted(held.attempt),
        hello_with(|hello| hello.held = vec![held; 65]),
        hello_with(|hello| hello.version = "v".repeat(257)),
        hello_with(|hello| hello.capabilities.hostname = "h".repeat(257)),
        hello_with(|hello| hello.fences = vec![(TargetId::new(), beyond)]),
    ]
}

fn what_breaks_the_protocol_ends_the_session(story: &mut Installation) {
    let evil = Evil::enrol(story);
    let rest = story.server.memory("VmRSS");
    let acts = broken_frames();
    for (name, act) in &acts {
        let mut peer = Peer::welcome(&evil.identity);
        act(&mut peer);
        assert_eq!(peer.goodbye(), Some(GoodbyeReason::Protocol), "{name}");
    }
    let hellos = broken_hellos();
    for hello in &hellos {
        let (mut peer, _) = Peer::shake(&evil.identity);
        peer.say(hello);
        assert_eq!(peer.goodbye(), Some(GoodbyeReason::Protocol), "{hello:?}");
    }
    let mut peer = Peer::connect(&evil.identity);
    peer.bytes(b"GET / HTTP/1.1\r\n\r\n".to_vec());
    assert_eq!(peer.hear(PATIENCE), Heard::Ended, "it knows no goodbye yet");

    let entries = evil.entries(story);
    let whys: Vec<&str> = entries.iter().map(super::Entry::why).collect();
    assert_eq!(entries.len(), acts.len() + hellos.len() + 1, "{whys:#?}");
    assert!(
        entries
            .iter()
            .all(|entry| entry.action == "agent.violation")
    );
    let grown = story.server.memory("VmHWM").saturating_sub(rest);
    assert!(grown < 48 << 20, "it has grown by {grown} bytes");
    assert!(super::time_of_a_deploy(story) < DEPLOY_LIMIT);
    story.server.stop();
    let checked = story.server.admin(&["verify-audit"]);
    assert!(checked.contains("The audit log is whole"), "{checked}");
}
