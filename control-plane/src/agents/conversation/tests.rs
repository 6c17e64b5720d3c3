//! The table of state × event.
#![allow(clippy::unwrap_used, clippy::panic)]

use towline_shared::fence::Fence;
use towline_shared::ids::{AgentId, JobId, TeamId};
use towline_shared::log::LogPosition;
use towline_shared::metrics::{ContainerSample, HostSample};
use towline_shared::outcome::{Outcome, Step};
use towline_shared::protocol::v1::{Held, HeldPhase, Refusal, Renew, SecretsNeed};
use towline_shared::protocol::{ClientHandshake, encode_handshake};
use towline_shared::spec::SealedSpec;

use super::*;

const LIMITS: Limits = Limits {
    samples: Duration::from_secs(5),
    renewals: Duration::from_secs(10),
    descriptions: Duration::from_secs(10),
};

fn admitted() -> Admission {
    Admission::Admitted {
        agent: AgentId::new(),
        team: TeamId::new(),
        before: crate::store::Before::default(),
    }
}

fn shake(min: u16, max: u16) -> Vec<u8> {
    let mut handshake = ClientHandshake::ours("test");
    (handshake.min, handshake.max) = (min, max);
    encode_handshake(&handshake).unwrap()
}

fn hello() -> Hello {
    Hello {
        version: "0.1.0".into(),
        at_ms: 0,
        capabilities: Capabilities::default(),
        fences: vec![],
        held: vec![],
    }
}

fn attempt() -> Attempt {
    Attempt {
        job: JobId::new(),
        fence: Fence::new(1, 1),
    }
}

fn hear(conversation: &mut Conversation, message: &FromAgent) -> Actions {
    conversation.step(Event::Frame(&message.encode().unwrap()), Instant::now())
}

/// A conversation after the handshake, after the hello, after the welcome.
fn shaken() -> Conversation {
    let mut conversation = Conversation::begin(admitted(), LIMITS);
    conversation
        .step(Event::Frame(&shake(1, 1)), Instant::now())
        .unwrap();
    conversation
}

fn received() -> Conversation {
    let mut conversation = shaken();
    hear(&mut conversation, &FromAgent::Hello(hello())).unwrap();
    conversation
}

fn open() -> Conversation {
    let mut conversation = received();
    conversation
        .step(Event::Received(vec![]), Instant::now())
        .unwrap();
    conversation
}

fn offer(attempt: Attempt) -> Offer {
    let spec = SealedSpec::from_parts(vec![1], [0; 32]);
    Offer {
        attempt,
        spec,
        secrets: vec![],
        log: LogPosition::default(),
    }
}

#[tokio::test]
async fn who_may_come_in() {
    let refuses = |actions: &[Action], words: &str| match actions {
        [
            Action::Shake(ServerHandshake::Refuse(why)),
            Action::Refuse(_),
        ] => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}"),
    };
    let greet = |admission, frame: &[u8]| {
        Conversation::begin(admission, LIMITS).step(Event::Frame(frame), Instant::now())
    };

    assert_eq!(
        greet(admitted(), &shake(1, 9)).unwrap(),
        vec![Action::Shake(ServerHandshake::Speak(1))]
    );
    refuses(
        &greet(admitted(), &shake(2, 9)).unwrap(),
        "upgrade the control plane",
    );
    refuses(
        &greet(admitted(), &shake(0, 0)).unwrap(),
        "upgrade the agent",
    );
    refuses(
        &greet(Admission::Unknown, &shake(1, 1)).unwrap(),
        "enrol the host again",
    );
    let revoked = FromServer::Goodbye(Goodbye {
        reason: GoodbyeReason::Revoked,
    });
    assert_eq!(
        greet(Admission::Revoked, &shake(1, 1)).unwrap(),
        vec![
            Action::Shake(ServerHandshake::Speak(1)),
            Action::Say(revoked),
            Action::Refuse("it was revoked")
        ]
    );
    assert!(matches!(
        greet(admitted(), b"\x01\x02\x03"),
        Err(Violation::Handshake(HandshakeError::Foreign))
    ));
}

