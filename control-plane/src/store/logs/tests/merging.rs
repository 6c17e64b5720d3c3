//! Which chunks are merged, without a database.

use towline_shared::log::{CHUNK_LINES, LogLine, LogPosition, LogStream};

use super::super::chunk::{ChunkKind, StoredChunk};
use super::super::merge::{Merge, Merger};
use super::{continued, line};

fn at_rest(lines: &[LogLine], size: usize) -> Vec<StoredChunk> {
    let chunks = continued(LogPosition::default(), lines, size).into_iter();
    let stored = chunks.map(|chunk| StoredChunk {
        first_line: chunk.first_line,
        lines: chunk.lines.into(),
        kind: ChunkKind::Lines,
        payload: chunk.payload,
    });
    stored.collect()
}

fn merges(chunks: &[StoredChunk]) -> Vec<Merge> {
    let mut merger = Merger::default();
    let mut found: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| merger.push(chunk))
        .collect();
    found.extend(merger.finish());
    found
}

fn shape(merges: &[Merge]) -> Vec<(u64, u64, u64)> {
    merges
        .iter()
        .map(|merge| (merge.by.first_line, merge.by.lines, merge.replaced))
        .collect()
}

#[test]
fn small_neighbours_become_one_with_the_same_lines() {
    let lines: Vec<_> = (0..100).map(line).collect();
    let merges = merges(&at_rest(&lines, 7));
    assert_eq!(shape(&merges), [(0, 100, 15)]);
    assert_eq!(merges[0].by.decode().unwrap(), lines);
}

#[test]
fn a_single_chunk_and_large_ones_stay_as_they_are() {
    let lines: Vec<_> = (0..100).map(line).collect();
    assert_eq!(merges(&at_rest(&lines, 100)), []);
    assert_eq!(merges(&[]), []);
    let large = StoredChunk {
        first_line: 10,
        lines: 1,
        kind: ChunkKind::Lines,
        payload: vec![0; 20_000],
    };
    let mut chunks = at_rest(&lines[..20], 5);
    chunks.insert(2, large);
    assert_eq!(shape(&merges(&chunks)), [(0, 10, 2), (10, 10, 2)]);
}

#[test]
fn gaps_end_a_run() {
    let lines: Vec<_> = (0..20).map(line).collect();
    let mut chunks = at_rest(&lines, 5);
    chunks[1].kind = ChunkKind::Gap;
    assert_eq!(shape(&merges(&chunks)), [(10, 10, 2)]);
}

#[test]
fn a_merged_chunk_keeps_to_the_limits_of_a_chunk() {
    let short = |number: usize| LogLine {
        text: format!("{}", number % 10),
        ..line(0)
    };
    let lines: Vec<_> = (0..CHUNK_LINES * 2).map(short).collect();
    let most = u64::try_from(CHUNK_LINES).unwrap();
    assert_eq!(
        shape(&merges(&at_rest(&lines, 1024))),
        [(0, most, 4), (most, most, 4)]
    );
    let long = |number: usize| LogLine {
        text: format!("{number:010000}"),
        ..line(0)
    };
    let lines: Vec<_> = (0..13).map(long).collect();
    assert_eq!(
        shape(&merges(&at_rest(&lines, 1))),
        [(0, 6, 6), (6, 6, 6)],
        "six times 10 kB, and one left"
    );
}

#[test]
fn no_source_loses_its_name() {
    let from = |number: u64| LogLine {
        source: format!("service-{number}"),
        stream: LogStream::Stdout,
        ..line(number)
    };
    let lines: Vec<_> = (0..200).map(from).collect();
    let chunks = at_rest(&lines, 10);
    let merges = merges(&chunks);
    assert_eq!(
        shape(&merges),
        [(0, 60, 6), (60, 60, 6), (120, 60, 6), (180, 20, 2)]
    );
    let kept: Vec<_> = merges
        .iter()
        .flat_map(|merge| merge.by.decode().unwrap())
        .collect();
    assert_eq!(kept, lines);
}
