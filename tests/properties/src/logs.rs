//! Log chunks: from an agent to the store, and from the store to a reader.

use std::collections::BTreeSet;

use towline_shared::log::{
    CHUNK_LINES, ChunkError, Fit, LogChunk, LogPosition, MAX_LINE_BYTES, MAX_PAYLOAD,
    MAX_SOURCE_BYTES, decode_payload,
};

use crate::bound::within;
use crate::feed::Feed;

/// What decoding may take: the columns, their lists, and the lines with names of their own.
const MOST: usize = 32 * 1024 * 1024;
/// Further sources stand together, so that a log of more comes back with fewer.
const SOURCES: usize = 63;

/// A payload, as it is, and as the content of a compressed one.
pub fn log_payload(payload: &[u8]) {
    read(payload);
    if let Ok(squeezed) = zstd::bulk::compress(payload, 1) {
        read(&squeezed);
    }
}

fn read(payload: &[u8]) {
    let Ok(lines) = within(MOST, || decode_payload(payload)) else {
        return;
    };
    assert!(lines.len() <= CHUNK_LINES);
    for line in &lines {
        assert!(line.text.len() <= MAX_LINE_BYTES && line.source.len() <= MAX_SOURCE_BYTES);
    }
    let sources: BTreeSet<_> = lines.iter().map(|line| &line.source).collect();
    if lines.is_empty() || sources.len() > SOURCES {
        return;
    }
    let (chunk, _) = LogChunk::encode(LogPosition::default(), &lines).expect("it was a chunk");
    assert_eq!(chunk.decode().as_ref(), Ok(&lines));
}

/// A chunk at a place of a log, whose chain is right or not.
pub fn log_chunk(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let position = LogPosition {
        next_line: feed.number() as u64,
        chain: [feed.byte(); 32],
    };
    let first_line = match feed.byte() {
        0..=99 => position.next_line,
        100..=199 => feed.number() as u64,
        _ => u64::MAX - u64::from(feed.byte()),
    };
    let lines = u32::try_from(feed.number()).unwrap();
    let is_honest = feed.byte().is_multiple_of(2);
    let payload = feed.rest().to_vec();
    let mut chunk = LogChunk {
        first_line,
        lines,
        chain: [7; 32],
        payload,
    };
    if is_honest {
        chunk.chain = chain(position, &chunk);
    }
    judge(&chunk, position);
}

fn judge(chunk: &LogChunk, position: LogPosition) {
    let fits = within(MOST, || chunk.fit(position));
    let end = chunk.first_line.checked_add(u64::from(chunk.lines));
    match fits {
        Ok(Fit::Next(after)) => {
            assert_eq!(chunk.first_line, position.next_line);
            assert_eq!(after, chunk.end());
            assert_eq!(after.chain, chain(position, chunk));
            assert_eq!(chunk.fit(after), Ok(Fit::Known), "a repeat is known");
        }
        Ok(Fit::Known) => assert!(end.is_some_and(|end| end <= position.next_line)),
        Err(ChunkError::Gap { expected, got }) => {
            assert_eq!((expected, got), (position.next_line, chunk.first_line));
        }
        Err(ChunkError::Chain(_)) => assert_ne!(chunk.chain, chain(position, chunk)),
        Err(ChunkError::Limits) => {
            let lines = chunk.lines as usize;
            assert!(
                lines == 0
                    || lines > CHUNK_LINES
                    || chunk.payload.len() > MAX_PAYLOAD
                    || end.is_none()
            );
        }
        Err(ChunkError::Undecodable) => panic!("fitting decodes nothing"),
    }
    if let Ok(lines) = within(MOST, || chunk.decode()) {
        assert_eq!(lines.len(), chunk.lines as usize);
    }
}

/// The chain after a chunk, computed apart from the code.
fn chain(position: LogPosition, chunk: &LogChunk) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    let mut bytes = position.chain.to_vec();
    bytes.extend(position.next_line.to_le_bytes());
    bytes.extend(chunk.lines.to_le_bytes());
    bytes.extend(&chunk.payload);
    Sha256::digest(bytes).into()
}
