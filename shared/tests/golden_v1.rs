//! Pins the bytes of protocol version 1: every message kind, every variant, the frozen handshake,
//! the sealed specification, the log payload and the enrolment bodies.
//!
//! `golden_v1/messages.txt` holds one line per sample: its name and its bytes in hex. A line that
//! is there never changes: agents in the field speak it. A new variant brings a new line, which the
//! failing test prints.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "golden_v1/clusters.rs"]
mod clusters;
#[path = "golden_v1/results.rs"]
mod results;
#[path = "golden_v1/samples.rs"]
mod samples;
#[path = "golden_v1/specs.rs"]
mod specs;
#[path = "golden_v1/tunnels.rs"]
mod tunnels;
#[path = "golden_v1/upgrades.rs"]
mod upgrades;
#[path = "golden_v1/variants.rs"]
mod variants;

use std::collections::{BTreeMap, BTreeSet};

use samples::Sample;
use towline_shared::log::{LogChunk, LogLine, LogPosition, LogStream, decode_payload};
use towline_shared::protocol::frame::{FrameError, Received};
use towline_shared::protocol::v1::{FromAgent, FromServer, Heartbeat};
use towline_shared::protocol::{
    ClientHandshake, MAX_HANDSHAKE, ServerHandshake, encode_handshake, read_client, read_server,
};

const GOLDEN: &str = include_str!("golden_v1/messages.txt");
const LOG_PAYLOAD: &str = include_str!("golden_v1/log_payload.txt");

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .trim()
        .chars()
        .map(|digit| digit.to_digit(16).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
        .collect()
}

fn read(golden: &str) -> BTreeMap<&str, Vec<u8>> {
    golden
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, bytes) = line.split_once(' ').expect("a name and bytes");
            (name, unhex(bytes))
        })
        .collect()
}

/// Every way in which the samples and the committed bytes part.
fn differences(golden: &str, samples: &[Sample]) -> Vec<String> {
    let golden = read(golden);
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for sample in samples {
        assert!(
            seen.insert(sample.name),
            "two samples are called {}",
            sample.name
        );
        match golden.get(sample.name) {
            None => found.push(format!(
                "missing, add the line:\n{} {}",
                sample.name,
                hex(&sample.bytes)
            )),
            Some(bytes) if *bytes != sample.bytes => found.push(format!(
                "{} is now {} and must stay {}",
                sample.name,
                hex(&sample.bytes),
                hex(bytes)
            )),
            Some(bytes) => {
                if let Err(why) = (sample.reads_back)(bytes) {
                    found.push(format!("{}: {why}", sample.name));
                }
            }
        }
    }
    let orphans = golden.keys().filter(|name| !seen.contains(*name));
    found.extend(orphans.map(|name| format!("{name} has bytes but no sample")));
    found
}

