//! What travels between a person's terminal and a command in a container: frames, both ways, over a tunnel and, as the public
//! API has it, over an upgraded connection.
//!
//! A frame is a kind (one byte), the length of its content (four, the highest first), and that content. Numbers in contents are
//! written the highest byte first, too. `docs/api.md` tells the same to those who write clients.

use serde::{Deserialize, Serialize};

/// The protocol's name where a connection is upgraded to it.
pub const PROTOCOL: &str = "towline-terminal/1";
/// The most bytes of a frame's content.
pub const MAX_CONTENT: usize = 32 * 1024;
/// The bytes before a frame's content.
pub const HEAD: usize = 5;
/// The most bytes of a command, and its most words.
pub const MAX_COMMAND: usize = 2048;
/// The most words of a command.
pub const MAX_WORDS: usize = 64;
/// The longest name or id of a container.
pub const MAX_NAME: usize = 255;

/// A command to run in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The container's name or id.
    pub container: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The size of the person's terminal; without one, output and errors stay apart.
    pub terminal: Option<TerminalSize>,
}

/// How large a terminal is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Its height.
    pub rows: u16,
    /// Its width.
    pub columns: u16,
}

/// What a person says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromPerson {
    /// More of the command's input.
    Input(Vec<u8>),
    /// That was all of it.
    InputEnds,
    /// The terminal has another size.
    Size(TerminalSize),
}

/// What the command's host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromHost {
    /// The command printed.
    Output(Vec<u8>),
    /// The command printed, to its standard error.
    Errors(Vec<u8>),
    /// It has ended, by this code.
    Ended(i32),
    /// It cannot be told how it ended; why.
    Lost(String),
}

/// Bytes that are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFrame {
    /// Its content is too long.
    #[error("a frame of {0} bytes, at most {MAX_CONTENT} are allowed")]
    TooLong(u32),
    /// Its kind is not known, or its content not what the kind has.
    #[error("a frame of kind {0} that is none")]
    Unknown(u8),
}

/// The kind and the length of the content behind a frame's head.
pub fn head(bytes: [u8; HEAD]) -> Result<(u8, usize), NoFrame> {
    let [kind, length @ ..] = bytes;
    let length = u32::from_be_bytes(length);
    match usize::try_from(length) {
        Ok(bytes) if bytes <= MAX_CONTENT => Ok((kind, bytes)),
        _ => Err(NoFrame::TooLong(length)),
    }
}

fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEAD + content.len());
    bytes.push(kind);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

impl FromPerson {
    /// Reads a frame by its kind and content.
    pub fn decode(kind: u8, content: Vec<u8>) -> Result<Self, NoFrame> {
        match (kind, content.as_slice()) {
            (0, _) => Ok(Self::Input(content)),
            (1, []) => Ok(Self::InputEnds),
            (2, &[r1, r0, c1, c0]) => Ok(Self::Size(TerminalSize {
                rows: u16::from_be_bytes([r1, r0]),
                columns: u16::from_be_bytes([c1, c0]),
            })),
            _ => Err(NoFrame::Unknown(kind)),
        }
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Input(bytes) => frame(0, bytes),
            Self::InputEnds => frame(1, &[]),
            Self::Size(size) => {
                let ([r1, r0], [c1, c0]) = (size.rows.to_be_bytes(), size.columns.to_be_bytes());
                frame(2, &[r1, r0, c1, c0])
            }
        }
    }
}

impl FromHost {
    /// Reads a frame by its kind and content.
    pub fn decode(kind: u8, content: Vec<u8>) -> Result<Self, NoFrame> {
        match (kind, content.as_slice()) {
            (16, _) => Ok(Self::Output(content)),
            (17, _) => Ok(Self::Errors(content)),
            (18, &[c3, c2, c1, c0]) => Ok(Self::Ended(i32::from_be_bytes([c3, c2, c1, c0]))),
            (19, words) => Ok(Self::Lost(String::from_utf8_lossy(words).into_owned())),
            _ => Err(NoFrame::Unknown(kind)),
        }
    }

    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Output(bytes) => frame(16, bytes),
            Self::Errors(bytes) => frame(17, bytes),
            Self::Ended(code) => frame(18, &code.to_be_bytes()),
            Self::Lost(why) => frame(19, why.as_bytes()),
        }
    }
}

/// Whether this may name a container: it becomes a part of a path.
pub fn is_container_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn frames_are_read_back() {
        let size = TerminalSize {
            rows: 33,
            columns: 300,
        };
        for said in [
            FromPerson::Input(b"ls\n".to_vec()),
            FromPerson::Input(vec![]),
            FromPerson::InputEnds,
            FromPerson::Size(size),
        ] {
            let bytes = said.encode();
            let (kind, length) = head(bytes[..HEAD].try_into().unwrap()).unwrap();
            assert_eq!(bytes.len(), HEAD + length);
            assert_eq!(FromPerson::decode(kind, bytes[HEAD..].to_vec()), Ok(said));
        }
        for said in [
            FromHost::Output(b"a".to_vec()),
            FromHost::Errors(b"b".to_vec()),
            FromHost::Ended(-1),
            FromHost::Lost("gone".into()),
        ] {
            let bytes = said.encode();
            let (kind, _) = head(bytes[..HEAD].try_into().unwrap()).unwrap();
            assert_eq!(FromHost::decode(kind, bytes[HEAD..].to_vec()), Ok(said));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(head([0, 0, 0, 0x80, 1]), Err(NoFrame::TooLong(0x8001)));
        assert_eq!(
            head([0, 0xff, 0xff, 0xff, 0xff]),
            Err(NoFrame::TooLong(u32::MAX))
        );
        for (kind, content) in [(1, vec![0]), (2, vec![1, 2, 3]), (3, vec![]), (16, vec![])] {
            assert_eq!(
                FromPerson::decode(kind, content),
                Err(NoFrame::Unknown(kind))
            );
        }
        for (kind, content) in [(18, vec![0]), (20, vec![]), (0, vec![])] {
            assert_eq!(FromHost::decode(kind, content), Err(NoFrame::Unknown(kind)));
        }
    }

    #[test]
    fn a_containers_name_is_no_path() {
        assert!(is_container_name("shop-web-1") && is_container_name("0a.b_c"));
        for name in ["", "-x", "../x", "a/b", "a?b", "a b", &"a".repeat(256)] {
            assert!(!is_container_name(name), "{name}");
        }
    }
}
