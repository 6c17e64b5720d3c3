//! The wire protocol between agents and the control plane.
//!
//! One WebSocket per agent carries binary messages. The first one in each direction is the
//! handshake, defined here and frozen for ever; it settles the version of all that follows.
//! Version 1 is [`v1`]. A later version lives beside it, and a control plane speaks its own and
//! the one before.

pub mod frame;
pub mod v1;

use serde::{Deserialize, Serialize};

/// The path of the WebSocket on the agent listener.
pub const PATH: &str = "/agent";
/// The lowest version this build speaks.
pub const MIN_VERSION: u16 = 1;
/// The highest version this build speaks.
pub const MAX_VERSION: u16 = 1;
/// The most bytes of a handshake message.
pub const MAX_HANDSHAKE: usize = 1024;
/// Each side sends a heartbeat this often, in seconds.
pub const HEARTBEAT_S: u64 = 10;
/// A link on which nothing came for this long is dead, in seconds.
pub const SILENCE_S: u64 = 25;

const MAGIC: [u8; 4] = *b"TWLN";

/// The agent's first message: what it can speak. Frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientHandshake {
    magic: [u8; 4],
    /// The lowest version it speaks.
    pub min: u16,
    /// The highest version it speaks.
    pub max: u16,
    /// Its build, for people.
    pub build: String,
}

impl ClientHandshake {
    /// The handshake of this build.
    pub fn ours(build: &str) -> Self {
        Self {
            magic: MAGIC,
            min: MIN_VERSION,
            max: MAX_VERSION,
            build: build.to_owned(),
        }
    }
}

/// The control plane's first message: what will be spoken. Frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerHandshake {
    /// This version, from the next message on.
    Speak(u16),
    /// No version in common; what to do, for a person.
    Refuse(String),
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HandshakeError {
    /// The message is no handshake of ours, or is over its limit.
    #[error("the peer does not speak Towline's agent protocol")]
    Foreign,
    /// The control plane refused; its words.
    #[error("the control plane refused the connection: {0}")]
    Refused(String),
    /// The control plane chose a version that was not on offer.
    #[error("the control plane chose protocol version {0}, which this agent does not speak")]
    Version(u16),
}

/// Chooses the highest version in common, or says which side is too old.
pub fn choose(client: &ClientHandshake) -> ServerHandshake {
    let version = client.max.min(MAX_VERSION);
    if version >= client.min && version >= MIN_VERSION {
        return ServerHandshake::Speak(version);
    }
    let older = if client.max < MIN_VERSION {
        "agent"
    } else {
        "control plane"
    };
    ServerHandshake::Refuse(format!(
        "the agent speaks protocol {} to {}, the control plane {MIN_VERSION} to {MAX_VERSION}; upgrade the {older}",
        client.min, client.max
    ))
}

/// Encodes a handshake message.
pub fn encode_handshake<T: Serialize>(message: &T) -> Result<Vec<u8>, HandshakeError> {
    postcard::to_stdvec(message).map_err(|_| HandshakeError::Foreign)
}

/// Reads the agent's first message.
pub fn read_client(bytes: &[u8]) -> Result<ClientHandshake, HandshakeError> {
    if bytes.len() > MAX_HANDSHAKE {
        return Err(HandshakeError::Foreign);
    }
    let hello: ClientHandshake =
        postcard::from_bytes(bytes).map_err(|_| HandshakeError::Foreign)?;
    if hello.magic == MAGIC {
        Ok(hello)
    } else {
        Err(HandshakeError::Foreign)
    }
}

/// Reads the control plane's first message: the version to speak.
pub fn read_server(bytes: &[u8]) -> Result<u16, HandshakeError> {
    if bytes.len() > MAX_HANDSHAKE {
        return Err(HandshakeError::Foreign);
    }
    match postcard::from_bytes(bytes).map_err(|_| HandshakeError::Foreign)? {
        ServerHandshake::Speak(version) if (MIN_VERSION..=MAX_VERSION).contains(&version) => {
            Ok(version)
        }
        ServerHandshake::Speak(version) => Err(HandshakeError::Version(version)),
        ServerHandshake::Refuse(why) => Err(HandshakeError::Refused(why)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen_or_the_older_side_named() {
        let client = |min, max| ClientHandshake {
            min,
            max,
            ..ClientHandshake::ours("test")
        };
        assert_eq!(choose(&client(1, 1)), ServerHandshake::Speak(1));
        assert_eq!(choose(&client(1, 7)), ServerHandshake::Speak(1));
        let refused = |client, older: &str| match choose(&client) {
            ServerHandshake::Refuse(why) => assert!(why.ends_with(older), "{why}"),
            ServerHandshake::Speak(version) => panic!("chose {version}"),
        };
        refused(client(0, 0), "upgrade the agent");
        refused(client(2, 3), "upgrade the control plane");
    }

    #[test]
    fn foreign_bytes_are_told_apart() {
        assert_eq!(
            read_client(b"GET / HTTP/1.1\r\n"),
            Err(HandshakeError::Foreign)
        );
        assert_eq!(
            read_client(&[0; MAX_HANDSHAKE + 1]),
            Err(HandshakeError::Foreign)
        );
        let future = encode_handshake(&ServerHandshake::Speak(9)).unwrap();
        assert_eq!(read_server(&future), Err(HandshakeError::Version(9)));
        let ours = encode_handshake(&ClientHandshake::ours("x")).unwrap();
        assert_eq!(read_client(&ours).unwrap(), ClientHandshake::ours("x"));
    }
}
