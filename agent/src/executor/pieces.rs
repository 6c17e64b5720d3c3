//! Lines of a log as pieces of a stream.

use towline_shared::log::{LogChunk, LogLine, LogPosition};
use towline_shared::query::MAX_STREAM_PIECE;

/// What a line costs in a piece besides its text, at most.
const LINE_OVERHEAD: usize = 24;
/// The most bytes of lines in one piece: encoding adds less than the rest.
const PIECE_BYTES: usize = MAX_STREAM_PIECE - 1024;

/// Lines as pieces within their limit.
pub(super) fn encoded(lines: &[LogLine]) -> Vec<Result<Vec<u8>, String>> {
    let mut pieces = Vec::new();
    let mut batch: Vec<LogLine> = Vec::new();
    let mut bytes = 0;
    for line in lines.iter().flat_map(split) {
        let cost = line.text.len() + line.source.len() + LINE_OVERHEAD;
        if bytes + cost > PIECE_BYTES && !batch.is_empty() {
            pieces.push(encode(&batch));
            batch.clear();
            bytes = 0;
        }
        bytes += cost;
        batch.push(line);
    }
    if !batch.is_empty() {
        pieces.push(encode(&batch));
    }
    pieces
}

/// A line may be as long as a whole piece; then it becomes two.
fn split(line: &LogLine) -> Vec<LogLine> {
    let most = PIECE_BYTES - 512;
    let mut rest = line.text.as_str();
    let mut parts = Vec::new();
    loop {
        let (text, after) = rest.split_at(rest.floor_char_boundary(most.min(rest.len())));
        parts.push(LogLine {
            text: text.to_owned(),
            ..line.clone()
        });
        if after.is_empty() {
            return parts;
        }
        rest = after;
    }
}

fn encode(lines: &[LogLine]) -> Result<Vec<u8>, String> {
    let chunk = LogChunk::encode(LogPosition::default(), lines);
    chunk
        .map(|(chunk, _)| chunk.payload)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use towline_shared::log::{LogStream, MAX_LINE_BYTES, decode_payload};

    use super::*;

    #[test]
    fn pieces_keep_their_limit_and_lose_nothing() {
        // Text that does not compress, of every length.
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
        };
        let lengths = [
            0,
            1,
            100,
            PIECE_BYTES,
            MAX_LINE_BYTES,
            7,
            5000,
            5000,
            5000,
            5000,
        ];
        let lines: Vec<LogLine> = lengths
            .iter()
            .chain(std::iter::repeat_n(&1, 3000))
            .map(|&length| LogLine {
                at_us: 1,
                stream: LogStream::Stdout,
                source: "web-1".into(),
                text: (0..length).map(|_| random()).collect(),
            })
            .collect();
        let pieces: Vec<Vec<u8>> = encoded(&lines).into_iter().map(Result::unwrap).collect();
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_STREAM_PIECE));
        let decoded: String = pieces
            .iter()
            .flat_map(|piece| decode_payload(piece).unwrap())
            .map(|line| line.text)
            .collect();
        assert_eq!(
            decoded,
            lines
                .iter()
                .map(|line| line.text.as_str())
                .collect::<String>()
        );
    }
}
