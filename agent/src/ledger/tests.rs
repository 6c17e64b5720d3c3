#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::mpsc;

use proptest::prelude::*;
use towline_shared::Fence;
use towline_shared::ids::{JobId, TargetId};
use towline_shared::log::LogPosition;
use towline_shared::outcome::{Outcome, Step};
use towline_shared::protocol::v1::Attempt;
use towline_shared::spec::Interruption;

use super::*;
use crate::small_disk::SmallDisk;
use crate::state_dir::StateDir;

fn acceptance(epoch: u64) -> Acceptance {
    Acceptance {
        attempt: Attempt {
            job: JobId::new(),
            fence: Fence::new(1, epoch),
        },
        target: TargetId::new(),
        interruption: Interruption::Resume,
        secrets: SecretCount::None,
        log: LogPosition::default(),
    }
}

/// A job's whole life in the journal.
fn life(epoch: u64) -> Vec<Record> {
    let accepted = acceptance(epoch);
    let attempt = accepted.attempt;
    let outcome = Outcome::Cancelled {
        left: "nothing".into(),
    };
    vec![
        Record::Accepted(accepted),
        Record::Begun(attempt),
        Record::Step(attempt, Step::Applying),
        Record::Finished(attempt, outcome, LogPosition::default()),
        Record::Forgotten(attempt),
    ]
}

fn state_of(records: &[Record]) -> LedgerState {
    let mut state = LedgerState::default();
    for record in records {
        state.apply(record);
    }
    state
}

#[test]
fn what_was_appended_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let records = life(4);
    for count in 0..=records.len() {
        let _ = fs::remove_file(&path);
        let mut ledger = Ledger::open(&path).unwrap();
        for record in &records[..count] {
            ledger.append(std::slice::from_ref(record)).unwrap();
        }
        let reopened = Ledger::open(&path).unwrap();
        assert_eq!(reopened.state(), &state_of(&records[..count]), "{count}");
        assert_eq!(reopened.state(), ledger.state());
    }
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_file_cut_anywhere_opens_as_a_prefix_and_goes_on(cut in any::<prop::sample::Index>()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let records = [life(1), life(2)].concat();
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.append(&records).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..cut.index(bytes.len() + 1)]).unwrap();
        let mut cut = Ledger::open(&path).unwrap();
        let whole = (0..=records.len()).find(|count| cut.state() == &state_of(&records[..*count]));
        prop_assert!(whole.is_some(), "{:?} is no prefix", cut.state());
        let more = life(3);
        cut.append(&more[..2]).unwrap();
        let reopened = Ledger::open(&path).unwrap();
        prop_assert_eq!(reopened.state(), cut.state());
        prop_assert!(reopened.state().jobs.iter().any(|job| job.progress == EntryProgress::Begun(None)));
    }
}

#[test]
fn damage_before_the_end_is_refused_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    Ledger::open(&path).unwrap().append(&life(1)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[MAGIC.len() + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let refused = Ledger::open(&path).unwrap_err().to_string();
    assert!(
        refused.contains("damaged: the record at byte 8") && refused.contains("move the file away"),
        "{refused}"
    );
    assert_eq!(
        fs::read(&path).unwrap(),
        bytes,
        "a refused journal stays as it is"
    );
    fs::write(&path, b"TWLGER\x00\x02 of a later agent").unwrap();
    assert!(matches!(
        Ledger::open(&path),
        Err(LedgerError::Foreign { .. })
    ));
}

#[test]
fn history_is_compacted_and_fences_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    let target = TargetId::new();
    for first in (1..=6000).step_by(50) {
        let mut records: Vec<_> = (first..first + 50).flat_map(life).collect();
        for record in &mut records {
            if let Record::Accepted(accepted) = record {
                accepted.target = target;
            }
        }
        ledger.append(&records).unwrap();
    }
    let size = fs::metadata(&path).unwrap().len();
    assert!(size < COMPACT_FLOOR, "{size} bytes after 6000 jobs");
    let reopened = Ledger::open(&path).unwrap();
    assert_eq!(
        reopened.state().fences,
        [(target, Fence::new(1, 6000))].into()
    );
    assert!(reopened.state().jobs.is_empty());
}

