#![allow(clippy::unwrap_used)]
use std::io::Cursor;

use zeroize::Zeroizing;

use super::frames::{FrameReader, FrameWriter, PLAIN};
use super::*;

const HEADER: [u8; 32] = [9; 32];

fn key() -> Zeroizing<[u8; 32]> {
    Zeroizing::new([7; 32])
}

fn written(plain: &[u8]) -> Vec<u8> {
    let mut frames = FrameWriter::new(Vec::new(), &key(), HEADER);
    for part in plain.chunks(1000) {
        frames.write(part).unwrap();
    }
    frames.finish().unwrap()
}

fn read(sealed: &[u8], length: usize) -> Result<Vec<u8>, BackupError> {
    let mut frames = FrameReader::new(Cursor::new(sealed), &key(), HEADER);
    let mut plain = Vec::new();
    frames.read(&mut plain, length)?;
    frames.end()?;
    Ok(plain)
}

/// Bytes that no compression makes fewer.
fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..length).map(|_| random.u8(..)).collect()
}

/// The places where frames begin, and the end.
fn frames_of(sealed: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Some(rest) = sealed
        .get(starts[starts.len() - 1]..)
        .filter(|rest| !rest.is_empty())
    {
        let length = u32::from_le_bytes(rest[1..5].try_into().unwrap());
        starts.push(starts[starts.len() - 1] + 5 + length as usize);
    }
    starts
}

#[test]
fn what_was_written_is_read() {
    for length in [
        1,
        1000,
        PLAIN - 1,
        PLAIN,
        PLAIN + 1,
        2 * PLAIN,
        2 * PLAIN + 77,
    ] {
        let plain = noise(length);
        assert_eq!(read(&written(&plain), length).unwrap(), plain, "{length}");
    }
}

#[test]
fn a_changed_byte_anywhere_is_found() {
    let plain = b"some text that is in no other file".repeat(8);
    let sealed = written(&plain);
    for at in 0..sealed.len() {
        for bit in [1, 128] {
            let mut changed = sealed.clone();
            changed[at] ^= bit;
            assert!(read(&changed, plain.len()).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_file_that_was_cut_or_continued_is_found() {
    let plain = noise(2 * PLAIN + 100);
    let sealed = written(&plain);
    let frames = frames_of(&sealed);
    assert_eq!(frames.len(), 4, "three frames");
    let cuts = frames
        .iter()
        .flat_map(|at| [at.saturating_sub(1), *at, *at + 1]);
    for cut in cuts.filter(|cut| *cut < sealed.len()) {
        assert!(read(&sealed[..cut], plain.len()).is_err(), "cut at {cut}");
        // Also what would be enough for who reads less.
        let some = plain.len().min(PLAIN);
        assert!(read(&sealed[..cut], some).is_err(), "less, cut at {cut}");
    }
    let continued = [sealed.as_slice(), &[0]].concat();
    assert!(read(&continued, plain.len()).is_err());
    let twice = [sealed.as_slice(), &sealed].concat();
    assert!(read(&twice, plain.len()).is_err());
}

#[test]
fn frames_in_another_order_or_of_another_file_are_found() {
    let plain = noise(3 * PLAIN);
    let sealed = written(&plain);
    let starts = frames_of(&sealed);
    let frame = |at: usize| &sealed[starts[at]..starts[at + 1]];
    let orders: [&[usize]; 4] = [&[1, 0, 2], &[0, 2], &[0, 0, 2], &[0, 1, 1, 2]];
    for order in orders {
        let mixed: Vec<u8> = order.iter().flat_map(|at| frame(*at).to_vec()).collect();
        assert!(read(&mixed, PLAIN).is_err(), "{order:?}");
    }
    let mut of_other = FrameReader::new(Cursor::new(&sealed), &key(), [8; 32]);
    assert!(of_other.read(&mut Vec::new(), 1).is_err(), "another header");
}

#[test]
fn a_length_over_the_limit_is_refused_before_it_is_read() {
    let mut sealed = vec![1];
    sealed.extend(u32::MAX.to_le_bytes());
    assert!(matches!(read(&sealed, 1), Err(BackupError::Damaged(_))));
}

#[test]
fn records_are_what_they_were() {
    let records = [
        Record::Table(TableHead {
            name: "teams".to_owned(),
            columns: vec!["id".to_owned(), "name".to_owned()],
        }),
        Record::Row(vec![
            Value::Null,
            Value::Integer(-5),
            Value::Real(0.5),
            Value::Text("ä\0".to_owned()),
            Value::Bytes(vec![0, 255]),
        ]),
        Record::End(77),
    ];
    for record in records {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        assert_eq!(Record::decode(&bytes).unwrap(), record);
        for cut in 0..bytes.len() {
            // It is another record, or none; it is never a panic.
            assert_ne!(Record::decode(&bytes[..cut]).ok(), Some(record.clone()));
        }
    }
}
