//! What a death leaves on a disk.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use towline_agent::ledger::Record;
use towline_agent::records;

use crate::dice::Dice;

/// Leaves the first bytes of a record at the journal's end.
pub(super) fn tear(ledger: &Path, record: &Record, dice: &mut Dice) {
    let mut bytes = Vec::new();
    let body = postcard::to_stdvec(record).expect("a record");
    records::frame(&mut bytes, &body, 1 << 20).expect("a small record");
    bytes.truncate(1 + dice.below(bytes.len() - 1));
    let mut file = OpenOptions::new()
        .append(true)
        .open(ledger)
        .expect("the journal is there");
    file.write_all(&bytes).expect("memory takes it");
}

/// Cuts a file at any place that was not synced.
pub(super) fn shorten(file: &Path, durable: u64, dice: &mut Dice) {
    let Ok(size) = fs::metadata(file).map(|data| data.len()) else {
        return;
    };
    if size > durable {
        let lost = dice.below(usize::try_from(size - durable).unwrap_or(1) + 1) as u64;
        let file = OpenOptions::new()
            .write(true)
            .open(file)
            .expect("it is there");
        file.set_len(size - lost).expect("memory gives it back");
    }
}

/// The last file of a spool loses any of what nobody had synced.
pub(super) fn lose_tail(folder: &Path, dice: &mut Dice) {
    let Ok(files) = fs::read_dir(folder) else {
        return;
    };
    let mut files: Vec<_> = files.flatten().map(|entry| entry.path()).collect();
    files.sort();
    if let Some(last) = files.last() {
        shorten(last, 0, dice);
    }
}