#[test]
fn a_full_disk_refuses_a_record_and_keeps_the_others() {
    let disk = SmallDisk::mount(256);
    let path = disk.path().join("ledger");
    let mut ledger = Ledger::open(&path).unwrap();
    let kept = life(1);
    ledger.append(&kept[..2]).unwrap();
    disk.fill();
    let mut refused = 0;
    let mut state = ledger.state().clone();
    // What fits into the page that is begun already is taken; then no more is.
    for epoch in 2..400 {
        let record = Record::Accepted(acceptance(epoch));
        match ledger.append(std::slice::from_ref(&record)) {
            Ok(()) => state.apply(&record),
            Err(error) => {
                assert!(
                    error.to_string().contains("No space left on device"),
                    "{error}"
                );
                refused += 1;
            }
        }
        assert_eq!(ledger.state(), &state);
    }
    assert!(refused > 300, "only {refused} were refused");
    assert_eq!(Ledger::open(&path).unwrap().state(), &state);
    disk.free();
    ledger.append(&kept[2..]).unwrap();
    state.apply(&kept[4]);
    assert_eq!(Ledger::open(&path).unwrap().state(), &state);
}

#[test]
fn the_writer_answers_in_order_and_stores_specifications_first() {
    for (size, in_a_file) in [(8, false), (100_000, true)] {
        let home = tempfile::tempdir().unwrap();
        let dir = StateDir::open(home.path()).unwrap();
        let (told, answers) = mpsc::channel();
        let ledger = Ledger::open(&dir.ledger()).unwrap();
        let tell = move |record, result| told.send((record, result)).unwrap();
        let writer = LedgerWriter::start(ledger, dir.clone(), tell).unwrap();
        let records = life(1);
        let Record::Accepted(accepted) = &records[0] else {
            panic!()
        };
        let encoded = vec![7; size];
        for record in &records[..3] {
            let spec = matches!(record, Record::Accepted(_)).then(|| encoded.clone());
            let record = record.clone();
            writer.append(Append { record, spec }).unwrap();
        }
        for record in &records[..3] {
            assert_eq!(answers.recv().unwrap(), (record.clone(), Ok(())));
        }
        drop(writer);
        assert!(answers.recv().is_err(), "the thread ends with its handle");
        let ledger = Ledger::open(&dir.ledger()).unwrap();
        let file = dir.job(accepted.attempt).join("spec");
        if in_a_file {
            assert_eq!(fs::read(file).unwrap(), encoded);
            assert_eq!(ledger.state().spec(accepted.attempt), None);
        } else {
            assert_eq!(ledger.state().spec(accepted.attempt), Some(&encoded[..]));
            assert!(!file.exists());
            let mut compacted = LedgerState::default();
            for record in ledger.state().records() {
                compacted.apply(&record);
            }
            assert_eq!(&compacted, ledger.state());
        }
    }
}

#[test]
fn a_refused_acceptance_leaves_no_folder() {
    let disk = SmallDisk::mount(128);
    let dir = StateDir::open(disk.path()).unwrap();
    let (told, answers) = mpsc::channel();
    let ledger = Ledger::open(&dir.ledger()).unwrap();
    let writer = LedgerWriter::start(ledger, dir.clone(), move |_, result| {
        told.send(result).unwrap();
    })
    .unwrap();
    let spec = Some(vec![7; 1 << 20]);
    writer
        .append(Append {
            record: Record::Accepted(acceptance(1)),
            spec,
        })
        .unwrap();
    let refused = answers.recv().unwrap().unwrap_err();
    assert!(refused.contains("No space left on device"), "{refused}");
    assert_eq!(fs::read_dir(dir.jobs()).unwrap().count(), 0);
    writer
        .append(Append {
            record: Record::Accepted(acceptance(2)),
            spec: Some(vec![7]),
        })
        .unwrap();
    answers.recv().unwrap().unwrap();
}
