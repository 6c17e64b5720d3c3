//! Frames between a person's terminal and a command in a container, as both ends read them.

use towline_shared::terminal::{FromHost, FromPerson, HEAD, MAX_CONTENT, TerminalSize, head};

use crate::bound::within;

/// What a frame may take beside its content, which is copied once.
const BASE: usize = 64 * 1024;

/// A stream of frames: each that is read is written again to the same bytes, and none is larger than it may be.
pub fn terminal(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((start, behind)) = rest.split_first_chunk::<HEAD>() {
        let Ok((kind, length)) = head(*start) else {
            return;
        };
        assert!(length <= MAX_CONTENT, "a frame over its limit was let in");
        let Some((content, behind)) = behind.split_at_checked(length) else {
            return;
        };
        let whole = &rest[..HEAD + length];
        within(BASE + 4 * length, || same(kind, content, whole));
        rest = behind;
    }
}

fn same(kind: u8, content: &[u8], whole: &[u8]) {
    if let Ok(said) = FromPerson::decode(kind, content.to_vec()) {
        assert_eq!(said.encode(), whole, "{said:?}");
    }
    match FromHost::decode(kind, content.to_vec()) {
        // Words that are no text are made one.
        Ok(FromHost::Lost(why)) if why.as_bytes() != content => {}
        Ok(said) => assert_eq!(said.encode(), whole, "{said:?}"),
        Err(_) => {}
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let size = TerminalSize {
        rows: 24,
        columns: 80,
    };
    let person = [
        FromPerson::Size(size),
        FromPerson::Input(b"ls -l\r".to_vec()),
        FromPerson::InputEnds,
    ];
    let host = [
        FromHost::Output(b"total 0\r\n".to_vec()),
        FromHost::Errors(b"no such file".to_vec()),
        FromHost::Ended(127),
        FromHost::Lost("the engine went away".into()),
    ];
    let joined = |frames: Vec<Vec<u8>>| frames.concat();
    vec![
        joined(person.iter().map(FromPerson::encode).collect()),
        joined(host.iter().map(FromHost::encode).collect()),
    ]
}