#[tokio::test]
async fn nothing_is_heard_after_a_refusal() {
    let mut conversation = Conversation::begin(Admission::Revoked, LIMITS);
    conversation
        .step(Event::Frame(&shake(1, 1)), Instant::now())
        .unwrap();
    assert_eq!(
        hear(&mut conversation, &FromAgent::Hello(hello())).unwrap(),
        vec![]
    );
    assert!(!conversation.is_open());
}

#[tokio::test]
async fn the_introduction_comes_first_and_once() {
    for early in [
        FromAgent::Heartbeat(Heartbeat::default()),
        FromAgent::Accepted(attempt()),
        FromAgent::Renew(Renew { csr: vec![] }),
    ] {
        let name = early.name();
        assert!(
            matches!(hear(&mut shaken(), &early), Err(Violation::Unintroduced(found)) if found == name)
        );
    }
    assert_eq!(
        hear(&mut shaken(), &FromAgent::Hello(hello())).unwrap(),
        vec![Action::Receive(hello())]
    );
    for mut conversation in [received(), open()] {
        assert!(matches!(
            hear(&mut conversation, &FromAgent::Hello(hello())),
            Err(Violation::Repeated)
        ));
    }
}

#[tokio::test]
async fn an_introduction_has_limits() {
    let held = Held {
        attempt: attempt(),
        phase: HeldPhase::Running,
        secrets: SecretsNeed::Known,
        log_from: LogPosition::default(),
    };
    let much = Hello {
        held: vec![held; MAX_HELD + 1],
        ..hello()
    };
    assert!(matches!(
        hear(&mut shaken(), &FromAgent::Hello(much)),
        Err(Violation::Holds(_))
    ));
    let long = Capabilities {
        hostname: "h".repeat(MAX_WORD + 1),
        ..Capabilities::default()
    };
    let hello = Hello {
        capabilities: long.clone(),
        ..hello()
    };
    assert!(matches!(
        hear(&mut shaken(), &FromAgent::Hello(hello)),
        Err(Violation::Word { .. })
    ));
    assert!(matches!(
        hear(&mut open(), &FromAgent::Capabilities(long)),
        Err(Violation::Word { .. })
    ));
}

#[tokio::test]
async fn jobs_are_looked_for_after_the_welcome_and_counted() {
    let mut conversation = received();
    let (kept, forgotten, offered) = (attempt(), attempt(), attempt());
    let verdicts = vec![
        (
            kept,
            Verdict::Resend {
                log: LogPosition::default(),
            },
        ),
        (forgotten, Verdict::Forget),
    ];
    let welcomed = conversation
        .step(Event::Received(verdicts.clone()), Instant::now())
        .unwrap();
    match welcomed.as_slice() {
        [Action::Say(FromServer::Welcome(welcome)), Action::Look] => {
            assert_eq!(welcome.verdicts, verdicts);
        }
        other => panic!("{other:?}"),
    }
    assert!(conversation.is_open());
    assert_eq!(conversation.live(), 1);

    let made = conversation
        .step(Event::Claimed(vec![offer(offered)]), Instant::now())
        .unwrap();
    assert_eq!(made, vec![Action::Say(FromServer::Offer(offer(offered)))]);
    assert_eq!(conversation.live(), 2);
    conversation
        .step(Event::Withdrawn(offered), Instant::now())
        .unwrap();
    assert_eq!(conversation.live(), 1);
    conversation
        .step(Event::Reacted(kept, Reaction::Forget), Instant::now())
        .unwrap();
    assert_eq!(conversation.live(), 0);
}

#[tokio::test]
async fn what_the_store_answers_is_said() {
    let attempt = attempt();
    let table = [
        (Reaction::Go, vec![Action::Say(FromServer::Go(attempt))]),
        (
            Reaction::Cancel,
            vec![Action::Say(FromServer::Cancel(attempt))],
        ),
        (
            Reaction::Forget,
            vec![Action::Say(FromServer::Forget(attempt)), Action::Look],
        ),
        (Reaction::Nothing, vec![]),
    ];
    for (reaction, actions) in table {
        assert_eq!(
            open()
                .step(Event::Reacted(attempt, reaction), Instant::now())
                .unwrap(),
            actions
        );
    }
    let cancels = open()
        .step(Event::Cancels(vec![attempt]), Instant::now())
        .unwrap();
    assert_eq!(cancels, vec![Action::Say(FromServer::Cancel(attempt))]);
}

