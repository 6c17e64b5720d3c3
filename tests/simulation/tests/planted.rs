//! Each planted fault is found within the seeds of one run of continuous integration.
#![allow(
    clippy::expect_used,
    reason = "a panic is how a test says what went wrong"
)]

use towline_simulation::planted::FAULTS;
use towline_simulation::{Store, first_broken};

/// As many as `simulation.rs` runs.
const SEEDS: u64 = 4_000;

#[test]
fn every_planted_fault_is_found() {
    let mut missed = Vec::new();
    for fault in FAULTS {
        fail::cfg(fault, "return").expect("a failpoint");
        let found = first_broken(0..SEEDS, Store::Model);
        fail::remove(fault);
        match found {
            Some((seed, what)) => println!("{fault:<50} seed {seed:>5}: {what}"),
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
