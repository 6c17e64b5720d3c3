//! A command in a container: an upgraded connection and the frames on it (`towline-terminal/1`, as docs/api.md has them).

use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use uuid::Uuid;

use super::Client;
use crate::exit::Failure;

/// The protocol's name.
const PROTOCOL: &str = "towline-terminal/1";
/// The most bytes of a frame's content.
pub const MAX_CONTENT: usize = 32 * 1024;

/// How large a terminal is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its height.
    pub rows: u16,
    /// Its width.
    pub columns: u16,
}

/// What the command's host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The command printed.
    Output(Vec<u8>),
    /// The command printed, to its standard error.
    Errors(Vec<u8>),
    /// It has ended, by this code.
    Ended(i32),
    /// It cannot be told how it ended; why.
    Lost(String),
}

/// Begins a command.
pub async fn begin(
    client: &Client,
    target: Uuid,
    container: &str,
    command: &[String],
    terminal: Option<Size>,
) -> Result<reqwest::Upgraded, Failure> {
    let path = [
        "targets",
        &target.to_string(),
        "containers",
        container,
        "exec",
    ];
    let terminal = terminal.map(|size| json!({ "rows": size.rows, "columns": size.columns }));
    let wish = json!({ "command": command, "terminal": terminal });
    client.upgrade(&path, &wish, PROTOCOL).await
}

/// More of the command's input.
pub fn input(bytes: &[u8]) -> Vec<u8> {
    frame(0, bytes)
}

/// That was all of it.
pub fn input_ends() -> Vec<u8> {
    frame(1, &[])
}

/// The terminal has another size.
pub fn resized(size: Size) -> Vec<u8> {
    let ([r1, r0], [c1, c0]) = (size.rows.to_be_bytes(), size.columns.to_be_bytes());
    frame(2, &[r1, r0, c1, c0])
}

fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// The next frame; nothing when the connection has ended, in whatever way.
pub async fn next(from: &mut (impl AsyncRead + Unpin)) -> Option<Said> {
    let kind = from.read_u8().await.ok()?;
    let length = from.read_u32().await.ok()?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_CONTENT)?;
    let mut content = vec![0; length];
    from.read_exact(&mut content).await.ok()?;
    match (kind, content.as_slice()) {
        (16, _) => Some(Said::Output(content)),
        (17, _) => Some(Said::Errors(content)),
        (18, &[c3, c2, c1, c0]) => Some(Said::Ended(i32::from_be_bytes([c3, c2, c1, c0]))),
        (19, words) => Some(Said::Lost(String::from_utf8_lossy(words).into_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_as_the_api_has_them() {
        assert_eq!(input(b"ls\n"), b"\x00\x00\x00\x00\x03ls\n");
        assert_eq!(input_ends(), b"\x01\x00\x00\x00\x00");
        let size = Size {
            rows: 33,
            columns: 300,
        };
        assert_eq!(resized(size), b"\x02\x00\x00\x00\x04\x00\x21\x01\x2c");
        for (bytes, said) in [
            (
                &b"\x10\x00\x00\x00\x02hi"[..],
                Some(Said::Output(b"hi".to_vec())),
            ),
            (b"\x11\x00\x00\x00\x00", Some(Said::Errors(vec![]))),
            (
                b"\x12\x00\x00\x00\x04\x00\x00\x00\x07",
                Some(Said::Ended(7)),
            ),
            (b"\x13\x00\x00\x00\x04gone", Some(Said::Lost("gone".into()))),
            (b"\x12\x00\x00\x00\x01\x07", None),
            (b"\x10\x00\x01\x00\x00", None),
            (b"\x10\x00\x00\x00\x05hi", None),
            (b"", None),
        ] {
            assert_eq!(next(&mut &bytes[..]).await, said, "{bytes:?}");
        }
    }
}