#[test]
fn every_message_keeps_its_bytes() {
    let found = differences(GOLDEN, &samples::all());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_variant_has_a_sample() {
    let named: BTreeSet<_> = samples::all().iter().map(|sample| sample.name).collect();
    let absent: Vec<_> = variants::variants()
        .into_iter()
        .filter(|name| !named.contains(name))
        .collect();
    assert!(absent.is_empty(), "no sample for {absent:?}");
}

/// The comparison can fail: a field that was added, a variant that was moved, a byte that changed.
#[test]
fn a_changed_encoding_is_found() {
    #[derive(serde::Serialize)]
    struct GrownHeartbeat {
        at_ms: i64,
        sequence: u32,
    }
    let name = "agent/heartbeat";
    let honest = || {
        samples::all()
            .into_iter()
            .filter(|sample| sample.name == name)
            .collect::<Vec<_>>()
    };
    let line = GOLDEN.lines().find(|line| line.starts_with(name)).unwrap();
    assert_eq!(differences(line, &honest()), Vec::<String>::new());

    let grown = GrownHeartbeat {
        at_ms: samples::AT_MS,
        sequence: 1,
    };
    let mut changed = honest();
    changed[0].bytes = postcard::to_extend(&grown, vec![2]).unwrap();
    assert_eq!(differences(line, &changed).len(), 1, "an added field");

    let mut moved = honest();
    moved[0].bytes[0] = 3;
    assert_eq!(differences(line, &moved).len(), 1, "another kind byte");

    assert_eq!(
        differences("", &honest()).len(),
        1,
        "a sample without bytes"
    );
    let orphan = format!("{line}\nagent/withdrawn 63");
    assert_eq!(
        differences(&orphan, &honest()).len(),
        1,
        "a withdrawn message"
    );
}

#[test]
fn unknown_kinds_are_skipped_and_unknown_variants_are_not() {
    for kind in [0_u8, 60, 99, 255] {
        assert_eq!(
            FromAgent::decode(&[kind, 1, 2, 3]),
            Ok(Received::Unknown(kind))
        );
        assert_eq!(FromServer::decode(&[kind]), Ok(Received::Unknown(kind)));
    }
    // Kind 14 of the server is a goodbye; its reasons end at 3.
    assert_eq!(
        FromServer::decode(&[14, 200]),
        Err(FrameError::Malformed(14))
    );
    assert_eq!(FromAgent::decode(&[]), Err(FrameError::Empty));
}

#[test]
fn a_frame_is_measured_before_it_is_read() {
    let beat = FromAgent::Heartbeat(Heartbeat { at_ms: 0 })
        .encode()
        .unwrap();
    let padded = |length: usize| {
        let mut frame = beat.clone();
        frame.resize(length, 0);
        frame
    };
    let limit = 4 * 1024;
    assert!(matches!(
        FromAgent::decode(&padded(limit)),
        Ok(Received::Message(_))
    ));
    assert_eq!(
        FromAgent::decode(&padded(limit + 1)),
        Err(FrameError::TooLarge {
            kind: 2,
            bytes: limit + 1,
            limit
        })
    );
    let unknown = vec![99; FromAgent::MAX_FRAME + 1];
    assert!(matches!(
        FromAgent::decode(&unknown),
        Err(FrameError::TooLarge { kind: 99, .. })
    ));
}

/// A later version may append fields to a message: what follows the body we know is not ours to
/// judge, so it is left alone.
#[test]
fn bytes_after_a_known_body_are_left_alone() {
    let mut frame = FromAgent::Heartbeat(Heartbeat { at_ms: 7 })
        .encode()
        .unwrap();
    frame.extend([1, 2, 3]);
    assert_eq!(
        FromAgent::decode(&frame),
        Ok(Received::Message(FromAgent::Heartbeat(Heartbeat {
            at_ms: 7
        })))
    );
}

#[test]
fn the_handshake_is_frozen() {
    let client = unhex("54574c4e010105302e312e30");
    assert_eq!(
        encode_handshake(&ClientHandshake::ours("0.1.0")).unwrap(),
        client
    );
    assert_eq!(
        read_client(&client).unwrap(),
        ClientHandshake::ours("0.1.0")
    );
    for (message, bytes) in [
        (ServerHandshake::Speak(1), "0001"),
        (ServerHandshake::Refuse("no".into()), "01026e6f"),
    ] {
        assert_eq!(hex(&encode_handshake(&message).unwrap()), bytes);
    }
    assert_eq!(read_server(&unhex("0001")), Ok(1));
    assert_eq!(MAX_HANDSHAKE, 1024);
}

/// The compressor's output may change with its version, so what is pinned is that these bytes of
/// version 1 are read for ever, and that their chain is computed in the same way.
#[test]
fn a_stored_log_payload_is_read_for_ever() {
    let payload = unhex(LOG_PAYLOAD);
    let line = |at_us, stream, source: &str, text: &str| LogLine {
        at_us,
        stream,
        source: source.into(),
        text: text.into(),
    };
    let lines = vec![
        line(
            1_700_000_000_000_000,
            LogStream::Stdout,
            "web-1",
            "listening on :8080",
        ),
        line(
            1_700_000_000_000_250,
            LogStream::Stderr,
            "web-1",
            "größer als erwartet",
        ),
        line(1_699_999_999_999_999, LogStream::Note, "towline", ""),
        line(
            1_700_000_001_000_000,
            LogStream::Gap,
            "db-2",
            "12 lines were dropped",
        ),
    ];
    assert_eq!(decode_payload(&payload).unwrap(), lines);
    let chunk = LogChunk {
        first_line: 0,
        lines: 4,
        chain: unhex("676f793c26fd9a6b828196e71e85fd225e71543fb2dd63ed54b4e72027617703")
            .try_into()
            .unwrap(),
        payload,
    };
    let error = chunk.fit(LogPosition::default());
    assert!(error.is_ok(), "{error:?}");
}
