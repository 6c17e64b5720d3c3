//! What a log says reaches its readers as text, and does nothing to them.

use std::process::Stdio;
use std::time::Duration;

use towline_shared::log::{LogChunk, LogLine, LogPosition, LogStream};
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::{Finished, FromAgent, FromServer, Log};
use towline_tests::compose::{ComposeFolder, Service};
use towline_tests::peer::Peer;
use towline_tests::story::{Deployment, Installation};

use super::Evil;
use crate::on_both;

on_both!(a_hostile_log_is_text_and_nothing_more);

/// Clears the screen, renames the window, asks the terminal to type, moves up, hides, reverses, and is markup.
const HOSTILE: [&str; 6] = [
    "\x1b[2J\x1b[H\x1b]0;pwned\x07gone",
    "\x1b[6n\x1bP$q\"p\x1b\\ \x1b]52;c;cm0gLXJm\x07",
    "over\rwritten\x08\x08\x1b[1A\x1b[2K",
    "\u{9b}31m\u{202e}live\u{2066} \u{2028}event: end\u{2029}",
    "<script>alert(1)</script><img src=x onerror=alert(1)>&quot;",
    "a\n\nevent: end\ndata: {\"status\":\"succeeded\"}\n\n",
];

fn a_hostile_log_is_text_and_nothing_more(story: &mut Installation) {
    let evil = Evil::enrol(story);
    let project = story.project("texts", &ComposeFolder::of(&[Service::idle("web")]));
    let mut peer = Peer::welcome(&evil.identity);
    let deployment = evil.deploy(&project);
    write_log(&mut peer);
    let log = deployment.log();
    assert_eq!(log[..HOSTILE.len()], HOSTILE);
    assert_eq!(
        log[HOSTILE.len()..],
        ["2 lines cannot be read: what the agent sent is damaged"]
    );
    the_api_gives_text(story, &deployment);
    a_follower_sees_one_event_for_each(&deployment);
    a_terminal_obeys_nothing(story, &deployment);
}

/// The hostile lines, and a chunk that is in order but holds no lines.
fn write_log(peer: &mut Peer) {
    let Some(FromServer::Offer(offer)) = peer.listen() else {
        panic!("no offer")
    };
    let attempt = offer.attempt;
    peer.say(&FromAgent::Accepted(attempt));
    assert_eq!(peer.listen(), Some(FromServer::Go(attempt)));
    peer.say(&FromAgent::Started(attempt));
    let line = |text: &&str| LogLine {
        at_us: i64::MIN,
        stream: LogStream::Stdout,
        source: format!("web\x1b[2J{}", "-1"),
        text: (*text).to_owned(),
    };
    let lines: Vec<_> = HOSTILE.iter().map(line).collect();
    let (chunk, after) = LogChunk::encode(LogPosition::default(), &lines).unwrap();
    let (garbage, log) = garbage(after);
    for chunk in [chunk, garbage] {
        peer.say(&FromAgent::Log(Log { attempt, chunk }));
        assert!(matches!(peer.listen(), Some(FromServer::LogAck(_))));
    }
    let left = format!("nothing {}", HOSTILE[0]);
    peer.say(&FromAgent::Finished(Finished {
        attempt,
        outcome: Outcome::Cancelled { left },
        log,
    }));
    assert_eq!(peer.listen(), Some(FromServer::Forget(attempt)));
}

/// A chunk whose chain is right and whose payload is not.
fn garbage(position: LogPosition) -> (LogChunk, LogPosition) {
    use sha2::{Digest as _, Sha256};
    let (lines, payload) = (2_u32, b"\x1b[2J no payload at all".to_vec());
    let chain = Sha256::new()
        .chain_update(position.chain)
        .chain_update(position.next_line.to_le_bytes())
        .chain_update(lines.to_le_bytes())
        .chain_update(&payload)
        .finalize()
        .into();
    let chunk = LogChunk {
        first_line: position.next_line,
        lines,
        chain,
        payload,
    };
    let end = chunk.end();
    (chunk, end)
}

fn the_api_gives_text(story: &Installation, deployment: &Deployment<'_>) {
    for path in [
        format!("/deployments/{}/log?from=0&limit=100", deployment.id),
        format!("/deployments/{}", deployment.id),
    ] {
        let (headers, body) = story.api.raw(&path);
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert!(header("content-type").starts_with("application/json"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        let raw = body.chars().find(char::is_ascii_control);
        assert_eq!(raw, None, "{body:?}");
    }
}

fn a_follower_sees_one_event_for_each(deployment: &Deployment<'_>) {
    let events = deployment.follow(None).rest(Duration::from_secs(20));
    let lines: Vec<&str> = events
        .iter()
        .filter(|event| event.kind == "line")
        .filter_map(|event| event.data["text"].as_str())
        .collect();
    assert_eq!(lines[..HOSTILE.len()], HOSTILE);
    let ends = events.iter().filter(|event| event.kind == "end");
    let ends: Vec<_> = ends.map(|event| &event.data["status"]).collect();
    assert_eq!(ends, ["cancelled"]);
}

/// `script` gives the command a terminal.
fn a_terminal_obeys_nothing(story: &Installation, deployment: &Deployment<'_>) {
    let cli = story.cli();
    for words in [
        vec!["logs", &deployment.id],
        vec!["logs", &deployment.id, "--json"],
        vec!["deployments", "show", &deployment.id],
        vec!["deployments", "ls"],
    ] {
        let mut terminal = cli.on_a_terminal(&words);
        let seen = terminal.stdin(Stdio::null()).output().unwrap();
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        assert!(seen.contains("gone") || words[0] != "logs", "{seen:?}");
        let obeyed = what_a_terminal_obeys(&seen);
        assert_eq!(obeyed, Vec::<String>::new(), "{words:?}: {seen:?}");
    }
}

/// All control but line ends, tabs and colours.
fn what_a_terminal_obeys(text: &str) -> Vec<String> {
    let mut rest = text;
    let mut found = Vec::new();
    while let Some(at) = rest.find(|c: char| c.is_control() && !"\n\t".contains(c)) {
        let sequence = &rest[at..];
        let colour = sequence.strip_prefix("\x1b[").and_then(|parameters| {
            let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            parameters[end..].strip_prefix('m')
        });
        rest = match (colour, sequence.strip_prefix("\r\n")) {
            (Some(after), _) | (None, Some(after)) => after,
            (None, None) => {
                found.push(sequence.chars().take(12).collect());
                let first = sequence.chars().next().map_or(1, char::len_utf8);
                &sequence[first..]
            }
        };
    }
    found
}
