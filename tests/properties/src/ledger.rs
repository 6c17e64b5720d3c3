//! The agent's journal: whatever a disk gives back, and what becomes of a torn end.

use std::fs;
use std::path::Path;

use towline_agent::ledger::{Acceptance, Ledger, LedgerState, Record, SecretCount};
use towline_shared::Fence;
use towline_shared::ids::{JobId, TargetId};
use towline_shared::log::LogPosition;
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::protocol::v1::Attempt;
use towline_shared::spec::Interruption;
use uuid::Uuid;

use crate::bound::within;
use crate::feed::Feed;

/// The journal is read as a whole: its bytes, and its state as long as each record is there.
const SWELL: usize = 80;
const BASE: usize = 1024 * 1024;

/// A folder in memory, where there is one: a sync of a disk is not what is looked at.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a folder can be made")
}

/// A file that claims to be a journal.
pub fn ledger(content: &[u8]) {
    let folder = folder();
    let path = folder.path().join("ledger");
    fs::write(&path, content).unwrap();
    let opened = within(BASE + SWELL * content.len(), || Ledger::open(&path));
    let Ok(opened) = opened else {
        assert_eq!(
            fs::read(&path).unwrap(),
            content,
            "a refused journal stays as it is"
        );
        return;
    };
    let mut ledger = Ledger::open(&path).unwrap();
    assert_eq!(ledger.state(), opened.state());
    let more = life(9);
    ledger.append(&more[..2]).unwrap();
    let state = ledger.state().clone();
    assert_eq!(Ledger::open(&path).unwrap().state(), &state);
    // What compaction would write adds up to the same.
    let mut compacted = LedgerState::default();
    for record in state.records() {
        compacted.apply(&record);
    }
    assert_eq!(
        (compacted.fences, compacted.jobs),
        (state.fences, state.jobs)
    );
}

/// A journal that was written by us, then torn or damaged: byte 0 and 1 say where, the rest what was
/// written.
pub fn ledger_life(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let (at, bit) = (feed.number(), feed.byte());
    let records = records(&mut feed);
    let folder = folder();
    let path = folder.path().join("ledger");
    let mut ends = vec![fs_len(&path)];
    let mut states = vec![LedgerState::default()];
    let mut ledger = Ledger::open(&path).unwrap();
    ends[0] = fs_len(&path);
    for record in &records {
        ledger.append(std::slice::from_ref(record)).unwrap();
        ends.push(fs_len(&path));
        states.push(ledger.state().clone());
    }
    let whole = fs::read(&path).unwrap();
    torn(&path, &whole, at % (whole.len() + 1), &ends, &states);
    damaged(&path, &whole, at % whole.len(), bit % 8, &states);
}

fn fs_len(path: &Path) -> usize {
    fs::metadata(path).map_or(0, |file| usize::try_from(file.len()).unwrap())
}

/// A torn end loses what was not whole, and nothing else.
fn torn(path: &Path, whole: &[u8], cut: usize, ends: &[usize], states: &[LedgerState]) {
    fs::write(path, &whole[..cut]).unwrap();
    let kept = ends.iter().rposition(|end| *end <= cut).unwrap_or(0);
    let opened = Ledger::open(path).expect("a torn end is no damage");
    assert_eq!(opened.state(), &states[kept]);
}

/// A changed bit is refused, or costs the tail; it is never another truth.
fn damaged(path: &Path, whole: &[u8], at: usize, bit: u8, states: &[LedgerState]) {
    let mut bytes = whole.to_vec();
    bytes[at] ^= 1 << bit;
    fs::write(path, &bytes).unwrap();
    if let Ok(opened) = Ledger::open(path) {
        assert!(
            states.contains(opened.state()),
            "a changed bit made another state"
        );
    }
}

fn records(feed: &mut Feed<'_>) -> Vec<Record> {
    let mut records = Vec::new();
    while !feed.is_empty() && records.len() < 24 {
        let (kind, job) = (feed.byte(), feed.byte() % 4);
        let attempt = attempt(job);
        records.push(match kind % 7 {
            0 => Record::Fence(target(job), Fence::new(u32::from(feed.byte()), 7)),
            1 => Record::Accepted(acceptance(job)),
            2 => Record::Begun(attempt),
            3 => Record::Step(attempt, Step::Applying),
            4 => Record::Finished(attempt, outcome(feed), LogPosition::default()),
            5 => Record::Forgotten(attempt),
            _ => Record::Spec(attempt, feed.piece().to_vec()),
        });
    }
    records
}

fn outcome(feed: &mut Feed<'_>) -> Outcome {
    let message = String::from_utf8_lossy(feed.piece()).into_owned();
    match feed.byte() % 3 {
        0 => Outcome::Succeeded { images: vec![] },
        1 => Outcome::Cancelled { left: message },
        _ => Outcome::Failed {
            reason: FailureReason::Internal,
            message,
        },
    }
}

fn attempt(job: u8) -> Attempt {
    Attempt {
        job: JobId::from(Uuid::from_u128(job.into())),
        fence: Fence::new(1, u64::from(job)),
    }
}

fn target(job: u8) -> TargetId {
    TargetId::from(Uuid::from_u128(u128::from(job) + 100))
}

fn acceptance(job: u8) -> Acceptance {
    Acceptance {
        attempt: attempt(job),
        target: target(job),
        interruption: Interruption::Resume,
        secrets: SecretCount::None,
        log: LogPosition::default(),
    }
}

/// A job's life.
pub(crate) fn life(job: u8) -> Vec<Record> {
    let outcome = Outcome::Cancelled {
        left: "nothing".into(),
    };
    vec![
        Record::Spec(attempt(job), b"spec".to_vec()),
        Record::Accepted(acceptance(job)),
        Record::Begun(attempt(job)),
        Record::Step(attempt(job), Step::Applying),
        Record::Finished(attempt(job), outcome, LogPosition::default()),
        Record::Forgotten(attempt(job)),
    ]
}

/// The bytes of a journal of these lives.
pub(crate) fn journal(lives: &[u8]) -> Vec<u8> {
    let folder = folder();
    let path = folder.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    for (index, job) in lives.iter().enumerate() {
        let life = life(*job);
        let until = life.len() - usize::from(index + 1 == lives.len()) * 2;
        ledger.append(&life[..until]).unwrap();
    }
    fs::read(&path).unwrap()
}
