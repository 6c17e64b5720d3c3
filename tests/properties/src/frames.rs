//! The wire protocol: frames of both directions, the handshake, specifications.

use towline_shared::protocol::frame::{FrameError, Received};
use towline_shared::protocol::v1::{FromAgent, FromServer};
use towline_shared::protocol::{
    ClientHandshake, HandshakeError, MAX_HANDSHAKE, ServerHandshake, choose, encode_handshake,
    read_client, read_server,
};
use towline_shared::spec::SealedSpec;

use crate::bound::within;

/// What a value may take in memory for each of its bytes: an empty text is one byte on the wire and a
/// `String` here, and a list that grows is there twice.
const SWELL: usize = 80;
/// What any reader may take besides.
const BASE: usize = 256 * 1024;

/// The most bytes of each kind of an agent's frames, written down apart from the code.
const AGENT_LIMITS: [usize; 17] = [
    1_048_576, 196_608, 4096, 4096, 4096, 4096, 4096, 196_608, 196_608, 196_608, 196_608, 16_384,
    1_048_576, 32_768, 4096, 4096, 4096,
];
/// The same for the control plane's.
const SERVER_LIMITS: [usize; 17] = [
    8_388_608, 1_048_576, 4096, 8_388_608, 4096, 4096, 4096, 4096, 65_536, 4096, 4096, 4096, 4096,
    4096, 4096, 4096, 4096,
];

/// What decoding gave, put together again.
enum Seen {
    Message(Vec<u8>),
    Unknown,
    Refused(FrameError),
}

fn check(frame: &[u8], limits: &[usize], decode: impl Fn(&[u8]) -> Seen) {
    let limit = frame.first().map_or(0, |&kind| {
        let known = limits.get(usize::from(kind)).filter(|_| kind != 0);
        *known.unwrap_or(&limits[0])
    });
    let allowed = if frame.len() > limit {
        BASE
    } else {
        BASE + SWELL * frame.len()
    };
    match within(allowed, || decode(frame)) {
        Seen::Message(encoded) => {
            assert!(frame.len() <= limit, "a frame over its limit was read");
            assert!(encoded.len() <= frame.len(), "a message grew on its way");
            let Seen::Message(again) = decode(&encoded) else {
                panic!("what was written cannot be read");
            };
            assert_eq!(again, encoded, "reading and writing change a message");
        }
        Seen::Unknown => assert!(frame.len() <= limit),
        Seen::Refused(FrameError::TooLarge {
            bytes, limit: said, ..
        }) => {
            assert_eq!((bytes, said), (frame.len(), limit));
            assert!(bytes > limit);
        }
        Seen::Refused(FrameError::Empty) => assert!(frame.is_empty()),
        Seen::Refused(FrameError::Malformed(kind)) => assert_eq!(frame[0], kind),
        Seen::Refused(error @ FrameError::Unsendable { .. }) => panic!("{error}"),
    }
}

/// A frame of an agent, as the control plane reads it.
pub fn agent_frame(frame: &[u8]) {
    check(frame, &AGENT_LIMITS, |frame| {
        match FromAgent::decode(frame) {
            Ok(Received::Message(message)) => Seen::Message(message.encode().expect("it was sent")),
            Ok(Received::Unknown(_)) => Seen::Unknown,
            Err(error) => Seen::Refused(error),
        }
    });
}

/// A frame of the control plane, as an agent reads it.
pub fn server_frame(frame: &[u8]) {
    check(frame, &SERVER_LIMITS, |frame| {
        match FromServer::decode(frame) {
            Ok(Received::Message(message)) => Seen::Message(message.encode().expect("it was sent")),
            Ok(Received::Unknown(_)) => Seen::Unknown,
            Err(error) => Seen::Refused(error),
        }
    });
}

/// The first message in each direction.
pub fn handshake(bytes: &[u8]) {
    let (client, server) = within(BASE, || (read_client(bytes), read_server(bytes)));
    if bytes.len() > MAX_HANDSHAKE {
        assert_eq!(client, Err(HandshakeError::Foreign));
        assert_eq!(server, Err(HandshakeError::Foreign));
        return;
    }
    if let Ok(client) = client {
        assert!(bytes.starts_with(b"TWLN"));
        let written = encode_handshake(&client).unwrap();
        assert_eq!(read_client(&written), Ok(client.clone()));
        settle(&client);
    }
    if let Ok(version) = server {
        assert_eq!(version, 1);
    }
}

/// What is chosen lies in both ranges, and there is a choice whenever they meet.
fn settle(client: &ClientHandshake) {
    match choose(client) {
        ServerHandshake::Speak(version) => {
            assert!((client.min..=client.max).contains(&version) && version == 1);
        }
        ServerHandshake::Refuse(why) => {
            assert!(!(client.min..=client.max).contains(&1));
            assert!(why.contains("upgrade the"));
        }
    }
}

/// A specification, as a digest and the bytes that should have it.
pub fn spec(bytes: &[u8]) {
    let (digest, body) = bytes.split_at(bytes.len().min(32));
    let mut claimed = [0; 32];
    claimed[..digest.len()].copy_from_slice(digest);
    let sealed = SealedSpec::from_parts(body.to_vec(), claimed);
    let opened = within(BASE + SWELL * bytes.len(), || sealed.open());
    if let Ok(spec) = opened {
        assert_eq!(SealedSpec::seal(&spec).unwrap().open(), Ok(spec));
    }
    // Whatever is sealed honestly is read or refused, and never anything else.
    let honest = seal(body);
    if let Ok(spec) = within(BASE + SWELL * bytes.len(), || honest.open()) {
        assert_eq!(SealedSpec::seal(&spec).unwrap().open(), Ok(spec));
    }
}

fn seal(body: &[u8]) -> SealedSpec {
    use sha2::{Digest as _, Sha256};
    SealedSpec::from_parts(body.to_vec(), Sha256::digest(body).into())
}