#[tokio::test]
async fn reports_go_to_the_store() {
    let attempt = attempt();
    let progress = Progress {
        attempt,
        step: Step::Applying,
    };
    let finished = Finished {
        attempt,
        outcome: Outcome::Cancelled {
            left: String::new(),
        },
        log: LogPosition::default(),
    };
    let table = [
        (FromAgent::Accepted(attempt), Report::Accepted(attempt)),
        (FromAgent::Started(attempt), Report::Started(attempt)),
        (FromAgent::Progress(progress), Report::Progress(progress)),
        (
            FromAgent::Finished(finished.clone()),
            Report::Finished(finished),
        ),
    ];
    for (message, report) in table {
        assert_eq!(
            hear(&mut open(), &message).unwrap(),
            vec![Action::Report(report)]
        );
    }
}

#[tokio::test]
async fn a_refused_offer_is_not_live_and_not_made_again_at_once() {
    let mut conversation = open();
    let attempt = attempt();
    conversation
        .step(Event::Claimed(vec![offer(attempt)]), Instant::now())
        .unwrap();
    let refused = Refused {
        attempt,
        reason: Refusal::Busy,
        message: String::new(),
    };
    assert_eq!(
        hear(&mut conversation, &FromAgent::Refused(refused.clone())).unwrap(),
        vec![Action::Report(Report::Refused(refused)), Action::LookLater]
    );
    assert_eq!(conversation.live(), 0);
}

#[tokio::test]
async fn samples_are_limited_in_rate_size_and_value() {
    let mut conversation = open();
    let start = Instant::now();
    let mut sample = |at_s, sample: &Sample| {
        let frame = FromAgent::Metrics(sample.clone()).encode().unwrap();
        conversation
            .step(Event::Frame(&frame), start + Duration::from_secs(at_s))
            .unwrap()
            .remove(0)
    };
    let good = Sample {
        containers: vec![ContainerSample::default(); MAX_CONTAINERS],
        ..Sample::default()
    };
    let many = Sample {
        containers: vec![ContainerSample::default(); MAX_CONTAINERS + 9],
        ..Sample::default()
    };
    let no_number = Sample {
        host: HostSample {
            cpu_percent: f32::NAN,
            ..HostSample::default()
        },
        ..Sample::default()
    };
    assert_eq!(sample(0, &good), Action::Measure(good.clone()));
    assert_eq!(sample(4, &good), Action::DropSample);
    assert_eq!(sample(5, &many), Action::Measure(good.clone()));
    assert_eq!(sample(10, &no_number), Action::DropSample);
}

#[tokio::test]
async fn certificates_are_not_asked_for_in_a_row() {
    let mut conversation = open();
    let renew = || FromAgent::Renew(Renew { csr: vec![7] });
    assert_eq!(
        hear(&mut conversation, &renew()).unwrap(),
        vec![Action::Renew(vec![7])]
    );
    let again = hear(&mut conversation, &renew()).unwrap();
    assert!(
        matches!(again.as_slice(), [Action::Say(FromServer::RenewRefused(_))]),
        "{again:?}"
    );
}

#[tokio::test]
async fn unknown_kinds_are_skipped_and_bad_frames_are_not() {
    for mut conversation in [shaken(), received(), open()] {
        assert_eq!(
            conversation
                .step(Event::Frame(&[200, 1, 2]), Instant::now())
                .unwrap(),
            vec![Action::Skip(200)]
        );
        for (frame, error) in [
            (vec![], FrameError::Empty),
            (vec![3, 1], FrameError::Malformed(3)),
        ] {
            let found = conversation.step(Event::Frame(&frame), Instant::now());
            assert!(matches!(found, Err(Violation::Frame(found)) if found == error));
        }
        let large = conversation.step(Event::Frame(&[2; 5000]), Instant::now());
        assert!(matches!(
            large,
            Err(Violation::Frame(FrameError::TooLarge { kind: 2, .. }))
        ));
    }
}
